"""Whether a checkpoint is what this run can be resumed from."""

from typing import List

from mmengine.hooks import EMAHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from pckd_mm.registry import HOOKS
from pckd_mm.utils.checkpoint import require_same_tensors
from pckd_mm.utils.wrappers import unwrap


@HOOKS.register_module()
class ResumeCheckHook(Hook):
    """Check what a run is resumed from before anything of it is loaded.

    MMEngine loads those tensors that fit, and leaves the config's learning rate, number
    of processes and batch size for what the checkpoint has without a word. Tensors or
    parameter groups that differ end the run here; a learning rate, a number of
    iterations in an epoch or an ``EMAHook`` that differ are warnings, and so is a run
    that was at its end.
    """

    # Before hooks that change what was read, such as EMAHook.
    priority = "HIGHEST"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check a checkpoint that the run is resumed from.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What MMEngine's runner saved.

        Raises:
            ValueError: Where it is another run's, of another network or optimizer.
        """
        if not runner._resume:
            return
        place = runner._load_from or f"in {runner.work_dir}"
        source = f"The checkpoint {place} that the run is to be resumed from"
        remedy = (
            "resume it with its own config, or take the weights alone (load_from=PATH, "
            "without --resume), in another work dir"
        )
        model = unwrap(runner.model)
        state = {k.removeprefix("module."): v for k, v in _state(checkpoint).items()}
        network = type(model).__name__
        require_same_tensors(state, model.state_dict(), source, network, remedy)
        groups = _param_groups(checkpoint.get("optimizer"))
        current = _param_groups(runner.optim_wrapper)
        found, expected = (
            [len(g["params"]) for g in each] for each in (groups, current)
        )
        if groups and found != expected:
            raise ValueError(
                f"{source} has an optimizer of {found} parameters in its groups, and "
                f"this run one of {expected}; expected the same: {remedy}."
            )
        for difference in (
            *_other_learning_rate(groups, current),
            *_other_epochs(runner, checkpoint.get("meta") or {}),
            *_other_average(runner, checkpoint),
            *_at_its_end(runner, checkpoint.get("meta") or {}),
        ):
            runner.logger.warning(f"{source} {difference}")


def _state(checkpoint: dict) -> dict:
    return checkpoint.get("state_dict", {})


def _param_groups(optimizer: object) -> List[dict]:
    """None of a dict of several optimizers."""
    if isinstance(optimizer, dict):
        return optimizer.get("param_groups", [])
    groups = getattr(optimizer, "param_groups", [])
    return groups if isinstance(groups, list) else []


def _other_learning_rate(groups: List[dict], current: List[dict]) -> List[str]:
    found, now = (
        sorted({float(group.get("initial_lr", group["lr"])) for group in each})
        for each in (groups, current)
    )
    if not groups or found == now:
        return []
    return [
        f"began with the learning rate {_listed(found)}, and this config has "
        f"{_listed(now)}: the checkpoint's optimizer and schedule go on. To change "
        "them, train from its weights alone (load_from=PATH, without --resume)."
    ]


def _listed(numbers: List[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _other_epochs(runner: Runner, meta: dict) -> List[str]:
    epoch, done = meta.get("epoch", 0), meta.get("iter", 0)
    if not isinstance(runner.train_loop, EpochBasedTrainLoop) or epoch < 1:
        return []
    steps = len(runner.train_dataloader)
    if epoch * steps <= done <= (epoch + 1) * steps:
        return []
    return [
        f"has {done} iterations in {epoch} epochs, and {epoch} epochs of this run are "
        f"{epoch * steps}: the data, the batch size or the number of processes are "
        "others, and schedules by iteration and the learning rate are not adapted."
    ]


def _other_average(runner: Runner, checkpoint: dict) -> List[str]:
    averages = any(isinstance(hook, EMAHook) for hook in runner.hooks)
    if averages and "ema_state_dict" not in checkpoint:
        return ["has no averaged weights, which EMAHook begins with now."]
    if not averages and "ema_state_dict" in checkpoint:
        return [
            "has the weights of an EMAHook, which this run lacks: it goes on from the "
            "averaged ones."
        ]
    return []


def _at_its_end(runner: Runner, meta: dict) -> List[str]:
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        done, end, what = meta.get("epoch", 0), runner.max_epochs, "epochs"
    else:
        done, end, what = meta.get("iter", 0), runner.max_iters, "iterations"
    if done < end:
        return []
    return [
        f"has all of its {end} {what} behind it: nothing is left to train. To go on, "
        f"raise train_cfg.max_{what}."
    ]
