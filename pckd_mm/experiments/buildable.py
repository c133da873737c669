"""Whether configs can be trained: they are built, without their data."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from pckd_mm.registry import MODELS, TASK_UTILS
from pckd_mm.utils.config import model_of
from pckd_mm.utils.printable import printable
from pckd_mm.utils.quiet import quiet
from pckd_mm.utils.shipped import beside_configs

from .accepted import Unknown, accepted, names_of, nearest, unknown_settings
from .configs import read_config
from .job import ExperimentError
from .run import Run

__all__ = ["check_buildable", "check_teachers", "faults", "options_in_vain"]

Part = Tuple[str, dict]


def check_buildable(runs: Sequence[Run]) -> None:
    """Build the networks, losses and optimizers of runs, and check all other settings.

    No data set is read, and none needs to be there.

    Args:
        runs (Sequence[Run]): The runs; of those with one config, whatever their seeds,
            one is built.

    Raises:
        ExperimentError: Where one cannot be built, or says what nothing takes; all of
            them are named.
    """
    found: Dict[str, List[str]] = {}
    lines: List[str] = []
    for run in runs:
        cfg = deepcopy(run.cfg)
        cfg.model.pop("teacher_ckpt", None)  # another file for each teacher
        cfg.randomness.pop("seed", None)
        text = cfg.pretty_text
        if text not in found:
            before = read_config(run.config, run.name)
            options = {**run.settings.options, **run.options}
            found[text] = faults(run.cfg, before, options)
            lines += [f"{run} ({run.config}): {fault}" for fault in found[text]]
    if lines:
        raise ExperimentError("\n".join(lines))
    check_teachers(runs)


def check_teachers(runs: Sequence[Run]) -> None:
    """Load the teachers that no run trains or tests first, and that are files here.

    Args:
        runs (Sequence[Run]): The runs, which are left to be trained.

    Raises:
        ExperimentError: For a checkpoint that does not fit its teacher, and for that of
            a finished run where it is gone.
    """
    seen = set()
    for run in runs:
        if run.after is not None and run.after not in runs:
            _require_kept(run, run.after)
        model = run.cfg.model
        path = beside_configs(model.get("teacher_ckpt") or "")
        if not run.distils or run.after is not None or not Path(path).is_file():
            continue
        teacher = (path, str(model.get("teacher")), model.get("teacher_config"))
        if teacher in seen:
            continue
        seen.add(teacher)
        scope = run.cfg.get("default_scope")
        with DefaultScope.overwrite_default_scope(scope), quiet():
            try:
                MODELS.build(model_of(run.cfg)).load_teacher()
            except (RuntimeError, TypeError, ValueError) as error:
                raise ExperimentError(f"{run} ({run.config}): {error}") from None


def _require_kept(run: Run, after: Run) -> None:
    """Refuse a run whose teacher was trained, and its checkpoint removed."""
    if after.is_finished and not after.checkpoint.is_file():
        raise ExperimentError(
            f"{run} learns from {after.checkpoint}, and that file is gone; expected "
            f"what {after} came to: bring it back, or remove {after.folder} to train "
            "it again, and with it all its students."
        )


def faults(
    cfg: Config, before: Optional[Config] = None, options: Optional[dict] = None
) -> List[str]:
    """What keeps a config from being trained.

    Args:
        cfg (Config): The config, with the options merged in.
        before (Config, optional): The config without them.
        options (dict, optional): Settings that were added, by their names in the
            config.

    Returns:
        list[str]: A sentence for each fault; empty where all can be built.
    """
    new = [] if before is None else list(_new_names(before.to_dict(), options or {}))
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope")), quiet():
        unknown = _in_vain(cfg, new)
        if unknown:
            return list(map(str, unknown))
        try:
            _build(cfg)
        except Exception as error:  # whatever a class raises, the user is to be told
            return [_reason(error, cfg, new)]
    return []


def options_in_vain(
    cfg: Config, before: Config, options: Dict[str, Any]
) -> List[Unknown]:
    """Settings of a command line that nothing reads.

    Those of a model are not among them: what it is built of refuses them.

    Args:
        cfg (Config): The config, with the options merged in.
        before (Config): The config without them.
        options (dict): What was added, by its names in the config.

    Returns:
        list[Unknown]: Each of them.
    """
    new = _new_names(before.to_dict(), options)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope")), quiet():
        unknown = _in_vain(cfg, new)
    return [each for each in unknown if any(_overlap(each, o) for o in options)]


def _overlap(unknown: Unknown, option: str) -> bool:
    """Whether an option sets what nothing takes, something in it, or all around it."""
    path, option = f"{unknown.path.partition('=')[0]}.", f"{option}."
    return path.startswith(option) or option.startswith(path)


def _in_vain(cfg: Config, new: Iterable[Unknown]) -> List[Unknown]:
    """What nothing takes, of new names at the top and of all that the runner reads."""
    return [*filter(None, map(_of_the_top, new)), *unknown_settings(cfg)]


def _build(cfg: Config) -> None:
    """Build what is trained, and what trains it, as MMEngine's runner does."""
    model = MODELS.build(model_of(cfg))
    wrapper = deepcopy(cfg.get("optim_wrapper") or {})
    if "optimizer" in wrapper:
        # Wrappers of mixed precision are for the device that a run is trained on.
        parts = ("optimizer", "constructor", "paramwise_cfg")
        kept = {name: wrapper[name] for name in parts if name in wrapper}
        build_optim_wrapper(model, Config(kept)._cfg_dict)


