"""Look into trained classifiers: centers, confusions, and what was previewed.

python -m pckd_mm.analysis.inspect_networks REQUEST.json FOLDER

REQUEST.json is what pckd_mm.experiments.Inspection writes: the networks by name, each
with its config and checkpoint, and which of them is the teacher.
"""

import argparse
import json
from pathlib import Path
from typing import Any, ContextManager, Dict, List, NamedTuple, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.apis import get_model
from mmpretrain.evaluation import ConfusionMatrix
from torch import Tensor, nn
from torch.utils.data import Dataset

from pckd_mm.datasets.image_format import inner_datasets
from pckd_mm.datasets.thumbnails import thumbnail
from pckd_mm.engine.image_previews import PREVIEW_IMAGES
from pckd_mm.models.task_modules.classifier_recorders import category_centers
from pckd_mm.models.task_modules.find_classifier import find_classifier
from pckd_mm.registry import DATASETS
from pckd_mm.utils.checkpoint import fitting_tensors, load_exactly, read_checkpoint
from pckd_mm.utils.config import load_config

from .inspection import ConfusedPair, Inspected, PreviewedImage, write_inspection

PAIRS = 10
# Over all networks with a preview.
THUMBNAILS = 24


class Answers(NamedTuple):
    """What a network says of the test set.

    Attributes:
        predicted (Tensor): The category of each image, shape (N,).
        labels (Tensor): What it is, shape (N,).
        dataset (Dataset): The images.
        centers (Tensor, optional): Category centers, shape (C, D); None for a network
            whose logits are no linear function of a feature.
    """

    predicted: Tensor
    labels: Tensor
    dataset: Dataset
    centers: Optional[Tensor]


