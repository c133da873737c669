# The 240 epochs in small: two drops, near the shares of the run at which they come.
from mmengine.config import read_base

with read_base():
    from .cifar_240e import *  # noqa: F403

param_scheduler.milestones = [4, 5]  # noqa: F405
train_cfg.max_epochs = 6  # noqa: F405
