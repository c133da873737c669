from mmengine.config import read_base

with read_base():
    from .._base_.benchmarks.cifar100 import *  # noqa: F401,F403
    from .._base_.methods.pckd_plus import *  # noqa: F401,F403
    from .._base_.pairs.resnet20_resnet8 import pair

model.update(pair)  # noqa: F405
del pair
