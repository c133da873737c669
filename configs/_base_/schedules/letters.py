# The 240 epochs in small: the drops at the same shares of the run. So few steps need
# longer ones; the learning rate was chosen on the validation part.
from mmengine.config import read_base

with read_base():
    from .cifar_240e import *  # noqa: F403

optim_wrapper.optimizer.lr = 0.1  # noqa: F405
param_scheduler.milestones = [16, 19, 22]  # noqa: F405
train_cfg.max_epochs = 25  # noqa: F405
