"""The config that pckd init writes."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from mmengine.config import Config

from .folders import Found
from .networks import Named

__all__ = ["Plan", "config_text", "default_name", "plan_for"]

TEMPLATES = Path(__file__).parent / "templates"
# Steps that a training has, and epochs, whatever the number of images.
_STEPS, _FEWEST, _MOST = 6000, 20, 200
# As of ImageNet, 256 to 224.
_BORDER = 256 / 224


@dataclass
class Plan:
    """How long and how fast to train.

    Args:
        size (int): Height and width of the networks' inputs.
        batch (int): Images of a step.
        epochs (int): Epochs.
        lr (float): Learning rate.
        val_share (float): Share of the images that is held out to validate on.
        warmup (int): Steps over which the learning rate rises to that.
    """

    size: int
    batch: int
    epochs: int
    lr: float
    val_share: float = 0.2
    warmup: int = 0


def plan_for(
    images: int,
    size: int,
    pretrained: bool,
    val_share: float = 0.2,
    epochs: Optional[int] = None,
) -> Plan:
    """A schedule for the size of the data.

    Args:
        images (int): Images to train on.
        size (int): Height and width of the networks' inputs.
        pretrained (bool): Whether the student begins with weights of ImageNet.
        val_share (float): Share that is held out. Defaults to 0.2.
        epochs (int, optional): Epochs. Defaults to None, as many as make some thousand
            steps.

    Returns:
        Plan: Steps of 16 to 64 images; the learning rate rises over the first 5 %.
    """
    batch = 16 if images < 500 else 32 if images < 5000 else 64
    if epochs is None:
        epochs = round(_STEPS * batch / max(images, 1) / 10) * 10
        epochs = min(max(epochs, _FEWEST), _MOST)
    # That of the CRD benchmark's 64 images, by the linear rule.
    lr = (0.01 if pretrained else 0.05) * batch / 64
    warmup = max(1, epochs * images // batch // 20)
    return Plan(size, batch, epochs, round(lr, 5), val_share, warmup)


def default_name(data: Path, teacher: str, student: str) -> str:
    """Name of the config for some photos and two networks."""
    stems = [data.resolve().name, Path(teacher).stem, Path(student).stem]
    return re.sub(r"\W+", "_", "_".join(stems)) + ".py"


def config_text(
    found: Found, student: Named, teacher: Named, plan: Plan, path: Path
) -> str:
    """Write the config.

    Args:
        found (Found): The photos.
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
    return environment.get_template("config.py.jinja").render(
        found=found,
        student=student,
        teacher=teacher,
        plan=plan,
        file=path.name,
        work_dir=f"work_dirs/{path.stem}",
        held_out="val" not in found.splits,
        resized=round(plan.size * _BORDER),
        classes=_assigned(classes=found.classes),
        student_text=_assigned(student=student.model),
        teacher_text=_assigned(teacher=teacher.model),
    )


def _assigned(**values: Any) -> str:
    """Settings as a config has them."""
    return Config(values).pretty_text.rstrip()
