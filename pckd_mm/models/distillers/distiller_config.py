"""What the config of a distiller says: scopes, connectors that are used, arguments."""

import copy
from inspect import Parameter, signature
from typing import Any, Callable, Dict, List, Mapping, Optional, Union, overload

from torch import nn

from pckd_mm.registry import NeighbourlyRegistry

from .batch_records import LABELS, PROGRESS, SAMPLE_IDX
from .mappings import used_mappings

Config = Union[dict, List[dict]]


@overload
def in_scope(cfg: dict, registry: NeighbourlyRegistry, suffix: str = ...) -> dict: ...
@overload
def in_scope(
    cfg: List[dict], registry: NeighbourlyRegistry, suffix: str = ...
) -> List[dict]: ...
def in_scope(cfg: Config, registry: NeighbourlyRegistry, suffix: str = "") -> Config:
    """Prefix a type without a scope by that of the library that it is found in.

    MMRazor builds the parts of a distiller in the default scope, which need not know
    PCKD's or MMRazor's. These two come first here, whatever the default scope is:
    ``L1Loss`` is MMRazor's.

    Args:
        cfg (dict | list[dict]): Config of an object, or of several in a row.
        registry (NeighbourlyRegistry): Where to look.
        suffix (str): What the registry adds to the config's names. Defaults to ''.

    Returns:
        dict | list[dict]: A copy with the scope in its type.
    """
    if isinstance(cfg, (list, tuple)):
        return [in_scope(part, registry, suffix) for part in cfg]
    cfg = copy.deepcopy(dict(cfg))
    name = cfg.get("type")
    if isinstance(name, str):
        cfg["type"] = registry.with_scope(name, suffix, first=["mmrazor"])
    return cfg


def scoped(
    parts: Optional[Mapping[str, Optional[Config]]],
    registry: NeighbourlyRegistry,
    suffix: str = "",
) -> Dict[str, Config]:
    """What is not None of a distiller's parts, each by :func:`in_scope`."""
    return {
        name: in_scope(cfg, registry, suffix)
        for name, cfg in (parts or {}).items()
        if cfg is not None
    }


def map_settings(
    connectors: Dict[str, Config], function: Callable[[str, str, Any], Any]
) -> Dict[str, Config]:
    """Replace every setting of every connector.

    Args:
        connectors (dict[str, dict]): Configs of connectors, or of several in a row.
        function (Callable): Gives the new value for the connector's name, the
            setting's name and its value.

    Returns:
        dict[str, dict]: A copy with the new values.
    """

    def replace(name: str, cfg: dict) -> dict:
        return {key: function(name, key, value) for key, value in cfg.items()}

    return {
        name: replace(name, cfg)
        if isinstance(cfg, dict)
        else [replace(name, part) for part in cfg]
        for name, cfg in connectors.items()
    }


def used_connectors(distiller: dict) -> Dict[str, Config]:
    """Connectors that a loss takes a record through.

    One without a loss would have parameters without a gradient, which DDP does not
    forgive.

    Args:
        distiller (dict): Config of a distiller.

    Returns:
        dict[str, dict]: Their configs.
    """
    mappings = used_mappings(
        distiller.get("distill_losses"), distiller.get("loss_forward_mappings")
    )
    used = {
        record.get("connector")
        for mapping in mappings.values()
        for record in mapping.values()
    }
    connectors = distiller.get("connectors") or {}
    return {name: cfg for name, cfg in connectors.items() if cfg and name in used}


def resolve_widths(
    connectors: Dict[str, Config], **widths: Optional[int]
) -> Dict[str, Config]:
    """Replace ``'student'`` and ``'teacher'`` in connectors by feature widths.

    Args:
        connectors (dict[str, dict]): Configs of connectors.
        **widths (int): Width of the feature in front of each one's classifier; None
            where it is not known.

    Returns:
        dict[str, dict]: A copy with numbers.

    Raises:
        ValueError: Where a connector asks for a width that is not known.
    """

    def width(name: str, key: str, value: Any) -> Any:
        if not (
            key.endswith("_channels") and isinstance(value, str) and value in widths
        ):
            return value
        if widths[value] is None:
            raise ValueError(
                f"The connector {name} asks for the width of the {value}'s feature, "
                "and no linear classifier was found behind it; expected a number: "
                f"write it as {key}, or leave out the losses that use the connector."
            )
        return widths[value]

    return map_settings(connectors, width)


def check_losses(
    losses: Mapping[str, nn.Module], mappings: Dict[str, Dict[str, dict]]
) -> None:
    """Refuse losses that MMEngine would not add up, or that lack an argument.

    Args:
        losses (Mapping[str, nn.Module]): Losses by name.
        mappings (dict[str, dict]): Which record each argument of each loss is.

    Raises:
        ValueError: Names the loss and what it lacks.
    """
    for name, loss in losses.items():
        if "loss" not in name:
            raise ValueError(
                f"The distiller has a loss called {name}, and MMEngine adds up "
                "what has loss in its name; expected such a name: call it "
                f"loss_{name} in distill_losses and loss_forward_mappings."
            )
        given = mappings.get(name, {})
        missing = [
            argument
            for argument, parameter in signature(loss.forward).parameters.items()
            if argument not in given
            and parameter.default is Parameter.empty
            and parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        ]
        # What is optional by its signature, and not by the settings of the loss.
        needed = getattr(loss, "needed_arguments", ())
        missing += [argument for argument in needed if argument not in given]
        if missing:
            record = ""
            if missing[0] in (LABELS, PROGRESS, SAMPLE_IDX):
                record = f"=dict(recorder={missing[0]!r}, from_student=True)"
            raise ValueError(
                f"The loss {name} ({type(loss).__name__}) gets no {missing[0]}; "
                "expected a record for each of its arguments: add "
                f"loss_forward_mappings.{name}.{missing[0]}{record}."
            )
