"""Work without MMEngine's lines about it."""

import contextlib
import logging
from typing import Iterator

from mmengine.logging import MMLogger

__all__ = ["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what networks say while they are built and initialised to errors.

    Yields:
        None: Inside, MMEngine's logger has the level ``ERROR``.
    """
    logger = MMLogger.get_current_instance()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
