"""Names of what configs say by a class or by its name."""

from typing import Any

__all__ = ["class_name"]


def class_name(kind: Any) -> str:
    """The name of a class without module or scope.

    Args:
        kind (type | str): The ``type`` of a config, such as ``mmdet.VOCMetric``.

    Returns:
        str: Such as ``VOCMetric``.
    """
    return str(getattr(kind, "__name__", kind)).rpartition(".")[2]
