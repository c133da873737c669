"""Published values as their sources have them, each row with its source.

Where a paper or a repository repeats the values of another one, the source is the one
that measured them, as far as that is known.
"""

from dataclasses import dataclass
from typing import Dict, Optional, Tuple


@dataclass(frozen=True)
class Source:
    """Where values were published.

    Args:
        name (str): Its name in tables.
        url (str): Its address.
    """

    name: str
    url: str

    @property
    def link(self) -> str:
        """str: A link in Markdown."""
        return f"[{self.name}]({self.url})"


@dataclass(frozen=True)
class Row:
    """Values of one method, in percent.

    Args:
        source (str): Key of :data:`SOURCES`.
        values (tuple[float | None]): A value a column; None where none is known.
    """

    source: str
    values: Tuple[Optional[float], ...]


@dataclass(frozen=True)
class Rival:
    """A method of the literature that this project does not compare itself with.

    Args:
        name (str): Its name in tables.
        row (Row): Its values.
        beyond (str): What it does beyond the benchmark's protocol; a dash where that
            is not known. Defaults to 'nothing'.
        here (str): What this project has of it. Defaults to 'no'.
    """

    name: str
    row: Row
    beyond: str = "nothing"
    here: str = "no"


@dataclass(frozen=True)
class Detector:
    """A detector without and with distillation.

    Args:
        data (str): Data set of training and test.
        student (str): The detector.
        method (str): How it is distilled, from which teacher.
        metric (str): What the values are.
        alone (tuple[float]): Values without distillation, one a run.
        distilled (tuple[float]): Values with distillation, one a run; none of a
            teacher.
        source (str): Key of :data:`SOURCES`.
    """

    data: str
    student: str
    method: str
    metric: str
    alone: Tuple[float, ...]
    distilled: Tuple[float, ...]
    source: str


_GITHUB = "https://github.com/"
_ARXIV = "https://arxiv.org/abs/"


def _repository(name: str) -> Source:
    return Source(name, _GITHUB + name)


SOURCES = {
    "pckd": Source("PCKD's paper", f"{_ARXIV}2410.14143"),
    "crd": _repository("HobbitLong/RepDistiller"),
    "dkd": _repository("megvii-research/mdistiller"),
    "dist": _repository("hunto/DIST_KD"),
    "ttm": _repository("zkxufo/TTM"),
    "hsakd": _repository("winycg/HSAKD"),
    "skd": _repository("HyunJunSik/StreamLined"),
    "ls": _repository("sunshangquan/logit-standardization-KD"),
    "reviewkd": Source("ReviewKD's paper", f"{_ARXIV}2104.09044"),
    "diffkd": Source("DiffKD's paper", f"{_ARXIV}2305.15712"),
    "sdd": Source("SDD's paper", f"{_ARXIV}2403.13512"),
    "wkd": Source("WKD's paper", f"{_ARXIV}2412.08139"),
    "mmrazor": _repository("open-mmlab/mmrazor"),
    "mmyolo": _repository("open-mmlab/mmyolo"),
    "ffcv": _repository("libffcv/ffcv-imagenet"),
    "defeat": _repository("ggjy/DeFeat.pytorch"),
    "ld": _repository("HikariTJU/LD"),
    "crosskd": _repository("jbwang1997/CrossKD"),
    "fgd": _repository("yzd-v/FGD"),
}

