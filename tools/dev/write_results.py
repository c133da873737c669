"""Write the tables of README.md and docs/results.md from published and measured values.

python tools/dev/write_results.py                      # renew the tables
python tools/dev/write_results.py --check              # fail if that would change them
python tools/dev/write_results.py --add REPORT.json    # first record what was measured
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from pckd_mm.analysis import format_number, format_table, published
from pckd_mm.analysis.measured import (
    Measurement,
    from_report,
    merge,
    read_measured,
    write_measured,
)

ROOT = Path(__file__).resolve().parents[2]
SHORT = {
    "resnet20_resnet8_12e": "12 epochs",
    "resnet20_resnet8_6e": "6 epochs",
}
# Which features, and the checkpoint that holds them.
RESNET110 = "work_dirs/{}/cifar100_resnet110_resnet20/epoch_240_student.pth"
TRANSFER = {
    "random features": "None",
    "student alone": "work_dirs/vanilla/cifar100_resnet20/epoch_240.pth",
    "KD": RESNET110.format("kd"),
    "PCKD": RESNET110.format("pckd"),
}
TRANSFER_SETS = {"stl10": "STL-10", "tiny_imagenet": "TinyImageNet"}


class Results:
    """The generated parts of the results page.

    Args:
        root (Path): Root of the repository.
        entries (Sequence[Measurement]): What was measured.
    """

    def __init__(self, root: Path, entries: Sequence[Measurement]) -> None:
        self.root = root
        self.entries = {e.key: e for e in sorted(entries, key=lambda e: e.key)}
        self.used: List[Measurement] = []

    def find(self, config: str, name: Optional[str] = None) -> Optional[Measurement]:
        """The measurement of a plain config, or of what options make of it."""
        entry = self.entries.get((config, ()))
        if name is not None:
            of_config = [e for e in self.entries.values() if e.config == config]
            entry = next((e for e in of_config if e.name == name), None)
        if entry is not None and entry not in self.used:
            self.used.append(entry)
        return entry

    def here(self, config: str) -> str:
        """Cell of a measured value."""
        return str(self.find(config) or "-")

    def is_there(self, config: str) -> bool:
        """Whether the config exists."""
        return (self.root / config).is_file()

    def pair(self, pair: str, values: Dict[str, float]) -> str:
        """Published | here | command, of a pair of the benchmark."""
        teacher, student = published.NETWORKS[pair]
        vanilla = "configs/vanilla/cifar100_{}.py"
        lines = [["method", "published", "here", "n", "command"]]
        rows = {"teacher": vanilla.format(teacher), "student": vanilla.format(student)}
        for method in published.METHODS:
            rows[method] = f"configs/{method}/cifar100_{pair}.py"
        names = {
            "teacher": f"teacher, {teacher}",
            "student": f"student alone, {student}",
            **published.METHODS,
        }
        for role, config in rows.items():
            command = f"python tools/compare.py --methods {role} --pairs {pair}"
            if role == "teacher":
                command = f"python tools/train.py {config}"
            command = command.replace("--methods student", "--methods vanilla")
            entry = self.find(config)
            lines.append(
                [
                    names[role],
                    format_number(values.get(role)),
                    self.here(config),
                    str(len(entry.top1)) if entry else "0",
                    f"`{command}`" if self.is_there(config) else "-",
                ]
            )
        return f"### {teacher} -> {student}\n\n{format_table(lines)}"

    def short_rows(self, pair: str) -> List[List[str]]:
        """Cells of a short schedule, beside which nothing is published."""
        epochs = pair.rsplit("_", 1)[1]
        student = f"configs/vanilla/cifar100_resnet8_{epochs}.py"
        alone = self.find(student)
        teacher = "configs/vanilla/cifar100_resnet20_12e.py"
        rows = {
            "teacher, resnet20 (12 epochs)": teacher,
            "student alone, resnet8": student,
        }
        for method, name in published.METHODS.items():
            rows[name] = f"configs/{method}/cifar100_{pair}.py"
        one = "python tools/compare.py --methods {} --pairs {} --seeds {} --amp"
        lines = [["method", "top-1", "n", "gain over the student alone", "command"]]
        for name, config in rows.items():
            entry = self.find(config)
            is_method = not name.startswith(("teacher", "student"))
            gain = entry.mean - alone.mean if entry and alone and is_method else None
            seeds = " ".join(map(str, sorted(entry.top1) if entry else [0]))
            command = one.format(config.split("/")[1], pair, seeds)
            if config == teacher:
                command = f"python tools/train.py {config} --amp"
            lines.append(
                [
                    name,
                    self.here(config),
                    str(len(entry.top1)) if entry else "0",
                    format_number(gain, "+.2f"),
                    f"`{command}`" if self.is_there(config) else "-",
                ]
            )
        return lines

    def short(self, pair: str, length: str) -> str:
        """The comparison on a short schedule."""
        return f"### {length}\n\n{format_table(self.short_rows(pair))}"

    def imagenet(self) -> str:
        """ImageNet, published | here."""
        names = {"teacher": "teacher, resnet34", "student": "student alone, resnet18"}
        lines = [["method", "published", "here", "command"]]
        for role, value in published.IMAGENET.items():
            config = f"configs/{role}/imagenet_resnet34_resnet18.py"
            if role in names:
                network = names[role].split(", ")[1]
                config = f"configs/vanilla/imagenet_{network}.py"
            top5 = published.IMAGENET_TOP5.get(role)
            number = f"{value:.2f}" + (f" (top-5 {top5:.2f})" if top5 else "")
            command = f"`tools/dist_train.sh {config} 8`"
            lines.append(
                [
                    names.get(role) or published.METHODS[role],
                    number,
                    self.here(config),
                    command if self.is_there(config) else "-",
                ]
            )
        return format_table(lines)

    def transfer(self) -> str:
        """A linear classifier on frozen features."""
        lines = [["features of", *TRANSFER_SETS.values(), "--cfg-options"]]
        for name, checkpoint in TRANSFER.items():
            cells = [
                str(self.find(f"configs/transfer/{data}_resnet20.py", name) or "-")
                for data in TRANSFER_SETS
            ]
            lines.append([name, *cells, f"`model.checkpoint={checkpoint}`"])
        return format_table(lines)

    def others(self) -> str:
        """What is measured and stands in no other table."""
        lines = [["config", "what", "top-1", "n"]]
        for entry in self.entries.values():
            if entry in self.used:
                continue
            config = f"[{entry.config}](../{entry.config})"
            lines.append([config, entry.name or "-", str(entry), str(len(entry.top1))])
        return format_table(lines) if len(lines) > 1 else "None yet."

    def sources(self) -> str:
        """How each value was measured."""
        lines = [["config", "top-1 by seed", "made by"]]
        for entry in self.entries.values():
            top1 = ", ".join(f"{seed}: {v:.2f}" for seed, v in entry.top1.items())
            made = (
                f"`{entry.command}`; commit {entry.commit}; {entry.hardware}; "
                f"{entry.precision}; {entry.software}; {entry.date}"
            )
            what = f"[{entry.config}](../{entry.config})"
            if entry.name:
                what += f", {entry.name}"
            lines.append([what, top1, made])
        return format_table(lines) if len(lines) > 1 else "Nothing is measured yet."

    def summary(self) -> str:
        """PCKD and KD of all pairs, published | here | command."""
        lines = [["pair", "teacher", "student", "KD", "PCKD", "KD here", "PCKD here"]]
        lines[0].append("command")
        for pair, values in published.CIFAR100.items():
            cells = [
                format_number(values.get(key))
                for key in ("teacher", "student", "kd", "pckd")
            ]
            ours = [
                self.here(f"configs/{method}/cifar100_{pair}.py")
                for method in ("kd", "pckd")
            ]
            command = f"python tools/compare.py --methods kd pckd --pairs {pair}"
            name = " -> ".join(published.NETWORKS[pair])
            lines.append([name, *cells, *ours, f"`{command}`"])
        return format_table(lines)

    def readme(self) -> Dict[str, str]:
        """Generated parts of the README."""
        without_command = [row[:-1] for row in self.short_rows("resnet20_resnet8_6e")]
        return {"short": format_table(without_command), "summary": self.summary()}

    def parts(self) -> Dict[str, str]:
        """Generated parts of the results page by the name of their markers."""

        def pairs(table: Dict[str, Dict[str, float]]) -> str:
            return "\n\n".join(
                self.pair(name, values) for name, values in table.items()
            )

        return {
            "short": "\n\n".join(self.short(*item) for item in SHORT.items()),
            "same-family": pairs(published.SAME_FAMILY),
            "cross-family": pairs(published.CROSS_FAMILY),
            "imagenet": self.imagenet(),
            "transfer": self.transfer(),
            "others": self.others(),
            "sources": self.sources(),
        }


def fill(text: str, parts: Dict[str, str]) -> str:
    """Put the generated parts between their markers.

    Args:
        text (str): The page.
        parts (dict[str, str]): The parts.

    Returns:
        str: The page with them.

    Raises:
        ValueError: Where a marker is missing.
    """
    for name, part in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(
                f"The page has not one {begin} and one {end}; expected both, around "
                "the generated table."
            )
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        block = f"{begin}\n\n{part}\n\n{end}"
        text = re.sub(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
    return text


def main(argv: Optional[Sequence[str]] = None, root: Path = ROOT) -> int:
    """Add what was measured, write or check the tables.

    Args:
        argv (Sequence[str], optional): The command line; None for the process's.
        root (Path): Root of the repository.

    Returns:
        int: Exit status.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--add",
        type=Path,
        nargs="+",
        default=[],
        metavar="REPORT.json",
        help="reports of tools/compare.py to record in docs/measured.yml",
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    record = root / "docs" / "measured.yml"
    try:
        entries = read_measured(record)
        for path in args.add:
            report = json.loads(path.read_text(encoding="utf-8"))
            entries = merge(entries, from_report(report))
        results = Results(root, entries)
        parts = {
            root / "docs" / "results.md": results.parts(),
            root / "README.md": results.readme(),
        }
        before = {page: page.read_text(encoding="utf-8") for page in parts}
        after = {page: fill(text, parts[page]) for page, text in before.items()}
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if args.check:
        for page in parts:
            if before[page] != after[page]:
                print(
                    f"{page} is not what its sources say; run "
                    "tools/dev/write_results.py.",
                    file=sys.stderr,
                )
        return int(before != after)
    if args.add:
        write_measured(record, entries)
    for page, text in after.items():
        page.write_text(text, encoding="utf-8")
    print("Metafiles hold results too: run tools/dev/write_metafiles.py.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
