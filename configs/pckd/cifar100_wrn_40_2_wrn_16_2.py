from mmengine.config import read_base

with read_base():
    from .._base_.datasets.cifar100 import *  # noqa: F401,F403
    from .._base_.methods.pckd import *  # noqa: F401,F403
    from .._base_.pairs.wrn_40_2_wrn_16_2 import pair
    from .._base_.runtime import *  # noqa: F401,F403
    from .._base_.schedules.cifar_240e import *  # noqa: F401,F403

model.update(pair)  # noqa: F405
del pair
