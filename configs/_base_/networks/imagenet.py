# MMPretrain's networks for ImageNet, 1000 classes. The head's loss is its default, so
# that a method can weigh it.


def _resnet(depth):
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone=dict(
            type="ResNet",
            depth=depth,
            num_stages=4,
            out_indices=(3,),
            style="pytorch",
        ),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=1000, in_channels=512),
    )


resnet18 = _resnet(18)
resnet34 = _resnet(34)
