from mmengine.config import read_base

with read_base():
    from .._base_.datasets.cifar100 import *  # noqa: F401,F403
    from .._base_.networks.cifar100 import wrn_40_2 as model  # noqa: F401
    from .._base_.runtime import *  # noqa: F401,F403
    from .._base_.schedules.cifar_240e import *  # noqa: F401,F403
