# The benchmark in small: 30 epochs, on folders of images.
from mmengine.config import read_base

with read_base():
    from ..datasets.cifar100_folder import *  # noqa: F401,F403
    from ..runtime import *  # noqa: F401,F403
    from ..schedules.cifar_30e import *  # noqa: F401,F403
