"""Test a network: the metrics of a checkpoint on the test set.

  pckd test vanilla/cifar100_resnet20_60e zoo/cifar100_resnet20_60e.pth
  pckd test pckd/letters_resnet20_resnet8_thin epoch_25.pth --out metrics.json

The checkpoint must fit the config's network in every tensor. What is tested is a plain
network or the student of a distillation, so the config and the checkpoint may be of
either.
"""

import argparse
import functools
import os.path as osp
from typing import Any, Optional

import torch
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.evaluator import DumpResults
from mmengine.fileio import dump
from mmengine.hooks import Hook
from mmengine.registry import METRICS
from mmengine.runner import Runner

from pckd_mm.compat import (
    end_cpu_processes,
    prepare_cpu_processes,
    weights_only_loading,
)
from pckd_mm.engine.console import ConsoleRunner, end_of_start
from pckd_mm.engine.guards import with_types
from pckd_mm.utils.checkpoint import fitting_tensors, require_same_tensors
from pckd_mm.utils.endings import trace_faults
from pckd_mm.utils.shipped import beside_configs
from pckd_mm.utils.wrappers import unwrap

from .completion import DIRECTORY, FILE, add_path
from .shared import add_config, add_shared_options, config_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser (ArgumentParser): Of the subcommand.
    """
    add_config(parser)
    add_path(parser, FILE, "checkpoint", help="path or URL of the checkpoint")
    add_path(
        parser, DIRECTORY, "--work-dir", help="folder of the log [as of pckd train]"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write the metrics (FILE.json) or the predictions (FILE.pkl)",
    )
    add_shared_options(parser)


class TakeStudentHook(Hook):
    """Load a plain network, or the student of a distillation, from either's checkpoint.

    The rest of a distillation, its connectors, has no part in a test.
    """

    # Before the hooks that read the checkpoint, such as EMAHook.
    priority = "VERY_HIGH"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        model = unwrap(runner.model)
        network = getattr(model, "architecture", model)
        source = f"The checkpoint {runner._load_from}"
        state, notes = fitting_tensors(checkpoint, network.state_dict(), source)
        who = type(network).__name__
        if notes:
            runner.logger.info(
                f"{source} is loaded into the {who}: {'; '.join(notes)}."
            )
        try:
            # Networks may adapt what they load, as a ViT its places to the image size.
            network.load_state_dict(state)
        except RuntimeError:  # lists the tensors over many lines
            remedy = "test it with the config that trained it"
            require_same_tensors(state, network.state_dict(), source, who, remedy)
            raise
        checkpoint["state_dict"] = model.state_dict()


@METRICS.register_module()
class DumpPredictions(DumpResults):
    """Write the predictions to a pickle file."""

    def process(self, data_batch: Any, predictions: list) -> None:
        # Pickled views of a batch's tensor would each hold the whole batch.
        super().process(data_batch, copy_tensors(predictions))


def copy_tensors(data: Any) -> Any:
    """The same nested lists and dicts with copies of the tensors in them."""
    if isinstance(data, torch.Tensor):
        return data.to("cpu", copy=True)
    if isinstance(data, dict):
        return {key: copy_tensors(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(copy_tensors(value) for value in data)
    return data


@master_only
def report(metrics: dict, out: Optional[str]) -> None:
    """Print the metrics and write them to a JSON file if one is named."""
    # Numpy's and torch's numbers and arrays as plain ones.
    metrics = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in metrics.items()}
    for name, value in metrics.items():
        print(f"{name}: {round(value, 4) if isinstance(value, float) else value}")
    if out is not None and out.endswith(".json"):
        dump(metrics, out, indent=2)


def test(cfg: Config) -> dict:
    """The metrics of the checkpoint that the config loads from."""
    # Settings of hooks that training adds have no type where a config is a detector's.
    cfg.default_hooks = with_types(cfg.get("default_hooks") or {})
    with weights_only_loading():
        runner = ConsoleRunner.from_cfg(cfg)
        end_of_start(runner.logger)
        runner.register_hook(TakeStudentHook())
        # By default MMEngine tests a network with whatever part of it fits.
        runner.load_checkpoint = functools.partial(runner.load_checkpoint, strict=True)
        return runner.test()


def run(args: argparse.Namespace) -> int:
    """Test.

    Args:
        args (Namespace): What :func:`add_arguments` reads.

    Returns:
        int: Exit status.
    """
    if args.out is not None and not args.out.endswith((".json", ".pkl")):
        args.parser.error(f"--out is {args.out}; expected a file named *.json or *.pkl")
    checkpoint = beside_configs(args.checkpoint)
    if "://" not in checkpoint and not osp.isfile(checkpoint):
        args.parser.exit(
            1, f"There is no checkpoint {checkpoint}; expected a file or a URL.\n"
        )
    trace_faults()
    cfg = config_from(args)
    cfg.load_from = checkpoint
    cfg.resume = False
    if args.out is not None and args.out.endswith(".pkl"):
        metrics = cfg.test_evaluator
        metrics = [metrics] if isinstance(metrics, dict) else list(metrics)
        cfg.test_evaluator = [
            *metrics,
            dict(type="mmengine.DumpPredictions", out_file_path=args.out),
        ]
    prepare_cpu_processes(cfg)

    report(test(cfg), args.out)
    end_cpu_processes()

    return 0
