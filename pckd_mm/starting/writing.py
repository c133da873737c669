"""The config that pckd init writes."""

import re
from pathlib import Path
from typing import Any, Mapping

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from mmengine.config import Config

from pckd_mm.utils.methods import method_file, network_kind

from .found import Found
from .networks import Named
from .schedules import Plan

__all__ = ["config_text", "default_name"]

TEMPLATES = Path(__file__).parent / "templates"


def default_name(data: Path, teacher: str, student: str) -> str:
    """Name of the config for some photos and two networks."""
    stems = [data.resolve().name, Path(teacher).stem, Path(student).stem]
    return re.sub(r"\W+", "_", "_".join(stems)) + ".py"


def config_text(
    found: Found, student: Named, teacher: Named, plan: Plan, path: Path
) -> str:
    """Write the config.

    Args:
        found (Found): What there is to train on.
        student (Named): The student.
        teacher (Named): The teacher.
        plan (Plan): The schedule.
        path (Path): The file that it is for.

    Returns:
        str: The text of the file.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["literal"] = repr
    environment.filters["arguments"] = _arguments
    return environment.get_template(f"{found.kind}.py.jinja").render(
        found=found,
        student=student,
        teacher=teacher,
        plan=plan,
        method=method_file("pckd", network_kind(student.model)),
        file=path.name,
        work_dir=f"work_dirs/{path.stem}",
        held_out="val" not in found.splits,
        classes=_assigned(classes=found.classes),
        student_text=_assigned(student=student.model),
        teacher_text=_assigned(teacher=teacher.model),
    )


def _arguments(values: Mapping[str, Any], indent: int) -> str:
    """Arguments of a call, one a line, behind others."""
    return "".join(
        f"{' ' * indent}{name}={value!r},\n" for name, value in values.items()
    )


def _assigned(**values: Any) -> str:
    """Settings as a config has them."""
    return Config(values).pretty_text.rstrip()
