"""What trained classifiers say of images, and the features that they say it by."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmpretrain.apis import get_model
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from pckd_mm.engine.preflight_model import tell_channel_order
from pckd_mm.models.algorithms import MultiViewDistill
from pckd_mm.models.task_modules.classifier import Classifier
from pckd_mm.models.task_modules.classifier_recorders import (
    ClassifierFeatureRecorder,
    category_centers,
)
from pckd_mm.models.task_modules.find_classifier import find_classifier
from pckd_mm.utils.checkpoint import load_fitting, read_checkpoint
from pckd_mm.utils.nested_datasets import inner_datasets

__all__ = [
    "Answers",
    "TeacherOf",
    "answers_of",
    "answers_on",
    "load_network",
    "network_of",
]

# Images of a category of which features are kept, and categories of which they are.
_KEPT, _CATEGORIES = 60, 200
# Training images that are asked at a time.
_BATCH = 64


class Answers(NamedTuple):
    """What a network says of the test set.

    Attributes:
        predicted (Tensor): The category of each image, shape (N,).
        labels (Tensor): What it is, shape (N,).
        dataset (BaseDataset): The images.
        centers (Tensor, optional): Category centers, shape (C, D); None for a network
            whose logits are no linear function of a feature.
        features (Tensor, optional): Features of the images ``kept``, shape (K, D);
            None likewise.
        kept (Tensor, optional): Places of some images of each category, shape (K,).
    """

    predicted: Tensor
    labels: Tensor
    dataset: BaseDataset
    centers: Optional[Tensor]
    features: Optional[Tensor] = None
    kept: Optional[Tensor] = None


class TeacherOf:
    """The teacher of a distillation, for images as its student gets them.

    Args:
        algorithm (MultiViewDistill): The distillation.
    """

    def __init__(self, algorithm: MultiViewDistill) -> None:
        algorithm.load_teacher()
        self.architecture = algorithm.teacher
        self.data_preprocessor = algorithm.data_preprocessor
        self.teacher_inputs = algorithm.teacher_inputs

    @torch.no_grad()
    def test_step(self, batch: Any) -> List[DataSample]:
        """Predict a batch, see :class:`mmengine.model.BaseModel`."""
        data = self.data_preprocessor(batch, False)
        inputs = self.teacher_inputs(data["inputs"], None)
        return self.architecture(inputs, data["data_samples"], mode="predict")


Network = Union[BaseModel, TeacherOf]


def load_network(cfg: Config, checkpoint: Optional[str]) -> Network:
    """Build what a config trains, with the weights of a checkpoint.

    Args:
        cfg (Config): The config; of a distillation it is the student that is loaded.
        checkpoint (str, optional): The checkpoint, of either; None for the teacher of a
            distillation, whose the config names.

    Returns:
        BaseModel | TeacherOf: It, in eval mode.
    """
    model = get_model(cfg, device=get_device())
    if checkpoint is None:
        return TeacherOf(model)
    content = read_checkpoint(checkpoint)
    load_fitting(network_of(model), content, f"The checkpoint {checkpoint}")
    return model


def network_of(model: Network) -> nn.Module:
    """The classifier of what :func:`load_network` gives."""
    found: Any = getattr(model, "architecture", model)
    return found


@torch.no_grad()
def answers_of(model: Network, loader: Any, name: str) -> Answers:
    """Let a network name the categories of a test set.

    Args:
        model (BaseModel | TeacherOf): What :func:`load_network` gives.
        loader (DataLoader): The test set, in its order.
        name (str): What the network is, for messages.

    Returns:
        Answers: What it says.

    Raises:
        ValueError: Where an image has not one label.
    """
    predicted, labels, features = [], [], []
    network, classifier, recorder = network_of(model), None, None
    chosen = _Chosen()
    if isinstance(model, TeacherOf):
        tell_channel_order(model, loader.dataset)
    for batch in loader:
        if classifier is None:
            shape = model.data_preprocessor(batch, False)["inputs"].shape[1:]
            classifier = find_classifier(network, name, shape)
            recorder = _feature_recorder(network, classifier)
        if recorder is None:
            samples = model.test_step(batch)
        else:
            with recorder:
                samples = model.test_step(batch)
        of_batch = [sample.get("gt_label", torch.tensor([])) for sample in samples]
        labels += [label.reshape(-1).cpu() for label in of_batch]
        if any(label.numel() != 1 for label in of_batch):
            raise ValueError(
                f"{name} is tested on images that have not one label each; expected "
                "that, to tell what it confuses: leave --inspect out."
            )
        predicted += [sample.pred_label.reshape(-1).cpu() for sample in samples]
        if recorder is not None:
            rows = chosen.of(torch.cat(labels[-len(samples) :]).tolist())
            (feature,) = recorder.data_buffer[0]
            features.append(feature[rows].float().cpu())
    centers = kept = None
    if recorder is not None and classifier is not None:
        centers = category_centers(network, classifier).float().cpu()
        kept = torch.tensor(chosen.places, dtype=torch.long)
    return Answers(
        torch.cat(predicted),
        torch.cat(labels),
        next(inner_datasets(loader.dataset)),
        centers,
        torch.cat(features) if features else None,
        kept,
    )


def _feature_recorder(
    network: nn.Module, classifier: Classifier
) -> Optional[ClassifierFeatureRecorder]:
    """A recorder of the feature; None where there is none."""
    if not classifier.layers:
        return None
    recorder = ClassifierFeatureRecorder("classifier.feature", classifier.layers)
    recorder.initialize(network)
    return recorder


class _Chosen:
    """The first images of each category."""

    def __init__(self) -> None:
        self.places: List[int] = []
        self._counts: Dict[int, int] = {}
        self._seen = 0

    def of(self, labels: Sequence[int]) -> List[int]:
        """Which images of a batch with these labels are kept."""
        rows = []
        for row, label in enumerate(labels):
            count = self._counts.get(label, 0)
            if count < _KEPT and label < _CATEGORIES:
                self._counts[label] = count + 1
                rows.append(row)
        self.places += [self._seen + row for row in rows]
        self._seen += len(labels)
        return rows


@torch.no_grad()
def answers_on(
    model: Network, images: BaseDataset, tested: BaseDataset, places: Sequence[int]
) -> List[int]:
    """Let a network name the categories of training images, as of a test's.

    Args:
        model (nn.Module): What :func:`load_network` gives.
        images (BaseDataset): The training images, without wrappers.
        tested (BaseDataset): The test images, likewise, whose pipeline is taken.
        places (Sequence[int]): Places of the training images.

    Returns:
        list[int]: The category of each.
    """
    found: List[int] = []
    for begin in range(0, len(places), _BATCH):
        part = places[begin : begin + _BATCH]
        batch = [tested.pipeline(images.get_data_info(place)) for place in part]
        samples = model.test_step(pseudo_collate(batch))
        found += [int(sample.pred_label.reshape(-1)[0]) for sample in samples]
    return found
