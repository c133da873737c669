from . import published
from .curves import read_curve, read_preview
from .report import (
    Method,
    Row,
    Table,
    command_list,
    format_number,
    format_table,
    markdown_table,
    plot_accuracy,
    plot_preview,
    summarise,
    write_report,
)

__all__ = [
    "Method",
    "Row",
    "Table",
    "command_list",
    "format_number",
    "format_table",
    "markdown_table",
    "plot_accuracy",
    "plot_preview",
    "published",
    "read_curve",
    "read_preview",
    "summarise",
    "write_report",
]
