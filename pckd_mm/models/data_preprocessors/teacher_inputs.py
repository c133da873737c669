"""A batch of the student's as the teacher's own data preprocessor would give it."""

import logging
from dataclasses import replace
from typing import Any, Callable, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from .normalisation import Normalisation, conversion, is_identity
from .trained_inputs import AS_STUDENT, SAME, TrainedInputs

# Whether a network runs on images of a shape (C, H, W).
Takes = Callable[[Sequence[int]], bool]


def resize(images: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resizing that averages where it shrinks.

    Args:
        images (Tensor): Shape (N, C, H, W).
        size (Sequence[int]): Height and width to get.

    Returns:
        Tensor: Shape (N, C, *size); the images themselves where they have that size.
    """
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(
        images, tuple(size), mode="bilinear", align_corners=False, antialias=True
    )


def ragged_sizes(data_samples: Sequence, images: Tensor) -> Optional[list]:
    """Sizes of images that were padded to that of the largest of their batch.

    Args:
        data_samples (Sequence[BaseDataElement]): One for each image, with
            ``img_shape`` where the pipeline keeps it.
        images (Tensor): The batch, shape (N, C, H, W).

    Returns:
        list[tuple[int, int]], optional: Height and width of each image; None where
        they are not known, or all the same.
    """
    sizes = [sample.get("img_shape") for sample in data_samples]
    if len(sizes) != len(images) or any(size is None for size in sizes):
        return None
    sizes = [tuple(size[:2]) for size in sizes]
    # Transforms of other libraries do not keep img_shape up to date.
    largest = tuple(max(side) for side in zip(*sizes, strict=True))
    is_ragged = len(set(sizes)) > 1 and largest == tuple(images.shape[-2:])
    return sizes if is_ragged else None


def pad_right_and_below(images: Tensor, sizes: Sequence, value: float) -> None:
    """Overwrite what lies beside the images of a batch, in place.

    Args:
        images (Tensor): Shape (N, C, H, W).
        sizes (Sequence[tuple[int, int]]): Height and width of each image itself.
        value (float): What to write.
    """
    for image, (height, width) in zip(images, sizes, strict=True):
        image[:, height:] = value
        image[:, :, width:] = value


def _seen(order: Optional[str], images: Optional[str]) -> Optional[str]:
    """Order that a network sees.

    Args:
        order (str, optional): That its preprocessor is to bring images into, which it
            does by reversing them, whatever they are.
        images (str, optional): That of the images as they are read; None if unknown.
    """
    if images is None or order is None:
        return order or images
    return "bgr" if images == "rgb" else "rgb"


def _differ_in_a_run_of(
    images: str, ours: Optional[str], theirs: Optional[str]
) -> bool:
    """Whether the orders differ where both preprocessors are of one run."""
    if ours is None and theirs == images:
        return False  # RGB is asked for, and is what the data set holds
    return ours != theirs


class TeacherInputs(nn.Module):
    """Turn batches that are normalised for the student into the teacher's.

    One affine step for each channel, with the channels in the teacher's order, in
    float32 or better; then a resize where the teacher's images have another size. Where
    both networks see the same, the batch passes as it is, the same tensor.

    Args:
        student (Normalisation, optional): How the student's images are normalised;
            None if that is not known, so that they pass as they are.
        trained (TrainedInputs): What the teacher was trained on.
        swap_channels (bool, optional): Whether the teacher's channels are in the
            reverse order of the student's. Defaults to None, as both say.
        takes (Callable, optional): Whether the teacher runs on images of a shape
            (C, H, W). It is asked once where its size is not known. Defaults to None,
            any.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        student: Optional[Normalisation],
        trained: TrainedInputs,
        swap_channels: Optional[bool] = None,
        takes: Optional[Takes] = None,
    ) -> None:
        super().__init__()
        self.trained = trained
        self._takes = takes if trained.spare is not None else None
        # How the student's images are normalised, and the teacher's.
        self._both: Optional[Tuple[Normalisation, Normalisation]] = None
        if student is not None:
            self._both = student, trained.normalisation or student
        self._is_given = swap_channels is not None
        self._size_is_told = False
        for name in ("scale", "shift"):
            self.register_buffer(name, torch.zeros(1, 1, 1), persistent=False)
        self._images: Optional[str] = None
        self._set_swap(swap_channels if self._is_given else self._work_out())

    @property
    def size(self) -> Optional[Tuple[int, int]]:
        """tuple[int, int], optional: Height and width; None for the student's."""
        return self.trained.size

    @property
    def converts(self) -> bool:
        """bool: Whether the teacher's images have other numbers than the student's."""
        return not self._is_alike or self.swaps is not False

    # -------------------------------------------------------- order of channels

    def tell_channel_order(self, order: Optional[str]) -> None:
        """Say in what order the channels of the student's images are read.

        Args:
            order (str, optional): ``'rgb'``, ``'bgr'`` or ``'gray'``; None if that is
                not known.
        """
        self._images = order
        if not self._is_given:
            before, swap = self.swaps, self._work_out()
            self._set_swap(swap)
            if swap != before:
                self.tell()

    def _work_out(self) -> Optional[bool]:
        """Whether the order differs; None if that cannot be told."""
        if self._both is None or self.trained.normalisation is None:
            return False
        ours, theirs = (each.order for each in self._both)
        images, trained_on = self._images, self.trained.order
        if "gray" in (images, trained_on):
            return False
        if trained_on == AS_STUDENT:
            # Where the order is not known, what is so whatever it is.
            orders = ("rgb", "bgr") if images is None else (images,)
            answers = {_differ_in_a_run_of(order, ours, theirs) for order in orders}
            return answers.pop() if len(answers) == 1 else None
        ours_seen, theirs_seen = _seen(ours, images), _seen(theirs, trained_on)
        if ours_seen is not None and theirs_seen is not None:
            return ours_seen != theirs_seen
        return False if ours == theirs else None

    def _set_swap(self, swap: Optional[bool]) -> None:
        self.swaps = swap
        if self._both is None:
            self._is_alike = True
            return
        student, teacher = self._both
        scale, shift = conversion(student, teacher, bool(swap))
        same_padding = student.pad_value == teacher.pad_value
        self._is_alike = is_identity(scale, shift) and same_padding
        self._pad_value = teacher.pad_value
        for name, value in dict(scale=scale, shift=shift).items():
            device = getattr(self, name).device
            setattr(self, name, value.to(device, torch.float32))

    # -------------------------------------------------------- what is said of it

    def tell(self) -> None:
        """Say in the log how the teacher's images are normalised, and by whom."""
        trained = self.trained
        if self._both is None:
            if trained.normalisation is not None:
                print_log(
                    "How the student's images are normalised is not known: the teacher "
                    "sees them as they are, although it was trained with "
                    f"{trained.normalisation}, as {trained.normalised_by} says. Set "
                    "data_preprocessor to one of mmpretrain's or mmdet's.",
                    logger="current",
                    level=logging.WARNING,
                )
            return
        if self.swaps is None or (trained.normalisation is None and not self.swaps):
            return
        by = trained.normalised_by or "swap_teacher_channels"
        if not self.converts:
            how = "as the student's"
        else:
            student, teacher = self._both
            how = f"by {teacher}; the student's by {student}"
            if self.swaps:
                how += "; the channels are put into the reverse order for the teacher"
        print_log(
            f"The teacher's images are normalised {how}, as {by} says.",
            logger="current",
        )

    def _settle_size(self, takes: Takes, shape: Sequence[int]) -> None:
        """Take the size that the teacher says if it does not run on the student's."""
        self._takes = None
        spare = self.trained.spare
        if spare is not None and not takes(tuple(shape)):
            self.trained = replace(
                self.trained, size=spare.size, sized_by=spare.source, spare=None
            )

    def _tell_size(self, size: Tuple[int, int], height: int, width: int) -> None:
        self._size_is_told = True
        ratio = size[0] * size[1] / (height * width)
        print_log(
            f"The teacher sees the images at {size[0]} x {size[1]} pixels, "
            f"as {self.trained.sized_by} says, the student at {height} x {width}: that "
            f"is {ratio:.3g} times as many, and about as many times the work of the "
            f"teacher. teacher_input_size={SAME!r} leaves them at the student's size.",
            logger="current",
        )

    # -------------------------------------------------------- the step

    def forward(self, images: Tensor, sizes: Optional[List[tuple]] = None) -> Tensor:
        """Turn a batch of the student's into the teacher's.

        Args:
            images (Tensor): Normalised for the student, shape (N, C, H, W).
            sizes (list[tuple[int, int]], optional): Height and width of each image
                where they are padded, at the right and below. Defaults to None.

        Returns:
            Tensor: Of the same dtype, shape ``(N, C, *size)``.

        Raises:
            ValueError: Where the order of channels cannot be told.
        """
        if self.swaps is None and images.shape[1] == 3:
            raise ValueError(self._unknown_order())
        swap = self.swaps and images.shape[1] == 3
        if self._takes is not None:
            self._settle_size(self._takes, images.shape[1:])
        size = None if self.size == tuple(images.shape[-2:]) else self.size
        if self._is_alike and not swap and size is None:
            return images
        dtype = images.dtype
        if torch.finfo(dtype).bits < 32:
            images = images.float()
        if swap:
            images = images.flip(1)
        if not self._is_alike:
            scale, shift = (part.to(images.dtype) for part in (self.scale, self.shift))
            images = torch.addcmul(shift, images, scale)
            if sizes is not None:
                pad_right_and_below(images, sizes, self._pad_value)
        if size is not None:
            if not self._size_is_told:
                self._tell_size(size, *images.shape[-2:])
            images = resize(images, size)
        return images.to(dtype)

    def _unknown_order(self) -> str:
        ours, theirs = self._both or (None, None)
        return (
            f"The student's images are normalised by {ours}, the teacher's by "
            f"{theirs}, as {self.trained.normalised_by} says, and whether both "
            "see RGB or BGR depends on their data sets, of which one does not say it; "
            "expected a known order: set swap_teacher_channels=True if the teacher was "
            "trained on the other order than the student is, and False if not."
        )

    def _apply(
        self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any
    ) -> "TeacherInputs":
        """Move to devices, not to dtypes: half precision would change every pixel."""
        device = fn(self.scale.new_empty(0)).device
        return super()._apply(lambda tensor: tensor.to(device), *args, **kwargs)
