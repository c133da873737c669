"""Crops of an image of any size, one for each view."""

from typing import Any, Optional

import numpy as np
from mmpretrain.datasets import RandomResizedCrop

from pckd_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomResizedCropViews(RandomResizedCrop):
    """A random resized crop of its own for each view of an image.

    The crops stay upright: :class:`pckd_mm.models.RotatedViewsDataPreprocessor` flips
    and turns them on the device. ``PackInputs`` takes the stack as it is, uint8 of
    shape (num_views, C, H, W), so this is the last transform before it.

    Args:
        num_views (int, optional): Crops of each image. Defaults to None, which is 1
            until :class:`pckd_mm.engine.NumViewsHook` sets the model's ``num_views``.
        scale (int | Sequence[int]): Size of the crops in pixels, one number or
            (height, width). Defaults to 224.
        **kwargs: Other arguments of
            :class:`mmpretrain.datasets.transforms.RandomResizedCrop`.

    Raises:
        ValueError: For less than one view.
    """

    def __init__(
        self, num_views: Optional[int] = None, scale: int = 224, **kwargs: Any
    ) -> None:
        super().__init__(scale=scale, **kwargs)
        self.follows_model = num_views is None
        num_views = 1 if num_views is None else num_views
        if num_views < 1:
            raise ValueError(
                f"RandomResizedCropViews found num_views={num_views}; expected 1 or "
                "more, the num_views of the model."
            )
        self.num_views = num_views

    def transform(self, results: dict) -> dict:
        """Crop.

        Args:
            results (dict): ``img``, shape (H, W, C).

        Returns:
            dict: The same with the stacked crops as ``img``, shape
            ``(num_views, C, *scale)``, and ``img_shape``, the height and width of a
            crop.
        """
        image, crops = results["img"], []
        for _ in range(self.num_views):
            crop = super().transform(dict(img=image))["img"]
            # Resizing drops the axis of a single channel.
            crops.append(crop.reshape(*self.scale, -1).transpose(2, 0, 1))
        results["img"] = np.stack(crops)
        results["img_shape"] = tuple(self.scale)
        return results

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, num_views={self.num_views})"
