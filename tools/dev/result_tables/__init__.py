"""The generated parts of README.md and of pages in docs/, by their markers' names."""

from . import standing
from .measured import CAPTION, MeasuredTables

__all__ = ["CAPTION", "MeasuredTables", "standing"]
