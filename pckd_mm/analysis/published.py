"""Published top-1 accuracies, in percent, which results of ours stand beside.

CIFAR-100, 240 epochs: for pairs of one family the table of PCKD (Ding et al., IEEE
TCSVT 2025, arXiv 2410.14143); for pairs of two families from the literature, in which
PCKD's row is not known. ImageNet, ResNet-34 to ResNet-18: PCKD's table.
"""

import re
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple, Union

# Methods in the order of tables, and how they are called there.
METHODS = {
    "kd": "KD",
    "fitnet": "FitNet",
    "at": "AT",
    "rkd": "RKD",
    "crd": "CRD",
    "dkd": "DKD",
    "dist": "DIST",
    "pckd_wo_kd": "PCKD w/o L_KD",
    "pckd": "PCKD",
}
EPOCHS = 240


def _by_pair(
    pairs: Sequence[Tuple[str, str]], rows: Dict[str, Sequence[Optional[float]]]
) -> Dict[str, Dict[str, float]]:
    """Turn rows of methods into a dict for each pair, without the unknown values."""
    return {
        f"{teacher}_{student}": {
            method: values[column]
            for method, values in rows.items()
            if values[column] is not None
        }
        for column, (teacher, student) in enumerate(pairs)
    }


_SAME_FAMILY = (
    ("wrn_40_2", "wrn_16_2"),
    ("wrn_40_2", "wrn_40_1"),
    ("resnet56", "resnet20"),
    ("resnet110", "resnet20"),
    ("resnet110", "resnet32"),
    ("resnet32x4", "resnet8x4"),
    ("vgg13", "vgg8"),
)
_CROSS_FAMILY = (
    ("vgg13", "mobilenetv2"),
    ("resnet50", "mobilenetv2"),
    ("resnet50", "vgg8"),
    ("resnet32x4", "shufflev1"),
    ("resnet32x4", "shufflev2"),
    ("wrn_40_2", "shufflev1"),
)
# Teacher and student of each pair of the benchmark.
NETWORKS = {f"{t}_{s}": (t, s) for t, s in (*_SAME_FAMILY, *_CROSS_FAMILY)}
SAME_FAMILY = _by_pair(
    _SAME_FAMILY,
    {
        "teacher": (75.61, 75.61, 72.34, 74.31, 74.31, 79.42, 74.64),
        "student": (73.26, 71.98, 69.06, 69.06, 71.14, 72.50, 70.36),
        "kd": (74.92, 73.54, 70.66, 70.67, 73.08, 73.33, 72.98),
        "fitnet": (73.58, 72.24, 69.21, 68.99, 71.06, 73.50, 71.02),
        "rkd": (73.35, 72.22, 69.61, 69.25, 71.82, 71.90, 71.48),
        "crd": (75.48, 74.14, 71.16, 71.46, 73.48, 75.51, 73.94),
        "dkd": (76.24, 74.81, 71.97, 71.73, 74.11, 76.32, 74.68),
        "pckd_wo_kd": (76.52, 76.22, 71.92, 72.05, 74.33, 76.89, 75.61),
        "pckd": (76.97, 76.24, 72.21, 72.55, 75.12, 77.14, 75.80),
    },
)
CROSS_FAMILY = _by_pair(
    _CROSS_FAMILY,
    {
        "teacher": (74.64, 79.34, 79.34, 79.42, 79.42, 75.61),
        "student": (64.60, 64.60, 70.36, 70.50, 71.82, 70.50),
        "kd": (67.37, 67.35, 73.81, 74.07, 74.45, 74.83),
        "crd": (69.73, 69.11, 74.30, 75.11, 75.65, 76.05),
        "dkd": (69.71, 70.35, None, 76.45, 77.07, 76.70),
    },
)
CIFAR100 = {**SAME_FAMILY, **CROSS_FAMILY}
IMAGENET = {
    "teacher": 73.31,
    "student": 69.75,
    "kd": 70.66,
    "crd": 71.38,
    "dkd": 71.70,
    "pckd": 72.01,
}
IMAGENET_TOP5 = {"pckd": 90.69}


def published_of(config: Union[str, Path]) -> Optional[float]:
    """Look up the published accuracy of a config's run.

    Args:
        config (str | Path): Path of a config, ``.../<method>/cifar100_<pair>.py`` or
            ``.../vanilla/cifar100_<network>.py``.

    Returns:
        float, optional: Top-1 in percent. None where nothing is published for the very
        setting of the config; so one with another schedule (``cifar100_<pair>_12e``)
        has none.
    """
    method, stem = Path(config).parent.name, Path(config).stem
    found = re.fullmatch(r"cifar100_(\w+)", stem)
    if found is None:
        return None
    if method != "vanilla":
        values = CIFAR100.get(found[1], {})
        return values.get(method) if method in METHODS else None
    for pair, networks in NETWORKS.items():
        for role, network in zip(("teacher", "student"), networks, strict=True):
            if network == found[1]:
                return CIFAR100[pair][role]
    return None
