from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .hooks import *  # noqa: F401,F403

__all__ = ["BFloat16OptimWrapper"]
