"""Cells of the tables of measured values."""

from typing import List, Mapping, Optional

from pckd_mm.analysis.measured import VAL_SHARE, Measurement, over_seeds


def last_and_best(entry: Optional[Measurement]) -> List[str]:
    """Cells of a measurement; dashes where there is none."""
    if entry is None:
        return ["-", "-"]
    ap = f" (AP {over_seeds(entry.ap)})" if entry.ap else ""
    return [over_seeds(entry.last) + ap, over_seeds(entry.best)]


def is_held_out(entry: Measurement) -> bool:
    """Whether its values are of training images that were held out."""
    return any(option.startswith(f"{VAL_SHARE}=") for option in entry.options)


def link(entry: Measurement) -> str:
    """Its config, as a link from a page of docs/."""
    return f"[{entry.config}](../{entry.config})"


def label(entry: Measurement) -> str:
    """What its runs are, where they are not those of the plain config; else nothing."""
    return ", ".join(filter(None, [entry.name, *entry.options]))


def by_seed(values: Mapping[int, float]) -> str:
    """Cell of the values of each seed."""
    return ", ".join(f"{seed}: {v:.2f}" for seed, v in values.items()) or "-"
