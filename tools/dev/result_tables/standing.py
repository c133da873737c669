"""Tables of what was published of PCKD and of other methods, and what PCKD costs."""

from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

from pckd_mm.analysis import format_number, format_table, published
from pckd_mm.analysis.published_values import (
    CROSS_FAMILY,
    DETECTORS,
    FIELD,
    FIELD_PAIRS,
    IMAGENET,
    IMAGENET_FIELD,
    SAME_FAMILY,
    SOURCES,
    Rival,
    Row,
)

# Methods that the field's table shows beside PCKD, of those that this project has.
COMPARED = ("dkd", "dist", "crd", "kd")
STANDARDIZED = " + logit standardization"


def parts(root: Path) -> Dict[str, str]:
    """Generated parts of docs/standing.md.

    Args:
        root (Path): Root of the repository.

    Returns:
        dict[str, str]: Tables by the name of their markers.
    """
    return {
        "pckd": pckd(),
        "field": field(),
        "ahead": ahead(),
        "standardization": standardization(),
        "imagenet": imagenet(root),
        "detectors": detectors(),
        "origins": origins(),
        "cost": cost((root / "docs" / "speed.md").read_text(encoding="utf-8")),
    }


def pckd() -> str:
    """PCKD's own table, of pairs of one family."""
    roles = ("teacher", "student", "kd", "pckd_wo_kd", "pckd")
    lines = [["pair", "teacher", "student alone", *map(_name, roles[2:])]]
    lines[0].append("PCKD over KD")
    for pair, values in published.SAME_FAMILY.items():
        cells = [format_number(values[role]) for role in roles]
        gain = format_number(values["pckd"] - values["kd"], "+.2f")
        lines.append([_pair(pair), *cells, gain])
    return format_table(lines)


def field() -> str:
    """PCKD and other methods on the pairs that most of them have."""
    columns = [_pair(pair) for pair in FIELD_PAIRS]
    beyond = "beyond the common protocol"
    lines = [["method", *columns, beyond, "in this project", "source"]]
    for rival in _field():
        values = [format_number(value) for value in rival.row.values]
        source = SOURCES[rival.row.source].link
        lines.append([rival.name, *values, rival.beyond, rival.here, source])
    return format_table(lines)


def ahead() -> str:
    """What has a higher value than PCKD, pair by pair."""
    lines = [["pair", "PCKD", "ahead of it", "top-1", "by", "by which further means"]]
    for column, pair in enumerate(FIELD_PAIRS):
        own = published.CIFAR100[pair]["pckd"]
        better = [
            (value, rival)
            for rival in _field()
            if (value := rival.row.values[column]) is not None and value > own
        ]
        start = [_pair(pair), format_number(own)]
        if not better:
            lines.append([*start, "none of these", "-", "-", "-"])
        for value, rival in sorted(better, key=lambda item: -item[0]):
            gain = format_number(value - own, "+.2f")
            lines.append([*start, rival.name, format_number(value), gain, rival.beyond])
    return format_table(lines)


def standardization() -> str:
    """What logit standardization adds to a method."""
    lines = [["added to", *(_pair(pair) for pair in FIELD_PAIRS)]]
    values = {rival.name: rival.row.values for rival in _field()}
    for name, with_it in values.items():
        if name.endswith(STANDARDIZED):
            plain = values[name.removesuffix(STANDARDIZED)]
            gains = [
                None if a is None or b is None else a - b
                for a, b in zip(with_it, plain, strict=True)
            ]
            cells = [format_number(gain, "+.2f") for gain in gains]
            lines.append([name.removesuffix(STANDARDIZED), *cells])
    return format_table(lines)


def imagenet(root: Path) -> str:
    """ImageNet, resnet34 -> resnet18, the best first."""

    def here(method: str) -> str:
        config = root / "configs" / method / "imagenet_resnet34_resnet18.py"
        return "yes" if config.is_file() else "the loss, no config"

    ours = [
        Rival(_name(method), row, _beyond(method), here(method))
        for method, row in IMAGENET.items()
        if method in published.METHODS
    ]
    lines = [["method", "top-1", "what is different", "in this project", "source"]]
    for role, name in (("teacher", "teacher, resnet34"), ("student", "student alone")):
        row = IMAGENET[role]
        link = SOURCES[row.source].link
        lines.append([name, format_number(row.values[0]), "-", "-", link])
    for rival in sorted(
        (*ours, *IMAGENET_FIELD), key=lambda r: -(r.row.values[0] or 0)
    ):
        value = format_number(rival.row.values[0])
        source = SOURCES[rival.row.source].link
        lines.append([rival.name, value, rival.beyond, rival.here, source])
    return format_table(lines)


def detectors() -> str:
    """Detectors without and with distillation."""
    lines = [["data", "detector", "distilled by", "metric", "alone", "distilled"]]
    lines[0].append("source")
    for one in DETECTORS:
        values = [_runs(one.alone), _runs(one.distilled)]
        source = SOURCES[one.source].link
        lines.append([one.data, one.student, one.method, one.metric, *values, source])
    return format_table(lines)


def origins() -> str:
    """Where each row of the benchmark's tables is from."""

    def source(row: Optional[Row]) -> str:
        return SOURCES[row.source].link if row else "-"

    lines = [["row", "pairs of one family", "pairs of two families"]]
    for role, row in SAME_FAMILY.items():
        lines.append([_name(role), source(row), source(CROSS_FAMILY.get(role))])
    return format_table(lines)


def cost(speed: str) -> str:
    """A step of PCKD and one of KD, as docs/speed.md has them.

    Args:
        speed (str): The text of that page.

    Returns:
        str: The table, without rows that lack either, or that were measured with the
        layout of the speed options and without these.
    """
    lines = [["pair", "images", "precision, options", "PCKD ms", "KD ms", "PCKD / KD"]]
    for row in _rows(speed.split("\n## Measured\n", 1)[1]):
        ours, kd, how = row["project ms"], row["KD ms"], row["precision, options"]
        if "-" in (ours, kd) or how.endswith(", none"):
            continue
        ratio = f"{int(ours) / int(kd):.1f}"
        lines.append([row["pair"], row["images"], how, ours, kd, ratio])
    return format_table(lines)


def _field() -> List[Rival]:
    """All methods of the field's table, PCKD first."""
    here = [
        Rival(_name(method), _row(method), _beyond(method), here="yes")
        for method in ("pckd", *COMPARED)
    ]
    return [here[0], *FIELD, *here[1:]]


def _row(method: str) -> Row:
    """A method's row, of the pairs of the field's table."""
    values = tuple(published.SAME_FAMILY[pair][method] for pair in FIELD_PAIRS)
    return Row(SAME_FAMILY[method].source, values)


def _beyond(method: str) -> str:
    return "four rotated views" if method == "pckd" else "nothing"


def _name(role: str) -> str:
    return published.METHODS.get(role, role)


def _pair(pair: str) -> str:
    return " -> ".join(published.NETWORKS[pair])


def _runs(values: Tuple[float, ...]) -> str:
    """A cell of one value or of several."""
    return ", ".join(map(str, values)) or "-"


def _rows(text: str) -> Iterator[Dict[str, str]]:
    """The rows of a page's first table, as dicts."""
    table = text[text.index("|") :].split("\n\n")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
    ]
    for row in cells[2:]:
        yield dict(zip(cells[0], row, strict=True))
