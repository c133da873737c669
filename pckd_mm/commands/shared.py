"""What subcommands share."""

import argparse
import contextlib
import os
import os.path as osp
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Iterator, Optional

from mmengine.config import Config

from pckd_mm.utils.children import end_with_torchrun
from pckd_mm.utils.config import load_config, require_model
from pckd_mm.utils.options import SettingsAction, add_broken_option
from pckd_mm.utils.speed_arguments import SpeedArguments, add_speed_arguments
from pckd_mm.utils.trackers import add_track_option

from .completion import CONFIG, add_path

if TYPE_CHECKING:
    from pckd_mm.experiments import Settings

__all__ = [
    "ROOT",
    "add_config",
    "add_shared_options",
    "add_training_options",
    "config_from",
    "require_folder",
    "settings_from",
    "sigterm_stops",
]

# The repository, or where the package is installed.
ROOT = Path(__file__).resolve().parents[2]


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the config.

    Args:
        parser (ArgumentParser): Of a subcommand.
    """
    add_path(
        parser,
        CONFIG,
        "config",
        help="a file, one of the package as METHOD/CONFIG, such as "
        "pckd/cifar100_resnet56_resnet20, or one of another library as "
        "mmpretrain::FOLDER/CONFIG.py",
    )


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`config_from` reads beside the config and ``--work-dir``.

    Args:
        parser (ArgumentParser): Of a subcommand.
    """
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=SettingsAction,
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


def config_from(args: argparse.Namespace) -> Config:
    """The config with the command line's settings merged in.

    Args:
        args (Namespace): What :func:`add_config` and :func:`add_shared_options` read,
            and ``work_dir``.

    Returns:
        Config: The config, with a ``work_dir``.

    Raises:
        SystemExit: Where there is none that can be read, for settings of the command
            line that nothing takes, and for a work dir that cannot be one.
    """
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    end_with_torchrun()
    try:
        cfg = load_config(args.config, args.cfg_options)
        require_model(cfg, args.config)
    except (FileNotFoundError, ImportError, ValueError) as error:
        # Another error is a module's own: its traceback says where.
        raise SystemExit(str(error)) from None
    if args.cfg_options:
        _refuse_in_vain(cfg, args)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        # In configs/ the folder tells KD from PCKD, whose configs have the same name.
        folder, name = osp.split(osp.splitext(osp.abspath(cfg.filename))[0])
        root, method = osp.split(folder)
        is_of_method = osp.basename(root) == "configs"
        cfg.work_dir = osp.join("work_dirs", method if is_of_method else "", name)
    require_folder(Path(cfg.work_dir))
    return cfg


def require_folder(work_dir: Path) -> None:
    """Refuse a work dir that is, or would be in, a file.

    Args:
        work_dir (Path): The work dir.

    Raises:
        SystemExit: For such a one.
    """
    there = next((p for p in (work_dir, *work_dir.parents) if p.exists()), None)
    if there is not None and not there.is_dir():
        raise SystemExit(
            f"The work dir {work_dir} cannot be made, since {there} is a file; "
            "expected a folder, or the name of a new one: give another --work-dir."
        )


def _refuse_in_vain(cfg: Config, args: argparse.Namespace) -> None:
    from pckd_mm.experiments.buildable import options_in_vain  # takes seconds

    found = options_in_vain(cfg, load_config(args.config), args.cfg_options)
    if found:
        words = " ".join(map(str, found))
        raise SystemExit(
            f"--cfg-options of {args.config} name what nothing takes: {words}"
        )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add what each training may have, by itself, in a comparison or in a search.

    Args:
        parser (ArgumentParser): Of a subcommand.
    """
    add_speed_arguments(parser)
    add_track_option(parser)
    add_broken_option(parser)


def settings_from(args: argparse.Namespace) -> "Settings":
    """What runs have in common.

    Args:
        args (Namespace): What :func:`add_training_options` and
            :func:`pckd_mm.experiments.engine_options.add_engine_options` read, and
            ``cfg_options`` and ``val_share``.

    Returns:
        Settings: The settings.
    """
    from pckd_mm.experiments import Settings  # takes seconds

    return Settings(
        ROOT,
        args.cfg_options,
        SpeedArguments.of(args),
        args.val_share,
        args.gpus_per_run,
        args.share_teacher or 0,
        tuple(args.track),
        args.skip_broken,
    )


@contextlib.contextmanager
def sigterm_stops() -> Iterator[None]:
    """Make SIGTERM what Ctrl-C is, so that no run outlives this process.

    Yields:
        None: Inside, SIGTERM raises KeyboardInterrupt.
    """

    def end(number: int, frame: Optional[FrameType]) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
