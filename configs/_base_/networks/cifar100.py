# The networks of the CRD benchmark, for 100 classes.


def _classifier(features, **backbone):
    return dict(
        type="ImageClassifier",
        backbone=backbone,
        neck=dict(type="GlobalAveragePooling"),
        head=dict(
            type="LinearClsHead",
            num_classes=100,
            in_channels=features,
            init_cfg=None,  # torch's own, as in the benchmark
        ),
    )


resnet8 = _classifier(64, type="pckd_mm.CIFARResNet", depth=8)
resnet20 = _classifier(64, type="pckd_mm.CIFARResNet", depth=20)
resnet32 = _classifier(64, type="pckd_mm.CIFARResNet", depth=32)
resnet56 = _classifier(64, type="pckd_mm.CIFARResNet", depth=56)
resnet110 = _classifier(64, type="pckd_mm.CIFARResNet", depth=110)
resnet8x4 = _classifier(256, type="pckd_mm.CIFARResNet", depth=8, width=4)
resnet32x4 = _classifier(256, type="pckd_mm.CIFARResNet", depth=32, width=4)
wrn_16_2 = _classifier(128, type="pckd_mm.CIFARWideResNet", depth=16, width=2)
wrn_40_1 = _classifier(64, type="pckd_mm.CIFARWideResNet", depth=40, width=1)
wrn_40_2 = _classifier(128, type="pckd_mm.CIFARWideResNet", depth=40, width=2)
