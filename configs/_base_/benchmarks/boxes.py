# Images with boxes of one's own: data and the rest of a run but model and schedule.
from mmengine.config import read_base

with read_base():
    from ..datasets.boxes import *  # noqa: F401,F403
    from ..runtime import *  # noqa: F401,F403

default_scope = "mmdet"
for classifiers_alone in ("num_views", "speed_up"):
    default_hooks.pop(classifiers_alone)  # noqa: F405
del classifiers_alone
# A head of other categories than the data's ends the run.
default_hooks.categories = dict(type="NumClassCheckHook")  # noqa: F405
env_cfg.cudnn_benchmark = False  # images differ in size  # noqa: F405
visualizer = dict(
    type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")]
)
val_cfg = dict()
test_cfg = dict()
