"""Where a number that is not finite came from: the image, the loss, the weights."""

from typing import Any, Dict, List, Optional, Sequence

from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmrazor.models import SingleTeacherDistill
from torch import Tensor
from torch.utils.data import Dataset

from pckd_mm.engine.loops import counts_epochs
from pckd_mm.utils.printable import printable
from pckd_mm.utils.wrappers import unwrap

# Of more images a message lists the indices without the paths.
_FEW = 8


def image_names(
    data_samples: Sequence[BaseDataElement], dataset: Optional[Dataset] = None
) -> List[str]:
    """What the images of a batch are known by.

    Args:
        data_samples (Sequence[BaseDataElement]): A sample for each image, or one for
            all, whose ``sample_idx`` has B entries.
        dataset (Dataset, optional): Is asked for the path of an image, where one
            sample for all lacks it.

    Returns:
        list[str]: Of each image ``sample_idx``, ``img_id`` and ``img_path``, as far as
        they are known, such as ``'sample_idx 3 (img_path a.png)'``; else its place in
        the batch.
    """
    names = []
    for sample in data_samples:
        places = sample.get("sample_idx")
        if isinstance(places, Tensor) and places.numel() > 1:
            for place in places.flatten().tolist():
                path = _path(dataset, place)
                names.append(f"sample_idx {place}" + (path and f" (img_path {path})"))
            continue
        if isinstance(places, Tensor):
            places = places.item()
        known = dict(
            sample_idx=places,
            img_id=sample.get("img_id"),
            img_path=sample.get("img_path"),
        )
        first, *more = [f"{k} {v}" for k, v in known.items() if v is not None] or [
            f"place {len(names)} in the batch"
        ]
        names.append(f"{first} ({', '.join(more)})" if more else first)
    return names


def _path(dataset: Optional[Dataset], place: int) -> str:
    """Of an image of an ``InMemoryDataset``, unless several data sets are in there."""
    inner = getattr(dataset, "dataset", None)
    if not isinstance(inner, BaseDataset):
        return ""
    return printable(inner.get_data_info(place).get("img_path", ""))


def suspects(inputs: Any, logits: Optional[Tensor], images: int) -> List[int]:
    """Which images of a batch its loss is not finite for.

    Args:
        inputs (Tensor | Sequence[Tensor]): Images as the data loader gave them.
        logits (Tensor, optional): The student's, of V views of each image in
            sample-major order, shape (V * B, C).
        images (int): B.

    Returns:
        list[int]: Images that hold numbers that are not finite; where there are none,
        those whose logits, and so their cross-entropy, are not finite; where there are
        none either, all.
    """
    rows = list(inputs) if isinstance(inputs, (Tensor, list, tuple)) else []
    if len(rows) == images and all(isinstance(row, Tensor) for row in rows):
        found = [k for k, row in enumerate(rows) if not row.isfinite().all()]
        if found:
            return found
    if logits is not None and images and len(logits) % images == 0:
        finite = logits.isfinite().reshape(images, -1).all(dim=1).tolist()
        found = [k for k, is_finite in enumerate(finite) if not is_finite]
        if found:
            return found
    return list(range(images))


def describe_images(
    data_batch: Any, logits: Optional[Tensor], dataset: Optional[Dataset] = None
) -> str:
    """The images that a loss is not finite for, in words.

    Args:
        data_batch (Any): The batch as the data loader gave it.
        logits (Tensor, optional): The student's, shape (V * B, C).
        dataset (Dataset, optional): Where the images are from.

    Returns:
        str: See :func:`image_names` and :func:`suspects`.
    """
    samples = data_batch.get("data_samples") if isinstance(data_batch, dict) else None
    if not samples or not all(isinstance(x, BaseDataElement) for x in samples):
        return "a batch whose images are not known"
    names = image_names(samples, dataset)
    found = suspects(data_batch.get("inputs"), logits, len(names))
    which = "the image" if len(found) == 1 else f"the {len(found)} images"
    if len(found) == len(names) > 1:
        which = f"the batch of {len(names)} images"
    listed = [names[k] for k in found]
    if len(listed) > _FEW:
        listed = [name.split(" (")[0] for name in listed]
        if all(name.startswith("sample_idx ") for name in listed):
            listed[1:] = [name.removeprefix("sample_idx ") for name in listed[1:]]
    return f"{which} with {', '.join(listed)}"


def advice(bad: Sequence[str], origin: Optional[str] = None) -> str:
    """What to do about losses that are not finite.

    Args:
        bad (Sequence[str]): Names of the losses.
        origin (str, optional): The checkpoint that the weights are from, where it may
            be at fault.

    Returns:
        str: Half a sentence.
    """
    said = "look at these images"
    if any("distill." in k for k in bad) and not any("student." in k for k in bad):
        said += ", at the losses of distillation and their weights"
    if origin is not None:
        said += (
            f", go on from another checkpoint than {origin}, whose weights "
            "may be at fault"
        )
    return f"{said}, train anew with a lower learning rate"


def losses_of_step(outputs: Any) -> Dict[str, Tensor]:
    """The entries of a step's output that MMEngine takes as losses."""
    return {
        name: value.detach().reshape(())
        for name, value in (outputs or {}).items()
        if "loss" in name and isinstance(value, Tensor) and value.numel() == 1
    }


def place_of(runner: Runner) -> str:
    """Where in a training its runner is, in words, such as ``'iteration 3'``."""
    place = f"iteration {runner.iter + 1}"
    if counts_epochs(runner):
        place += f" (epoch {runner.epoch + 1})"
    return place


def require_finite_weights(runner: Runner) -> None:
    """Refuse to train from, or with, what an overflow or a damaged file has left."""
    model = unwrap(runner.model)
    networks = {"the model": (model, runner._load_from)}
    if isinstance(model, SingleTeacherDistill):
        source = getattr(model, "teacher_ckpt", None)
        networks["the teacher"] = (model.teacher, source)
    for owner, (network, source) in networks.items():
        bad = [k for k, v in network.named_parameters() if not v.isfinite().all()]
        # Other buffers may be masks, or not set yet.
        bad += [
            k
            for k, v in network.named_buffers()
            if "running_" in k and not v.isfinite().all()
        ]
        if bad:
            remedy = "mend what initialises them"
            if source:
                remedy = f"take another checkpoint than {source}, or {remedy}"
            raise FloatingPointError(
                f"{bad[0]} of {owner} is not finite before the first step, as are "
                f"{len(bad)} of its tensors in all; expected finite weights: {remedy}."
            )
