"""Tables of what was measured here, beside what was published."""

from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

from pckd_mm.analysis import MAP50, TOP1, Metric, format_number, format_table, published
from pckd_mm.analysis.measured import VAL_SHARE, Measurement

from .cells import by_seed, is_held_out, label, last_and_best, link

CAPTION = (
    "*Last* is after the last epoch of a run; the gain is the difference of two of\n"
    "these, before rounding. *Best* is after the best epoch of each run. That one is\n"
    "chosen on the test set, so it is too good: compare it with published values,\n"
    "which are often best ones too. A dash: not measured, or there is none."
)
SHORT = {"resnet20_resnet8_30e": "30 epochs"}
# The paper's ablations, and what sets their runs apart from those of plain configs: one
# call trains all of them.
ABLATIONS = {
    "pckd": "PCKD",
    "pckd_wo_kd": "without L_KD",
    "pckd_wo_cc": "without L_CC",
    "pckd_wo_ca": "without L_CA",
    "pckd_wo_fa": "without L_FA",
    "pckd_wo_preview": "all images count in full",
    "pckd_curriculum": "hard images are dropped",
    "pckd_focal": "focal weights: hard images count more",
}
APART = ("share_teacher", "fast")
# Which features, and the checkpoint that holds them.
RESNET110 = "work_dirs/{}/cifar100_resnet110_resnet20/epoch_240_student.pth"
TRANSFER = {
    "random features": "None",
    "student alone": "work_dirs/vanilla/cifar100_resnet20/epoch_240.pth",
    "KD": RESNET110.format("kd"),
    "PCKD": RESNET110.format("pckd"),
}
TRANSFER_SETS = {"stl10": "STL-10", "tiny_imagenet": "TinyImageNet"}
LAST_BEST = ("last", "best")
# What the names of configs begin with, the teacher's name and the student's.
LETTERS = ("letters", "resnet20", "resnet8_thin")
# The same of detectors on scenes of digits.
SCENES = {
    "Faster R-CNN": ("digit_scenes_frcnn", "r18w32", "r18w8"),
    "Cascade R-CNN": ("digit_scenes_cascade", "r18w32", "r18w8"),
    "GFL": ("digit_scenes_gfl", "r18w32", "r18w8"),
    "RTMDet": ("digit_scenes_rtmdet", "w64", "w16"),
}


