"""How long and how fast to train, by the number of images."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from mmengine.config import Config

from pckd_mm.utils.class_name import class_name

__all__ = [
    "CLASSIFIERS",
    "DETECTORS",
    "ONE_STAGE_DETECTORS",
    "Plan",
    "Recipe",
    "plan_for",
    "recipe_of",
]

# The most images that a step of a detector has: they are large.
_MOST_LARGE = 8
# GPUs of a large machine: with one batch for each, an epoch of few images is one step.
_MOST_PROCESSES = 8


@dataclass(frozen=True)
class Recipe:
    """How a kind of networks is trained, whatever the number of images.

    Args:
        steps (int): Steps that a training has.
        epochs (tuple[int]): The fewest and the most epochs.
        batches (tuple[tuple[int]]): Numbers of images below which a batch has so many.
        largest (int): Images of a batch where there are more images.
        lr (float): Learning rate of ``base`` images with random weights.
        lr_pretrained (float): Likewise with weights that were trained.
        base (int): Images of a batch that these are for.
        optimizer (Mapping): What it is beside its learning rate.
        max_norm (float): Norm that gradients are clipped at: networks that begin with
            random weights may explode.
        paramwise (Mapping): What is otherwise for some parameters.
        average (Mapping, optional): Hook that averages the network over steps. Defaults
            to None.
    """

    steps: int
    epochs: Tuple[int, int]
    batches: Tuple[Tuple[int, int], ...]
    largest: int
    lr: float
    lr_pretrained: float
    base: int
    optimizer: Mapping[str, Any]
    max_norm: float
    paramwise: Mapping[str, Any] = field(default_factory=dict)
    average: Optional[Mapping[str, Any]] = None


# Learning rates: that of the CRD benchmark's 64 images, and a fifth of it.
CLASSIFIERS = Recipe(
    steps=6000,
    epochs=(20, 200),
    batches=((500, 16), (5000, 32)),
    largest=64,
    lr=0.05,
    lr_pretrained=0.01,
    base=64,
    optimizer=dict(type="SGD", momentum=0.9, weight_decay=5e-4, nesterov=True),
    max_norm=5.0,
)
# Rate and weight decay are mmdet's for 16 images, and the clipping is that of its FCOS.
# Images of detectors are large: 4 fit into most GPUs.
DETECTORS = Recipe(
    steps=6000,
    epochs=(12, 100),
    batches=(),
    largest=4,
    lr=0.02,
    lr_pretrained=0.02,
    base=16,
    optimizer=dict(type="SGD", momentum=0.9, weight_decay=1e-4),
    max_norm=35.0,
)
# mmdet's of RetinaNet, FCOS, ATSS and GFL.
ONE_STAGE_DETECTORS = replace(DETECTORS, lr=0.01, lr_pretrained=0.01)


def recipe_of(cfg: Optional[Config], otherwise: Recipe) -> Recipe:
    """The recipe by which the config of a network trains it.

    Args:
        cfg (Config, optional): The config, of mmdet's zoo or the user's.
        otherwise (Recipe): That of its kind, for what the config does not say.

    Returns:
        Recipe: With the optimizer, its settings for single parameters and the average
        over steps that the config has. That kind's, where the config has no optimizer
        by name or builds it in a way of its own.
    """
    cfg = cfg or {}
    wrapper = cfg.get("optim_wrapper") or {}
    optimizer = _plain(wrapper.get("optimizer"))
    is_named = isinstance(optimizer.get("type"), str)
    if not is_named or "lr" not in optimizer or "constructor" in wrapper:
        return otherwise
    lr, hooks = optimizer.pop("lr"), _hooks(cfg)
    loader = cfg.get("train_dataloader") or {}
    of_gpu = loader.get("batch_size", otherwise.largest)
    return replace(
        otherwise,
        largest=min(max(of_gpu, otherwise.largest), _MOST_LARGE),
        lr=lr,
        lr_pretrained=lr,
        base=_images_of_rate(cfg, of_gpu),
        optimizer=optimizer,
        paramwise=_plain(wrapper.get("paramwise_cfg")),
        average=next((hook for hook in hooks if _is_average(hook)), None),
    )


def _plain(settings: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    """A copy without the scope that mmengine.hub writes."""
    return {k: v for k, v in (settings or {}).items() if k != "_scope_"}


def _hooks(cfg: Config) -> Iterator[Dict[str, Any]]:
    """All hooks of a config."""
    default = cfg.get("default_hooks") or {}
    every = (*default.values(), *(cfg.get("custom_hooks") or ()))
    return (_plain(hook) for hook in every if hook)


def _is_average(hook: Mapping[str, Any]) -> bool:
    return class_name(hook.get("type")) == "EMAHook"


def _images_of_rate(cfg: Config, of_gpu: int) -> int:
    """Images of a step that a config's learning rate is for."""
    # auto_scale_lr of some, such as RTMDet's, is that of their base. Names are right.
    named = re.search(r"[-_](\d+)xb(\d+)[-_.]", Path(cfg.filename or "").name)
    if named:
        return int(named[1]) * int(named[2])
    return (cfg.get("auto_scale_lr") or {}).get("base_batch_size", of_gpu)


@dataclass
class Plan:
    """How long and how fast to train.

    Args:
        size (int): Pixels of the networks' inputs: height and width of classifiers,
            the shorter side of detectors.
        batch (int): Images of a step.
        epochs (int): Epochs.
        lr (float): Learning rate.
        recipe (Recipe): What does not depend on the number of images.
        val_share (float): Share of the images that is held out to validate on.
        warmup (int): Epochs over which the learning rate rises to that.
    """

    size: int
    batch: int
    epochs: int
    lr: float
    recipe: Recipe
    val_share: float = 0.2
    warmup: int = 1


def plan_for(
    recipe: Recipe,
    images: int,
    size: int,
    pretrained: bool,
    val_share: float = 0.2,
    epochs: Optional[int] = None,
) -> Plan:
    """A schedule for the size of the data.

    Args:
        recipe (Recipe): How such networks are trained.
        images (int): Images to train on.
        size (int): Pixels of the networks' inputs.
        pretrained (bool): Whether the student begins with weights that were trained.
        val_share (float): Share that is held out. Defaults to 0.2.
        epochs (int, optional): Epochs. Defaults to None, as many as make some thousand
            steps.

    Returns:
        Plan: The learning rate follows the batch, and rises over the first 5 % of the
        epochs, at least over one.
    """
    below = (batch for most, batch in recipe.batches if images < most)
    batch = next(below, recipe.largest)
    if epochs is None:
        fewest, most = recipe.epochs
        epochs = round(recipe.steps * batch / max(images, 1) / 10) * 10
        epochs = min(max(epochs, fewest), most)
    lr = (recipe.lr_pretrained if pretrained else recipe.lr) * batch / recipe.base
    # Epochs, not steps: of these each process of several has fewer. MMEngine's LinearLR
    # of one step never leaves its start, which an epoch on a few GPUs may have.
    least = 2 if images <= _MOST_PROCESSES * batch and epochs > 1 else 1
    warmup = max(least, round(epochs / 20))
    return Plan(size, batch, epochs, float(f"{lr:.3g}"), recipe, val_share, warmup)
