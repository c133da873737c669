# The networks of the CRD benchmark, for 100 classes.


def _classifier(features, head_std=None, **backbone):
    head_init = None  # torch's own
    if head_std is not None:
        head_init = dict(type="Normal", layer="Linear", std=head_std)
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone=backbone,
        neck=dict(type="GlobalAveragePooling"),
        head=dict(
            type="LinearClsHead",
            num_classes=100,
            in_channels=features,
            init_cfg=head_init,
        ),
    )


resnet8 = _classifier(64, type="pckd_mm.CIFARResNet", depth=8)
resnet14 = _classifier(64, type="pckd_mm.CIFARResNet", depth=14)
resnet20 = _classifier(64, type="pckd_mm.CIFARResNet", depth=20)
resnet32 = _classifier(64, type="pckd_mm.CIFARResNet", depth=32)
resnet44 = _classifier(64, type="pckd_mm.CIFARResNet", depth=44)
resnet56 = _classifier(64, type="pckd_mm.CIFARResNet", depth=56)
resnet110 = _classifier(64, type="pckd_mm.CIFARResNet", depth=110)
resnet8x4 = _classifier(256, type="pckd_mm.CIFARResNet", depth=8, width=4)
resnet32x4 = _classifier(256, type="pckd_mm.CIFARResNet", depth=32, width=4)
resnet50 = _classifier(
    2048, type="ResNet_CIFAR", depth=50, style="pytorch", zero_init_residual=False
)
wrn_16_1 = _classifier(64, type="pckd_mm.CIFARWideResNet", depth=16, width=1)
wrn_16_2 = _classifier(128, type="pckd_mm.CIFARWideResNet", depth=16, width=2)
wrn_40_1 = _classifier(64, type="pckd_mm.CIFARWideResNet", depth=40, width=1)
wrn_40_2 = _classifier(128, type="pckd_mm.CIFARWideResNet", depth=40, width=2)
vgg8 = _classifier(512, head_std=0.01, type="pckd_mm.CIFARVGG", depth=8)
vgg11 = _classifier(512, head_std=0.01, type="pckd_mm.CIFARVGG", depth=11)
vgg13 = _classifier(512, head_std=0.01, type="pckd_mm.CIFARVGG", depth=13)
vgg16 = _classifier(512, head_std=0.01, type="pckd_mm.CIFARVGG", depth=16)
vgg19 = _classifier(512, head_std=0.01, type="pckd_mm.CIFARVGG", depth=19)
mobilenetv2 = _classifier(
    1280, head_std=0.01, type="pckd_mm.CIFARMobileNetV2", width=0.5
)
shufflev1 = _classifier(960, type="pckd_mm.CIFARShuffleNetV1", groups=3)
shufflev2 = _classifier(1024, type="pckd_mm.CIFARShuffleNetV2")
