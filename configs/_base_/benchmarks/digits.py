# Handwritten digits: data, schedule and the rest of a run but the model.
from mmengine.config import read_base

with read_base():
    from ..datasets.digits import *  # noqa: F401,F403
    from ..runtime import *  # noqa: F401,F403
    from ..schedules.digits import *  # noqa: F401,F403
