"""Checkpoints of any of a distillation's networks for what a run trains or tests."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from pckd_mm.models.algorithms.classifier_networks import built_classifier
from pckd_mm.registry import HOOKS
from pckd_mm.utils.checkpoint import fit_on_load, naming_source, tensors_of
from pckd_mm.utils.wrappers import unwrap


@HOOKS.register_module()
class FitCheckpointHook(Hook):
    """Load what fits of ``load_from`` and ``init_cfg``, and say what does not.

    A plain network takes the student of a distillation's checkpoint and names that
    differ by a prefix, as distillations do by themselves; see
    :func:`pckd_mm.utils.checkpoint.fit_on_load`. One that timm or Hugging Face has made
    keeps the weights that it was made with. What a run is resumed from must fit in
    every tensor, for which there is :class:`ResumeCheckHook`.
    """

    # Before EMAHook, which copies the model and then loads the copy.
    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        # MMEngine initialises weights behind this, a distillation keeps its networks'.
        built_classifier(model)
        fit_on_load(model)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Name the checkpoint, and take its tensors from where they stand in it.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was read.
        """
        if runner._resume:
            return
        path = runner._load_from
        source = "The checkpoint" if path is None else f"load_from={path}"
        checkpoint["state_dict"], notes = tensors_of(checkpoint, source)
        naming_source(unwrap(runner.model), source, notes)
