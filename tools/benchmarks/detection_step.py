"""What PCKD adds to a detector's training step, as ratios of one run.

python tools/benchmarks/detection_step.py configs/pckd/voc_frcnn_r101_r50.py

Times, in interleaved repeats on the same batch, the student's plain step together with
the bare forward pass of the teacher (backbone, neck and box head on the same RoIs, of
one stage the layers that classify), the step of the config, its algorithm, losses and
connectors, and that of configs/kd/ for the same pair. With --amp the config's step in
float32 is one more. A step is forward, backward and optimizer. Networks have random
weights, images random pixels and boxes. The peak of memory is taken of each alone, in a
process of its own.
"""

import argparse
import copy
import json
import os
import statistics
import time
from typing import Any, Callable, Dict, List, Tuple

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import nn

from measure import (
    made_by,
    peak_of,
    peaks_of_all,
    say,
    seconds,
)
from pckd_mm.engine.speed_options import use_mixed_precision
from pckd_mm.models.algorithms.dense_networks import head_and_family
from pckd_mm.registry import MODELS, OPTIM_WRAPPERS
from pckd_mm.utils.config import load_config
from pckd_mm.utils.precision import add_amp_options

# The name of the student's own step with the bare teacher.
PLAIN = "plain"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config of a detector's distillation")
    parser.add_argument("--images", type=int, default=2, help="images in a batch [2]")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(608, 1024),
        metavar=("HEIGHT", "WIDTH"),
        help="of an image in pixels [608 1024]",
    )
    parser.add_argument(
        "--boxes",
        type=int,
        default=64,
        help="objects of an image; each is a foreground RoI at least [64]",
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each step [5]")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="[cuda if there is one, else cpu]",
    )
    add_amp_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def make_batch(args: argparse.Namespace, classes: int) -> dict:
    """Random images with boxes, as mmdet's data loader gives them."""
    generator = torch.Generator().manual_seed(0)
    height, width = args.size
    samples, images = [], []
    for _ in range(args.images):
        images.append(
            torch.randint(
                256, (3, height, width), generator=generator, dtype=torch.uint8
            )
        )
        corners = torch.rand(args.boxes, 4, generator=generator)
        extent = 32 + corners[:, 2:] * height / 2
        start = corners[:, :2] * (torch.tensor([width, height]) - extent)
        sample = DetDataSample(
            metainfo=dict(img_shape=(height, width), ori_shape=(height, width))
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([start, start + extent], dim=1),
            labels=torch.randint(classes, (args.boxes,), generator=generator),
        )
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


class PlainStep(nn.Module):
    """The student's own losses, and the teacher's forward pass to the scores."""

    def __init__(self, student: Any, teacher: Any) -> None:
        super().__init__()
        self.student = student
        self.teacher: Any
        self.__dict__["teacher"] = teacher  # no submodule, no part of the optimizer
        self.rois = None
        if hasattr(student, "roi_head"):
            student.roi_head.bbox_roi_extractor.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        self.rois = inputs[1]

    def forward(self, inputs: torch.Tensor, data_samples: list) -> torch.Tensor:
        losses = self.student.loss(inputs, data_samples)
        with torch.no_grad():
            features = self.teacher.extract_feat(inputs)
            if self.rois is not None:
                self.teacher.roi_head._bbox_forward(features, self.rois)
            else:
                head, family = head_and_family(self.teacher)
                family.classify(head, features)
        return self.student.parse_losses(losses)[0]


def make_step(model: nn.Module, loss: Callable, batch: dict, cfg: Config) -> Callable:
    """A training step with an optimizer of its own."""
    settings = copy.deepcopy(cfg.optim_wrapper)
    optimizer = dict(settings.pop("optimizer"))
    settings.pop("paramwise_cfg", None)  # changes no time
    kind = getattr(torch.optim, optimizer.pop("type"))
    parameters = [p for p in model.parameters() if p.requires_grad]
    wrapper = OPTIM_WRAPPERS.build(
        dict(settings, optimizer=kind(parameters, **optimizer))
    )

    def step() -> None:
        with wrapper.optim_context(model):
            total = loss(**batch)
        wrapper.update_params(total)

    return step


def build(cfg: Config, device: str) -> Tuple[Any, Any]:
    """Student and teacher with random weights."""
    teacher = cfg.model.get("teacher")
    if teacher is None:
        teacher = load_config(cfg.model.teacher_config).model
    student = cfg.model.architecture
    networks = []
    for network in (student, teacher):
        network = copy.deepcopy(network)
        network.backbone.init_cfg = None
        network.pop("init_cfg", None)  # of RTMDet and YOLOX, which begin whole
        network = MODELS.build(network)
        network.init_weights()
        networks.append(network.to(device))
    student, teacher = networks
    return student.train(), teacher.eval().requires_grad_(False)


