from mmengine.config import read_base

with read_base():
    from ..networks.digits import resnet8_thin as student
    from ..networks.digits import resnet20 as teacher

pair = dict(
    architecture=student,
    teacher=teacher,
    teacher_ckpt="work_dirs/vanilla/digits_resnet20/epoch_100.pth",
    teacher_config="configs/vanilla/digits_resnet20.py",
)
del student, teacher
