# Photos of one's own: data and the rest of a run but model and schedule.
from mmengine.config import read_base

with read_base():
    from ..datasets.photos import *  # noqa: F401,F403
    from ..runtime import *  # noqa: F401,F403

val_cfg = dict()
test_cfg = dict()
