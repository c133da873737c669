"""What runs are compared by."""

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

from pckd_mm.utils.class_name import class_name
from pckd_mm.utils.config import loader_of
from pckd_mm.utils.files import file_name
from pckd_mm.utils.nested_datasets import is_held_out


@dataclass(frozen=True)
class Metric:
    """A metric of the validation, higher is better; everywhere shown in percent.

    Args:
        key (str): Its name among MMEngine's scalars.
        name (str): Its name in tables and messages.
        label (str): Its name in full, for axes and captions.
        kind (str): What it is a value of, for headlines and names of files.
        factor (float): From the scalar to percent.
        packages (tuple[str]): Libraries, beside those of every run, whose versions
            it depends on.
        beside (tuple[Metric]): Metrics that are shown beside it, of runs that have
            them.
        unit (str): What its values are in; empty where that is not known.
    """

    key: str
    name: str
    label: str
    kind: str
    factor: float = 1.0
    packages: Tuple[str, ...] = ()
    beside: Tuple["Metric", ...] = ()
    unit: str = "percent"

    @property
    def sign(self) -> str:
        """str: The unit as an axis has it, behind the label."""
        return " (%)" if self.unit == "percent" else ""

    @property
    def in_unit(self) -> str:
        """str: The unit as a sentence has it, behind the label."""
        return f" in {self.unit}" if self.unit else ""

    @property
    def slug(self) -> str:
        """str: Its kind as part of a file's name, and as a key in files."""
        return file_name(self.kind)


TOP1 = Metric("accuracy/top1", "top-1", "top-1 accuracy", "accuracy")
# What a second VOCMetric writes, see configs/_base_/evaluators/iou_50_95.py. That of
# one evaluator with ten thresholds would round mAP@0.5 to three decimals.
AP = Metric(
    "pascal_voc_50_95/mAP",
    "AP",
    "mean average precision over IoU 0.5 to 0.95 in steps of 0.05",
    "average precision 50 95",
    factor=100.0,
)
MAP50 = Metric(
    "pascal_voc/mAP",
    "mAP@0.5",
    "mean average precision at IoU 0.5",
    "average precision",
    factor=100.0,
    packages=("mmcv", "mmdet"),
    beside=(AP,),
)
# What mmdet's CocoMetric writes.
COCO_AP50 = Metric(
    "coco/bbox_mAP_50",
    "AP@0.5",
    "COCO's average precision at IoU 0.5",
    "COCO average precision 50",
    factor=100.0,
)
COCO_AP = Metric(
    "coco/bbox_mAP",
    "AP",
    "COCO's average precision over IoU 0.5 to 0.95 in steps of 0.05",
    "COCO average precision",
    factor=100.0,
    packages=("mmcv", "mmdet", "pycocotools"),
    beside=(COCO_AP50,),
)


# What the values of a run are of, see :func:`validated_on`.
TEST_SET = "the test set"
VALIDATION = "the validation images"
HELD_OUT = "images held out of the training part"


def validated_on(cfg: Mapping[str, Any]) -> str:
    """What images a run of a config is measured on after each epoch.

    Args:
        cfg (Mapping): The config.

    Returns:
        str: The test set, or images of their own to validate on.
    """
    val, test = (cfg.get(f"{split}_dataloader") or {} for split in ("val", "test"))
    if is_held_out(val.get("dataset") or {}):
        return HELD_OUT
    same = not test or val.get("dataset") == test.get("dataset")
    return TEST_SET if same else VALIDATION


def test_loader_of(cfg: Mapping[str, Any]) -> Any:
    """The config of a run's test images; of those to validate on where it has none.

    Args:
        cfg (Mapping): The run's config.

    Raises:
        ValueError: Where it has neither.
    """
    loader = loader_of(cfg, "test", "val")
    if not loader:
        raise ValueError(
            "The config has no test_dataloader; expected one, or a val_dataloader, to "
            "see what the network makes of its images: add one."
        )
    return loader


def metric_of(cfg: Mapping[str, Any], split: str = "val") -> Metric:
    """Pick the metric that a config's runs are compared by.

    Args:
        cfg (Mapping): The config.
        split (str): 'val', as training validates, or 'test'. Defaults to 'val'.

    Returns:
        Metric: Top-1 for MMPretrain's ``Accuracy``, mAP@0.5 for mmdet's ``VOCMetric``,
        AP of boxes for its ``CocoMetric``; of several evaluators that of the first one
        which gives one of them.

    Raises:
        ValueError: Where no evaluator gives one of them.
    """
    key = f"{split}_evaluator"
    found = cfg.get(key) or []
    for evaluator in [found] if isinstance(found, Mapping) else found:
        settings = dict(evaluator)
        name = class_name(settings.pop("type", ""))
        if name == "Accuracy" and _gives_top1(**settings):
            return TOP1
        if name == "VOCMetric" and _gives_map50(**settings):
            return MAP50
        if name in ("CocoMetric", "WholeCocoMetric") and _gives_coco_ap(**settings):
            return COCO_AP
    raise ValueError(
        f"{key} is {found}; expected mmpretrain's Accuracy with topk=1 among them, "
        "mmdet's VOCMetric with metric='mAP' and iou_thrs=0.5, or its CocoMetric with "
        "metric='bbox', without a prefix of their own."
    )


def _gives_top1(
    topk: Union[int, Sequence[int]] = 1,
    thrs: Union[float, Sequence[Optional[float]], None] = 0.0,
    prefix: Optional[str] = None,
    **_: Any,
) -> bool:
    """Whether ``Accuracy`` with these settings writes :data:`TOP1`."""
    # Of several thresholds each one has a scalar of its own.
    one_threshold = not isinstance(thrs, Sequence) or len(thrs) == 1
    tops = topk if isinstance(topk, Sequence) else [topk]
    return 1 in tops and one_threshold and prefix is None


def _gives_map50(
    metric: Union[str, Sequence[str]] = "mAP",
    iou_thrs: Union[float, Sequence[float]] = 0.5,
    prefix: Optional[str] = None,
    **_: Any,
) -> bool:
    """Whether ``VOCMetric`` with these settings writes :data:`MAP50`."""
    # Of several thresholds it writes the mean.
    thresholds = iou_thrs if isinstance(iou_thrs, Sequence) else [iou_thrs]
    names = [metric] if isinstance(metric, str) else metric
    return list(names) == ["mAP"] and list(thresholds) == [0.5] and prefix is None


def _gives_coco_ap(
    metric: Union[str, Sequence[str]] = "bbox",
    iou_thrs: Union[float, Sequence[float], None] = None,
    metric_items: Optional[Sequence[str]] = None,
    format_only: bool = False,
    prefix: Optional[str] = None,
    **_: Any,
) -> bool:
    """Whether ``CocoMetric`` with these settings writes :data:`COCO_AP`."""
    names = [metric] if isinstance(metric, str) else metric
    written = metric_items is None or "mAP" in metric_items
    # Of other thresholds the same name stands for another value.
    plain = iou_thrs is None and not format_only and prefix is None
    return "bbox" in names and written and plain
