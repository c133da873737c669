"""How a process that trains has ended, and what it trained, in words."""

import faulthandler
import signal
import sys
from typing import Any, List, Mapping

from .class_name import class_name

__all__ = ["ending", "last_lines", "network_name", "networks_of", "trace_faults"]

# What lines begin with that are behind an error and say nothing of it.
_NO_NEWS = (
    "Extension modules: ",
    *("nanobind: ", " - leaked ", " - ... skipped remainder"),
    "See https://nanobind.readthedocs.io/",
)
_FAULTS = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")


def ending(status: int) -> str:
    """What ended a process that did not do its work.

    Args:
        status (int): Its exit status, negative for a signal as in ``subprocess``.

    Returns:
        str: In words, to be read behind its name.
    """
    if status >= 0:
        return "failed"
    try:
        name = signal.Signals(-status).name
    except ValueError:  # one of the real-time signals
        return f"was ended by signal {-status}"
    words = f"was ended by {name} ({(signal.strsignal(-status) or name).lower()})"
    if name in _FAULTS:
        words += ", a fault in compiled code"
    elif name == "SIGKILL":
        words += ", as the system does for lack of memory"
    return words


def network_name(network: Any) -> str:
    """A network's backbone, or itself, and what tells it from others of its kind.

    Args:
        network (Any): Its config, or the network.

    Returns:
        str: Such as "CIFARResNet (depth 8)".
    """
    if not isinstance(network, Mapping):
        return type(network).__name__
    of = network.get("backbone") or network
    kind = class_name(of.get("type", "network"))
    for key in ("depth", "arch", "model_name", "model"):
        if isinstance(of.get(key), (int, str)):
            return f"{kind} ({key} {of[key]})"
    return kind


def networks_of(model: Mapping) -> str:
    """The networks of a run.

    Args:
        model (Mapping): ``model`` of its config.

    Returns:
        str: Such as "student CIFARResNet (depth 8), teacher CIFARResNet (depth 20)".
    """
    if "architecture" not in model:
        return network_name(model)
    words = f"student {network_name(model['architecture'])}"
    if model.get("teacher") is not None:
        words += f", teacher {network_name(model['teacher'])}"
    elif model.get("teacher_config") is not None:
        words += f", teacher of {model['teacher_config']}"
    return words


def trace_faults() -> None:
    """Let a fault in compiled code print Python's place in it to stderr.

    What a run prints is the log that ``tools/compare.py`` keeps and :func:`last_lines`
    shows; the log file of MMEngine's runner does not have it.
    """
    if sys.__stderr__ is not None and not faulthandler.is_enabled():
        faulthandler.enable(file=sys.__stderr__)


def last_lines(log: str, number: int = 20) -> List[str]:
    """The end of a log.

    Args:
        log (str): Its text.
        number (int): How many lines. Defaults to 20.

    Returns:
        list[str]: The last lines, without what hides the error in front of it: the long
        list of all modules behind a fault, and nanobind's report of what its libraries,
        such as Triton, leak when a process ends.
    """
    return [x for x in log.splitlines() if not x.startswith(_NO_NEWS)][-number:]
