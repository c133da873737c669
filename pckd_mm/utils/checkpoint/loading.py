"""Networks that load what fits of a checkpoint, and say what they did not.

MMEngine loads those tensors that fit (``load_from``, ``init_cfg``) and prints the names
of the others, not into the log.
"""

import logging
import re
from typing import Any, Dict, List, Optional, Sequence

from mmengine.logging import print_log
from mmengine.model import PretrainedInit
from torch import nn
from torch.nn.modules.module import _IncompatibleKeys

from .fitting import REMEDY, fitting_tensors, listed, misfit
from .names import COUNTER

# What a fitting network keeps of itself, as attributes, since copies (EMAHook's) keep
# them too.
_SETTINGS, _SOURCE, _NOTES = "_fits_on_load", "_loads_from", "_load_notes"
# How torch tells that a shape differs.
_OTHER_SHAPE = re.compile(
    r"size mismatch for ([^:]+): copying a param with shape (.*?) from checkpoint, the "
    r"shape in current model is (.*?)\.?$"
)


def fit_on_load(
    network: nn.Module, optional: Sequence[str] = (), exact: bool = False
) -> None:
    """From now on a network loads checkpoints whose names differ by a prefix.

    Whoever loads them, by its ``load_state_dict`` or by MMEngine's: a runner's
    ``load_from``, its own ``init_cfg``. What does not fit is named in a warning. So it
    is for those of its modules whose ``init_cfg`` names a checkpoint.

    Args:
        network (nn.Module): The network, changed in place.
        optional (Sequence[str]): Beginnings of the names of parts that the checkpoint
            of a plain network does not have. Defaults to ().
        exact (bool): Whether a checkpoint must fit in every tensor. Defaults to False.

    Note:
        Loading raises a ValueError where the weights of the backbone do not all fit; in
        networks without one, where not more than half of the weights do; where
        ``exact`` is set, for every tensor that does not.
    """
    settings = {network: dict(optional=tuple(optional), exact=exact)}
    for module in network.modules():
        if pretrained(module) is not None:
            settings.setdefault(module, dict(optional=(), exact=False))
    for module, setting in settings.items():
        if hasattr(module, _SETTINGS):  # it does so already
            continue
        setattr(module, _SETTINGS, setting)
        handle = module._register_load_state_dict_pre_hook(_fit, with_module=True)
        # Before a network's own hooks, which begin with its names.
        hooks = module._load_state_dict_pre_hooks
        hooks.move_to_end(handle.id, last=False)  # type: ignore[attr-defined]  # ordered
        module.register_load_state_dict_post_hook(_report)


def naming_source(network: nn.Module, source: str, notes: Sequence[str] = ()) -> None:
    """Give what a network loads next a name in what is said of it.

    Args:
        network (nn.Module): A network that fits on load.
        source (str): Name of the checkpoint, such as ``load_from=PATH``.
        notes (Sequence[str]): What is to be said of it already. Defaults to ().
    """
    setattr(network, _SOURCE, (source, notes))


def pretrained(module: nn.Module) -> Optional[str]:
    """The checkpoint that a module's ``init_cfg`` names.

    Args:
        module (nn.Module): Any module.

    Returns:
        str | None: Its address; None where there is none.
    """
    cfgs = getattr(module, "init_cfg", None) or []
    for cfg in [cfgs] if isinstance(cfgs, dict) else cfgs:
        if cfg.get("type") in ("Pretrained", PretrainedInit):
            return cfg.get("checkpoint")
    return None


def _fit(module: nn.Module, state_dict: dict, prefix: str, *rest: Any) -> None:
    """Rename what is to be loaded; torch calls this before it loads."""
    if prefix:  # it is loaded as part of another network
        return
    *_, errors = rest
    source, before = module.__dict__.pop(_SOURCE, (None, ()))
    if source is None:
        source = "The checkpoint"
        # Only then MMEngine's modules have this.
        if hasattr(module, "_params_init_info") and pretrained(module) is not None:
            source = f"init_cfg.checkpoint={pretrained(module)}"
    tensors, notes = fitting_tensors(dict(state_dict), module.state_dict(), source)
    state_dict.clear()
    state_dict.update(tensors)
    setattr(module, _NOTES, (source, [*before, *notes], errors, set(state_dict)))


def _report(module: nn.Module, incompatible: _IncompatibleKeys) -> None:
    """Say what was not loaded; torch calls this after it loaded."""
    noted = module.__dict__.pop(_NOTES, None)
    if noted is None:  # it is loaded as part of another network
        return
    source, notes, errors, given = noted
    settings, who = getattr(module, _SETTINGS), type(module).__name__
    _leave_out(incompatible.missing_keys, settings["optional"], given, notes)
    if notes:
        text = f"{source} is loaded into the {who}: {'; '.join(notes)}."
        print_log(text, logger="current")

    problems = _problems(incompatible.missing_keys, errors)
    unknown = [f"{name} is unknown" for name in incompatible.unexpected_keys]
    if settings["exact"] and (problems or unknown):
        raise misfit([*problems.values(), *unknown], source, who)
    weights, what, allowed = _body(module, settings["optional"])
    lacking = [problems[name] for name in weights if name in problems]
    if len(lacking) > allowed:
        raise ValueError(
            f"{source} does not fit the {who}: of the {len(weights)} weights of its "
            f"{what} {len(lacking)} are not in it, {listed(lacking)}; expected a "
            f"checkpoint of this network, or of one that differs in its head: {REMEDY}."
        )
    if problems or unknown:
        kept = [
            f"{len(problems)} tensors stay as they were: {listed(problems.values())}"
        ]
        left = [f"{len(unknown)} are not used: {listed(unknown)}"]
        text = "; ".join((kept if problems else []) + (left if unknown else []))
        print_log(
            f"{source} does not wholly fit the {who}: {text}.",
            logger="current",
            level=logging.WARNING,
        )


def _leave_out(
    missing: List[str], optional: Sequence[str], given: set, notes: List[str]
) -> None:
    """Take parts that a plain network's checkpoint lacks from the missing ones."""
    for part in optional:
        lacking = [name for name in missing if name.startswith(part)]
        if lacking and not any(name.startswith(part) for name in given):
            missing[:] = [name for name in missing if name not in lacking]
            notes.append(f"without {part}*, which stays as it was")


def _problems(missing: Sequence[str], errors: Sequence[str]) -> Dict[str, str]:
    """What was not loaded of a network, and why."""
    found = {name: f"{name} is missing" for name in missing if COUNTER not in name}
    for error in errors:
        shapes = _OTHER_SHAPE.search(error)
        if shapes:
            name, old, new = shapes.groups()
            found[name] = f"{name} is {_shape(old)} instead of {_shape(new)}"
        else:
            found[error] = error
    return found


def _shape(text: str) -> str:
    numbers = re.findall(r"\d+", text)
    return f"({', '.join(numbers)}{',' if len(numbers) == 1 else ''})"


def _body(module: nn.Module, optional: Sequence[str]) -> tuple:
    """Weights that a checkpoint must have, of what, and how many it may lack."""
    names = [
        name
        for name, _ in module.named_parameters()
        if not name.startswith(tuple(optional))
    ]
    backbone = [name for name in names if "backbone" in name.split(".")]
    if backbone:
        return backbone, "backbone", 0
    return names, "network", max(len(names) - 1, 0) // 2  # more than half must fit
