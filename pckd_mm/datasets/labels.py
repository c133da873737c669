"""The labels that a data set lists."""

from typing import List, Optional

from mmengine.dataset import BaseDataset

__all__ = ["image_labels"]


def image_labels(dataset: BaseDataset) -> Optional[List[List[int]]]:
    """Labels of each image of a data set, without reading images.

    Args:
        dataset (BaseDataset): One of MMPretrain's, whose ``get_gt_labels`` lists them.

    Returns:
        list[list[int]], optional: Those of each image, of which there may be several;
        None where the data set does not list any.
    """
    if not hasattr(dataset, "get_gt_labels"):
        return None
    try:
        labels = dataset.get_gt_labels()
    except KeyError:  # images without labels
        return None
    except ValueError:  # more of some images than of others
        return [list(dataset.get_cat_ids(index)) for index in range(len(dataset))]
    if labels.ndim == 1:
        return [[label] for label in labels.tolist()]
    return labels.tolist()
