"""The command ``pckd``: a module for each subcommand.

A module has its help as the docstring, ``add_arguments(parser)``, and ``run(args)``,
which returns the exit status. To add one, write its module and name it in ``COMMANDS``.
This module and that of ``doctor`` import nothing that may be missing.
"""

import argparse
import sys
from importlib import import_module
from typing import Any, List, Mapping, NoReturn, Optional, Sequence

from pckd_mm.utils.nearest import nearest
from pckd_mm.version import __version__

__all__ = ["COMMANDS", "add_commands", "main", "make_parser", "parse"]

COMMANDS = {
    "init": "write a config for images of your own",
    "train": "train a network: a teacher, a student alone, or a student from a teacher",
    "test": "measure a checkpoint on the test set",
    "compare": "train several methods on the same networks, and write a report",
    "report": "show what a run did: curves, losses, preview, confusions, features",
    "tune": "find the weights of the losses on held-out training images",
    "export": "write a trained student for use: weights with a plain config, or ONNX",
    "predict": "say what a trained network finds in images, and draw it",
    "convert": "turn checkpoints of other projects into ones for here",
    "doctor": "say what is installed, and whether it works together",
}
DESCRIPTION = """Distil a small network from a large one by PCKD.

  pckd init --data photos/
  pckd train vanilla/letters_resnet20
  pckd train pckd/letters_resnet20_resnet8_thin
  pckd train --help
"""
EPILOG = """A config is a file, or one of the package by its name, METHOD/CONFIG, such
as pckd/cifar100_resnet56_resnet20. Tab completion, of bash for one:
eval "$(pckd --print-completion bash)". The exit status is 0 where all went well,
1 where something failed, and 2 for a wrong command line."""


def add_commands(
    parser: argparse.ArgumentParser,
    commands: Mapping[str, str],
    package: str,
    chosen: Optional[str] = None,
) -> None:
    """Add subcommands to a parser.

    Args:
        parser (ArgumentParser): The parser.
        commands (Mapping[str, str]): Names of their modules, and what they do.
        package (str): The package that the modules are in.
        chosen (str, optional): The only one whose module is imported; None for all.
    """
    parsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for name, what in commands.items():
        if chosen not in (None, name):
            parsers.add_parser(name, help=what, add_help=False)
            continue
        module = import_module(f"{package}.{name}")
        command = parsers.add_parser(
            name,
            help=what,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run_command=module.run, parser=command)
        module.add_arguments(command)


class _PrintCompletion(argparse.Action):
    """Print what makes a shell complete commands and options, and stop."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: Optional[str] = None,
    ) -> NoReturn:
        import shtab  # nothing else of this module needs it

        print(shtab.complete(make_parser(), values))
        parser.exit(0)


def make_parser(chosen: Optional[str] = None) -> argparse.ArgumentParser:
    """The parser of ``pckd``.

    Args:
        chosen (str, optional): The only subcommand whose options are needed; None for
            all.

    Returns:
        ArgumentParser: The parser, see :func:`parse` for what it gives.
    """
    parser = argparse.ArgumentParser(
        prog="pckd",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pckd {__version__}")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=["bash", "zsh", "tcsh", "fish"],
        help="print what makes a shell complete commands and options",
    )
    add_commands(parser, COMMANDS, __name__, chosen)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read a command line of ``pckd``.

    Args:
        argv (Sequence[str]): The command line, from the subcommand on.

    Returns:
        Namespace: The subcommand's arguments, with its parser, the function that runs
        it, and the command line as ``argv``.

    Raises:
        SystemExit: After --help, and for a wrong command line.
    """
    named = next((word for word in argv if not word.startswith("-")), "")
    parser = make_parser(chosen=named)
    if named not in COMMANDS and argv[:1] == [named]:
        likely = nearest(named, COMMANDS)
        meant = f": did you mean {likely}?" if likely else "."
        parser.error(
            f"there is no command {named}; expected one of {', '.join(COMMANDS)}{meant}"
        )
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        options = getattr(args, "parser", parser)._option_string_actions
        likely = nearest(unknown[0].partition("=")[0], options)
        meant = f": did you mean {likely}?" if likely else "."
        getattr(args, "parser", parser).error(
            f"unrecognized arguments: {' '.join(unknown)}; expected those of --help"
            f"{meant}"
        )
    args.argv = list(argv)
    return args


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run a subcommand.

    Args:
        argv (Sequence[str], optional): The command line, from the subcommand on; None
            for the process's.

    Returns:
        int: Exit status.
    """
    words: List[str] = list(sys.argv[1:] if argv is None else argv)
    if not words:
        make_parser(chosen="").print_help()
        return 2
    args = parse(words)
    return args.run_command(args) or 0
