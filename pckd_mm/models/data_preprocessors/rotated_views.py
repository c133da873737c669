"""Four rotated views of every training image, made on the device."""

from typing import Any, List, Sequence, Union

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor

from pckd_mm.datasets.whole_batch import is_whole_batch, one_each
from pckd_mm.registry import MODELS
from pckd_mm.utils.devices import send

from .ready_batch import ReadyBatch


def random_flip(images: Tensor, prob: float) -> Tensor:
    """Mirror each image left to right with probability ``prob``.

    Args:
        images (Tensor): Images, shape (B, C, H, W), or V crops of each, shape
            (B, V, C, H, W), for which one draw decides.
        prob (float): Probability of a flip, in [0, 1].

    Returns:
        Tensor: The images, some of them mirrored, of the same shape.
    """
    shape = (len(images), *[1] * (images.ndim - 1))
    flip = torch.rand(shape, device=images.device) < prob
    return torch.where(flip, images.flip(-1), images)


def rotated_views(images: Tensor, num_views: int) -> Tensor:
    """Turn each image counter-clockwise by 0, 90, 180, 270 degrees.

    Args:
        images (Tensor): Square images, shape (B, C, S, S), or a crop for each view,
            shape (B, num_views, C, S, S).
        num_views (int): How many of the quarter turns to take, 1 to 4.

    Returns:
        Tensor: Views in sample-major order, shape (num_views * B, C, S, S): row
        ``num_views * i + r`` is image i, or its crop r, after r quarter turns.

    Raises:
        ValueError: For images that are not square, and for another number of crops.
    """
    if images.ndim == 5 and images.shape[1] != num_views:
        raise ValueError(
            "The data loader's number of crops of each image is "
            f"{images.shape[1]}, for num_views={num_views}; expected one crop for each "
            "view: set num_views of RandomResizedCropViews in "
            "train_dataloader.dataset.pipeline and that of the model to one number."
        )
    if num_views == 1:
        return images.flatten(0, -4)
    if images.shape[-1] != images.shape[-2]:
        raise ValueError(
            "Rotated views need square images, found height x width = "
            f"{images.shape[-2]} x {images.shape[-1]}; add a square crop or resize to "
            "the training pipeline."
        )
    crops = images.unbind(1) if images.ndim == 5 else [images] * num_views
    turns = [torch.rot90(crop, turn, (-2, -1)) for turn, crop in enumerate(crops)]
    return torch.stack(turns, dim=1).flatten(0, 1)


def random_crop(images: Tensor, padding: int) -> Tensor:
    """Shift each image at random inside a border of zeros.

    The same as a crop of the original size, drawn for each image, after ``padding``
    pixels of zeros on every side.

    Args:
        images (Tensor): Images, shape (N, C, H, W).
        padding (int): Border on every side, in pixels.

    Returns:
        Tensor: Crops, shape (N, C, H, W).
    """
    if padding == 0:
        return images
    n, channels, height, width = images.shape
    device = images.device
    padded = F.pad(images, [padding] * 4)
    top = torch.randint(2 * padding + 1, (n, 1), device=device)
    left = torch.randint(2 * padding + 1, (n, 1), device=device)
    rows = top + torch.arange(height, device=device)
    columns = left + torch.arange(width, device=device)
    rows = rows[:, None, :, None].expand(n, channels, height, padded.shape[-1])
    columns = columns[:, None, None, :].expand(n, channels, height, width)
    return padded.gather(2, rows).gather(3, columns)


def refuse_mixed_views(num_views: int) -> None:
    """Refuse to mix images (Mixup, CutMix) of which there are several views.

    Args:
        num_views (int): Views of each image.

    Raises:
        ValueError: For more than one.
    """
    if num_views > 1:
        raise ValueError(
            "batch_augments mix images, whose rotated views must share one label; "
            "remove batch_augments (of a student train_cfg.augments) or set "
            "num_views=1."
        )


