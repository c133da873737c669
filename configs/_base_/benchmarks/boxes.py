# Images with boxes of one's own: data and the rest of a run but model and schedule.
from mmengine.config import read_base

with read_base():
    from ..datasets.boxes import *  # noqa: F401,F403
    from ..runtime import *  # noqa: F401,F403

default_scope = "mmdet"
# The first two are for classifiers, and methods for detectors bring the others.
for hook in ("num_views", "speed_up", "reseed", "preflight"):
    default_hooks.pop(hook)  # noqa: F405
del hook
# A head of other categories than the data's ends the run.
default_hooks.categories = dict(type="NumClassCheckHook")  # noqa: F405
env_cfg.cudnn_benchmark = False  # images differ in size  # noqa: F405
visualizer = dict(
    type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")]
)
val_cfg = dict()
test_cfg = dict()
