"""Options that several commands have, and their checks."""

import argparse
from typing import Any, Mapping

from mmengine.config import DictAction

__all__ = ["SettingsAction", "add_broken_option", "require_at_least", "require_share"]


class SettingsAction(DictAction):
    """Settings as KEY=VALUE, and a message for what is none, such as a config."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str = "",
    ) -> None:
        """Read the settings, or end with a message."""
        for value in values:
            if "=" not in value:
                parser.error(
                    f"{option_string} has {value}; expected KEY=VALUE: write what is "
                    f"no setting in front of {option_string}"
                )
        super().__call__(parser, namespace, values, option_string)


def add_broken_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--skip-broken``.

    Args:
        parser (ArgumentParser): Of a command that trains.
    """
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="go on without image files and annotations that are broken, and list them "
        "in broken_files.txt in the work dir of each run; of images that are held out "
        "too, while separate ones to validate on have to be whole",
    )


def require_at_least(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    least: Mapping[str, int],
) -> None:
    """End with a message where a number is too small.

    Args:
        parser (ArgumentParser): Of the command.
        args (Namespace): The options.
        least (Mapping[str, int]): Names of options, and the least that each may be.

    Raises:
        SystemExit: Where one is less.
    """
    for option, lowest in least.items():
        value = getattr(args, option)
        if value is not None and value < lowest:
            name = option.replace("_", "-")
            parser.error(f"--{name} is {value}; expected {lowest} or more")


def require_share(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a message where ``--val-share`` is no share.

    Args:
        parser (ArgumentParser): Of the command.
        args (Namespace): The options.

    Raises:
        SystemExit: Where it is not between 0 and 1.
    """
    if not 0 < args.val_share < 1:
        parser.error(
            f"--val-share is {args.val_share}; expected a share between 0 and 1"
        )
