"""Small networks of torchvision and timm, and mmpretrain's like them."""

from typing import Callable, Dict, NamedTuple, Optional

import torchvision.models as tv
from mmengine.config import ConfigDict
from torch import nn
from torchvision.models.convnext import CNBlockConfig

CLASSES = 7
GAP = dict(type="GlobalAveragePooling")


class Case(NamedTuple):
    """A published network, mmpretrain's of the same kind, and a size of images.

    Args:
        build (Callable): Builds the published network.
        backbone (dict): Config of mmpretrain's backbone.
        head (dict): Config of its head.
        neck (dict | None): Config of its neck.
        size (int): Height and width of images.
    """

    build: Callable[[], nn.Module]
    backbone: dict
    head: dict
    neck: Optional[dict] = GAP
    size: int = 64

    def config(self) -> ConfigDict:
        return ConfigDict(
            type="ImageClassifier",
            backbone=self.backbone,
            neck=self.neck,
            head=self.head,
        )


def linear(channels: int) -> dict:
    return dict(type="LinearClsHead", num_classes=CLASSES, in_channels=channels)


def stacked(channels: int, hidden: int) -> dict:
    return dict(
        type="StackedLinearClsHead",
        num_classes=CLASSES,
        in_channels=channels,
        mid_channels=[hidden],
        act_cfg=dict(type="HSwish"),
    )


def of_vit(channels: int) -> dict:
    return dict(
        type="VisionTransformerClsHead", num_classes=CLASSES, in_channels=channels
    )


def timm_model(name: str, **options) -> Callable[[], nn.Module]:
    """Builds one of timm's networks by name."""

    def build() -> nn.Module:
        import timm

        options.setdefault("num_classes", CLASSES)
        return timm.create_model(name, pretrained=False, **options)

    return build


BN = dict(type="BN", eps=1e-5)
SAME = dict(type="Conv2dAdaptivePadding")
DEPTHS = [2, 2, 2, 2]
DENSE = dict(type="DenseNet", arch=dict(growth_rate=8, depths=DEPTHS, init_channels=16))
CONVNEXT = dict(
    type="ConvNeXt",
    arch=dict(depths=[2, 1, 2, 1], channels=[16, 24, 32, 40]),
    layer_scale_init_value=0.5,
)
SWIN = dict(
    type="SwinTransformer",
    arch=dict(embed_dims=16, depths=DEPTHS, num_heads=[1, 2, 4, 8]),
    img_size=64,
    window_size=2,
)
VIT = dict(
    type="VisionTransformer",
    arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
    img_size=32,
    patch_size=8,
)
CLS_HEAD = dict(type="ClsHead")


def vgg(**options) -> dict:
    return dict(type="VGG", depth=11, num_classes=CLASSES, **options)


def _convnext() -> nn.Module:
    widths = [*CONVNEXT["arch"]["channels"], None]
    depths = CONVNEXT["arch"]["depths"]
    blocks = zip(widths, widths[1:], depths, strict=False)
    setting = [CNBlockConfig(*block) for block in blocks]
    return tv.ConvNeXt(setting, num_classes=CLASSES, layer_scale=0.5)


_SMALL_SWIN = dict(embed_dim=16, depths=DEPTHS, num_heads=[1, 2, 4, 8])
_SMALL_VIT = dict(num_heads=2, num_classes=CLASSES, patch_size=8)
_TIMM_CONVNEXT = dict(depths=(2, 1, 2, 1), dims=(16, 24, 32, 40))
_TIMM_VIT = dict(embed_dim=16, depth=2, mlp_ratio=2, img_size=32, **_SMALL_VIT)
_TIMM_DENSE = dict(growth_rate=8, block_config=DEPTHS)

TORCHVISION: Dict[str, Case] = {
    "resnet18": Case(
        lambda: tv.resnet18(num_classes=CLASSES),
        dict(type="ResNet", depth=18),
        linear(512),
    ),
    "resnet50": Case(
        lambda: tv.resnet50(num_classes=CLASSES),
        dict(type="ResNet", depth=50),
        linear(2048),
    ),
    "mobilenet_v2": Case(
        lambda: tv.mobilenet_v2(num_classes=CLASSES, width_mult=0.5),
        dict(type="MobileNetV2", widen_factor=0.5),
        linear(1280),
    ),
    "mobilenet_v3_small": Case(
        lambda: tv.mobilenet_v3_small(num_classes=CLASSES),
        dict(type="MobileNetV3", arch="small"),
        stacked(576, 1024),
    ),
    "mobilenet_v3_large": Case(
        lambda: tv.mobilenet_v3_large(num_classes=CLASSES),
        dict(type="MobileNetV3", arch="large"),
        stacked(960, 1280),
    ),
    "vgg11": Case(
        lambda: tv.vgg11(num_classes=CLASSES, init_weights=False),
        vgg(),
        CLS_HEAD,
        None,
        224,
    ),
    "densenet": Case(
        lambda: tv.DenseNet(8, DEPTHS, 16, num_classes=CLASSES), DENSE, linear(32)
    ),
    "efficientnet_b0": Case(
        lambda: tv.efficientnet_b0(num_classes=CLASSES),
        dict(type="EfficientNet", arch="b0", conv_cfg=None, norm_cfg=BN),
        linear(1280),
    ),
    "efficientnet_b1": Case(
        lambda: tv.efficientnet_b1(num_classes=CLASSES),
        dict(type="EfficientNet", arch="b1", conv_cfg=None, norm_cfg=BN),
        linear(1280),
    ),
    "convnext": Case(_convnext, CONVNEXT, linear(40), None),
    "vit": Case(
        lambda: tv.VisionTransformer(
            image_size=32, num_layers=2, hidden_dim=16, mlp_dim=32, **_SMALL_VIT
        ),
        VIT,
        of_vit(16),
        None,
        32,
    ),
    "swin": Case(
        lambda: tv.SwinTransformer(
            [4, 4], window_size=[2, 2], num_classes=CLASSES, **_SMALL_SWIN
        ),
        SWIN,
        linear(128),
    ),
}

