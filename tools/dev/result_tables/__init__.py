"""The generated parts of README.md and of docs/results.md, by their markers' names."""

from .measured import CAPTION, MeasuredTables

__all__ = ["CAPTION", "MeasuredTables"]
