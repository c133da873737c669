"""Train a network: a teacher, a student alone, or a student from a teacher.

python tools/train.py configs/pckd/cifar100_resnet56_resnet20.py
"""

import argparse
import os
import os.path as osp

from mmengine.config import Config, DictAction
from mmengine.runner import Runner, find_latest_checkpoint

from pckd_mm.compat import (
    end_cpu_processes,
    prepare_cpu_processes,
    weights_only_loading,
)
from pckd_mm.engine.speed_options import (
    COMPILE_MODES,
    use_mixed_precision,
    use_speed_up,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="path of the config")
    parser.add_argument(
        "--work-dir",
        help="folder of logs and checkpoints [work_dirs/METHOD/CONFIG, as in configs/]",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="PATH",
        help="go on from a checkpoint, by default the newest in the work dir",
    )
    parser.add_argument(
        "--amp",
        action="store_true",
        help="mixed precision: bfloat16, or float16 on a GPU without it",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="what only rounds differently: weights with channels last, the teacher's "
        "BatchNorm folded into its convolutions, a fused optimizer",
    )
    parser.add_argument(
        "--compile",
        nargs="?",
        const="default",
        choices=COMPILE_MODES,
        metavar="MODE",
        help="compile the networks by torch.compile, which rounds differently too, "
        f"in one of the modes {', '.join(COMPILE_MODES)}; reduce-overhead makes CUDA "
        "graphs on a GPU; write it behind the config [default]",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate to the batch size of all processes",
    )
    return parse_with_launcher(parser)


def parse_with_launcher(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add the options that training and testing share, and parse the command line."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override settings of the config, such as randomness.seed=0",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="job launcher [none]",
    )
    # torch.distributed.launch passes the first or the second, torchrun neither.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def load_config(args: argparse.Namespace) -> Config:
    """The config with the command line's settings merged in."""
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        # The folder tells KD from PCKD, whose configs have the same name.
        folder, name = osp.split(osp.splitext(osp.abspath(args.config))[0])
        cfg.work_dir = osp.join("work_dirs", osp.basename(folder), name)
    return cfg


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    if args.resume == "auto":
        cfg.resume = find_latest_checkpoint(cfg.work_dir) is not None
        if cfg.resume:  # else the run begins, from load_from if the config has it
            cfg.load_from = None
    elif args.resume is not None:
        cfg.resume = True
        cfg.load_from = args.resume
    try:
        if args.amp:
            use_mixed_precision(cfg)
        use_speed_up(cfg, args.fast, args.compile)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if args.auto_scale_lr:
        if "auto_scale_lr" not in cfg:
            raise SystemExit(
                f"{args.config} has no auto_scale_lr; expected "
                "auto_scale_lr=dict(base_batch_size=...) for --auto-scale-lr."
            )
        cfg.auto_scale_lr.enable = True
    prepare_cpu_processes(cfg)

    with weights_only_loading():
        Runner.from_cfg(cfg).train()
    end_cpu_processes()


if __name__ == "__main__":
    main()