@MODELS.register_module()
class RotatedViewsDataPreprocessor(ClsDataPreprocessor):
    """MMPretrain's preprocessor that also makes the views of a training batch.

    From the plain batch, on the device that it is moved to: a horizontal flip (one
    draw for all views of an image), the rotations, a crop after zero padding (drawn
    anew for every view), normalisation last (PCKD's CIFAR-100 recipe). In evaluation
    the images pass as they are, one view each, normalised.

    Where images differ in size the data loader's workers have to crop them: it then
    gives a crop for each view (:class:`pckd_mm.datasets.RandomResizedCropViews`), and
    ``crop_padding`` is 0.

    With ``num_views=1`` it is the usual flip and crop, so that every method, whatever
    its views, augments by the same code.

    Args:
        num_views (int): Quarter turns taken of each training image, 1 to 4, the
            upright one first. Defaults to 4.
        flip_prob (float): Probability of the horizontal flip. Defaults to 0.5.
        crop_padding (int): Zero padding before the crop, in pixels; 0 for no crop.
            Defaults to 4.
        **kwargs: Arguments of :class:`mmpretrain.models.ClsDataPreprocessor`:
            ``mean``, ``std``, ``to_rgb``, ...

    Raises:
        ValueError: For a number of views that quarter turns cannot give, and for
            ``batch_augments``, which mix images that views must keep apart.
    """

    def __init__(
        self,
        *args: Any,
        num_views: int = 4,
        flip_prob: float = 0.5,
        crop_padding: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if num_views not in (1, 2, 3, 4):
            raise ValueError(f"num_views={num_views}; expected 1, 2, 3 or 4.")
        if self.batch_augments is not None:
            refuse_mixed_views(num_views)
        # MMPretrain's class does not pass MMEngine's argument on.
        self._non_blocking = True
        self.num_views = num_views
        self.flip_prob = flip_prob
        self.crop_padding = crop_padding

    def make_views(self, images: Tensor) -> Tensor:
        """Augment a batch into its views, before normalisation.

        Args:
            images (Tensor): Images as the data loader gave them, shape (B, C, S, S),
                or a crop for each view, shape (B, num_views, C, S, S).

        Returns:
            Tensor: Views in sample-major order, shape (num_views * B, C, S, S).
        """
        images = random_flip(images, self.flip_prob)
        views = rotated_views(images, self.num_views)
        return random_crop(views, self.crop_padding)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Preprocess a batch.

        Args:
            data (dict): ``inputs``, images of shape (B, C, S, S) or a list of B
                images (C, S, S), in training also crops of shape (B, num_views, C, S,
                S) or a list of B such stacks, and ``data_samples``, one for each image
                or in training one with all labels.
            training (bool): Whether to make the views. Defaults to False.

        Returns:
            dict: ``inputs`` of shape (num_views * B, C, S, S) in training, else
            (B, C, S, S), float, normalised, contiguous; ``data_samples`` with labels on
            the device. A :class:`ReadyBatch` passes as it is.
        """
        if isinstance(data, ReadyBatch):
            return data
        if training:
            images = self.cast_data(data["inputs"])
            data = dict(data, inputs=self.make_views(_stack(images)))
            samples = data.get("data_samples")
            if samples and all(
                isinstance(sample, DataSample) and "gt_label" in sample
                for sample in samples
            ):
                data["data_samples"] = self._cast_labels(samples)
        data = super().forward(data, training)
        # The layout of a step is that of its inputs, whatever the loader's was.
        data["inputs"] = data["inputs"].contiguous()
        return data

    def _cast_labels(self, samples: List[DataSample]) -> List[DataSample]:
        """Labels on the device, by one copy that nothing waits for."""
        sizes = [len(sample.gt_label) for sample in samples]
        labels = torch.cat([sample.gt_label for sample in samples])
        if self.to_onehot and is_whole_batch(samples, one_label=True):
            # One sample for all images would be taken for an image of many labels.
            samples, sizes = one_each(samples, one_label=True), [1] * len(labels)
        labels = send(labels, self.device).split(sizes)
        for sample, label in zip(samples, labels, strict=True):
            sample.set_gt_label(label)
        return samples


def _stack(images: Union[Tensor, Sequence[Tensor]]) -> Tensor:
    if isinstance(images, Tensor):
        return images
    shapes = sorted({tuple(image.shape) for image in images})
    if len(shapes) > 1:
        raise ValueError(
            f"Views are made of whole batches, found images of the shapes {shapes}; "
            "crop or resize them to one shape in the training pipeline."
        )
    return torch.stack(list(images))
