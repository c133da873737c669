from mmengine.config import read_base

with read_base():
    from .._base_.datasets.cifar100 import *  # noqa: F401,F403
    from .._base_.methods.kd import *  # noqa: F401,F403
    from .._base_.pairs.resnet32x4_resnet8x4 import pair
    from .._base_.runtime import *  # noqa: F401,F403
    from .._base_.schedules.cifar_240e import *  # noqa: F401,F403

model.update(pair)  # noqa: F405
del pair
