"""Published top-1 accuracies, in percent, which results of ours stand beside.

CIFAR-100, 240 epochs, and ImageNet, ResNet-34 to ResNet-18, looked up by pair and
method. The values are those of ``published_values.py``, which has their sources.
PCKD's own row is not known for pairs of two families.
"""

import re
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple, Union

from . import published_values as values
from .published_values import Row

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
    "pckd_plus": "PCKD+",
}
EPOCHS = 240


def _by_pair(
    pairs: Sequence[Tuple[str, str]], rows: Dict[str, Row]
) -> Dict[str, Dict[str, float]]:
    """Turn rows of methods into a dict for each pair, without the unknown values."""
    columns = zip(pairs, *(row.values for row in rows.values()), strict=True)
    return {
        f"{teacher}_{student}": {
            method: value
            for method, value in zip(rows, column, strict=True)
            if value is not None
        }
        for (teacher, student), *column in columns
    }


# Teacher and student of each pair of the benchmark.
NETWORKS = {
    f"{teacher}_{student}": (teacher, student)
    for teacher, student in (*values.SAME_FAMILY_PAIRS, *values.CROSS_FAMILY_PAIRS)
}
SAME_FAMILY = _by_pair(values.SAME_FAMILY_PAIRS, values.SAME_FAMILY)
CROSS_FAMILY = _by_pair(values.CROSS_FAMILY_PAIRS, values.CROSS_FAMILY)
CIFAR100 = {**SAME_FAMILY, **CROSS_FAMILY}
IMAGENET = {method: row.values[0] for method, row in values.IMAGENET.items()}
IMAGENET_TOP5 = values.IMAGENET_TOP5


def published_of(config: Union[str, Path]) -> Optional[float]:
    """Look up the published accuracy of a config's run.

    Args:
        config (str | Path): Path of a config, ``.../<method>/cifar100_<pair>.py`` or
            ``.../vanilla/cifar100_<network>.py``.

    Returns:
        float, optional: Top-1 in percent. None where nothing is published for the very
        setting of the config; so one with another schedule (``cifar100_<pair>_30e``)
        has none.
    """
    method, stem = Path(config).parent.name, Path(config).stem
    found = re.fullmatch(r"cifar100_(\w+)", stem)
    if found is None:
        return None
    if method != "vanilla":
        of_pair = CIFAR100.get(found[1], {})
        return of_pair.get(method) if method in METHODS else None
    for pair, networks in NETWORKS.items():
        for role, network in zip(("teacher", "student"), networks, strict=True):
            if network == found[1]:
                return CIFAR100[pair][role]
    return None
