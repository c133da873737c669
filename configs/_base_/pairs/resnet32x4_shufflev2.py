from mmengine.config import read_base

with read_base():
    from ..networks.cifar100 import resnet32x4 as teacher
    from ..networks.cifar100 import shufflev2 as student

pair = dict(
    architecture=student,
    teacher=teacher,
    teacher_ckpt="work_dirs/vanilla/cifar100_resnet32x4/epoch_240.pth",
    teacher_config="configs/vanilla/cifar100_resnet32x4.py",
)
del student, teacher
