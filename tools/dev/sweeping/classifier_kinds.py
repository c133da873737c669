"""The smallest classifier of each kind."""

from typing import Any, Dict

Table = Dict[str, Dict[str, Any]]

# Classes of every classifier in the sweep.
CLASSES = 10


def _kind(source: str, size: int = 32, labels: str = "one", **settings: Any) -> dict:
    settings = {name.replace("__", "."): value for name, value in settings.items()}
    return dict(source=source, size=size, labels=labels, settings=settings)


_LINEAR = dict(type="LinearClsHead", num_classes=CLASSES, in_channels=512)
_RESNET18 = "resnet/resnet18_8xb32_in1k.py"

CLASSIFIERS: Table = {
    # heads and losses, on one backbone
    "arcface": _kind(
        _RESNET18, head=dict(_LINEAR, _delete_=True, type="ArcFaceClsHead")
    ),
    "multi_task": _kind(
        _RESNET18,
        labels="tasks",
        head=dict(
            _delete_=True,
            type="MultiTaskHead",
            task_heads=dict(shape=_LINEAR, colour=_LINEAR),
        ),
    ),
    "csra": _kind("csra/resnet101-csra_1xb16_voc07-448px.py", labels="several"),
    "vgg_multi_label": _kind("vgg/vgg16_8xb16_voc.py", 224, labels="several"),
    "resnet_mixup": _kind("resnet/resnet50_8xb16-mixup_cifar10.py"),
    # Its binary cross-entropy is of mixed images, or of one-hot labels.
    "resnet_rsb": _kind(
        "resnet/resnet50_8xb256-rsb-a3-100e_in1k.py", data_preprocessor__to_onehot=True
    ),
    # families
    "alexnet": _kind(
        _RESNET18,
        224,
        backbone=dict(_delete_=True, type="AlexNet", num_classes=CLASSES),
        neck=None,
        head=dict(_delete_=True, type="ClsHead"),
    ),
    "beit": _kind("beit/benchmarks/beit-base-p16_8xb128-coslr-100e_in1k.py"),
    "beitv2": _kind("beitv2/benchmarks/beit-base-p16_8xb128-coslr-100e_in1k.py"),
    "cae": _kind("cae/benchmarks/beit-base-p16_8xb128-coslr-100e_in1k.py"),
    "clip": _kind("clip/vit-base-p32_pt-64xb64_in1k.py"),
    "conformer": _kind("conformer/conformer-tiny-p16_8xb128_in1k.py"),
    "convmixer": _kind("convmixer/convmixer-768-32_10xb64_in1k.py"),
    "convnext": _kind("convnext/convnext-tiny_32xb128_in1k.py"),
    "convnext_v2": _kind("convnext_v2/convnext-v2-atto_32xb32_in1k.py"),
    "cspdarknet": _kind("cspnet/cspdarknet50_8xb32_in1k.py"),
    "cspresnet": _kind("cspnet/cspresnet50_8xb32_in1k.py"),
    "cspresnext": _kind("cspnet/cspresnext50_8xb32_in1k.py"),
    "davit": _kind("davit/davit-tiny_4xb256_in1k.py", 224),
    "deit": _kind("deit/deit-tiny_4xb256_in1k.py"),
    "deit_distilled": _kind("deit/deit-tiny-distilled_4xb256_in1k.py"),
    "deit3": _kind("deit3/deit3-small-p16_64xb64_in1k.py"),
    "densenet": _kind("densenet/densenet121_4xb256_in1k.py"),
    "edgenext": _kind("edgenext/edgenext-xxsmall_8xb256_in1k.py"),
    "efficientformer": _kind("efficientformer/efficientformer-l1_8xb128_in1k.py", 224),
    "efficientformer_one_head": _kind(
        "efficientformer/efficientformer-l1_8xb128_in1k.py",
        224,
        head__distillation=False,
    ),
    "efficientnet": _kind("efficientnet/efficientnet-b0_8xb32_in1k.py"),
    "efficientnet_edge": _kind("efficientnet/efficientnet-es_8xb32-01norm_in1k.py"),
    "efficientnet_v2": _kind("efficientnet_v2/efficientnetv2-b0_8xb32_in1k.py"),
    "eva": _kind("eva/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py"),
    "eva_linear": _kind(
        "eva/benchmarks/vit-base-p16_8xb2048-linear-coslr-100e_in1k.py"
    ),
    "eva02": _kind("eva02/eva02-tiny-p14_in1k.py"),
    "hivit": _kind("hivit/hivit-tiny-p16_16xb64_in1k.py"),
    "hornet": _kind("hornet/hornet-tiny_8xb128_in1k.py"),
    "hornet_gf": _kind("hornet/hornet-tiny-gf_8xb128_in1k.py"),
    "hrnet": _kind("hrnet/hrnet-w18_4xb32_in1k.py"),
    "inception_v3": _kind("inception_v3/inception-v3_8xb32_in1k.py", 128),
    "lenet": _kind("lenet/lenet5_mnist.py"),
    "levit": _kind("levit/levit-128s_8xb256_in1k.py"),
    "levit_one_head": _kind(
        "levit/levit-128s_8xb256_in1k.py", head__distillation=False
    ),
    "mae": _kind("mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py"),
    "maskfeat": _kind("maskfeat/benchmarks/vit-base-p16_8xb256-coslr-100e_in1k.py"),
    "mff": _kind("mff/benchmarks/vit-base-p16_8xb2048-linear-coslr-90e_in1k.py"),
    "milan": _kind("milan/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py"),
    "mixmim": _kind("mixmim/benchmarks/mixmim-base_8xb128-coslr-100e_in1k.py"),
    "mlp_mixer": _kind("mlp_mixer/mlp-mixer-base-p16_64xb64_in1k.py"),
    "mobilenet_v2": _kind("mobilenet_v2/mobilenet-v2_8xb32_in1k.py"),
    "mobilenet_v3": _kind("mobilenet_v3/mobilenet-v3-small-050_8xb128_in1k.py"),
    "mobileone": _kind("mobileone/mobileone-s0_8xb32_in1k.py"),
    "mobilevit": _kind("mobilevit/mobilevit-xxsmall_8xb128_in1k.py"),
    "mocov3": _kind("mocov3/benchmarks/vit-small-p16_8xb128-linear-coslr-90e_in1k.py"),
    "mvit": _kind("mvit/mvitv2-tiny_8xb256_in1k.py"),
    "poolformer": _kind("poolformer/poolformer-s12_32xb128_in1k.py"),
    "regnet": _kind("regnet/regnetx-400mf_8xb128_in1k.py"),
    # The smallest is 31B, whose config does not load.
    "replknet": _kind(
        "replknet/replknet-31L_32xb64_in1k-384px.py",
        backbone__arch="31B",
        head__in_channels=1024,
    ),
    "repmlp": _kind("repmlp/repmlp-base_8xb64_in1k.py"),
    "repvgg": _kind("repvgg/repvgg-A0_8xb32_in1k.py"),
    "res2net": _kind("res2net/res2net50-w14-s8_8xb32_in1k.py"),
    "resnest": _kind("resnest/resnest50_32xb64_in1k.py"),
    "resnet": _kind(_RESNET18),
    "resnet_cifar": _kind("resnet/resnet18_8xb16_cifar10.py"),
    "resnetv1c": _kind("resnet/resnetv1c50_8xb32_in1k.py"),
    "resnetv1d": _kind("resnet/resnetv1d50_8xb32_in1k.py"),
    "resnext": _kind("resnext/resnext50-32x4d_8xb32_in1k.py"),
    "revvit": _kind("revvit/revvit-small_8xb256_in1k.py"),
    "riformer": _kind("riformer/riformer-s12_8xb128_in1k.py"),
    "seresnet": _kind("seresnet/seresnet50_8xb32_in1k.py"),
    "seresnext": _kind("seresnet/seresnext50-32x4d_8xb32_in1k.py"),
    "shufflenet_v1": _kind("shufflenet_v1/shufflenet-v1-1x_16xb64_in1k.py"),
    "shufflenet_v2": _kind("shufflenet_v2/shufflenet-v2-1x_16xb64_in1k.py"),
    "simmim": _kind(
        "simmim/benchmarks/swin-base-w6_8xb256-coslr-100e_in1k-192px.py",
        64,
        backbone__pad_small_map=True,
    ),
    "spark": _kind("spark/benchmarks/convnextv2-tiny_8xb256-coslr-300e_in1k.py"),
    "swin_transformer": _kind(
        "swin_transformer/swin-tiny_16xb64_in1k.py", 64, backbone__pad_small_map=True
    ),
    "swin_transformer_v2": _kind(
        "swin_transformer_v2/swinv2-tiny-w8_16xb64_in1k-256px.py",
        64,
        backbone__pad_small_map=True,
    ),
    "t2t_vit": _kind("t2t_vit/t2t-vit-t-14_8xb64_in1k.py"),
    "tinyvit": _kind("tinyvit/tinyvit-5m_8xb256_in1k.py", 64),
    "tnt": _kind("tnt/tnt-s-p16_16xb64_in1k.py"),
    "twins_pcpvt": _kind("twins/twins-pcpvt-small_8xb128_in1k.py"),
    "twins_svt": _kind("twins/twins-svt-small_8xb128_in1k.py"),
    "van": _kind("van/van-tiny_8xb128_in1k.py"),
    "vgg": _kind("vgg/vgg11_8xb32_in1k.py", 224),
    "vgg_bn": _kind("vgg/vgg11bn_8xb32_in1k.py", 224),
    "vig": _kind("vig/vig-tiny_8xb128_in1k.py", 224),
    "pvig": _kind("vig/pvig-tiny_8xb128_in1k.py", 224),
    "vision_transformer": _kind("vision_transformer/vit-base-p32_64xb64_in1k.py"),
    "vit_lora": _kind("vision_transformer/vit-base-p16_8xb64-lora_in1k-384px.py"),
    "wrn": _kind("wrn/wide-resnet50_8xb32_in1k.py"),
    "xcit": _kind("xcit/xcit-nano-12-p16_8xb128_in1k.py"),
}

