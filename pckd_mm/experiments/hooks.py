"""The hooks that a config names, and of which class they are."""

from typing import Any, Iterator, Mapping

from pckd_mm.utils.class_name import class_name

__all__ = ["hook_kind", "hooks_of"]


def hook_kind(hook: Mapping[str, Any]) -> str:
    """The name of a hook's class.

    Args:
        hook (Mapping): Its config.

    Returns:
        str: Such as ``EMAHook``; empty for settings without a type, of a hook that
        training adds (:data:`pckd_mm.engine.guards.DEFAULT_HOOKS`).
    """
    return class_name(hook.get("type", ""))


def hooks_of(cfg: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All hooks of a run.

    Args:
        cfg (Mapping): Config of the run.

    Yields:
        Mapping: Each of ``default_hooks`` that is not turned off, and of
        ``custom_hooks``.
    """
    yield from filter(None, (cfg.get("default_hooks") or {}).values())
    yield from cfg.get("custom_hooks") or []