# ---------------------------------------------------------------- in words


def _new_names(before: Any, options: Dict[str, Any]) -> Iterator[Unknown]:
    """Names in options that the config did not have, at their place nearest the top."""
    for option in options:
        place, path = before, ""
        for name in option.split("."):
            path = f"{path}.{name}".lstrip(".")
            if isinstance(place, (list, tuple)) and name.isdigit():
                place = place[int(name)] if int(name) < len(place) else None
                continue
            if not isinstance(place, dict):
                break
            if name not in place:
                yield Unknown(path, "the config has none", nearest(name, place))
                break
            place = place[name]


def _of_the_top(new: Unknown) -> Optional[Unknown]:
    """A new name at the top of the config, where nothing can read it."""
    # With them all of MMPretrain and MMDetection, which who only plans does not need.
    from pckd_mm.engine.hooks.unused_settings_hook import READ
    from pckd_mm.models.algorithms.settings import USED

    known = {*USED[""], *READ}
    if "." in new.path or new.path in known:
        return None
    meant = new.meant or nearest(new.path, known)
    return Unknown(new.path, "nothing in a config is read by that name", meant)


def _reason(error: Exception, cfg: Config, new: Sequence[Unknown]) -> str:
    """Why a config could not be built, with the setting that is to blame."""
    # The text of a KeyError is quoted once more.
    text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    parts = list(_parts(cfg.model, "model"))
    blamed = _unknown_argument(text, parts) or _unknown_type(text, parts)
    if blamed is not None:
        return str(blamed)
    # MMEngine puts the class and its module in front of each error, level by level.
    plain = re.sub(r"class `[^`]*` in [^:]*: ", "", text).strip()
    sentence = f"{type(error).__name__}: {printable(plain.partition(chr(10))[0], 600)}"
    hints = [f"{name.path}: did you mean {name.meant}?" for name in new if name.meant]
    return " ".join([sentence, *hints])


def _unknown_argument(text: str, parts: Sequence[Part]) -> Optional[Unknown]:
    """The argument that an error says a class does not take."""
    found = re.search(r"unexpected keyword argument '(\w+)'", text)
    if not found:
        return None
    name = found[1]
    having = [(path, _class(part["type"])) for path, part in parts if name in part]
    # That whose class the error tells comes first; it may tell one that it inherits.
    having.sort(key=lambda pair: f"{pair[1].__name__}.__init__()" not in text)
    for path, kind in having:
        why = f"{kind.__name__} has no such setting"
        return Unknown(f"{path}.{name}", why, nearest(name, accepted(kind)[0] - {name}))
    return None


def _unknown_type(text: str, parts: Sequence[Part]) -> Optional[Unknown]:
    """The type that an error says is not registered."""
    found = re.match(r"(?:class `.*: )?'?([\w.]+) is not in the (\S+) registry", text)
    for path, part in parts:
        if found and part["type"] == found[1]:
            names = names_of(MODELS.root) | names_of(TASK_UTILS.root)
            meant = nearest(found[1], names)
            return Unknown(f"{path}.type={found[1]}", "there is no such class", meant)
    return None


def _class(kind: Any) -> Any:
    """The class that a type in a model's config stands for."""
    if not isinstance(kind, str):
        return kind
    return MODELS.get(kind) or TASK_UTILS.get(kind) or object


def _parts(value: Any, path: str) -> Iterator[Part]:
    """All dicts with a type in a config, with their names."""
    if isinstance(value, dict):
        if "type" in value:
            yield path, value
        for name, part in value.items():
            yield from _parts(part, f"{path}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _parts(part, f"{path}.{index}")
