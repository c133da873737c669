# Small networks for the printed letters: 92 classes, one channel. The student's
# features are as wide as the teacher's, so that all terms of PCKD are defined.
from mmengine.config import read_base

with read_base():
    from .digits import resnet8_thin, resnet20

resnet20.head.num_classes = 92
resnet8_thin.backbone.width = (4, 4, 8, 64)
resnet8_thin.head.update(num_classes=92, in_channels=64)
