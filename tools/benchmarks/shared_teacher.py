"""What students gain that share the teacher's forward pass.

python tools/benchmarks/shared_teacher.py --teacher resnet56 --student resnet20

Trains PCKD by the processes that tools/compare.py starts, in two ways that take turns
while the processes of the other one are stopped: runs of their own, one on each core,
and N students at a time with --share-teacher N. The gain is the ratio of the times of a
student's step, by the clock and in time of the processor, which does not depend on what
else runs on the machine. Random weights and pixels; each process has one thread.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Dict, List, Tuple, cast

import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from measure import made_by, say
from pckd_mm.experiments import Settings, Sharing
from pckd_mm.experiments.job import Job, process_of
from pckd_mm.experiments.run import Run
from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config
from pckd_mm.utils.speed_arguments import SpeedArguments, add_speed_arguments
from random_data import use_random_data
from step import find_config

HERE = Path(__file__).resolve().parent
IMAGES, EPOCHS = 6400, 1000


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", default="resnet56", help="[resnet56]")
    parser.add_argument("--student", default="resnet20", help="[resnet20]")
    parser.add_argument(
        "--students", type=int, nargs="+", default=[3, 8], help="at a time [3 8]"
    )
    add_speed_arguments(parser)
    parser.add_argument("--cores", type=int, default=1, help="that are used [1]")
    parser.add_argument("--repeats", type=int, default=3, help="blocks of each [3]")
    parser.add_argument(
        "--rounds", type=int, default=8, help="steps of each student in a block [8]"
    )
    return parser.parse_args()


def write_config(args: argparse.Namespace, folder: Path) -> Path:
    """The config of PCKD on random images, which logs each step."""
    cfg = load_config(find_config("pckd", args.teacher, args.student))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        teacher = MODELS.build(cfg.model.teacher)
        teacher.init_weights()
    torch.save(teacher.state_dict(), folder / "teacher.pth")
    cfg.model.update(teacher_ckpt=str(folder / "teacher.pth"), teacher_config=None)
    use_random_data(cfg, str(folder), IMAGES, 0)
    few = dict(type="pckd_mm.RandomImages", images=64, test_mode=True)
    val = cfg.val_dataloader.dataset
    val.dataset = dict(few, pipeline=val.dataset.pipeline)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=EPOCHS)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.interval = EPOCHS
    cfg.custom_imports = dict(imports=["pckd_mm", "random_data"])
    path = folder / "pckd.py"
    path.write_text(cfg.pretty_text)
    return path


def pid_of(job: Job) -> int:
    """The process of a job that was started on this machine."""
    return cast(subprocess.Popen, process_of(job)).pid


class Way:
    """Processes that train, and what they have done.

    Args:
        folder (Path): Where they are trained.
        config (Path): What is trained.
        speed (SpeedArguments): As in :class:`Settings`.
        runs (int): How many.
        shared (bool): Whether they share a teacher.
    """

    def __init__(
        self,
        folder: Path,
        config: Path,
        speed: SpeedArguments,
        runs: int,
        shared: bool,
    ) -> None:
        settings = Settings(
            HERE.parents[1], speed=speed, share_teacher=runs if shared else 0
        )
        self.runs = [
            Run("pckd", str(config), seed, folder / f"seed_{seed}", settings)
            for seed in range(runs)
        ]
        self.jobs: List[Job] = list(self.runs)
        for run in self.runs:
            run.prepare()
        environment = {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
        if shared:
            lead = Sharing(runs).lead(self.runs)
            lead.prepare()
            lead.start(1, environment)
            self.jobs.append(lead)
        else:
            for run in self.runs:
                run.start(1, environment)

    def steps(self) -> List[int]:
        """Steps of each student so far."""
        return [
            sum(
                len(path.read_bytes().splitlines())
                for path in run.folder.glob("*/vis_data/scalars.json")
            )
            for run in self.runs
        ]

    def wait(self) -> None:
        """Wait until all of them train."""
        while min(self.steps()) < 3:
            for job in self.jobs:
                if process_of(job).poll() is not None:
                    job.finish()  # says why
                    raise SystemExit(f"{job} has ended.")
            time.sleep(1)

    def signal(self, number: int) -> None:
        for job in self.jobs:
            os.kill(pid_of(job), number)

    def pin(self, cores: List[int]) -> None:
        """Let them use some cores only."""
        for job in self.jobs:
            for thread in Path(f"/proc/{pid_of(job)}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)

    def _at_a_step(self) -> Tuple[int, float, float]:
        """When one more step is done: steps, seconds, and seconds of the processor."""
        before = sum(self.steps())
        while (steps := sum(self.steps())) == before:
            time.sleep(0.02)
        ticks = 0
        for job in self.jobs:
            stat = Path(f"/proc/{pid_of(job)}/stat").read_text()
            ticks += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
        return steps, time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK")

    def block(self, rounds: int) -> Tuple[float, float]:
        """Seconds of a student's step, while only these train.

        Args:
            rounds (int): How many steps each student makes.

        Returns:
            tuple[float, float]: By the clock, and of the processor.
        """
        self.signal(signal.SIGCONT)
        first = self._at_a_step()
        while (last := self._at_a_step())[0] - first[0] < rounds * len(self.runs):
            pass
        self.signal(signal.SIGSTOP)
        steps, clock, processor = (b - a for a, b in zip(first, last, strict=True))
        return clock / steps, processor / steps

    def stop(self) -> None:
        self.signal(signal.SIGCONT)
        for job in self.jobs:
            job.stop()


def measure(args: argparse.Namespace, students: int, folder: Path) -> dict:
    """Rates of both ways, and their ratio in each repeat."""
    folder.mkdir()
    config = write_config(args, folder)
    ways: List[Way] = []
    try:
        for name, runs in (("own", args.cores), ("shared", students)):
            say(f"{students} students: starting {name}")
            speed = SpeedArguments.of(args)
            way = Way(folder / name, config, speed, runs, name == "shared")
            ways.append(way)
            way.wait()
            way.pin(sorted(os.sched_getaffinity(0))[-args.cores :])
            way.signal(signal.SIGSTOP)
        own, shared = [], []
        for repeat in range(args.repeats):
            # A core runs the same number of steps in both ways.
            own.append(ways[0].block(args.rounds * students // args.cores))
            shared.append(ways[1].block(args.rounds))
            say(f"repeat {repeat + 1} of {args.repeats}: {own[-1]}, {shared[-1]}")
    finally:
        for way in ways:
            way.stop()
    result: Dict[str, float] = dict(students=students)
    for place, name in enumerate(("ms", "processor_ms")):
        pairs = [(a[place], b[place]) for a, b in zip(own, shared, strict=True)]
        for whose, column in zip(
            ("own", "shared"), zip(*pairs, strict=True), strict=True
        ):
            result[f"{whose}_{name}"] = round(1000 * statistics.median(column), 1)
        gain = statistics.median(a / b for a, b in pairs)
        result["gain" if place == 0 else "processor_gain"] = round(gain, 3)
    return result


def main() -> None:
    args = parse_args()
    MMLogger.get_instance("benchmark", log_level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(args, n, Path(folder, str(n))) for n in args.students]
    options = dict(asdict(SpeedArguments.of(args)), cores=args.cores)
    pair = dict(teacher=args.teacher, student=args.student)
    for result in found:
        print(json.dumps({**pair, **options, **result, **made_by()}))


if __name__ == "__main__":
    main()
