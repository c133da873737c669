from mmengine.config import read_base

with read_base():
    from .._base_.benchmarks.cifar100_30e import *  # noqa: F401,F403
    from .._base_.methods.pckd_plus import *  # noqa: F401,F403
    from .._base_.pairs.resnet20_resnet8_zoo import pair

model.update(pair)  # noqa: F405
del pair
