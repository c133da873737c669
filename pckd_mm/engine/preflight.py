"""What a run needs of its data, checked one by one."""

from typing import Optional, Sequence, Set, Sized, cast

from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import Accuracy
from torch import nn
from torch.utils.data import DataLoader, Dataset

from pckd_mm.datasets import InMemoryDataset, collate_batches
from pckd_mm.datasets.labels import image_labels
from pckd_mm.models import RotatedViewsDataPreprocessor
from pckd_mm.utils.nested_datasets import inner_datasets, nested_datasets, parts_of
from pckd_mm.utils.printable import printable


def check_labels(labels: Sequence[Sequence[int]], num_classes: int) -> None:
    """Every label must be a category of the head.

    Args:
        labels (Sequence[Sequence[int]]): Labels of each image of the training set.
        num_classes (int): Categories of the student's head.

    Raises:
        ValueError: Names the first label out of range and how many there are.
    """
    wrong = [
        (index, label)
        for index, of_image in enumerate(labels)
        for label in of_image
        if not 0 <= label < num_classes
    ]
    if wrong:
        index, label = wrong[0]
        raise ValueError(
            f"Training image {index} has label {label}, the student's head has "
            f"num_classes={num_classes} (labels 0 to {num_classes - 1}), and "
            f"{len(wrong)} of {sum(map(len, labels))} labels are out of range; set the "
            "head's num_classes or mend the data set."
        )


def check_categories(dataset: Dataset, num_classes: int) -> None:
    """The head must have the categories of the data.

    Args:
        dataset (Dataset): The training set. Its labels are checked where it lists them
            all (``get_gt_labels``), and its number of classes where it names them, of
            all labels.
        num_classes (int): Categories of the student's head.

    Raises:
        ValueError: Where they differ.
    """
    labels = image_labels(dataset) or []
    check_labels(labels, num_classes)
    classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
    largest = max((label for of_image in labels for label in of_image), default=-1)
    if classes is None or largest >= len(classes):
        return
    if len(classes) != num_classes:
        raise ValueError(
            f"The training set has {len(classes)} classes and the student's head has "
            f"num_classes={num_classes}; expected the same: set the head's num_classes "
            "or the data set's metainfo.classes."
        )


def check_top_k(evaluator: Evaluator, num_classes: int) -> None:
    """No accuracy may be of more guesses than there are categories.

    Args:
        evaluator (Evaluator): A validation's metrics.
        num_classes (int): Categories of the student's head.

    Raises:
        ValueError: For an ``Accuracy`` whose ``topk`` is larger.
    """
    for metric in evaluator.metrics:
        top_k = max(metric.topk) if isinstance(metric, Accuracy) else 0
        if top_k > num_classes:
            raise ValueError(
                f"The validation asks for top-{top_k} accuracy and the student's "
                f"head has num_classes={num_classes}; expected no more guesses than "
                "categories: set topk=(1,) of Accuracy in val_evaluator and "
                "test_evaluator."
            )


def check_same_classes(training: Dataset, validation: Dataset) -> None:
    """Both sets must number the same classes, in the same order.

    Args:
        training (Dataset): The training set.
        validation (Dataset): The validation set; either may not name its classes.

    Raises:
        ValueError: Where a folder lacks a class, for one, and moves the others' labels,
            or where other folders number them.
    """
    ours, theirs = (
        (getattr(dataset, "metainfo", None) or {}).get("classes")
        for dataset in (training, validation)
    )
    if ours and theirs and list(ours) != list(theirs):
        missing = [name for name in ours if name not in theirs]
        found = f"lacks {missing[0]}" if missing else "has others or another order"
        raise ValueError(
            f"The training set has {len(ours)} classes and the validation set "
            f"{len(theirs)}, which {found}; expected the same, since a label is a "
            "place among them: mend the data, or metainfo.classes."
        )
    folders, others = map(_label_folders, (training, validation))
    ours, theirs = sorted(folders - others), sorted(others - folders)
    if ours and theirs:
        raise ValueError(
            f"The training set has a folder {printable(ours[0])} and the validation "
            f"set {printable(theirs[0])} where each lacks the other's; expected the "
            "same folders in both, since they number the labels: rename them."
        )


def check_teachers_classes(teachers: Sequence[str], training: Dataset) -> None:
    """A label of the training set must be the same class to the teacher.

    Args:
        teachers (Sequence[str]): Names of the teacher's classes, by their labels.
        training (Dataset): The training set, which may not name its classes.

    Raises:
        ValueError: For the same names in another order. Other names may be of the
            same classes.
    """
    ours = (getattr(training, "metainfo", None) or {}).get("classes") or ()
    if isinstance(ours, str) or set(ours) != set(teachers):
        return
    pairs = zip(ours, teachers, strict=False)
    label = next((n for n, (one, other) in enumerate(pairs) if one != other), None)
    if label is not None:
        raise ValueError(
            f"Label {label} is {printable(ours[label])} in the training set and "
            f"{printable(teachers[label])} to the teacher, as its checkpoint says; "
            "expected one order of classes: train the teacher on this data set, or "
            "bring the data into its order, by metainfo.classes for images with boxes, "
            "by names of folders that sort so for others."
        )


