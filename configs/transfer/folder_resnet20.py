# Any folders of classes; the 20 of Pascal VOC come from
# tools/dataset_converters/voc_to_crops.py. Another number of classes:
#   --cfg-options model.head.num_classes=NUMBER
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.transfer_folder import *  # noqa: F401,F403
    from .._base_.probes.resnet20 import *  # noqa: F401,F403
    from .._base_.runtime import *  # noqa: F401,F403
    from .._base_.schedules.transfer_100e import *  # noqa: F401,F403

model.head.num_classes = 20  # noqa: F405
