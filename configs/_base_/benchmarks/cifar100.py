# The CRD benchmark on CIFAR-100: data, schedule and the rest of a run but the model.
from mmengine.config import read_base

with read_base():
    from ..datasets.cifar100 import *  # noqa: F401,F403
    from ..runtime import *  # noqa: F401,F403
    from ..schedules.cifar_240e import *  # noqa: F401,F403