class MeasuredTables:
    """The generated parts of the README and the results page.

    Args:
        root (Path): Root of the repository.
        entries (Sequence[Measurement]): What was measured.
    """

    def __init__(self, root: Path, entries: Sequence[Measurement]) -> None:
        self.root = root
        self.entries = {e.key: e for e in sorted(entries, key=lambda e: e.key)}
        self.used: List[Measurement] = []

    def find(
        self, config: str, name: Optional[str] = None, options: Sequence[str] = ()
    ) -> Optional[Measurement]:
        """The measurement of a config with options, or of the name that is given."""
        entry = self.entries.get((config, tuple(options)))
        if name is not None:
            of_config = [e for e in self.entries.values() if e.config == config]
            entry = next((e for e in of_config if e.name == name), None)
        if entry is not None and entry not in self.used:
            self.used.append(entry)
        return entry

    def here(self, config: str) -> List[str]:
        """Cells of a measured value, last and best."""
        return last_and_best(self.find(config))

    def count(self, config: str) -> str:
        """Cell of the number of seeds."""
        entry = self.find(config)
        return str(len(entry.last)) if entry else "0"

    def is_there(self, config: str) -> bool:
        """Whether the config exists."""
        return (self.root / config).is_file()

    def pair(self, pair: str, values: Dict[str, float]) -> str:
        """Published | here | command, of a pair of the benchmark."""
        teacher, student = published.NETWORKS[pair]
        vanilla = "configs/vanilla/cifar100_{}.py"
        lines = [["method", "published", "here, last", "here, best", "n", "command"]]
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
            lines.append(
                [
                    names[role],
                    format_number(values.get(role)),
                    *self.here(config),
                    self.count(config),
                    f"`{command}`" if self.is_there(config) else "-",
                ]
            )
        return f"### {teacher} -> {student}\n\n{format_table(lines)}"

    def comparison(
        self, rows: Mapping[str, str], alone: str, metric: Metric = TOP1
    ) -> List[List[str]]:
        """Cells of methods beside each other, beside which nothing is published.

        Args:
            rows (Mapping): Their names and configs.
            alone (str): The config of the student alone, which gains are over.
            metric (Metric): What its runs are compared by. Defaults to top-1.

        Returns:
            list[list[str]]: The lines, the headline first.
        """
        baseline = self.find(alone)
        lines = [["method", *(f"{metric.name}, {k}" for k in LAST_BEST), "n"]]
        lines[0].append("gain over the student alone")
        for name, config in rows.items():
            entry = self.find(config)
            gain = None
            if entry and baseline and name in published.METHODS.values():
                gain = entry.mean - baseline.mean
            cells = [*self.here(config), self.count(config)]
            lines.append([name, *cells, format_number(gain, "+.2f")])
        return lines

    def short_rows(self, pair: str, with_commands: bool) -> List[List[str]]:
        """Cells of a short schedule, a command behind each if asked for."""
        epochs = pair.rsplit("_", 1)[1]
        student = f"configs/vanilla/cifar100_resnet8_{epochs}.py"
        teacher = "configs/vanilla/cifar100_resnet20_60e.py"
        rows = {
            "teacher, resnet20 (60 epochs)": teacher,
            "student alone, resnet8": student,
        }
        for method, name in published.METHODS.items():
            rows[name] = f"configs/{method}/cifar100_{pair}.py"
        headline, *lines = table = self.comparison(rows, student)
        if not with_commands:
            return table
        one = "python tools/compare.py --methods {} --pairs {} --seeds {} --amp"
        for line, config in zip(lines, rows.values(), strict=True):
            entry = self.find(config)
            seeds = " ".join(map(str, sorted(entry.last) if entry else [0]))
            command = one.format(config.split("/")[1], pair, seeds)
            if config == teacher:
                command = f"python tools/train.py {config} --amp"
            line.append(f"`{command}`" if self.is_there(config) else "-")
        return [[*headline, "command"], *lines]

    def scenes(self) -> str:
        """Detectors on scenes of digits, a table for each kind."""
        return "\n\n".join(
            f"### {kind}\n\n{self.demo(*names, MAP50)}"
            for kind, names in SCENES.items()
        )

    def demo(self, data: str, teacher: str, student: str, metric: Metric) -> str:
        """What a demo compares.

        Args:
            data (str): What the names of its configs begin with.
            teacher, student (str): The networks' names in them.
            metric (Metric): What their runs are compared by.

        Returns:
            str: Its table.
        """
        alone = f"configs/vanilla/{data}_{student}.py"
        rows = {
            "teacher": f"configs/vanilla/{data}_{teacher}.py",
            "student alone": alone,
            **{
                published.METHODS[m]: f"configs/{m}/{data}_{teacher}_{student}.py"
                for m in ("kd", "dist", "pckd", "pckd_plus")
            },
        }
        rows = {name: config for name, config in rows.items() if self.is_there(config)}
        return format_table(self.comparison(rows, alone, metric))

    def short(self, pair: str, length: str) -> str:
        """The comparison on a short schedule."""
        return f"### {length}\n\n{format_table(self.short_rows(pair, True))}"

    def ablations(self, pair: str) -> str:
        """What each part of PCKD adds, on a short schedule.

        Args:
            pair (str): Networks and schedule.

        Returns:
            str: Its table, and the command of all lines.
        """
        lines = [["PCKD, and what is changed", *LAST_BEST, "n", "over PCKD"]]
        entries = {
            method: self.find(f"configs/{method}/cifar100_{pair}.py", options=APART)
            for method in ABLATIONS
        }
        whole = entries["pckd"]
        for method, entry in entries.items():
            gain = None
            if entry and whole and entry is not whole:
                gain = entry.mean - whole.mean
            number = str(len(entry.last)) if entry else "0"
            cells = [*last_and_best(entry), number, format_number(gain, "+.2f")]
            lines.append([ABLATIONS[method], *cells])
        command = f"pckd compare --methods {' '.join(ABLATIONS)} --pairs {pair}"
        command += " --seeds 0 --amp --fast --share-teacher"
        return f"{format_table(lines)}\n\n```sh\n{command}\n```"

    def imagenet(self) -> str:
        """ImageNet, published | here."""
        names = {"teacher": "teacher, resnet34", "student": "student alone, resnet18"}
        lines = [["method", "published", "here, last", "here, best", "command"]]
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
                    *self.here(config),
                    command if self.is_there(config) else "-",
                ]
            )
        return format_table(lines)

    def transfer(self) -> str:
        """A linear classifier on frozen features."""
        sets = [f"{name}, {k}" for name in TRANSFER_SETS.values() for k in LAST_BEST]
        lines = [["features of", *sets, "--cfg-options"]]
        for name, checkpoint in TRANSFER.items():
            cells = []
            for data in TRANSFER_SETS:
                entry = self.find(f"configs/transfer/{data}_resnet20.py", name)
                cells += last_and_best(entry)
            lines.append([name, *cells, f"`model.checkpoint={checkpoint}`"])
        return format_table(lines)

    def others(self) -> str:
        """What is measured and stands in no other table."""
        lines = [["config", "what", "metric", *LAST_BEST, "n"]]
        for entry in self.entries.values():
            if entry in self.used or is_held_out(entry):
                continue
            cells = [link(entry), label(entry) or "-", entry.metric.name]
            lines.append([*cells, *last_and_best(entry), str(len(entry.last))])
        return format_table(lines) if len(lines) > 1 else "None yet."

    def search(self) -> str:
        """What settings were chosen by, on images that were held out."""
        lines = [["method", "config", "settings of its own", *LAST_BEST, "n"]]
        found = [entry for entry in self.entries.values() if is_held_out(entry)]
        for entry in sorted(found, key=lambda entry: -entry.mean):
            settings = [o for o in entry.options if not o.startswith(VAL_SHARE)]
            cells = [
                entry.name,
                link(entry),
                ", ".join(f"`{o}`" for o in settings) or "-",
            ]
            lines.append([*cells, *last_and_best(entry), str(len(entry.last))])
        return format_table(lines) if len(lines) > 1 else "None yet."

    def sources(self) -> str:
        """How each value was measured."""
        lines = [["config", "last, by seed", "best, by seed", "made by"]]
        for entry in self.entries.values():
            ap = f" (AP {by_seed(entry.ap)})" if entry.ap else ""
            made = (
                f"`{entry.command}`; commit {entry.commit}; {entry.hardware}; "
                f"{entry.precision}; {entry.software}; {entry.date}"
            )
            what = ", ".join(filter(None, [link(entry), label(entry)]))
            lines.append([what, by_seed(entry.last) + ap, by_seed(entry.best), made])
        return format_table(lines) if len(lines) > 1 else "Nothing is measured yet."

    def summary(self) -> str:
        """PCKD and KD of all pairs, published | here | command."""
        here = [f"{name} here, {k}" for name in ("KD", "PCKD") for k in LAST_BEST]
        lines = [["pair", "teacher", "student", "KD", "PCKD", *here, "command"]]
        for pair, values in published.CIFAR100.items():
            cells = [
                format_number(values.get(key))
                for key in ("teacher", "student", "kd", "pckd")
            ]
            for method in ("kd", "pckd"):
                cells += self.here(f"configs/{method}/cifar100_{pair}.py")
            command = f"python tools/compare.py --methods kd pckd --pairs {pair}"
            name = " -> ".join(published.NETWORKS[pair])
            lines.append([name, *cells, f"`{command}`"])
        return format_table(lines)

    def readme(self) -> Dict[str, str]:
        """Generated part of the README: the first of the short schedules."""
        table = format_table(self.short_rows(next(iter(SHORT)), False))
        return {"short": f"{table}\n\n{CAPTION}"}

    def results(self) -> Dict[str, str]:
        """Generated parts of docs/results.md."""

        def pairs(table: Dict[str, Dict[str, float]]) -> str:
            return "\n\n".join(
                self.pair(name, values) for name, values in table.items()
            )

        return {
            "caption": CAPTION,
            "short": "\n\n".join(self.short(*item) for item in SHORT.items()),
            "ablations": self.ablations(next(iter(SHORT))),
            "demo": self.demo(*LETTERS, TOP1),
            "scenes": self.scenes(),
            "summary": self.summary(),
            "same-family": pairs(published.SAME_FAMILY),
            "cross-family": pairs(published.CROSS_FAMILY),
            "imagenet": self.imagenet(),
            "transfer": self.transfer(),
            "search": self.search(),
            "others": self.others(),
            "sources": self.sources(),
        }
