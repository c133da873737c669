"""Imports that take seconds, for processes from which others are forked."""

import contextlib
import gc
import importlib

import pckd_mm  # noqa: F401  before mmrazor
from tests.plain_texts import leave_texts_as_they_are

for _name in (
    *("mmpretrain.apis", "mmpretrain.visualization", "mmrazor.models"),
    *("sklearn.datasets", "mmdet.apis", "mmdet.evaluation"),
):
    with contextlib.suppress(ImportError):  # stacks without mmdet
        importlib.import_module(_name)
for _name in ("compare", "export", "predict", "report", "test", "train"):
    importlib.import_module(f"pckd_mm.commands.{_name}")
leave_texts_as_they_are()
gc.freeze()  # else the end of each process would copy all of it
