"""What a run's config says to no effect."""

from typing import Iterable, List, Tuple

from mmengine.hooks import Hook
from mmengine.runner import Runner

from pckd_mm.models.algorithms.settings import NAMED, USED, check_settings
from pckd_mm.registry import HOOKS
from pckd_mm.utils.nearest import nearest_names

# Read by MMEngine beside the arguments of its runner.
READ = (
    "activation_checkpointing",
    "compile",
    "custom_imports",
    "efficient_conv_bn_eval",
    "find_unused_parameters",
    "model_wrapper_cfg",
    "sync_bn",
)


def misspelt(names: Iterable[str]) -> List[Tuple[str, str]]:
    """Names in a config that nothing reads and that look like one that is read.

    Args:
        names (Iterable[str]): Names at the top of the config of a run, among which
            variables of its own may be.

    Returns:
        list[tuple[str, str]]: Each of them with the one that it looks like.
    """
    known = (*USED[""], *READ)
    found = []
    for name in names:
        if name not in known and name not in NAMED[""]:
            like = nearest_names(name, known, 1, alike=0.85)
            found += [(name, other) for other in like]
    return found


@HOOKS.register_module()
class UnusedSettingsHook(Hook):
    """Name in the log what a run's config says that nothing reads.

    What belongs to MMCV 1, whose configs look alike, and names that look like one of
    MMEngine's. Others may be variables of the config.
    """

    def before_run(self, runner: Runner) -> None:
        check_settings("", runner.cfg)
        for name, other in misspelt(runner.cfg):
            runner.logger.warning(
                f"The config has {name}, which nothing reads; did you mean {other}?"
            )
