from mmengine.config import read_base

with read_base():
    from .._base_.benchmarks.cifar100 import *  # noqa: F401,F403
    from .._base_.methods.dkd import *  # noqa: F401,F403
    from .._base_.pairs.resnet110_resnet32 import pair

model.update(pair)  # noqa: F405
model.distiller.distill_losses.loss_dkd.beta = 2.0  # noqa: F405
del pair
