"""Texts of configs as they are: to lay them out takes longer than a short run."""

import re
from importlib import import_module
from typing import Any, Tuple


def leave_texts_as_they_are() -> None:
    """Let MMEngine write configs without yapf, but for the names at a line's start."""

    def lay_out(text: str, **settings: Any) -> Tuple[str, bool]:
        names = re.sub(r"^(\w+)=", r"\1 = ", text.rstrip(), flags=re.MULTILINE)
        return f"{names}\n", True

    module: Any = import_module("mmengine.config.config")
    module.FormatCode = lay_out
