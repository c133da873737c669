"""What the shell completes where it stands: the ``complete`` of an argument."""

import shlex

from shtab import DIRECTORY, FILE

from pckd_mm.utils.shipped import CONFIGS

__all__ = ["CONFIG", "DIRECTORY", "FILE"]

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