def inspect_networks(request: Dict[str, Any]) -> Inspected:
    """Test networks on one test set, and look up what was previewed.

    Args:
        request (dict): ``networks``, of each name ``config``, ``checkpoint`` and
            ``folder``, that of the run; and ``teacher``, one of the names or None.

    Returns:
        Inspected: What was found.

    Raises:
        ValueError: Where images have not one label each, or the networks' test sets are
            not the same.
    """
    configs = {
        name: load_config(entry["config"])
        for name, entry in request["networks"].items()
    }
    loaders: Dict[str, Any] = {}
    answers = {}
    for name, cfg in configs.items():
        key = Config(dict(loader=cfg.test_dataloader)).pretty_text
        if key not in loaders:
            with _scope_of(cfg):
                loaders[key] = Runner.build_dataloader(cfg.test_dataloader, seed=0)
        checkpoint = request["networks"][name]["checkpoint"]
        answers[name] = answers_of(load_network(cfg, checkpoint), loaders[key], name)
    first = next(iter(answers.values()))
    for name, result in answers.items():
        if not torch.equal(result.labels, first.labels):
            raise ValueError(
                f"{name} is tested on other images than {next(iter(answers))}; "
                "expected one test set, to compare what they confuse: make their "
                "test_dataloader.dataset the same."
            )
    previewed, passes = {}, {}
    folders = {n: Path(e["folder"]) for n, e in request["networks"].items()}
    recorded = {n: f for n, f in folders.items() if (f / PREVIEW_IMAGES).is_file()}
    for name, folder in recorded.items():
        with _scope_of(configs[name]):
            train = DATASETS.build(configs[name].train_dataloader.dataset)
        dataset = next(inner_datasets(train))
        with np.load(folder / PREVIEW_IMAGES) as counts:
            passes[name] = int(counts["epochs"])
            most = max(1, THUMBNAILS // len(recorded))
            previewed[name] = longest_previewed(dict(counts), dataset, most)
    return Inspected(
        list(answers),
        request["teacher"],
        len(first.labels),
        {n: int((t.predicted != t.labels).sum()) for n, t in answers.items()},
        confused_pairs(answers, request["teacher"]),
        passes,
        previewed,
        {n: t.centers.numpy() for n, t in answers.items() if t.centers is not None},
    )


def load_network(cfg: Config, checkpoint: str) -> nn.Module:
    """Build what a config trains, with the weights of a checkpoint.

    Args:
        cfg (Config): The config; of a distillation it is the student that is loaded.
        checkpoint (str): The checkpoint, of either.

    Returns:
        nn.Module: It, in eval mode.
    """
    model = get_model(cfg, device=get_device())
    network = getattr(model, "architecture", model)
    source = f"The checkpoint {checkpoint}"
    loaded = read_checkpoint(checkpoint)
    state, _ = fitting_tensors(loaded, network.state_dict(), source)
    load_exactly(network, state, source)
    return model


@torch.no_grad()
def answers_of(model: nn.Module, loader: Any, name: str) -> Answers:
    """Let a network name the categories of a test set.

    Args:
        model (nn.Module): A classifier of MMPretrain, or a distillation of one.
        loader (DataLoader): The test set, in its order.
        name (str): What the network is, for messages.

    Returns:
        Answers: What it says.

    Raises:
        ValueError: Where an image has not one label.
    """
    predicted, labels, shape = [], [], None
    for batch in loader:
        if shape is None:
            shape = model.data_preprocessor(batch, False)["inputs"].shape[1:]
        for sample in model.test_step(batch):
            predicted.append(sample.pred_label.reshape(-1).cpu())
            labels.append(sample.gt_label.reshape(-1).cpu())
    if any(len(label) != 1 for label in labels):
        raise ValueError(
            f"{name} is tested on images that have not one label each; expected that, "
            "to tell what it confuses: leave --inspect out."
        )
    network = getattr(model, "architecture", model)
    classifier = find_classifier(network, name, shape)
    centers = None
    if classifier.layers:
        centers = category_centers(network, classifier).float().cpu()
    return Answers(torch.cat(predicted), torch.cat(labels), images_of(loader), centers)


def images_of(loader: Any) -> Dataset:
    """The data set of a loader, without its wrappers."""
    return next(inner_datasets(loader.dataset))


def _scope_of(cfg: Config) -> ContextManager:
    """Where a config's names without a scope are looked up."""
    scope = cfg.get("default_scope") or "mmpretrain"
    return DefaultScope.overwrite_default_scope(scope)


def category_names(dataset: Dataset, total: int) -> List[str]:
    """Names of the categories, their numbers where the data set has none."""
    names = dataset.metainfo.get("classes")
    return [str(name) for name in (names or range(total))]


def longest_previewed(
    counts: Dict[str, np.ndarray], dataset: Dataset, most: int
) -> List[PreviewedImage]:
    """The images that were previewed in most epochs, then by the least weight.

    Args:
        counts (dict[str, np.ndarray]): What PreviewRecordHook counted.
        dataset (Dataset): The training set, without wrappers.
        most (int): How many images at most.

    Returns:
        list[PreviewedImage]: The images; none that was never previewed.
    """
    mean = counts["weight_sum"] / np.maximum(counts["seen"], 1)
    order = np.lexsort((mean, -counts["previewed"]))
    found = []
    for place in order[:most].tolist():
        if counts["previewed"][place]:
            label = int(np.ravel(dataset.get_data_info(place)["gt_label"])[0])
            found.append(
                PreviewedImage(
                    category_names(dataset, label + 1)[label],
                    int(counts["previewed"][place]),
                    float(mean[place]),
                    thumbnail(dataset, place),
                )
            )
    return found


def confused_pairs(
    answers: Dict[str, Answers], teacher: Optional[str], most: int = PAIRS
) -> List[ConfusedPair]:
    """The categories that students take for another one most often, all together.

    Args:
        answers (dict[str, Answers]): What each network says.
        teacher (str, optional): Which of them does not count for the order.
        most (int): How many pairs at most. Defaults to 10.

    Returns:
        list[ConfusedPair]: The pairs.
    """
    first = next(iter(answers.values()))
    labels = first.labels
    total = 1 + max(int(max(t.predicted.max(), labels.max())) for t in answers.values())
    matrices = {
        name: ConfusionMatrix.calculate(t.predicted, labels, num_classes=total)
        for name, t in answers.items()
    }
    students = [name for name in answers if name != teacher]
    together = sum(matrices[name] for name in students).fill_diagonal_(0)
    counts, places = together.flatten().sort(descending=True, stable=True)
    names = category_names(first.dataset, total)
    pairs = []
    for place in places[:most][counts[:most] > 0].tolist():
        category, other = divmod(place, total)
        takes = sum((answers[n].predicted == other).int() for n in students)
        knows = sum((t.predicted == other).int() for t in answers.values())
        pairs.append(
            ConfusedPair(
                names[category],
                names[other],
                int((labels == category).sum()),
                {
                    name: int(matrix[category, other])
                    for name, matrix in matrices.items()
                },
                _example(first.dataset, takes, labels == category),
                _example(first.dataset, knows, labels == other),
            )
        )
    return pairs


def _example(dataset: Dataset, votes: Tensor, allowed: Tensor) -> str:
    """The first of the images with most votes; empty where none is allowed."""
    if not allowed.any():
        return ""
    return thumbnail(dataset, int(votes.masked_fill(~allowed, -1).argmax()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("request", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    request = json.loads(args.request.read_text(encoding="utf-8"))
    write_inspection(args.folder, inspect_networks(request))


if __name__ == "__main__":
    main()