TIMM: Dict[str, Case] = {
    "resnet18": Case(
        timm_model("resnet18"), dict(type="ResNet", depth=18), linear(512)
    ),
    "resnet50d": Case(
        timm_model("resnet50d"), dict(type="ResNetV1d", depth=50), linear(2048)
    ),
    "seresnet50": Case(
        timm_model("seresnet50"), dict(type="SEResNet", depth=50), linear(2048)
    ),
    "mobilenetv2_050": Case(
        timm_model("mobilenetv2_050"),
        dict(type="MobileNetV2", widen_factor=0.5),
        linear(1280),
    ),
    "mobilenetv3_small_050": Case(
        timm_model("mobilenetv3_small_050"),
        dict(type="MobileNetV3", arch="small_050", norm_cfg=BN),
        stacked(288, 1024),
    ),
    "tf_mobilenetv3_large_100": Case(
        timm_model("tf_mobilenetv3_large_100"),
        dict(type="MobileNetV3", arch="large", conv_cfg=SAME),
        stacked(960, 1280),
    ),
    "vgg11_bn": Case(
        timm_model("vgg11_bn"), vgg(norm_cfg=dict(type="BN")), CLS_HEAD, None, 224
    ),
    "densenet121": Case(timm_model("densenet121", **_TIMM_DENSE), DENSE, linear(32)),
    "efficientnet_b0": Case(
        timm_model("efficientnet_b0"),
        dict(type="EfficientNet", arch="b0", conv_cfg=None, norm_cfg=BN),
        linear(1280),
    ),
    "tf_efficientnet_b1": Case(
        timm_model("tf_efficientnet_b1"),
        dict(type="EfficientNet", arch="b1"),
        linear(1280),
    ),
    "efficientnet_es": Case(
        timm_model("efficientnet_es"),
        dict(
            type="EfficientNet",
            arch="es",
            conv_cfg=None,
            norm_cfg=BN,
            act_cfg=dict(type="ReLU"),
        ),
        linear(1280),
    ),
    "convnext_tiny": Case(
        timm_model("convnext_tiny", **_TIMM_CONVNEXT), CONVNEXT, linear(40), None
    ),
    "convnext_atto": Case(  # with convolutions of kernel 1
        timm_model("convnext_atto", **_TIMM_CONVNEXT), CONVNEXT, linear(40), None
    ),
    "convnextv2_atto": Case(
        timm_model("convnextv2_atto", **_TIMM_CONVNEXT),
        dict(CONVNEXT, use_grn=True, layer_scale_init_value=0.0),
        linear(40),
        None,
    ),
    "vit_tiny_patch16_224": Case(
        timm_model("vit_tiny_patch16_224", **_TIMM_VIT), VIT, of_vit(16), None, 32
    ),
    "vit averaged": Case(
        timm_model("vit_tiny_patch16_224", global_pool="avg", **_TIMM_VIT),
        dict(VIT, out_type="avg_featmap", final_norm=False),
        of_vit(16),
        None,
        32,
    ),
    "vit with scales": Case(
        timm_model("vit_tiny_patch16_224", init_values=0.1, **_TIMM_VIT),
        dict(VIT, layer_scale_init_value=0.1),
        of_vit(16),
        None,
        32,
    ),
    "deit_tiny_distilled_patch16_224": Case(
        timm_model("deit_tiny_distilled_patch16_224", **_TIMM_VIT),
        dict(VIT, type="DistilledVisionTransformer"),
        dict(type="DeiTClsHead", num_classes=CLASSES, in_channels=16),
        None,
        32,
    ),
    "swin_tiny_patch4_window7_224": Case(
        timm_model(
            "swin_tiny_patch4_window7_224", img_size=64, window_size=2, **_SMALL_SWIN
        ),
        SWIN,
        linear(128),
    ),
}
