"""PCKD for OpenMMLab.

Preview-based Category Contrastive Learning for Knowledge Distillation (Ding et al.,
IEEE TCSVT 2025, arXiv 2410.14143) as components for MMEngine's runner, MMPretrain's
classifiers and MMRazor's distillers.
"""

import sys
from typing import TYPE_CHECKING, Any

from pckd_mm.version import __version__

try:
    from pckd_mm import compat  # noqa: F401  (before anything imports mmrazor)
except Exception:
    program = sys.argv[0].replace("\\", "/").rpartition("/")[2]
    is_command = program in ("pckd", "pckd.exe", "-m", "__main__.py")
    if not is_command or sys.argv[1:2] != ["doctor"]:  # which says what is wrong
        raise

__all__ = ["__version__", "distill"]


if TYPE_CHECKING:
    from pckd_mm.from_code import distill
else:

    def __getattr__(name: str) -> Any:
        # With the models, which would be imported before the libraries they are of.
        if name == "distill":
            from pckd_mm.from_code import distill

            return distill
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
