from mmengine.config import read_base

with read_base():
    from .._base_.datasets.stl10 import *  # noqa: F401,F403
    from .._base_.probes.resnet20 import *  # noqa: F401,F403
    from .._base_.runtime import *  # noqa: F401,F403
    from .._base_.schedules.transfer_100e import *  # noqa: F401,F403

model.head.num_classes = 10  # noqa: F405
