# The student of PCKD, ResNet110 -> ResNet20 on CIFAR-100, frozen. Any other ResNet20,
# a student of KD, one that was trained alone, or none (random features):
#   --cfg-options model.checkpoint=FILE
#   --cfg-options model.checkpoint=None
from mmengine.config import read_base

with read_base():
    from ..networks.cifar100 import resnet20 as model

model.update(
    type="pckd_mm.LinearProbe",
    checkpoint="work_dirs/pckd/cifar100_resnet110_resnet20/epoch_240_student.pth",
    checkpoint_config="configs/pckd/cifar100_resnet110_resnet20.py",
)
