"""Settings that a search varies, and between which values."""

import inspect
import re
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from mmengine.config import Config
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pckd_mm.experiments import ExperimentError
from pckd_mm.experiments.catalogue import full_name
from pckd_mm.experiments.configs import read_config
from pckd_mm.experiments.run import SEED
from pckd_mm.registry import MODELS

__all__ = ["LOSSES", "Range", "distributions", "find_ranges"]

Number = Union[int, float]

# Stands for the weights of the losses of a config, and the temperature of its L_KD.
LOSSES = "losses"
# Around the value of the config: a tenth to ten times of a weight, a quarter to four
# times of a temperature.
_WEIGHT, _TEMPERATURE = 10, 4


@dataclass(frozen=True)
class Range:
    """A setting and the values that it may have.

    Args:
        name (str): Its name for the user, such as ``loss_kd.tau``.
        path (str): Its name in the config.
        first (int | float | str): Its value there, that of the first trial.
        low (int | float): The least value.
        high (int | float): The greatest value; values are drawn between both in
            logarithmic steps, or in even ones where ``low`` is not above 0.
        choices (tuple): The values, where they are named one by one.
    """

    name: str
    path: str
    first: Any
    low: Number = 0
    high: Number = 0
    choices: Tuple[Any, ...] = ()

    @property
    def whole(self) -> bool:
        """bool: Whether it is a whole number."""
        return all(isinstance(value, int) for value in (self.low, self.high))

    @property
    def log(self) -> bool:
        """bool: Whether values are drawn in logarithmic steps."""
        return self.low > 0

    def rounded(self, value: Any) -> Any:
        """A value with three digits, which a person can read and write.

        That of the config stays as it is.
        """
        if self.choices or self.whole or value == self.first:
            return value
        return min(max(float(f"{value:.3g}"), self.low), self.high)

    def __str__(self) -> str:
        if self.choices:
            return f"{self.name}={','.join(map(str, self.choices))}"
        return f"{self.name}={self.low:g}..{self.high:g}"


def distributions(ranges: Sequence[Range]) -> Dict[str, BaseDistribution]:
    """Ranges in the form of Optuna.

    Args:
        ranges (Sequence[Range]): The ranges.

    Returns:
        dict[str, BaseDistribution]: A distribution by the name of each.
    """

    def distribution(entry: Range) -> BaseDistribution:
        if entry.choices:
            return CategoricalDistribution(entry.choices)
        if entry.whole:
            return IntDistribution(int(entry.low), int(entry.high), log=entry.log)
        return FloatDistribution(entry.low, entry.high, log=entry.log)

    return {entry.name: distribution(entry) for entry in ranges}


def find_ranges(
    config: str,
    texts: Optional[List[str]] = None,
    options: Optional[Dict[str, Any]] = None,
) -> List[Range]:
    """What a search of a config varies.

    Args:
        config (str): Path of the config.
        texts (list[str], optional): For each setting NAME=LOW..HIGH, or NAME=A,B,C for
            values one by one, or :data:`LOSSES`. Names are those of
            :func:`pckd_mm.experiments.catalogue.full_name`. Defaults to None, the
            losses.
        options (dict, optional): Settings that override those of the config.

    Returns:
        list[Range]: A range for each setting; what is named later replaces what was
        before.

    Raises:
        ExperimentError: For a setting that is not in the config, or whose value there
            is not among those that are named.
    """
    cfg = deepcopy(read_config(config, "the search"))
    cfg.merge_from_dict(options or {})
    found = {}
    for text in texts or [LOSSES]:
        ranges = _of_losses(cfg) if text == LOSSES else [_parse(text, config, cfg)]
        found.update({entry.name: entry for entry in ranges})
    if not found:
        raise ExperimentError(
            f"{config} has no loss whose weight could be searched; expected a config "
            "that distills, or --search NAME=LOW..HIGH."
        )
    return list(found.values())


