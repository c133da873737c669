# The same pair with a teacher that is there: 60 epochs, from this project's zoo.
from mmengine.config import read_base

with read_base():
    from .resnet20_resnet8 import pair

pair.update(
    teacher_ckpt="zoo/cifar100_resnet20_60e.pth",
    teacher_config="configs/vanilla/cifar100_resnet20_60e.py",
)
