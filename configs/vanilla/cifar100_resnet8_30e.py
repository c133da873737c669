from mmengine.config import read_base

with read_base():
    from .._base_.benchmarks.cifar100_30e import *  # noqa: F401,F403
    from .._base_.networks.cifar100 import resnet8 as model  # noqa: F401
