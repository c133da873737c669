# Small networks for the handwritten digits: 9 classes, one channel.


def _classifier(features, **backbone):
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone=dict(backbone, in_channels=1),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(
            type="LinearClsHead",
            num_classes=9,
            in_channels=features,
            init_cfg=None,  # torch's own, as in the CRD benchmark
        ),
    )


resnet20 = _classifier(64, type="pckd_mm.CIFARResNet", depth=20)
resnet8_thin = _classifier(8, type="pckd_mm.CIFARResNet", depth=8, width=(4, 4, 4, 8))