def _of_losses(cfg: Config) -> Iterator[Range]:
    """The weights of the losses, and the temperature of L_KD."""
    distiller = cfg.model.get("distiller", {})
    for loss, settings in distiller.get("distill_losses", {}).items():
        path = f"model.distiller.distill_losses.{loss}"
        if settings is None:  # which leaves a loss out
            continue
        # What is not written has the value of the loss's class.
        keys = [*settings, *([] if any(map(_is_weight, settings)) else ["loss_weight"])]
        for key in dict.fromkeys([*keys, "tau"]):
            is_weight, value = _is_weight(key), _value(cfg, f"{path}.{key}")
            is_temperature = key == "tau" and loss == "loss_kd"
            if not (is_weight or is_temperature) or not _is_number(value) or value <= 0:
                continue
            factor = _WEIGHT if is_weight else _TEMPERATURE
            name = loss if key == "loss_weight" else f"{loss}.{key}"
            low, high = float(value) / factor, float(value) * factor
            yield Range(name, f"{path}.{key}", float(value), low, high)


def _is_weight(key: str) -> bool:
    return key == "loss_weight" or key.endswith("_loss_weight")


def _parse(text: str, config: str, cfg: Config) -> Range:
    """A range as a user writes it."""
    name, _, values = text.partition("=")
    if not name or not values:
        raise ExperimentError(
            f"--search has {text}; expected NAME=LOW..HIGH, NAME=A,B,C or {LOSSES}."
        )
    path = full_name(name, "--search", config)
    if path == SEED:
        raise ExperimentError(
            f"--search has {SEED}, and all trials have one seed, so that they differ "
            "by the settings alone; expected a setting: give that seed by --seed."
        )
    first = _value(cfg, path)
    if first is None:
        raise ExperimentError(
            f"--search has {name}, and {config} does not say its value, which is the "
            f"first trial's; expected a setting of it: add {path}=VALUE to "
            "--cfg-options."
        )
    if ".." not in values:
        choices = tuple(_number(value, first) for value in values.split(","))
        if first not in choices:
            raise ExperimentError(_out(text, config, first))
        return Range(name, path, first, choices=choices)
    try:
        low, high = map(_plain, values.split(".."))
    except ValueError:
        raise ExperimentError(
            f"--search has {text}; expected two numbers, such as {name}=0.1..10."
        ) from None
    if not _is_number(first):
        raise ExperimentError(
            f"--search has {text}, and {config} has {first} there; expected values one "
            f"by one: {name}=A,B,C."
        )
    if not low < high:
        raise ExperimentError(
            f"--search has {text}; expected the lower number in front."
        )
    if not low <= first <= high:
        raise ExperimentError(_out(text, config, first))
    if not all(isinstance(value, int) for value in (low, high, first)):
        low, high, first = float(low), float(high), float(first)
    return Range(name, path, first, low, high)


def _out(text: str, config: str, first: Any) -> str:
    return (
        f"--search has {text}, and {config} has {first} there; expected values with "
        "that one among them, since it is the first trial's."
    )


def _plain(text: str) -> Number:
    """A number, whole where it is written as one."""
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def _number(text: str, like: Any) -> Any:
    """A value that a user writes, of the kind that the config has."""
    if isinstance(like, bool):
        return {"True": True, "False": False}.get(text, text)
    try:
        if not _is_number(like):
            return text
        value = _plain(text)
        return float(value) if isinstance(like, float) else value
    except ValueError:
        return text


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _value(cfg: Config, path: str) -> Any:
    """The value of a setting in a config, or the one that its class has without it."""
    place: Any = cfg
    *folders, last = path.split(".")
    for name in folders:
        if isinstance(place, (list, tuple)) and name.isdigit():
            place = place[int(name)] if int(name) < len(place) else None
        elif isinstance(place, dict) or isinstance(place, Config):
            place = place.get(name)
        else:
            return None
    if not isinstance(place, (dict, Config)):
        return None
    if last in place:
        return place[last]
    kind = MODELS.class_of(place.get("type"))
    if kind is None:
        return None
    taken = inspect.signature(kind).parameters.get(last)
    return None if taken is None or taken.default is taken.empty else taken.default
