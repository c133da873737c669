"""What a run is about to do, on one screen."""

import math
import os.path as osp
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from pckd_mm.engine.loops import counts_epochs
from pckd_mm.engine.optim_wrappers import number_type, optim_wrappers
from pckd_mm.utils.endings import network_name
from pckd_mm.utils.nested_datasets import inner_datasets
from pckd_mm.utils.wrappers import unwrap
from pckd_mm.version import __version__

__all__ = ["log_file", "summarize"]

_NO_TRACKER = "--track tensorboard shows them while it trains"


def log_file(runner: Runner) -> str:
    """The file that has all of a run's log.

    Args:
        runner (Runner): The run.
    """
    return osp.join(runner.log_dir, f"{runner.timestamp}.log")


def summarize(runner: Runner, looks: Sequence[str] = ()) -> str:
    """What a run is about to do, as a table of two columns.

    Args:
        runner (Runner): The run, when everything of it is built and read.
        looks (Sequence[str]): Commands that show what trackers write.

    Returns:
        str: A line for each thing; what a run does not have has none.
    """
    lines: List[Tuple[str, str]] = [("Run", _run(runner))]
    lines += _networks(runner)
    lines += _data(runner)
    lines += [("Schedule", _schedule(runner)), ("Optimizer", _optimizer(runner))]
    lines.append(("Device", _device(runner)))
    if runner._resume and runner.iter > 0:
        done = f"step {runner.iter}, in epoch {runner.epoch + 1}"
        lines.append(("Goes on", f"after {done}, from {runner._load_from or 'before'}"))
    lines.append(("Checkpoints", _checkpoints(runner)))
    lines.append(("Log", f"{log_file(runner)} has all settings as well"))
    lines += [("Curves", look) for look in looks or [_NO_TRACKER]]
    lines.append(("Report", f"pckd report {runner.work_dir}"))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"  {name:{width}}  {text}" for name, text in lines if text)


def count(number: int) -> str:
    """A count of parameters.

    Args:
        number (int): The count.

    Returns:
        str: With three digits, such as "78.5 thousand".
    """
    for size, word in ((10**9, " billion"), (10**6, " million"), (1000, " thousand")):
        if number >= 0.9995 * size:
            places = 2 - int(math.log10(number / size * 1.0005))
            return f"{number / size:.{max(places, 0)}f}{word}"
    return str(number)


def _run(runner: Runner) -> str:
    name = runner.experiment_name.removesuffix(f"_{runner.timestamp}")
    if runner.cfg.filename:
        folder = osp.basename(osp.dirname(osp.abspath(runner.cfg.filename)))
        name = f"{folder}/{name}"
    return f"{name}, by pckd_mm {__version__}, seed {runner.seed}"


def _parameters(network: nn.Module, is_trained: bool = True) -> str:
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    total = sum(size for size, _ in sizes)
    trained = sum(size for size, grad in sizes if grad)
    words = f"{count(total)} parameters"
    if is_trained and trained < total:
        words += f", of which {count(trained)} are trained"
    return words


def _networks(runner: Runner) -> Iterator[Tuple[str, str]]:
    model, cfg = unwrap(runner.model), runner.cfg.get("model")
    student, teacher = getattr(model, "student", None), getattr(model, "teacher", None)
    if not isinstance(student, nn.Module):
        yield "Network", f"{network_name(cfg or model)}, {_parameters(model)}"
        return
    distiller = getattr(model, "distiller", None)
    losses = getattr(distiller, "distill_losses", {})
    yield "Method", f"{', '.join(losses) or 'no losses'}, by {type(model).__name__}"
    named = (cfg or {}).get("architecture", student)
    yield "Student", f"{network_name(named)}, {_parameters(student)}"
    if isinstance(teacher, nn.Module):
        named = (cfg or {}).get("teacher") or teacher
        yield "Teacher", f"{network_name(named)}, {_parameters(teacher, False)}"
    if isinstance(distiller, nn.Module) and any(True for _ in distiller.parameters()):
        yield "Distiller", f"{_parameters(distiller)}, in training alone"


def _images(loader: Any) -> str:
    if not isinstance(loader, DataLoader):
        return "?"
    dataset: BaseDataset = loader.dataset
    return f"{len(dataset)}"


def _place(dataset: Any) -> str:
    root = getattr(dataset, "data_root", None)
    return type(dataset).__name__ + (f" in {root}" if root else "")


def _data(runner: Runner) -> Iterator[Tuple[str, str]]:
    loader = runner.train_dataloader
    dataset = getattr(loader, "dataset", None)
    parts = list(inner_datasets(dataset))
    metas = (getattr(each, "metainfo", None) for each in (dataset, *parts))
    meta: Dict[str, Any] = next(filter(None, metas), {})
    words = ", ".join(dict.fromkeys(map(_place, parts)))
    if isinstance(meta.get("classes"), (list, tuple)):
        words += f", {len(meta['classes'])} classes"
    words += f"; {_images(loader)} images to train on"
    if runner._val_loop is not None:  # a property of the runner's would build it
        words += f", {_images(runner.val_dataloader)} to validate on"
    yield "Data", words


def _schedule(runner: Runner) -> str:
    loop, loader = runner.train_loop, runner.train_dataloader
    batch = getattr(loader, "batch_size", None)
    if batch is None and isinstance(runner.cfg.get("train_dataloader"), dict):
        batch = runner.cfg.train_dataloader.get("batch_size")
    if counts_epochs(runner) and hasattr(loader, "__len__"):
        epochs = f"{loop.max_epochs} epoch{'s' * (loop.max_epochs > 1)}"
        words = f"{epochs} of {len(loader)} steps"
    else:
        words = f"{runner.max_iters} steps"
    words += f", batches of {batch}" if batch else ""
    if get_world_size() > 1:
        words += f" in each of {get_world_size()} processes"
    return words


def _optimizer(runner: Runner) -> str:
    words = []
    for wrapper in optim_wrappers(runner):
        if isinstance(wrapper, OptimWrapper):
            group = wrapper.param_groups[0]
            rate = group.get("initial_lr", group["lr"])
            words.append(
                f"{type(wrapper.optimizer).__name__}, learning rate {rate:.4g}"
            )
    schedulers = runner.param_schedulers or []
    if isinstance(schedulers, dict):
        schedulers = [each for group in schedulers.values() for each in group]
    kinds = [type(each).__name__ for each in schedulers]
    return ", ".join([*words, *dict.fromkeys(kinds)])


def _device(runner: Runner) -> str:
    device = next(unwrap(runner.model).parameters()).device
    if device.type == "cuda":
        words = torch.cuda.get_device_name(device)
    else:
        threads = torch.get_num_threads()
        words = f"{device.type.upper()}, {threads} thread{'s' * (threads > 1)}"
    types = [
        number_type(wrapper, device)
        for wrapper in optim_wrappers(runner)
        if isinstance(wrapper, OptimWrapper)
    ]
    return ", ".join([words, *dict.fromkeys(types)])


def _checkpoints(runner: Runner) -> str:
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            folder = runner.work_dir
            if hook.out_dir is not None:  # to which MMEngine adds the run's own later
                folder = osp.join(hook.out_dir, osp.basename(runner.work_dir))
            if hook.interval < 1:
                return f"{folder}, the best alone" if hook.save_best else "none"
            unit = "epoch" if hook.by_epoch else "step"
            every = f"each {unit}" if hook.interval == 1 else f"{hook.interval} {unit}s"
            what = every if hook.interval == 1 else f"every {every}"
            return f"{folder}, {what}"
    return "none are written"