# Names of timm.create_model, through mmpretrain's TimmClassifier.
TIMM: Table = {
    "resnet18": _kind("resnet18"),
    "mobilenetv3_small_050": _kind("mobilenetv3_small_050"),
    "efficientnet_lite0": _kind("efficientnet_lite0"),
    "ghostnet_050": _kind("ghostnet_050"),
    "tinynet_e": _kind("tinynet_e"),
    "regnetx_002": _kind("regnetx_002"),
    "repvgg_a0": _kind("repvgg_a0"),
    "vgg11": _kind("vgg11"),
    "densenet121": _kind("densenet121"),
    "inception_v3": _kind("inception_v3", 96),
    "convnext_atto": _kind("convnext_atto"),
    "edgenext_xx_small": _kind("edgenext_xx_small", 64),
    "poolformer_s12": _kind("poolformer_s12"),
    "mobilevit_xxs": _kind("mobilevit_xxs", 64),
    "fastvit_t8": _kind("fastvit_t8", 64),
    "vit_tiny": _kind("vit_tiny_patch16_224", img_size=32),
    "deit_tiny_distilled": _kind("deit_tiny_distilled_patch16_224", img_size=32),
    "swin_tiny": _kind("swin_tiny_patch4_window7_224", 224),
    "levit_128s": _kind("levit_128s", 224),
    "efficientformer_l1": _kind("efficientformer_l1", 224),
    "xcit_nano_12": _kind("xcit_nano_12_p16_224", img_size=32),
    "mixer_s32": _kind("mixer_s32_224", 224),
}

