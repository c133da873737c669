from mmengine.config import read_base

with read_base():
    from ..networks.cifar100 import resnet20 as student
    from ..networks.cifar100 import resnet110 as teacher

pair = dict(
    architecture=student,
    teacher=teacher,
    teacher_ckpt="work_dirs/vanilla/cifar100_resnet110/epoch_240.pth",
    teacher_config="configs/vanilla/cifar100_resnet110.py",
)
del student, teacher
