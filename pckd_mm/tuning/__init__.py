"""The weights of the losses, and any other setting, found by a search."""

from .space import LOSSES, Range, find_ranges
from .tune import Tuning, tune

__all__ = ["LOSSES", "Range", "Tuning", "find_ranges", "tune"]
