"""What a comparison is asked for: methods, pairs, runs and seeds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from pckd_mm.utils.files import file_name

from .catalogue import (
    CONFIGS,
    DATASET,
    VANILLA,
    all_methods,
    config_path,
    has_config,
    has_method,
    pairs_of,
    split_method,
    student_config,
)
from .job import ExperimentError
from .settings import Settings

WORK_DIR = Path("work_dirs/compare")


@dataclass
class Request:
    """What is to be compared.

    Args:
        settings (Settings): What all runs share.
        methods (dict[str, list[int] | None]): Folders of configs/, with options as
            :func:`method_options` reads them, or 'all' (others than those named), each
            with seeds of its own or None.
        pairs (Sequence[str]): Pairs of networks as in the configs' names, or 'all'.
        runs (dict[str, str]): Further runs: their names and configs.
        teacher (str, optional): Config to train the teacher with, once, or its
            checkpoint (*.pth); None for that of each config.
        seeds (Sequence[int]): Seeds of what has none of its own.
        dataset (str): What the configs' names begin with.
        work_dir (Path): Folder of all runs.
        inspect (bool): Whether to look into the networks of each table.
        teacher_test (str, optional): Config to test the teacher's checkpoint with,
            beside runs that are named one by one; None to test none.
    """

    settings: Settings
    methods: Dict[str, Optional[List[int]]] = field(default_factory=dict)
    pairs: Sequence[str] = ()
    runs: Dict[str, str] = field(default_factory=dict)
    teacher: Optional[str] = None
    seeds: Sequence[int] = (0,)
    dataset: str = DATASET
    work_dir: Path = WORK_DIR
    inspect: bool = False
    teacher_test: Optional[str] = None

    def network(self, stem: str) -> str:
        """The network that a config's name tells."""
        return stem.removeprefix(f"{self.dataset}_")


def methods_by_pair(request: Request) -> Dict[str, Dict[str, Sequence[int]]]:
    """Seeds of each method of each pair."""
    dataset = request.dataset
    seeds_of = seeds_of_methods(request)
    pairs = [pair for pair in request.pairs if pair != "all"]
    if "all" in request.pairs:
        for method in seeds_of or all_methods(dataset):
            pairs += pairs_of(method, dataset)
    result: Dict[str, Dict[str, Sequence[int]]] = {}
    for pair in dict.fromkeys(pairs):
        if student_config(dataset, pair) is None:
            expected = config_path(VANILLA, f"{dataset}_STUDENT")
            raise ExperimentError(
                f"The pair {pair} has no config of its student alone; expected "
                f"TEACHER_STUDENT with a {expected}."
            )
        result[pair] = {}
        for method, seeds in seeds_of.items():
            path = config_path(split_method(method)[0], f"{dataset}_{pair}")
            if has_config(path):
                result[pair][method] = seeds
            elif method in request.methods and pair in request.pairs:
                raise ExperimentError(f"There is no config {path}; expected a file.")
    return result


def seeds_of_methods(request: Request) -> Dict[str, Sequence[int]]:
    """Seeds of the methods that are named, and of all others where asked for."""
    methods = {m: seeds or request.seeds for m, seeds in request.methods.items()}
    methods.pop(VANILLA, None)
    seeds_of_others = methods.pop("all", None)
    everything = all_methods(request.dataset)
    for method in methods:
        name, _ = split_method(method)
        if name in (VANILLA, "all"):
            raise ExperimentError(
                f"{method}: settings of its own are for a method; expected --run "
                "NAME=CONFIG for another student alone, or --cfg-options for all."
            )
        if not has_method(name):
            raise ExperimentError(
                f"There is no folder {CONFIGS / name}; expected a method of "
                f"{', '.join(everything)}."
            )
    if seeds_of_others is not None:
        for method in everything:
            methods.setdefault(method, seeds_of_others)
    folders: Dict[str, str] = {}
    for method in methods:
        other = folders.setdefault(file_name(method), method)
        if other != method:
            raise ExperimentError(
                f"{other} and {method} would share the folder "
                f"{file_name(method)}; expected one of them, or two calls with a "
                "--work-dir each."
            )
    return methods


def added_runs(request: Request, pairs: Sequence[str]) -> Dict[str, Dict[str, str]]:
    """Names and configs of the further runs of each pair."""
    added: Dict[str, Dict[str, str]] = {pair: {} for pair in pairs}
    for name, config in request.runs.items():
        fitting = [pair for pair in pairs if pair in Path(config).stem]
        if len(pairs) == 1:
            fitting = list(pairs)
        if not fitting:
            raise ExperimentError(
                f"--run {name}: the name of {config} holds none of the pairs "
                f"{', '.join(pairs)}; expected one, to know its table."
            )
        added[max(fitting, key=len)][name] = config
    return added