# Model types of transformers, with small sizes, through HuggingFaceClassifier.
HUGGING_FACE: Table = {
    "resnet": _kind(
        "resnet", embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1]
    ),
    "convnext": _kind(
        "convnext", hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], image_size=32
    ),
    "mobilenet_v2": _kind("mobilenet_v2", image_size=32),
    "regnet": _kind(
        "regnet",
        embedding_size=16,
        hidden_sizes=[16, 32, 48, 64],
        depths=[1, 1, 1, 1],
        groups_width=16,
    ),
    "vit": _kind(
        "vit",
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        image_size=32,
    ),
    "deit": _kind(
        "deit",
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        image_size=32,
        architectures=["DeiTForImageClassification"],
    ),
    "deit_distilled": _kind(
        "deit",
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        image_size=32,
        architectures=["DeiTForImageClassificationWithTeacher"],
    ),
    "beit": _kind(
        "beit",
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        image_size=32,
    ),
    "dinov2": _kind(
        "dinov2",
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        size=28,
    ),
    "swin": _kind(
        "swin",
        embed_dim=16,
        depths=[1, 1],
        num_heads=[1, 2],
        window_size=4,
        image_size=32,
    ),
    "poolformer": _kind("poolformer", 64),
    "levit": _kind(
        "levit", 64, image_size=64, architectures=["LevitForImageClassification"]
    ),
    "levit_distilled": _kind(
        "levit",
        64,
        image_size=64,
        architectures=["LevitForImageClassificationWithTeacher"],
    ),
}

# Functions of torchvision.models, plain modules.
TORCHVISION: Table = {
    "alexnet": _kind("alexnet", 64),
    "convnext_tiny": _kind("convnext_tiny"),
    "densenet121": _kind("densenet121"),
    "efficientnet_b0": _kind("efficientnet_b0"),
    "googlenet": _kind("googlenet", init_weights=True),
    "googlenet_one_head": _kind("googlenet", init_weights=True, aux_logits=False),
    "inception_v3": _kind("inception_v3", 96, init_weights=True, aux_logits=False),
    "maxvit_t": _kind("maxvit_t", 224),
    "mnasnet0_5": _kind("mnasnet0_5"),
    "mobilenet_v2": _kind("mobilenet_v2"),
    "mobilenet_v3_small": _kind("mobilenet_v3_small"),
    "regnet_y_400mf": _kind("regnet_y_400mf"),
    "resnet18": _kind("resnet18"),
    "resnext50_32x4d": _kind("resnext50_32x4d"),
    "shufflenet_v2_x0_5": _kind("shufflenet_v2_x0_5"),
    "squeezenet1_1": _kind("squeezenet1_1"),
    "swin_t": _kind("swin_t"),
    "vgg11": _kind("vgg11"),
    "vit_b_32": _kind("vit_b_32", image_size=32),
}
