"""Which optional parts of OpenMMLab are there."""

import functools
import importlib.util


@functools.lru_cache(None)
def has_detection() -> bool:
    """Whether MMDetection can be imported.

    Returns:
        bool: False without mmdet, and with an mmcv without compiled operators, such as
        mmcv-lite.
    """
    return all(
        importlib.util.find_spec(package) is not None
        for package in ("mmdet", "mmcv", "mmcv._ext")
    )
