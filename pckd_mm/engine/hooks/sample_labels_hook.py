"""Labels of the training set for losses that draw negatives from it."""

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from pckd_mm.datasets.labels import image_labels
from pckd_mm.models.losses import ContrastiveRepresentationLoss
from pckd_mm.registry import HOOKS
from pckd_mm.utils.nested_datasets import inner_datasets
from pckd_mm.utils.wrappers import unwrap


@HOOKS.register_module()
class SampleLabelsHook(Hook):
    """Hand the labels of the training set to the losses that need them.

    :class:`pckd_mm.models.ContrastiveRepresentationLoss` takes its negatives from other
    classes, of the whole training set and not only of the batch.
    """

    # Before EMAHook, which copies the model and its memories of all images.
    priority = "ABOVE_NORMAL"

    def before_run(self, runner: Runner) -> None:
        """Hand over the labels: memories are there when a checkpoint is loaded.

        Raises:
            TypeError: For a data set that cannot list its labels.
            ValueError: For one whose images do not have one label each, and for
                several, whose images have the same places.
        """
        if not isinstance(runner._train_loop, BaseLoop):
            return  # of a test, where asking for the training set would read it
        model = unwrap(runner.model)
        losses = [
            module
            for module in model.modules()
            if isinstance(module, ContrastiveRepresentationLoss)
        ]
        if not losses:
            return
        # Images go by their ``sample_idx``, the place in what is inside of wrappers.
        dataset, *others = inner_datasets(runner.train_dataloader.dataset)
        if others:
            raise ValueError(
                f"SampleLabelsHook found {1 + len(others)} data sets to train on, each "
                "with an image of the sample_idx 0; expected one, since the "
                "ContrastiveRepresentationLoss remembers images by it: put their "
                "images into one data set, or leave the loss out."
            )
        if not hasattr(dataset, "get_gt_labels"):
            raise TypeError(
                f"SampleLabelsHook found a {type(dataset).__name__}, which has no "
                "get_gt_labels; expected one of MMPretrain's data sets, to know the "
                "label of every sample_idx."
            )
        labels = image_labels(dataset)
        if labels is None or any(len(each) != 1 for each in labels):
            raise ValueError(
                f"SampleLabelsHook found a {type(dataset).__name__} of images that do "
                "not have one label each; expected that, by which the "
                "ContrastiveRepresentationLoss takes negatives: leave the loss out."
            )
        for loss in losses:
            loss.set_labels([label for (label,) in labels])
