from mmengine.config import read_base

with read_base():
    from ..networks.letters import resnet8_thin as student
    from ..networks.letters import resnet20 as teacher

pair = dict(
    architecture=student,
    teacher=teacher,
    teacher_ckpt="work_dirs/vanilla/letters_resnet20/epoch_25.pth",
    teacher_config="configs/vanilla/letters_resnet20.py",
)
del student, teacher
