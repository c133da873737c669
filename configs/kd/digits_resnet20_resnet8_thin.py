from mmengine.config import read_base

with read_base():
    from .._base_.datasets.digits import *  # noqa: F401,F403
    from .._base_.methods.kd import *  # noqa: F401,F403
    from .._base_.pairs.digits_resnet20_resnet8_thin import pair
    from .._base_.runtime import *  # noqa: F401,F403
    from .._base_.schedules.digits import *  # noqa: F401,F403

model.update(pair)  # noqa: F405
del pair
