"""Train a network: a teacher, a student alone, or a student from a teacher.

python tools/train.py configs/pckd/cifar100_resnet56_resnet20.py
"""

import argparse
import logging
import os
import os.path as osp

from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.runner import Runner

from pckd_mm.compat import (
    end_cpu_processes,
    prepare_cpu_processes,
    weights_only_loading,
)
from pckd_mm.engine.guards import use_guards
from pckd_mm.engine.interruptions import (
    ending_on_sigterm,
    saying_where_resume_goes_on,
)
from pckd_mm.engine.skip_broken import skip_broken_files
from pckd_mm.engine.speed_options import (
    COMPILE_MODES,
    use_mixed_precision,
    use_speed_up,
)
from pckd_mm.utils.checkpoint import checkpoint_to_resume
from pckd_mm.utils.config import load_config
from pckd_mm.utils.endings import networks_of, trace_faults
from pckd_mm.utils.precision import add_amp_options


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
        help="go on from a checkpoint, or from the newest whole one of a folder [the "
        "work dir]",
    )
    add_amp_options(parser)
    parser.add_argument(
        "--fast",
        action="store_true",
        help="what only rounds differently: channels last where that is faster, the "
        "teacher's BatchNorm folded into its convolutions, a fused optimizer",
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
        "--data-on-device",
        action="store_true",
        help="keep small images, which are in memory anyway, on the GPU if they fit",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate to the batch size of all processes",
    )
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="go on without image files and annotations that are broken, and list them "
        "in broken_files.txt in the work dir",
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


def config_from(args: argparse.Namespace) -> Config:
    """The config with the command line's settings merged in."""
    try:
        cfg = load_config(args.config, args.cfg_options)
    except (ImportError, ValueError) as error:
        raise SystemExit(str(error)) from None
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        # The folder tells KD from PCKD, whose configs have the same name.
        folder, name = osp.split(osp.splitext(osp.abspath(args.config))[0])
        cfg.work_dir = osp.join("work_dirs", osp.basename(folder), name)
    return cfg


def train(cfg: Config) -> None:
    """Train, and leave nothing of it in memory."""
    with weights_only_loading():
        runner = Runner.from_cfg(cfg)
        runner.logger.info(
            f"Networks: {networks_of(cfg.model)}. A fault in compiled code would print "
            "Python's place in it to stderr, not to this log's file."
        )
        with saying_where_resume_goes_on(runner):
            runner.train()


@ending_on_sigterm()
def main() -> None:
    trace_faults()
    args = parse_args()
    cfg = config_from(args)
    try:
        if args.resume is not None:
            checkpoint = checkpoint_to_resume(cfg.work_dir, args.resume)
            cfg.resume = checkpoint is not None
            if cfg.resume:
                cfg.load_from = checkpoint
            else:  # the run begins, from load_from if the config has it
                print_log(
                    f"There is no checkpoint in {cfg.work_dir}: --resume begins anew.",
                    logger="current",
                    level=logging.WARNING,
                )
        if args.amp is not None:
            use_mixed_precision(cfg, args.amp)
        use_speed_up(cfg, args.fast, args.compile, args.data_on_device)
        use_guards(cfg)
        if args.skip_broken:
            skip_broken_files(cfg)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from None
    if args.auto_scale_lr:
        base = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
        if not isinstance(base, int) or base < 1:
            raise SystemExit(
                f"{args.config} has auto_scale_lr={cfg.get('auto_scale_lr')}; expected "
                "auto_scale_lr=dict(base_batch_size=...) for --auto-scale-lr, the "
                "images that its learning rate is for, 1 or more."
            )
        cfg.auto_scale_lr.enable = True
    prepare_cpu_processes(cfg)

    train(cfg)
    end_cpu_processes()


if __name__ == "__main__":
    main()
