from . import published
from .curves import read_curve, read_epoch, read_losses, read_metric, read_preview
from .figures import plot_curves, plot_preview
from .methods import Method, Score, Table, format_number
from .metric import AP, COCO_AP, MAP50, TOP1, Metric, metric_of, validated_on
from .pictures import Picture
from .report import write_report
from .tables import Row, command_list, format_table, summarise, table_cells

__all__ = [
    "AP",
    "COCO_AP",
    "MAP50",
    "Method",
    "Metric",
    "Picture",
    "Row",
    "Score",
    "TOP1",
    "Table",
    "command_list",
    "format_number",
    "format_table",
    "metric_of",
    "plot_curves",
    "plot_preview",
    "published",
    "read_curve",
    "read_epoch",
    "read_losses",
    "read_metric",
    "read_preview",
    "summarise",
    "table_cells",
    "validated_on",
    "write_report",
]
