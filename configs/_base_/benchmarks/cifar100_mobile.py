# For MobileNetV2 and the ShuffleNets the benchmark starts at a lower learning rate.
from mmengine.config import read_base

with read_base():
    from .cifar100 import *  # noqa: F403

optim_wrapper.optimizer.lr = 0.01  # noqa: F405
