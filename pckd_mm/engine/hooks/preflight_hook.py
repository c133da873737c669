"""Checks of data and model before the first training step."""

from typing import Sized

from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.runner import Runner, ValLoop
from mmrazor.models import SingleTeacherDistill

from pckd_mm.engine.dry_run import dry_run
from pckd_mm.engine.loops import has_ended
from pckd_mm.engine.preflight import (
    check_any_batch,
    check_batch_size,
    check_categories,
    check_in_memory,
    check_same_classes,
    check_teachers_classes,
    check_top_k,
)
from pckd_mm.engine.preflight_model import (
    check_stop,
    check_wrapper,
    tell_channel_order,
)
from pckd_mm.registry import HOOKS
from pckd_mm.utils.wrappers import unwrap


@HOOKS.register_module()
class PreflightHook(Hook):
    """End a run that cannot succeed before it starts.

    Checks what distributes the model, the labels of the training set and the metrics of
    the validation against the student's head, and the batch size against the preview,
    then runs two training images through teacher, student and distiller in evaluation
    mode, without gradient and without touching the random numbers of the run: recorders
    that never record, connectors and losses that do not fit show up there.
    """

    priority = "VERY_LOW"

    def before_run(self, runner: Runner) -> None:
        check_wrapper(runner.model)

    def before_train(self, runner: Runner) -> None:
        if has_ended(runner):
            return  # a finished run was resumed: nothing is left to train
        model = unwrap(runner.model)
        loader = runner.train_dataloader
        check_any_batch(loader)
        preprocessor = getattr(model, "data_preprocessor", None)
        check_in_memory(loader, "train_dataloader", True, preprocessor)
        if runner.val_loop is not None:
            self.before_val(runner)
            check_same_classes(loader.dataset, runner.val_loop.dataloader.dataset)
        distils = isinstance(model, SingleTeacherDistill)
        student = model.student if distils else model

        num_classes = getattr(getattr(student, "head", None), "num_classes", None)
        num_classes = getattr(model, "num_classes", num_classes)
        if num_classes is not None:
            check_categories(loader.dataset, num_classes)
            if isinstance(runner.val_loop, ValLoop):
                check_top_k(runner.val_loop.evaluator, num_classes)
        if distils and getattr(model, "min_images", 1) > 1:
            if loader.batch_size is not None and isinstance(loader.sampler, Sized):
                images = len(loader.sampler)  # of this process
                # An endless sampler has no last batch.
                endless = isinstance(loader.sampler, InfiniteSampler)
                check_batch_size(images, loader.batch_size, loader.drop_last or endless)
        if distils:
            check_stop(model, runner.hooks, runner.max_epochs)
            if getattr(model, "teacher_classes", None):
                check_teachers_classes(model.teacher_classes, loader.dataset)
            tell_channel_order(model, loader.dataset)
            dry_run(model, loader)

    def before_val(self, runner: Runner) -> None:
        loader = runner.val_loop.dataloader
        check_in_memory(loader, "val_dataloader", training=False)

    def before_test(self, runner: Runner) -> None:
        loader = runner.test_loop.dataloader
        check_in_memory(loader, "test_dataloader", training=False)
