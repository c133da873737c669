"""Networks of torchvision and timm as mmpretrain's, one module for a family's names."""

from .convert import convert_state_dict, none_of_ours, other_kinds
from .run_both import require_same_logits

__all__ = [
    "convert_state_dict",
    "none_of_ours",
    "other_kinds",
    "require_same_logits",
]
