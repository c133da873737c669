from . import published
from .curves import read_curve, read_epoch, read_preview
from .figures import plot_curves, plot_preview
from .metric import MAP50, TOP1, Metric, metric_of
from .report import write_report
from .tables import (
    Method,
    Row,
    Table,
    command_list,
    format_number,
    format_table,
    markdown_table,
    summarise,
)

__all__ = [
    "MAP50",
    "Method",
    "Metric",
    "Row",
    "TOP1",
    "Table",
    "command_list",
    "format_number",
    "format_table",
    "markdown_table",
    "metric_of",
    "plot_curves",
    "plot_preview",
    "published",
    "read_curve",
    "read_epoch",
    "read_preview",
    "summarise",
    "write_report",
]
