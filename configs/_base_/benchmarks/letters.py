# The demo's printed letters: data, schedule and the rest of a run but the model.
from mmengine.config import read_base

with read_base():
    from ..datasets.letters import *  # noqa: F401,F403
    from ..runtime import *  # noqa: F401,F403
    from ..schedules.letters import *  # noqa: F401,F403
