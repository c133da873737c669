"""Finished runs of methods that are compared with each other."""

import os.path as osp
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Dict, List, Optional, Tuple

from mmengine.config import Config

from pckd_mm.utils.files import file_name

from .curves import Curve, LossCurves
from .inspection import Inspected
from .metric import TEST_SET, TOP1, Metric


def format_number(value: Optional[float], form: str = ".2f") -> str:
    """Write a number, or a dash for one that is not known.

    Args:
        value (float, optional): The number.
        form (str): How to write it. Defaults to two decimals.

    Returns:
        str: The number or '-'.
    """
    return "-" if value is None else format(value, form)


def name_of_teacher(cfg: Config, config: str) -> str:
    """What tells the teacher of a run from others.

    Args:
        cfg (Config): Config of the run.
        config (str): Its path.

    Returns:
        str: The teacher's checkpoint; 'that of CONFIG' where the config brings weights
        without one; empty of a student alone.
    """
    if "architecture" not in cfg.model:
        return ""
    checkpoint = str(cfg.model.get("teacher_ckpt") or "")
    if not checkpoint:
        return f"that of {config}"
    return checkpoint if "://" in checkpoint else osp.normpath(checkpoint)


@dataclass
class Method:
    """Finished runs of one method.

    Args:
        name (str): Name of the method in table and pictures.
        curves (dict[int, dict[int, float]]): The metric in percent after each epoch
            that was validated, of the run of each seed; empty before any is finished.
        previews (dict[int, list[dict]]): Records of the preview of each seed's run;
            empty for a method without preview.
        notes (dict[int, dict]): What else is known of each seed's run, such as its
            commit; ``tested`` where it is no training, but the test of a checkpoint.
        config (str): Path of the config; empty where unknown.
        command (str): What gives this line of the table; empty where unknown.
        published (float, optional): The metric in percent that is published for this
            very setting.
        further (dict[Metric, dict[int, dict[int, float]]]): Curves as ``curves`` of the
            metrics that stand beside the main one, where runs have them.
        options (list[str]): Settings of its own, beside those of its config, as on a
            command line.
        losses (dict[int, LossCurves]): Losses of each seed's run, of distillations.
        teacher (str): Name of its teacher in the table; where that is not there, what
            :func:`name_of_teacher` says. Empty of a student alone.
    """

    name: str
    curves: Dict[int, Curve]
    previews: Dict[int, List[dict]] = field(default_factory=dict)
    notes: Dict[int, dict] = field(default_factory=dict)
    config: str = ""
    command: str = ""
    published: Optional[float] = None
    further: Dict[Metric, Dict[int, Curve]] = field(default_factory=dict)
    options: List[str] = field(default_factory=list)
    losses: Dict[int, LossCurves] = field(default_factory=dict)
    teacher: str = ""

    @property
    def finals(self) -> List[float]:
        """list[float]: The metric after the last epoch of each run."""
        return list(self.score().finals)

    def score(self, metric: Optional[Metric] = None) -> "Score":
        """Its values of a metric.

        Args:
            metric (Metric, optional): One of ``further``; None for the main one.

        Returns:
            Score: The values, none where not all of its runs have the metric.
        """
        curves = self.curves if metric is None else self.further.get(metric, {})
        if len(curves) < len(self.curves):  # a mean over other runs than the main one's
            curves = {}
        return Score(
            tuple(curve[max(curve)] for curve in curves.values()),
            tuple(
                max(curve.values())
                for seed, curve in curves.items()
                if "tested" not in self.notes.get(seed, {})
            ),
        )


@dataclass(frozen=True)
class Score:
    """Values of a metric over the runs of a method, in percent.

    Args:
        finals (tuple[float]): After the last epoch of each run.
        bests (tuple[float]): After the best epoch of each run, of those that were
            validated; what was tested but not trained here has none.
    """

    finals: Tuple[float, ...] = ()
    bests: Tuple[float, ...] = ()

    @property
    def mean(self) -> Optional[float]:
        """float, optional: Mean of the last epochs; None without a run."""
        return mean(self.finals) if self.finals else None

    @property
    def std(self) -> Optional[float]:
        """float, optional: Their sample standard deviation; None for one seed."""
        return stdev(self.finals) if len(self.finals) > 1 else None

    @property
    def best(self) -> Optional[float]:
        """float, optional: Mean of the best epochs; None where none is known."""
        return mean(self.bests) if self.bests else None

    def __str__(self) -> str:
        if self.mean is None:
            return "-"
        return f"{self.mean:.2f} +- {format_number(self.std)}"


@dataclass
class Table:
    """Methods that are compared with each other.

    Args:
        methods (list[Method]): The methods, the student alone first.
        teachers (list[Method]): The teachers.
        name (str): Name of the pair of networks; empty for the only table.
        metric (Metric): What they are compared by. Defaults to top-1.
        inspected (Inspected, optional): What a look into the networks of the first
            seeds found.
        held_out (float, optional): Share of the training images that the values are
            of; None for other images.
        images (str): What these are. Defaults to the test set.
        of_seeds (bool): Whether a line has several runs of a method, compared with the
            first line; else it is one run. Defaults to True.
        step (str): What is counted between validations. Defaults to 'epoch'.
    """

    methods: List[Method]
    teachers: List[Method] = field(default_factory=list)
    name: str = ""
    metric: Metric = TOP1
    inspected: Optional[Inspected] = None
    held_out: Optional[float] = None
    images: str = TEST_SET
    of_seeds: bool = True
    step: str = "epoch"

    @property
    def everything(self) -> List[Method]:
        """list[Method]: The teachers and the methods."""
        return [*self.teachers, *self.methods]

    @property
    def further(self) -> List[Metric]:
        """list[Metric]: The metrics beside the main one that any method has."""
        return [
            metric
            for metric in self.metric.beside
            if any(method.further.get(metric) for method in self.everything)
        ]

    def picture(self, kind: str) -> str:
        """Name of the file of one of its pictures.

        Args:
            kind (str): What it shows: 'preview', 'losses', 'centers', 'features',
                'confusion', or the metric's ``slug``.

        Returns:
            str: The name.
        """
        return file_name(f"{kind}_{self.name}" if self.name else kind) + ".png"
