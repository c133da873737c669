"""Whether a checkpoint is what this run can be resumed from."""

from typing import List

from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from pckd_mm.engine.loops import counts_epochs, done_and_all
from pckd_mm.registry import HOOKS
from pckd_mm.utils.checkpoint import require_same_tensors, without_ddp
from pckd_mm.utils.wrappers import unwrap

# Of torch's optimizers, without which one of another kind fails in its first step.
_SETTINGS = {"alpha", "betas", "eps", "lambd", "momentum", "nesterov", "rho"}


@HOOKS.register_module()
class ResumeCheckHook(Hook):
    """Check what a run is resumed from before anything of it is loaded.

    MMEngine loads those tensors that fit, and leaves the config's learning rate, number
    of processes and batch size for what the checkpoint has without a word. Tensors or
    optimizers that differ end the run here; a learning rate, a number of
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
        state = without_ddp(checkpoint.get("state_dict", {}))
        network = type(model).__name__
        require_same_tensors(state, model.state_dict(), source, network, remedy)
        if isinstance(runner.optim_wrapper, OptimWrapper):
            _require_same_optimizer(runner, checkpoint, source, remedy)
        for difference in (
            *_other_learning_rate(runner, checkpoint),
            *_other_epochs(runner, checkpoint.get("meta") or {}),
            *_other_average(runner, checkpoint),
            *_at_its_end(runner, checkpoint.get("meta") or {}),
        ):
            runner.logger.warning(f"{source} {difference}")


def _require_same_optimizer(
    runner: Runner, checkpoint: dict, source: str, remedy: str
) -> None:
    # Not those of the wrapper, which adds one for the log.
    current = runner.optim_wrapper.optimizer.param_groups
    found, expected = (
        [len(group["params"]) for group in each]
        for each in (_groups(checkpoint), current)
    )
    if found != expected:
        raise ValueError(
            f"{source} has an optimizer of {found} parameters in its groups, and this "
            f"run one of {expected}; expected the same: {remedy}."
        )
    lacking = [
        name
        for group, own in zip(_groups(checkpoint), current, strict=True)
        for name in sorted(_SETTINGS & own.keys())
        if name not in group
    ]
    if lacking:
        kind = type(runner.optim_wrapper.optimizer).__name__
        raise ValueError(
            f"{source} has an optimizer without the setting {lacking[0]} of this run's "
            f"{kind}; expected one of the same kind: {remedy}."
        )


def _groups(checkpoint: dict) -> List[dict]:
    """Parameter groups in a checkpoint; none of several optimizers."""
    return (checkpoint.get("optimizer") or {}).get("param_groups", [])


def _other_learning_rate(runner: Runner, checkpoint: dict) -> List[str]:
    if not isinstance(runner.optim_wrapper, OptimWrapper):
        return []
    current = runner.optim_wrapper.optimizer.param_groups
    found, now = (
        [float(group.get("initial_lr", group["lr"])) for group in each]
        for each in (_groups(checkpoint), current)
    )
    if found == now:
        return []
    return [
        f"began with the learning rate {_listed(found)}, and this config has "
        f"{_listed(now)}: the checkpoint's optimizer and schedule go on. To change "
        "them, train from its weights alone (load_from=PATH, without --resume)."
    ]


def _listed(numbers: List[float]) -> str:
    return ", ".join(f"{number:g}" for number in sorted(set(numbers)))


def _other_epochs(runner: Runner, meta: dict) -> List[str]:
    epoch, done = meta.get("epoch", 0), meta.get("iter", 0)
    if not counts_epochs(runner):
        return []
    steps = len(runner.train_dataloader)
    if done == epoch * steps:
        return []
    if epoch * steps < done <= (epoch + 1) * steps:
        again = done - epoch * steps
        return [
            f"was saved in the middle of epoch {epoch + 1}, behind {again} of its "
            f"{steps} iterations: MMEngine begins the epoch again, so that these are "
            "trained twice. To go on exactly, save at the end of epochs, "
            "default_hooks.checkpoint.by_epoch=True, and resume from there."
        ]
    return [
        f"has {done} iterations in {epoch} epochs, and {epoch} epochs of this run are "
        f"{epoch * steps}: other data, batches or processes (or epochs that were begun "
        "again), to which schedules by iteration and the learning rate are not adapted."
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
    name, what = "iter", "iterations"
    if counts_epochs(runner):
        name, what = "epoch", "epochs"
    done, end = meta.get(name, 0), done_and_all(runner)[1]
    if done < end:
        return []
    return [
        f"has all of its {end} {what} behind it: nothing is left to train, and a "
        f"higher train_cfg.max_{what} goes on with its schedules, which are at their "
        "end."
    ]
