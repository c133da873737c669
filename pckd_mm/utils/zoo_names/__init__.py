"""Networks of torchvision and timm as mmpretrain's, one module for a family's names."""

from .convert import convert_state_dict
from .run_both import require_same_logits

__all__ = ["convert_state_dict", "require_same_logits"]
