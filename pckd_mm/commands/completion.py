"""What the shell completes where it stands: the ``complete`` of an argument."""

import shlex
from argparse import ArgumentParser
from typing import Any, Dict

from shtab import DIRECTORY, FILE

from pckd_mm.utils.shipped import CONFIGS

__all__ = ["CONFIG", "DIRECTORY", "FILE", "add_path"]

# The package's configs, as they are when the shell asks, and files.
CONFIG = {
    **FILE,
    "bash": "_pckd_configs",
    "preamble": {
        "bash": f"""
_pckd_configs() {{
  compgen -W "$(cd {shlex.quote(str(CONFIGS))} && printf '%s\\n' [!_]*/*.py)" -- "$1"
  compgen -f -- "$1"
}}
"""
    },
}


def add_path(
    parser: ArgumentParser, what: Dict[str, Any], *names: str, **settings: Any
) -> None:
    """Add an argument that the shell completes.

    Args:
        parser (ArgumentParser): Of a subcommand.
        what (dict): What it is: one of those above.
        *names (str): What it is called.
        **settings: Further arguments of ``add_argument``.
    """
    argument = parser.add_argument(*names, **settings)
    argument.complete = what  # type: ignore[attr-defined]  # where shtab looks
