"""What the labels of a batch are, and what preview and losses may take of them."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Dict, List, Optional, Sequence

import torch
import torch.nn.functional as F
from mmrazor.models.losses import DISTLoss, DKDLoss, KLDivergence
from torch import Tensor, nn

from pckd_mm.datasets.whole_batch import is_whole_batch
from pckd_mm.models.distillers import PCKDDistiller
from pckd_mm.models.distillers.batch_records import LABELS
from pckd_mm.models.losses import ContrastiveRepresentationLoss, PreviewKLDivergence
from pckd_mm.utils.devices import send

__all__ = [
    "LabelKind",
    "Targets",
    "check_losses",
    "difficulty",
    "is_of_softmax",
    "read_targets",
]


class LabelKind(Enum):
    """What an image is labelled with."""

    SINGLE = "one class an image"
    MIXED = "labels that batch_augments mix"
    MULTI = "several labels an image"


@dataclass
class Targets:
    """Labels of a batch of B images.

    Attributes:
        images (int): Number of images B.
        labels (Tensor, optional): Their classes, shape (B,), where each image has one;
            of mixed images the class of the image that was mixed into.
        scores (Tensor, optional): Shares of the classes, or which of several labels an
            image has, shape (B, C).
    """

    images: int
    labels: Optional[Tensor] = None
    scores: Optional[Tensor] = None


def read_targets(
    data_samples: Sequence[Any], kind: LabelKind, task: Optional[str], classes: int
) -> Targets:
    """The labels in data samples.

    Args:
        data_samples (Sequence[DataSample]): A sample for each image; of single labels
            also one for all.
        kind (LabelKind): What the images are labelled with.
        task (str, optional): Which task of a network with several.
        classes (int): Number of classes C.

    Returns:
        Targets: The labels; without any where the samples have none.

    Raises:
        ValueError: For samples of which some have no label, or not of this task.
    """
    samples = list(data_samples)
    if task is not None:
        lacking = sum(task not in sample for sample in samples)
        if lacking:
            raise ValueError(
                f"{lacking} of {len(samples)} images have no label of the task {task}; "
                "expected one of each image: leave the others out of the training set."
            )
        samples = [sample.get(task) for sample in samples]
    labelled = [sample for sample in samples if "gt_label" in sample]
    scored = [sample for sample in samples if "gt_score" in sample]
    if not labelled and not scored:
        return Targets(len(samples))
    if max(len(labelled), len(scored)) < len(samples):
        raise ValueError(
            f"{len(samples) - len(labelled)} of {len(samples)} images have no label; "
            "expected labels of all images or of none: mend the data set."
        )
    scores = torch.stack([sample.gt_score for sample in scored]) if scored else None
    if kind is LabelKind.MULTI:
        if scores is None:
            scores = _multi_hot([sample.gt_label for sample in labelled], classes)
        return Targets(len(samples), scores=scores.float())
    if not labelled:
        return Targets(len(samples), scores=scores)
    labels = torch.cat([sample.gt_label for sample in labelled])
    if len(labels) != len(samples) and not is_whole_batch(samples, True):
        raise ValueError(
            f"The student found {len(labels)} labels for {len(samples)} images; "
            "expected one class an image: take a head of several labels, such as "
            "MultiLabelLinearClsHead, or mend the data set."
        )
    return Targets(len(labels), labels, scores)


def _multi_hot(labels: Sequence[Tensor], classes: int) -> Tensor:
    """Which of the classes each image has, shape (B, C)."""
    images = [index for index, of_image in enumerate(labels) for _ in of_image]
    places = torch.cat(list(labels))
    rows = send(torch.tensor(images, dtype=torch.long), places.device)
    return places.new_zeros(len(labels), classes).index_put_(
        (rows, places), places.new_ones(())
    )


def _compares_labels(distiller: PCKDDistiller, name: str, loss: nn.Module) -> bool:
    """Whether a loss is of one class an image."""
    mapping = distiller.loss_forward_mappings[name]
    return isinstance(loss, ContrastiveRepresentationLoss) or any(
        taken["recorder"] == LABELS and taken["from_student"]
        for taken in mapping.values()
    )


def is_of_softmax(loss: nn.Module) -> bool:
    """Whether a loss takes a softmax of the scores, whatever they are."""
    if isinstance(loss, PreviewKLDivergence):
        return not loss.use_sigmoid
    return isinstance(loss, (KLDivergence, DISTLoss, DKDLoss))


def check_losses(distiller: PCKDDistiller, kind: LabelKind) -> None:
    """Refuse losses that are not defined for what images are labelled with.

    Args:
        distiller (PCKDDistiller): The distiller.
        kind (LabelKind): What the images are labelled with.

    Raises:
        ValueError: Names the first such loss.
    """
    if kind is LabelKind.SINGLE:
        return
    for name, loss in distiller.distill_losses.items():
        leave_out = f"leave it out, by distill_losses.{name}=None"
        if _compares_labels(distiller, name, loss):
            instead = ", or remove batch_augments" if kind is LabelKind.MIXED else ""
            raise ValueError(
                f"The loss {name} ({type(loss).__name__}) found {kind.value}; expected "
                "one class an image, by which it compares images: "
                f"{leave_out}{instead}."
            )
        if kind is LabelKind.MULTI and is_of_softmax(loss):
            instead = ""
            if isinstance(loss, PreviewKLDivergence):
                instead = f", or set distill_losses.{name}.use_sigmoid=True"
            raise ValueError(
                f"The loss {name} ({type(loss).__name__}) found {kind.value}; expected "
                f"one class an image, of which it takes a softmax: {leave_out}"
                f"{instead}."
            )


def difficulty(
    head: Optional[nn.Module], logits: Any, targets: Targets, kind: LabelKind
) -> Tensor:
    """How hard each image is for the student: its loss, for the preview.

    Of single labels the cross-entropy; of mixed ones that with their shares; of several
    labels the mean of the head's own loss over the classes.

    Args:
        head (nn.Module, optional): The student's head.
        logits (Tensor): Its logits on the upright views, shape (B, C).
        targets (Targets): The labels.
        kind (LabelKind): What the images are labelled with.

    Returns:
        Tensor: Shape (B,), without gradient.

    Raises:
        TypeError: For something else than a row of logits for each image.
        ValueError: For images without labels.
    """
    if not isinstance(logits, Tensor) or len(logits) != targets.images:
        raise TypeError(
            f"The preview found a head that gives {type(logits).__name__} for "
            f"{targets.images} labels; expected one row of logits and one label for "
            "each image: use such a head, or set the distiller's preview to None."
        )
    wanted = targets.labels if kind is LabelKind.SINGLE else targets.scores
    if wanted is None:  # such as soft labels, where no image has one class
        wanted = targets.scores
    if wanted is None:
        raise ValueError(
            "The preview found images without labels, whose difficulty is not known; "
            "expected labels: set the distiller's preview to None."
        )
    logits = logits.detach().float()
    if kind is LabelKind.MULTI:
        loss_module: Any = getattr(head, "loss_module", None)
        losses = loss_module(logits, wanted, reduction_override="none")
        return losses.flatten(1).mean(dim=1) if losses.ndim > 1 else losses
    return F.cross_entropy(logits, wanted, reduction="none")


def require_labels(
    targets: Targets, distiller: PCKDDistiller, student_loss: bool
) -> None:
    """Refuse images without labels where something asks for them.

    Args:
        targets (Targets): The labels of a batch.
        distiller (PCKDDistiller): The distiller.
        student_loss (bool): Whether the student's own loss is part of the training.

    Raises:
        ValueError: Names what asks.
    """
    if targets.labels is not None:
        return
    remedies: Dict[str, str] = {}
    if student_loss and targets.scores is None:
        remedies["the student's own loss"] = "calculate_student_loss=False"
    if distiller.preview is not None and targets.scores is None:
        remedies["the preview"] = "distiller.preview=None"
    for name, loss in distiller.distill_losses.items():
        if _compares_labels(distiller, name, loss):
            remedies[name] = f"distiller.distill_losses.{name}=None"
    if remedies:
        names: List[str] = list(remedies)
        asks = "asks" if len(names) == 1 else "ask"
        have = "no labels" if targets.scores is None else "scores and no labels"
        raise ValueError(
            f"The training images have {have}, and {', '.join(names)} {asks} for "
            "labels; expected one (gt_label) of each image: to train without them set "
            f"the model's {', '.join(remedies.values())}."
        )
