"""The generated parts of README.md and of pages in docs/, by their markers' names."""

from . import standing
from .measured import CAPTION, MeasuredTables
from .speed import SpeedTables

__all__ = ["CAPTION", "MeasuredTables", "SpeedTables", "standing"]
