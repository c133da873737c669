"""MMRazor imports on today's torch only after pckd_mm, whichever test comes first."""

import contextlib
import gc
import logging
import os
import types
from typing import Iterator

# Processes that share the cores would wait for each other's threads. Before torch.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

import pckd_mm  # noqa: F401
from tests.plain_texts import leave_texts_as_they_are

leave_texts_as_they_are()


def pytest_collection_finish() -> None:
    """What was imported is left out when garbage is looked for.

    MMEngine looks for it with each data set, a quarter of a second for so many modules.
    """
    gc.freeze()


@contextlib.contextmanager
def _runs_of_its_own() -> Iterator[None]:
    """Default scope and logger are those from before, and logs are closed."""
    before = {kind: kind._instance_dict.copy() for kind in (DefaultScope, MMLogger)}
    try:
        yield
    finally:
        for name, logger in MMLogger._instance_dict.items():
            if name not in before[MMLogger]:
                for handler in logger.handlers:
                    handler.close()
        for kind, instances in before.items():
            kind._instance_dict.clear()
            kind._instance_dict.update(instances)


# Two seconds after each pass of a loop by iterations, lest worker processes lock.
@pytest.fixture(autouse=True, scope="session")
def no_wait_between_passes():
    with pytest.MonkeyPatch.context() as patch:
        time = types.SimpleNamespace(sleep=lambda seconds: None)
        patch.setattr("mmengine.runner.loops.time", time)
        yield


# A runner sets the default scope, and opens the log, for all that comes later. The
# log's file is closed by any package that configures logging, as submitit does.
@pytest.fixture(autouse=True, scope="module")
def runs_of_a_module():
    with _runs_of_its_own():
        yield


@pytest.fixture(autouse=True)
def runs_of_a_test():
    with _runs_of_its_own():
        yield


@pytest.fixture
def log(caplog):
    """Gives the messages of MMEngine's logger so far."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield lambda: [record.getMessage() for record in caplog.records]
    logger.removeHandler(caplog.handler)