# CIFAR-100, 240 epochs, top-1. Teacher and student of each column, then the rows.
SAME_FAMILY_PAIRS = (
    ("wrn_40_2", "wrn_16_2"),
    ("wrn_40_2", "wrn_40_1"),
    ("resnet56", "resnet20"),
    ("resnet110", "resnet20"),
    ("resnet110", "resnet32"),
    ("resnet32x4", "resnet8x4"),
    ("vgg13", "vgg8"),
)
SAME_FAMILY: Dict[str, Row] = {
    "teacher": Row("crd", (75.61, 75.61, 72.34, 74.31, 74.31, 79.42, 74.64)),
    "student": Row("crd", (73.26, 71.98, 69.06, 69.06, 71.14, 72.50, 70.36)),
    "kd": Row("crd", (74.92, 73.54, 70.66, 70.67, 73.08, 73.33, 72.98)),
    "fitnet": Row("crd", (73.58, 72.24, 69.21, 68.99, 71.06, 73.50, 71.02)),
    "at": Row("crd", (74.08, 72.77, 70.55, 70.22, 72.31, 73.44, 71.43)),
    "rkd": Row("crd", (73.35, 72.22, 69.61, 69.25, 71.82, 71.90, 71.48)),
    "crd": Row("crd", (75.48, 74.14, 71.16, 71.46, 73.48, 75.51, 73.94)),
    # mdistiller has no value of resnet110 -> resnet20, and 76.23 in the first column.
    "dkd": Row("pckd", (76.24, 74.81, 71.97, 71.73, 74.11, 76.32, 74.68)),
    "dist": Row("ttm", (75.51, 74.73, 71.75, 71.65, 73.69, 76.31, 73.89)),
    "pckd_wo_kd": Row("pckd", (76.52, 76.22, 71.92, 72.05, 74.33, 76.89, 75.61)),
    "pckd": Row("pckd", (76.97, 76.24, 72.21, 72.55, 75.12, 77.14, 75.80)),
}
CROSS_FAMILY_PAIRS = (
    ("vgg13", "mobilenetv2"),
    ("resnet50", "mobilenetv2"),
    ("resnet50", "vgg8"),
    ("resnet32x4", "shufflev1"),
    ("resnet32x4", "shufflev2"),
    ("wrn_40_2", "shufflev1"),
)
CROSS_FAMILY: Dict[str, Row] = {
    "teacher": Row("crd", (74.64, 79.34, 79.34, 79.42, 79.42, 75.61)),
    "student": Row("crd", (64.60, 64.60, 70.36, 70.50, 71.82, 70.50)),
    "kd": Row("crd", (67.37, 67.35, 73.81, 74.07, 74.45, 74.83)),
    "fitnet": Row("crd", (64.14, 63.16, 70.69, 73.59, 73.54, 73.73)),
    "at": Row("crd", (59.40, 58.58, 71.84, 71.73, 72.73, 73.32)),
    "rkd": Row("crd", (64.52, 64.43, 71.50, 72.28, 73.21, 72.21)),
    "crd": Row("crd", (69.73, 69.11, 74.30, 75.11, 75.65, 76.05)),
    "dkd": Row("dkd", (69.71, 70.35, None, 76.45, 77.07, 76.70)),
    "dist": Row("ttm", (68.50, 68.66, 74.11, 76.34, 77.35, 76.40)),
}

# What else was published on these pairs of CIFAR-100.
FIELD_PAIRS = (
    "resnet56_resnet20",
    "wrn_40_2_wrn_16_2",
    "resnet32x4_resnet8x4",
    "vgg13_vgg8",
)
FIELD = (
    Rival(
        "HSAKD",
        Row("hsakd", (72.58, 77.20, 77.26, None)),
        "four rotations, auxiliary heads, teachers that are 0.2 to 1.1 better",
    ),
    Rival("SKD", Row("skd", (72.50, 76.60, 78.33, 75.75)), "-"),
    Rival(
        "MLKD + logit standardization",
        Row("ls", (72.33, 76.95, 78.28, 75.22)),
        "480 epochs, a weak and a strong view",
    ),
    Rival(
        "MLKD",
        Row("ls", (72.19, 76.63, 77.08, 75.18)),
        "480 epochs, a weak and a strong view",
    ),
    Rival("DKD + logit standardization", Row("ls", (72.32, 76.39, 77.01, 74.81))),
    Rival(
        "KD + logit standardization",
        Row("ls", (71.43, 76.11, 76.62, 74.36)),
        here="the loss, `PreviewKLDivergence(standardize=True)`",
    ),
    Rival("WTTM + ITRD", Row("ttm", (72.16, 76.65, 77.36, 75.13))),
    Rival("ReviewKD", Row("reviewkd", (71.89, 76.12, 75.63, 74.84))),
    Rival("KD, as run for SKD", Row("skd", (71.74, 76.04, 74.75, 74.08)), here="yes"),
)

