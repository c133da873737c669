"""Time of a training step, and where it goes.

python tools/benchmarks/step.py --teacher resnet56 --student resnet20 --fast --compile

Times four programs in interleaved blocks of one process, so that the ratios hold on a
machine that is busy now and then:

plain    PCKD written down straightforwardly (plain_program.py): contiguous float32,
         nothing compiled, views made one image at a time by the data loader's workers
floor    the teacher's forward pass, the student's forward and backward pass and its
         optimizer step alone, on ready-made views, with the options of the project
project  a step of configs/pckd/ as the runner executes it, hooks and data loading
         included
kd       the same of configs/kd/

Networks have random weights, images random pixels. The peak of memory is taken of each
program alone, in a process of its own; on a CPU without that of its workers.
"""

import argparse
import copy
import functools
import json
import os
import os.path as osp
import statistics
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, Tuple

import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from measure import (
    made_by,
    matrix_rate,
    memory_as_by_default,
    peak_of,
    peaks_of_all,
    say,
    seconds,
)
from pckd_mm.engine.speed_options import use_speed_options
from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config
from pckd_mm.utils.cpu_memory import keep_freed_memory
from pckd_mm.utils.precision import autocast_dtype
from pckd_mm.utils.speed_arguments import SpeedArguments, add_speed_arguments
from plain_program import EPOCHS, VIEWS, PlainPCKD, PlainProgram
from programs import FloorProgram, RunnerProgram
from random_data import use_random_data

