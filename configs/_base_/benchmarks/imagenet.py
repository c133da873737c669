# ImageNet on 8 GPUs: data, schedule and the rest of a run but the model.
#
# The authors' recipe for ImageNet is not published; this is the closest relative's.
# Published values, in pckd_mm/analysis/published_values.py, are of torchvision's
# ResNet34 as teacher. The one here is MMPretrain's, for which its zoo states 73.62.
from mmengine.config import read_base

with read_base():
    from ..datasets.imagenet import *  # noqa: F401,F403
    from ..runtime import *  # noqa: F401,F403
    from ..schedules.imagenet_100e import *  # noqa: F401,F403