# ImageNet, resnet34 -> resnet18, top-1.
IMAGENET: Dict[str, Row] = {
    "teacher": Row("pckd", (73.31,)),
    "student": Row("pckd", (69.75,)),
    "kd": Row("pckd", (70.66,)),
    "crd": Row("pckd", (71.38,)),
    "dkd": Row("pckd", (71.70,)),
    "pckd": Row("pckd", (72.01,)),
}
IMAGENET_TOP5 = {"pckd": 90.69}
IMAGENET_FIELD = (
    Rival("WKD", Row("wkd", (72.76,)), "-"),
    Rival(
        "none, resnet18 alone",
        Row("ffcv", (72.4,)),
        "no teacher; another recipe, 88 epochs, tested on two flips; given as 0.724",
    ),
    Rival("SDD", Row("sdd", (72.33,)), "-"),
    Rival("DiffKD", Row("diffkd", (72.20,)), "-"),
    Rival("WTTM", Row("ttm", (72.19,)), "-"),
    Rival("HSAKD", Row("hsakd", (72.16,)), "four rotations, auxiliary heads"),
    Rival("DIST", Row("dist", (72.07,)), here="the loss, no config"),
    Rival(
        "KD, as run for MMRazor",
        Row("mmrazor", (71.81,)),
        "MMPretrain's teacher, 73.62",
        "yes",
    ),
)

VOC, COCO = "VOC 07+12, VOC 07 test", "COCO"
AP, MAP50 = "AP", "mAP@0.5"
_RCNN, _IMITATION = "Faster R-CNN R50", "imitation of fine-grained features, R101"
DETECTORS = (
    Detector(VOC, "Faster R-CNN R101", "-", MAP50, (81.59, 82.27), (), "defeat"),
    Detector(
        VOC, _RCNN, _IMITATION, MAP50, (80.52, 80.97), (81.04, 81.17, 82.04), "defeat"
    ),
    Detector(VOC, "GFL R50", "LD, R101", AP, (55.8,), (56.1,), "ld"),
    Detector(VOC, "GFL R50", "LD, R101", MAP50, (79.0,), (78.5,), "ld"),
    Detector(VOC, "GFL R18", "LD, R101", AP, (51.8,), (53.0,), "ld"),
    Detector(VOC, "GFL R18", "LD, R101", MAP50, (75.8,), (75.9,), "ld"),
    Detector(COCO, _RCNN, "FGD, Cascade Mask R-CNN X101", AP, (38.4,), (42.0,), "fgd"),
    Detector(COCO, _RCNN, "PKD, R101", AP, (38.4,), (40.4,), "mmrazor"),
    Detector(
        COCO, _RCNN, "DIST, Cascade Mask R-CNN X101", AP, (38.4,), (40.4,), "dist"
    ),
    Detector(COCO, "GFL R50", "CrossKD, R101", AP, (40.2,), (43.7,), "crosskd"),
    Detector(COCO, "RetinaNet R50", "CrossKD, R101", AP, (37.4,), (39.7,), "crosskd"),
    Detector(COCO, "FCOS R50", "CrossKD, R101", AP, (38.5,), (41.1,), "crosskd"),
    Detector(COCO, "ATSS R50", "CrossKD, R101", AP, (39.4,), (41.8,), "crosskd"),
    Detector(COCO, "RTMDet-s", "RTMDet-m", AP, (44.6,), (45.7,), "mmyolo"),
)