CONFIGS = osp.join(osp.dirname(osp.abspath(__file__)), "..", "..", "configs")
NAMES = {
    "plain": "plain program",
    "floor": "floor: networks and optimizer alone",
    "project": "project: PCKD by the runner",
    "kd": "KD by the runner",
}
# Work that is PCKD's or the project's own, and not of the two networks.
OWN = ("data", "views", "losses", "hooks")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", default="resnet56", help="[resnet56]")
    parser.add_argument("--student", default="resnet20", help="[resnet20]")
    parser.add_argument("--batch", type=int, default=64, help="images [64]")
    add_speed_arguments(parser)
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        choices=["cpu", "cuda"],
        help="[cuda if there is one, else cpu]",
    )
    parser.add_argument("--repeats", type=int, default=7, help="blocks of each [7]")
    parser.add_argument(
        "--block", type=int, default=3, help="timed steps in a block [3]"
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="of data loaders that have any [2]"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peak-of", choices=NAMES, help=argparse.SUPPRESS)
    return parser.parse_args()


def find_config(method: str, teacher: str, student: str) -> str:
    """Path of the config that distils a student from a teacher.

    Raises:
        SystemExit: Where there is none.
    """
    for data in ("cifar100", "imagenet"):
        path = osp.join(CONFIGS, method, f"{data}_{teacher}_{student}.py")
        if osp.isfile(path):
            return path
    raise SystemExit(
        f"There is no config of {method} for --teacher {teacher} --student {student}; "
        f"expected a pair of configs/{method}, such as resnet56 and resnet20."
    )


class Pair:
    """What all programs of a pair share: configs, images and initial weights.

    Args:
        args (argparse.Namespace): Options of the command line.
        folder (str): For files that are written.
    """

    def __init__(self, args: argparse.Namespace, folder: str) -> None:
        self.args, self.folder = args, folder
        self.cfg = {}
        for method in ("kd", "pckd"):
            path = find_config(method, args.teacher, args.student)
            self.cfg[method], self.four_views = self._prepare(path, method)
        torch.manual_seed(0)
        self.student, self.teacher = (
            self._build(self.cfg["pckd"].model[name])
            for name in ("architecture", "teacher")
        )

    def _prepare(self, path: str, method: str) -> tuple:
        cfg = load_config(path)
        use_speed_options(cfg, SpeedArguments.of(self.args))
        for name in ("dataloader", "evaluator", "cfg"):
            for split in ("val", "test"):
                cfg.pop(f"{split}_{name}", None)
        cfg.model.update(teacher_ckpt=None, teacher_config=None)
        cfg.train_dataloader.update(batch_size=self.args.batch, drop_last=True)
        cfg.update(
            work_dir=osp.join(self.folder, method),
            experiment_name=f"{method}_{time.time()}",
            log_level="ERROR",
            randomness=dict(seed=0),
        )
        images = self.args.batch * (self.args.block + 1) * self.args.repeats
        photos = osp.join(self.folder, "photos")
        return cfg, use_random_data(cfg, photos, images, self.args.workers)

    @staticmethod
    def _build(network: dict) -> nn.Module:
        with DefaultScope.overwrite_default_scope("mmpretrain"):
            built = MODELS.build(network)
            built.init_weights()
        return built

    def networks(self) -> Tuple[Any, Any]:
        """Copies of student and teacher."""
        return copy.deepcopy(self.student), copy.deepcopy(self.teacher)

    def plain(self) -> PlainProgram:
        args = self.args
        student, teacher = (model.to(args.device) for model in self.networks())
        optimizer = dict(self.cfg["pckd"].optim_wrapper.optimizer)
        assert optimizer.pop("type") == "SGD"
        return PlainProgram(
            PlainPCKD(student, teacher.eval()).to(args.device),
            self.four_views,
            args.batch,
            args.workers,
            args.device,
            optimizer,
        )

    def floor(self) -> FloorProgram:
        views, labels = self.some_views()
        labels = labels.repeat_interleave(VIEWS)
        student, teacher = self.networks()
        return FloorProgram(
            self.cfg["pckd"], student, teacher, views, labels, self.args.device
        )

    def by_runner(self, method: str) -> RunnerProgram:
        student, teacher = self.student.state_dict(), self.teacher.state_dict()
        return RunnerProgram(self.cfg[method], student, teacher, self.args.device)

    def some_views(self) -> tuple:
        """Views of a batch and the images' labels."""
        views, labels = zip(
            *(self.four_views[index] for index in range(self.args.batch)), strict=True
        )
        return torch.cat(views), torch.tensor(labels)

    def program(self, name: str) -> Any:
        """One of the four programs."""
        if name in ("plain", "floor"):
            return getattr(self, name)()
        return self.by_runner({"project": "pckd"}.get(name, name))

    def operations(self) -> float:
        """Of both networks in a step: multiplications and additions."""
        student, teacher = self.networks()
        views = self.some_views()[0][:2]
        with FlopCounterMode(display=False) as counter:
            with torch.no_grad():
                teacher.eval()(views)
            student.train().head(student.extract_feat(views)).sum().backward()
        return counter.get_total_flops() / len(views) * VIEWS * self.args.batch


def repeated(step: Callable[[], None], times: int) -> None:
    """Call a step several times."""
    for _ in range(times):
        step()


def loss_difference(pair: Pair, plain: PlainPCKD, project: RunnerProgram) -> float:
    """Relative difference of the objective on the same views, halfway in training."""
    model = project.model
    connectors = model.distiller.connectors
    plain.align.load_state_dict(connectors["align"].mlp.state_dict())
    for name in ("s_embed", "t_embed"):
        getattr(plain, name).load_state_dict(connectors[name].linear.state_dict())
    views, labels = (part.to(pair.args.device) for part in pair.some_views())
    expected = float(plain(views, labels, EPOCHS // 2).detach())
    model.progress = 0.5
    batch = next(project.batches)[1]
    with project.runner.optim_wrapper.optim_context(model):
        samples = model.data_preprocessor(batch, True)["data_samples"]
        for sample, part in zip(
            samples, labels.tensor_split(len(samples)), strict=True
        ):
            sample.set_gt_label(part)
        losses = model(views, samples, mode="loss")
    model.progress = None
    found = float(model.parse_losses(losses)[0].detach())
    return abs(found / expected - 1)


def dtype_of(args: argparse.Namespace) -> torch.dtype:
    """What the networks of the project compute in."""
    if args.amp is None:
        return torch.float32
    return autocast_dtype(force=args.amp == "force")


def use_memory_of(name: str) -> None:
    if name == "plain":
        memory_as_by_default()
    else:
        keep_freed_memory()


def measure(pair: Pair) -> Dict[str, Any]:
    """Interleaved times of all programs."""
    args = pair.args
    dtype = dtype_of(args)
    programs = {}
    for name in ("plain", "floor", "kd", "project"):  # the project's message hub last
        say(f"building {name}")
        use_memory_of(name)
        programs[name] = pair.program(name)
    say("comparing losses")
    difference = loss_difference(pair, programs["plain"].model, programs["project"])
    programs["project"].watch_parts()
    times: Dict[str, List[float]] = {name: [] for name in NAMES}
    parts: Dict[str, List[dict]] = {"floor": [], "project": []}
    rates = []
    start = time.perf_counter()
    for repeat in range(args.repeats + 1):
        rates.append(matrix_rate(args.device, dtype))
        turn = repeat % len(NAMES)
        for name in [*list(NAMES)[turn:], *list(NAMES)[:turn]]:
            program = programs[name]
            use_memory_of(name)
            time.sleep(0.5)  # workers of the program before finish what they prefetch
            program.step()
            if name in parts:
                program.watch.parts()
            block = functools.partial(repeated, program.step, args.block)
            taken = seconds(block, args.device)
            found = program.watch.parts() if name in parts else {}
            if repeat == 0:  # warms up
                continue
            times[name].append(taken / args.block)
            if name in parts:
                parts[name].append({k: v / args.block for k, v in found.items()})
        left = (time.perf_counter() - start) / (repeat + 1) * (args.repeats - repeat)
        say(f"repeat {repeat} of {args.repeats}, {left:.0f} s left")
    return dict(
        times=times, parts=parts, rate=statistics.median(rates), difference=difference
    )


def median_ms(values: List[float]) -> float:
    return round(1000 * statistics.median(values), 2)


def ratio(times: Dict[str, List[float]], over: str, under: str) -> float:
    pairs = zip(times[over], times[under], strict=True)
    return round(statistics.median(a / b for a, b in pairs), 3)


def summary(pair: Pair, found: Dict[str, Any], peaks: Dict[str, float]) -> dict:
    """What was measured, for machines."""
    args, times = pair.args, found["times"]
    ms = {f"{name}_ms": median_ms(times[name]) for name in NAMES}
    parts = {
        name: {part: median_ms([step[part] for step in steps]) for part in steps[0]}
        for name, steps in found["parts"].items()
    }
    own = [
        sum(step[part] for part in OWN) + max(0, step["optimizer"] - floor["optimizer"])
        for step, floor in zip(
            found["parts"]["project"], found["parts"]["floor"], strict=True
        )
    ]
    shares = zip(own, times["project"], strict=True)
    operations = pair.operations()
    return dict(
        teacher=args.teacher,
        student=args.student,
        batch=args.batch,
        precision=str(dtype_of(args))[6:],
        fast=args.fast,
        compile=args.compile,
        data_on_device=args.data_on_device,
        **made_by(),
        **ms,
        images_per_s={
            name: round(1000 * args.batch / ms[f"{name}_ms"], 1) for name in NAMES
        },
        plain_over_project=ratio(times, "plain", "project"),
        project_over_floor=ratio(times, "project", "floor"),
        own_share=round(statistics.median(a / b for a, b in shares), 4),
        parts_ms=parts,
        gigaoperations=round(operations / 1e9, 1),
        matrix_gigaoperations_per_s=round(found["rate"] / 1e9, 1),
        arithmetic_ms=round(1000 * operations / found["rate"], 1),
        loss_difference=found["difference"],
        peak_mb=peaks["project"],
        peaks_mb=peaks,
    )


def begin(pair: Pair, name: str) -> Callable[[], None]:
    """Build one program, with memory as it has it; its step."""
    use_memory_of(name)
    return pair.program(name).step


def table(result: dict) -> str:
    """The summary for readers, in Markdown."""
    kept = {name: result[name] for name in ("fast", "compile", "data_on_device")}
    options = [result["precision"], *SpeedArguments(**kept).command_line()]
    lines = [
        f"{result['teacher']} -> {result['student']}, {result['batch']} images, "
        f"{' '.join(options)}; {result['device']}, "
        f"torch {result['torch']}, commit {result['commit'][:7]}",
        "",
        "| program | ms | images/s | peak MiB |",
        "|---|---|---|---|",
    ]
    for name, title in NAMES.items():
        lines.append(
            f"| {title} | {result[f'{name}_ms']:.1f} | "
            f"{result['images_per_s'][name]:.1f} | {result['peaks_mb'][name]:.0f} |"
        )
    lines += ["", "| part of a step | floor ms | project ms |", "|---|---|---|"]
    floor, project = (result["parts_ms"][name] for name in ("floor", "project"))
    for part in ("data", "views", "teacher", "student", "losses", "optimizer", "hooks"):
        cells = [f"{of[part]:.2f}" if part in of else "-" for of in (floor, project)]
        lines.append(f"| {part} | {' | '.join(cells)} |")
    lines += [
        "",
        f"plain / project {result['plain_over_project']:.2f}, project / floor "
        f"{result['project_over_floor']:.3f}, own work "
        f"{100 * result['own_share']:.1f} % of the step, loss differs by "
        f"{result['loss_difference']:.1e}; the arithmetic of both networks "
        f"({result['gigaoperations']:.1f} billion operations) takes "
        f"{result['arithmetic_ms']:.1f} ms at the rate of matrix products "
        f"({result['matrix_gigaoperations_per_s']:.0f} billion a second)",
    ]
    return "\n".join(lines)


def main() -> None:
    args = parse_args()
    if args.device == "cpu" and torch.cuda.is_available():
        # MMEngine takes the GPU wherever it sees one.
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    MMLogger.get_instance("benchmark", log_level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(args, folder)
        if args.peak_of:
            print(peak_of(lambda: begin(pair, args.peak_of), args.device))
            return
        peaks = peaks_of_all(NAMES)
        result = summary(pair, measure(pair), peaks)
    print(json.dumps(result) if args.json else table(result))


if __name__ == "__main__":
    main()
