from mmengine.config import read_base

with read_base():
    from ..networks.cifar100 import wrn_40_1 as student
    from ..networks.cifar100 import wrn_40_2 as teacher

pair = dict(
    architecture=student,
    teacher=teacher,
    teacher_ckpt="work_dirs/vanilla/cifar100_wrn_40_2/epoch_240.pth",
    teacher_config="configs/vanilla/cifar100_wrn_40_2.py",
)
del student, teacher