def _label_folders(dataset: Dataset) -> Set[str]:
    """Folders that number the labels of a data set; none of other kinds, or several."""
    parts = list(inner_datasets(dataset))
    return set(getattr(parts[0], "folder_to_idx", ())) if len(parts) == 1 else set()


def check_any_batch(loader: DataLoader) -> None:
    """An epoch must have a batch, or the run would end well without a step.

    Args:
        loader (DataLoader): Training images.

    Raises:
        ValueError: Where there are fewer images than a whole batch has.
    """
    if len(loader):
        return
    found = f"train_dataloader has {len(cast(Sized, loader.dataset))} images"
    if loader.batch_size is not None:
        found += f", batch_size={loader.batch_size} and drop_last={loader.drop_last}"
    raise ValueError(
        f"{found}, and so no batch to train on in each process; expected one or more: "
        "lower batch_size, or set drop_last=False."
    )


def check_batch_size(images: int, batch_size: int, drop_last: bool) -> None:
    """No batch of one process may hold a single image.

    Args:
        images (int): Images of one process in an epoch.
        batch_size (int): Images of one process in a batch.
        drop_last (bool): Whether a smaller last batch is left out.

    Raises:
        ValueError: Where there would be nothing to compare an image with.
    """
    single_last = not drop_last and images % batch_size == 1
    if batch_size == 1 or single_last:
        which = "every batch" if batch_size == 1 else "the last batch of an epoch"
        raise ValueError(
            f"With {images} images and batch_size={batch_size} {which} has one image, "
            "which preview, losses or connectors cannot compare with any other; "
            "expected two or more: change batch_size or set drop_last=True in "
            "train_dataloader."
        )


def _check_whole_batches(preprocessor: nn.Module) -> None:
    """One sample for all images is one image's to MMPretrain's own preprocessor."""
    if isinstance(preprocessor, RotatedViewsDataPreprocessor):
        return
    if getattr(preprocessor, "to_onehot", False):
        raise ValueError(
            "train_dataloader has an InMemoryDataset, which gives a label for each "
            f"image of a batch in one sample, and the {type(preprocessor).__name__} "
            "makes one-hot labels of it as of one image; expected whole batches to be "
            "known to it: set data_preprocessor.type="
            "'pckd_mm.RotatedViewsDataPreprocessor', with flip_prob=0 and "
            "crop_padding=0 for images as they are."
        )


def check_in_memory(
    loader: DataLoader,
    name: str,
    training: bool,
    preprocessor: Optional[nn.Module] = None,
) -> None:
    """Whole batches need a collate function that takes them, and samples their mode.

    Args:
        loader (DataLoader): A data loader, over any data set.
        name (str): Its name in the config, for the message.
        training (bool): Whether it is for training.
        preprocessor (nn.Module, optional): What prepares the batches.

    Raises:
        ValueError: For an ``InMemoryDataset`` whose settings do not go together.
    """
    within = (each for d in parts_of(loader.dataset) for each in nested_datasets(d))
    if any(isinstance(each, InMemoryDataset) for each in within):
        outer = type(loader.dataset).__name__
        raise ValueError(
            f"{name} has a {outer} of an InMemoryDataset, which then gives no whole "
            f"batches; expected it outside: set {name}.dataset to an InMemoryDataset "
            f"of the {outer}."
        )
    if not isinstance(loader.dataset, InMemoryDataset):
        return
    # MMEngine makes a partial function of it.
    function = getattr(loader.collate_fn, "func", loader.collate_fn)
    if function is not collate_batches:
        function = getattr(function, "__name__", function)
        raise ValueError(
            f"{name} has an InMemoryDataset and the collate_fn {function}; expected "
            f"one that takes whole batches: set {name}.collate_fn=dict("
            "type='pckd_mm.collate_batches')."
        )
    if training and preprocessor is not None:
        _check_whole_batches(preprocessor)
    if loader.dataset.test_mode is training:
        inner = loader.dataset.dataset
        where = f"{name}.dataset.dataset.test_mode={not training}"
        if next(inner_datasets(inner)) is not inner:
            where = f"test_mode of each data set in the {type(inner).__name__}"
        raise ValueError(
            f"{name} has an InMemoryDataset of a data set with test_mode="
            f"{loader.dataset.test_mode}; expected {not training}: set {where}."
        )
