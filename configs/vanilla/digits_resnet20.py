from mmengine.config import read_base

with read_base():
    from .._base_.benchmarks.digits import *  # noqa: F401,F403
    from .._base_.networks.digits import resnet20 as model  # noqa: F401
