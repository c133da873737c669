from mmengine.config import read_base

with read_base():
    from .._base_.datasets.cifar100_folder import *  # noqa: F401,F403
    from .._base_.methods.kd import *  # noqa: F401,F403
    from .._base_.pairs.resnet20_resnet8 import pair
    from .._base_.runtime import *  # noqa: F401,F403
    from .._base_.schedules.cifar_12e import *  # noqa: F401,F403

model.update(pair)  # noqa: F405
model.update(  # noqa: F405
    teacher_ckpt="zoo/cifar100_resnet20_12e.pth",
    teacher_config="configs/vanilla/cifar100_resnet20_12e.py",
)
del pair
