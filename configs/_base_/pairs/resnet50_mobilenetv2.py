from mmengine.config import read_base

with read_base():
    from ..networks.cifar100 import mobilenetv2 as student
    from ..networks.cifar100 import resnet50 as teacher

pair = dict(
    architecture=student,
    teacher=teacher,
    teacher_ckpt="work_dirs/vanilla/cifar100_resnet50/epoch_240.pth",
    teacher_config="configs/vanilla/cifar100_resnet50.py",
    # Classifiers of 2048 and 1280 columns: category alignment is undefined.
    distiller=dict(distill_losses=dict(loss_ca=None)),
)
del student, teacher