def distilling_step(
    cfg: Config, student: nn.Module, teacher: nn.Module, batch: dict, device: str
) -> Callable:
    """The step of a config, for networks that are there."""
    settings = cfg.model.to_dict()
    for name in ("teacher_ckpt", "teacher_config"):
        settings.pop(name, None)
    settings.update(architecture=student, teacher=teacher)
    model = MODELS.build(settings).to(device).train()
    model.progress = 0.5

    def total(inputs: torch.Tensor, data_samples: list) -> torch.Tensor:
        return model.parse_losses(model.loss(inputs, data_samples))[0]

    return make_step(model, total, batch, cfg)


def interleaved(
    steps: Dict[str, Callable], repeats: int, device: str
) -> Dict[str, List[float]]:
    """Seconds of each step in each repeat."""
    times: Dict[str, List[float]] = {name: [] for name in steps}
    start = time.perf_counter()
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            taken = seconds(step, device)
            if repeat:  # the first warms up
                times[name].append(taken)
        left = (time.perf_counter() - start) / (repeat + 1) * (repeats - repeat)
        say(f"repeat {repeat} of {repeats}, {left:.0f} s left")
    return times


class Steps:
    """The plain step and those of the configs, on the same networks and batch."""

    def __init__(self, args: argparse.Namespace, cfgs: Dict[str, Config]) -> None:
        self.args, self.cfgs = args, cfgs
        self.cfg = next(iter(cfgs.values()))
        self.student, self.teacher = build(self.cfg, args.device)
        classes = getattr(self.student, "roi_head", self.student).bbox_head.num_classes
        self.batch = self.student.data_preprocessor(make_batch(args, classes), True)

    def make(self, name: str) -> Callable:
        """The step of a config, or that of the student with the bare teacher."""
        student, teacher = self.student, self.teacher
        if name == PLAIN:
            model = PlainStep(student, teacher)
            return make_step(model, model, self.batch, self.cfg)
        return distilling_step(
            self.cfgs[name], student, teacher, self.batch, self.args.device
        )


def measure(args: argparse.Namespace, cfgs: Dict[str, Config]) -> dict:
    """Times and peaks of the plain step and of those of the configs."""
    names = [PLAIN, *cfgs]
    peaks = peaks_of_all(names)
    steps = Steps(args, cfgs)
    times = interleaved(
        {name: steps.make(name) for name in names}, args.repeats, args.device
    )
    ratios = {
        name: statistics.median(
            ours / plain for ours, plain in zip(of, times[PLAIN], strict=True)
        )
        for name, of in times.items()
    }
    return dict(
        ms={name: 1000 * statistics.median(of) for name, of in times.items()},
        over_plain=ratios,
        peak_mb=peaks,
    )


def main() -> None:
    args = parse_args()
    method, file = args.config.split("/")[-2:]
    cfgs = {method: load_config(args.config)}
    kd = os.path.join(os.path.dirname(args.config), "..", "kd", file)
    if method != "kd" and os.path.isfile(kd):
        cfgs["kd"] = load_config(kd)
    if args.amp is not None:
        in_float32 = copy.deepcopy(cfgs[method])
        for cfg in cfgs.values():
            use_mixed_precision(cfg, args.amp)
        cfgs[f"{method}, float32"] = in_float32
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfgs[method].default_scope):
        MMLogger.get_instance("benchmark", log_level="WARNING")
        if args.peak_of:
            print(peak_of(lambda: Steps(args, cfgs).make(args.peak_of), args.device))
            return
        found = measure(args, cfgs)
    if args.json:
        print(json.dumps(dict(found, **made_by())))
        return
    print(f"{args.config}, {args.images} images of {args.size[0]} x {args.size[1]}")
    print("| step | ms | over the first | peak MiB | over the first |")
    print("|---|---|---|---|---|")
    for name, ms in found["ms"].items():
        title = "student + bare teacher" if name == PLAIN else name
        peak = found["peak_mb"][name]
        print(
            f"| {title} | {ms:.0f} | {found['over_plain'][name]:.3f} | {peak:.0f} | "
            f"{peak / found['peak_mb'][PLAIN]:.3f} |"
        )


if __name__ == "__main__":
    main()
