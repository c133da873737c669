from mmengine.config import read_base

with read_base():
    from .._base_.datasets.digits import *  # noqa: F401,F403
    from .._base_.networks.digits import resnet8_thin as model  # noqa: F401
    from .._base_.runtime import *  # noqa: F401,F403
    from .._base_.schedules.digits import *  # noqa: F401,F403
