"""MMRazor 1.0.0 beside versions that are newer than it."""

import importlib
import sys
import types

from mmengine.utils import digit_version

__all__ = ["disable_quantization", "import_mmrazor"]

_QUANTIZATION = "mmrazor.structures.quantization"


def disable_quantization() -> None:
    """Let ``mmrazor.models`` import where torch lacks the names its quantizers use.

    MMRazor 1.0.0 imports private quantization names that torch 2.0 removed. An empty
    stand-in for the one module that needs them switches quantization off and leaves
    the rest of MMRazor as it is.
    """
    if _QUANTIZATION in sys.modules:
        return
    stub = types.ModuleType(_QUANTIZATION, "Switched off by pckd_mm.compat.")
    for name in ("BackendConfigs", "QConfigHandler", "QSchemeHandler"):
        setattr(stub, name, type(name, (), {"__module__": _QUANTIZATION}))
    sys.modules[_QUANTIZATION] = stub


def import_mmrazor() -> None:
    """Import ``mmrazor`` beside an mmcv that is newer than 2.1.0.

    MMRazor 1.0.0 asserts mmcv <= 2.1.0 when it is imported and works with the newer
    ones of the maintained line (the ``onedl-*`` distributions), so the version is
    another one just for this moment.
    """
    try:
        import mmcv
    except ImportError:  # reports of what was measured need neither
        return
    newest = "2.1.0"
    version = mmcv.__version__
    if digit_version(version) > digit_version(newest):
        mmcv.__version__ = newest
    try:
        importlib.import_module("mmrazor")
    finally:
        mmcv.__version__ = version
