"""How long and how fast to train, by the number of images."""

from dataclasses import dataclass, replace
from typing import Optional, Tuple

__all__ = [
    "CLASSIFIERS",
    "DETECTORS",
    "ONE_STAGE_DETECTORS",
    "Plan",
    "Recipe",
    "plan_for",
]


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
        weight_decay (float): Of all weights.
        nesterov (bool): Whether SGD's momentum is Nesterov's.
        max_norm (float): Norm that gradients are clipped at: networks that begin with
            random weights may explode.
    """

    steps: int
    epochs: Tuple[int, int]
    batches: Tuple[Tuple[int, int], ...]
    largest: int
    lr: float
    lr_pretrained: float
    base: int
    weight_decay: float
    nesterov: bool
    max_norm: float


# Learning rates: that of the CRD benchmark's 64 images, and a fifth of it.
CLASSIFIERS = Recipe(
    steps=6000,
    epochs=(20, 200),
    batches=((500, 16), (5000, 32)),
    largest=64,
    lr=0.05,
    lr_pretrained=0.01,
    base=64,
    weight_decay=5e-4,
    nesterov=True,
    max_norm=5.0,
)
# mmdet's own for 16 images. Images of detectors are large: 4 fit into most GPUs.
DETECTORS = Recipe(
    steps=6000,
    epochs=(12, 100),
    batches=(),
    largest=4,
    lr=0.02,
    lr_pretrained=0.02,
    base=16,
    weight_decay=1e-4,
    nesterov=False,
    max_norm=35.0,
)
# mmdet's of RetinaNet, FCOS, ATSS and GFL.
ONE_STAGE_DETECTORS = replace(DETECTORS, lr=0.01, lr_pretrained=0.01)


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
        warmup (int): Steps over which the learning rate rises to that.
    """

    size: int
    batch: int
    epochs: int
    lr: float
    recipe: Recipe
    val_share: float = 0.2
    warmup: int = 0


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
        Plan: The learning rate follows the batch, and rises over the first 5 %.
    """
    below = (batch for most, batch in recipe.batches if images < most)
    batch = next(below, recipe.largest)
    if epochs is None:
        fewest, most = recipe.epochs
        epochs = round(recipe.steps * batch / max(images, 1) / 10) * 10
        epochs = min(max(epochs, fewest), most)
    lr = (recipe.lr_pretrained if pretrained else recipe.lr) * batch / recipe.base
    # MMEngine's LinearLR of one step never leaves its start.
    warmup = max(2, epochs * images // batch // 20)
    return Plan(size, batch, epochs, round(lr, 5), recipe, val_share, warmup)
