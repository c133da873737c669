from .curves import read_curve, read_preview
from .report import (
    Method,
    Row,
    markdown_table,
    plot_accuracy,
    plot_preview,
    summarise,
    write_report,
)

__all__ = [
    "Method",
    "Row",
    "markdown_table",
    "plot_accuracy",
    "plot_preview",
    "read_curve",
    "read_preview",
    "summarise",
    "write_report",
]
