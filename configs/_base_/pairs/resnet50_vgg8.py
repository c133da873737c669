from mmengine.config import read_base

with read_base():
    from ..networks.cifar100 import resnet50 as teacher
    from ..networks.cifar100 import vgg8 as student

pair = dict(
    architecture=student,
    teacher=teacher,
    teacher_ckpt="work_dirs/vanilla/cifar100_resnet50/epoch_240.pth",
    teacher_config="configs/vanilla/cifar100_resnet50.py",
)
del student, teacher
