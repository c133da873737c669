"""What the command line asks for to train faster."""

import argparse
from dataclasses import dataclass, replace
from typing import List, Optional

from .precision import AMP_OPTIONS, add_amp_options

__all__ = ["COMPILE_MODES", "SpeedArguments", "add_speed_arguments"]

COMPILE_MODES = (
    "default",
    "reduce-overhead",
    "max-autotune",
    "max-autotune-no-cudagraphs",
)


@dataclass(frozen=True)
class SpeedArguments:
    """What the command line asks for to train faster.

    :func:`pckd_mm.engine.speed_options.use_speed_options` puts it into a config.

    Args:
        amp (str, optional): "auto" for mixed precision where it is fast, "force" for
            it everywhere. Defaults to None.
        fast (bool): Whether for what only rounds differently. Defaults to False.
        compile (str, optional): Mode of :func:`torch.compile`. Defaults to None.
        data_on_device (bool): Whether images in memory lie on the device. Defaults to
            False.
    """

    amp: Optional[str] = None
    fast: bool = False
    compile: Optional[str] = None
    data_on_device: bool = False

    @classmethod
    def of(cls, args: argparse.Namespace) -> "SpeedArguments":
        """What was read by a parser with :func:`add_speed_arguments`."""
        return cls(args.amp, args.fast, args.compile, args.data_on_device)

    def command_line(self) -> List[str]:
        """The same as on a command line, behind a config."""
        words = [AMP_OPTIONS[self.amp]] if self.amp is not None else []
        words += ["--fast"] * self.fast
        if self.compile is not None:
            words += ["--compile", self.compile]
        return words + ["--data-on-device"] * self.data_on_device

    def what_rounds(self) -> List[str]:
        """In words, what changes the values that a training computes."""
        precisions = {"auto": "mixed precision", "force": "mixed precision on any CPU"}
        words = [precisions[self.amp]] if self.amp is not None else []
        words += ["fast"] * self.fast
        if self.compile is not None:
            words += [f"compiled ({self.compile})"]
        return words

    def beside_precision(self) -> List[str]:
        """:meth:`what_rounds` but for the precision, which each run notes itself."""
        return replace(self, amp=None).what_rounds()


def add_speed_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that :class:`SpeedArguments` holds.

    Args:
        parser (ArgumentParser): Of a tool that trains.
    """
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
