from mmengine.config import read_base

with read_base():
    from .._base_.benchmarks.imagenet import *  # noqa: F401,F403
    from .._base_.networks.imagenet import resnet18 as model  # noqa: F401
