from mmengine.config import read_base

with read_base():
    from .._base_.benchmarks.letters import *  # noqa: F401,F403
    from .._base_.networks.letters import resnet8_thin as model  # noqa: F401
