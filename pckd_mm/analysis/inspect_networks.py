"""Look into trained classifiers: centers, confusions, and what was previewed.

python -m pckd_mm.analysis.inspect_networks REQUEST.json FOLDER

REQUEST.json is what pckd_mm.experiments.Inspection writes: the networks by name, each
with its config and checkpoint, and of those that are compared with a teacher which.
"""

import argparse
import json
from functools import reduce
from pathlib import Path
from typing import Any, Collection, ContextManager, Dict, List, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.evaluation import ConfusionMatrix
from torch import Tensor

from pckd_mm.datasets.thumbnails import thumbnail
from pckd_mm.engine.image_previews import PREVIEW_IMAGES
from pckd_mm.registry import DATASETS
from pckd_mm.utils.config import load_config
from pckd_mm.utils.nested_datasets import inner_datasets

from .answers import Answers, Network, answers_of, answers_on, load_network
from .feature_map import FeatureMap, categories_to_show, map_features
from .inspection import (
    FAULTS,
    ConfusedPair,
    Inspected,
    reason_of,
    write_inspection,
)
from .metric import test_loader_of
from .previewed import What, category_names, look_back

PAIRS = 10
# Of each kind, over all networks with a preview.
THUMBNAILS = 12
# Points of all categories in the picture of the features.
_POINTS = 500


def inspect_networks(request: Dict[str, Any]) -> Tuple[Inspected, Dict[str, str]]:
    """Test networks on one test set, and look up what was previewed.

    Args:
        request (dict): ``networks``, of each name ``config``, ``checkpoint`` and
            ``folder``, that of the run, where ``is_teacher`` asks for the teacher that
            the config names; and ``teachers``, of names of students that of a teacher.

    Returns:
        tuple[Inspected, dict[str, str]]: What was found; and of each network that
        cannot be tested the reason, as where its weights or its data are not there.

    Raises:
        ValueError: Where the networks' test sets are not the same, or none can be
            tested.
    """
    entries, compared = request["networks"], request["teachers"]
    configs = {name: load_config(entry["config"]) for name, entry in entries.items()}
    folders = {n: Path(entry["folder"]) for n, entry in entries.items()}
    recorded = [n for n, folder in folders.items() if _is_recorded(entries[n], folder)]
    most = max(1, THUMBNAILS // max(1, len(recorded)))
    loaders: Dict[str, Any] = {}
    answers: Dict[str, Answers] = {}
    became: Dict[str, Tuple[int, What]] = {}
    left_out: Dict[str, str] = {}
    for name, cfg in configs.items():
        try:
            loader = _loader_of(cfg, loaders)
            network = load_network(cfg, entries[name]["checkpoint"])
            found = answers_of(network, loader, name)
            if name in recorded:
                images = found.dataset
                became[name] = _became(cfg, network, folders[name], images, most)
        except FAULTS as error:
            left_out[name] = reason_of(error)
        else:
            answers[name] = found
    if not answers:
        alone = len(left_out) == 1
        raise ValueError(*left_out.values()) if alone else _of_all(left_out)
    compared = {n: t for n, t in compared.items() if n in answers and t in answers}
    first = next(iter(answers.values()))
    for name, result in answers.items():
        if not result.labels.equal(first.labels):
            raise ValueError(
                f"{name} is tested on other images than {next(iter(answers))}; "
                "expected one test set, to compare what they confuse: make their "
                "test_dataloader.dataset the same."
            )
    matrices = confusion_matrices(answers)
    teachers = set(compared.values())
    pairs = confused_pairs(answers, matrices, teachers)
    total = len(next(iter(matrices.values())))
    inspected = Inspected(
        list(answers),
        compared,
        len(first.labels),
        {n: int((t.predicted != t.labels).sum()) for n, t in answers.items()},
        pairs,
        {name: passes for name, (passes, _) in became.items()},
        {name: what.longest for name, (_, what) in became.items()},
        {name: what.learned for name, (_, what) in became.items()},
        {name: [what.asked, what.right] for name, (_, what) in became.items()},
        category_names(first.dataset, total)[:total],
        {name: matrix.numpy() for name, matrix in matrices.items()},
        _maps(answers, most_confused(matrices, teachers)),
        {n: t.centers.numpy() for n, t in answers.items() if t.centers is not None},
    )
    return inspected, left_out


def _of_all(left_out: Dict[str, str]) -> ValueError:
    return ValueError(" ".join(f"{name}: {why}" for name, why in left_out.items()))


def _loader_of(cfg: Config, loaders: Dict[str, Any]) -> Any:
    """The test data, built once of each kind."""
    tested = test_loader_of(cfg)
    key = Config(dict(loader=tested)).pretty_text
    if key not in loaders:
        with _scope_of(cfg):
            loaders[key] = Runner.build_dataloader(tested, seed=0)
    return loaders[key]


def _is_recorded(entry: Dict[str, Any], folder: Path) -> bool:
    return not entry.get("is_teacher") and (folder / PREVIEW_IMAGES).is_file()


def _became(
    cfg: Config, network: Network, folder: Path, tested: BaseDataset, most: int
) -> Tuple[int, What]:
    """How many passes were counted, and what became of the images."""
    with _scope_of(cfg):
        train = DATASETS.build(cfg.train_dataloader.dataset)
    images = next(inner_datasets(train))
    with np.load(folder / PREVIEW_IMAGES) as file:
        counts = dict(file)
    what = look_back(
        counts, images, lambda places: answers_on(network, images, tested, places), most
    )
    return int(counts["epochs"]), what


def _maps(
    answers: Dict[str, Answers], pairs: List[Tuple[int, int]]
) -> Dict[str, FeatureMap]:
    """Features of some test images in a plane, of each network that has features."""
    maps = {}
    for name, answer in answers.items():
        if answer.features is None:
            continue
        labels = answer.labels[answer.kept].numpy()
        shown = categories_to_show(pairs, labels)
        each = max(1, _POINTS // max(1, len(shown)))
        of_each = [np.flatnonzero(labels == category)[:each] for category in shown]
        rows = np.concatenate(of_each) if of_each else np.zeros(0, dtype=int)
        found = map_features(answer.features.numpy()[rows], labels[rows])
        if found is not None:
            maps[name] = found
    return maps


def _scope_of(cfg: Config) -> ContextManager:
    """Where a config's names without a scope are looked up."""
    scope = cfg.get("default_scope") or "mmpretrain"
    return DefaultScope.overwrite_default_scope(scope)


def confusion_matrices(answers: Dict[str, Answers]) -> Dict[str, Tensor]:
    """Which category is taken for which.

    Args:
        answers (dict[str, Answers]): What each network says.

    Returns:
        dict[str, Tensor]: A matrix of each network, shape (C, C): images of a category,
        the row, that are taken for another, the column.
    """
    found = [max(t.predicted.max(), t.labels.max()) for t in answers.values()]
    total = 1 + int(max(found))
    return {
        name: ConfusionMatrix.calculate(t.predicted, t.labels, num_classes=total)
        for name, t in answers.items()
    }


def most_confused(
    matrices: Dict[str, Tensor], teachers: Collection[str], most: int = PAIRS
) -> List[Tuple[int, int]]:
    """The categories that students take for another one most often, all together.

    Args:
        matrices (dict[str, Tensor]): Confusion matrix of each network.
        teachers (Collection[str]): Which of them do not count.
        most (int): How many pairs at most. Defaults to 10.

    Returns:
        list[tuple[int, int]]: Categories, and what they are taken for.
    """
    students = [matrix for name, matrix in matrices.items() if name not in teachers]
    if not students:
        return []
    together = reduce(torch.add, students).clone().fill_diagonal_(0)
    counts, places = together.flatten().sort(descending=True, stable=True)
    chosen = places[:most][counts[:most] > 0].tolist()
    return [divmod(place, len(together)) for place in chosen]


def confused_pairs(
    answers: Dict[str, Answers],
    matrices: Dict[str, Tensor],
    teachers: Collection[str],
    most: int = PAIRS,
) -> List[ConfusedPair]:
    """What :func:`most_confused` finds, with an image of each.

    Args:
        answers (dict[str, Answers]): What each network says.
        matrices (dict[str, Tensor]): Confusion matrix of each network.
        teachers (Collection[str]): Which of them do not count for the order.
        most (int): How many pairs at most. Defaults to 10.

    Returns:
        list[ConfusedPair]: The pairs.
    """
    first = next(iter(answers.values()))
    labels = first.labels
    students = [name for name in answers if name not in teachers]
    names = category_names(first.dataset, len(next(iter(matrices.values()))))
    pairs = []
    for category, other in most_confused(matrices, teachers, most):
        taking = {n: (t.predicted == other).int() for n, t in answers.items()}
        takes = reduce(torch.add, (taking[name] for name in students))
        knows = reduce(torch.add, taking.values())
        pairs.append(
            ConfusedPair(
                names[category],
                names[other],
                int((labels == category).sum()),
                {n: int(matrix[category, other]) for n, matrix in matrices.items()},
                _example(first.dataset, takes, labels == category),
                _example(first.dataset, knows, labels == other),
            )
        )
    return pairs


def _example(dataset: BaseDataset, votes: Tensor, allowed: Tensor) -> str:
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
    inspected, left_out = inspect_networks(request)
    if left_out:
        raise _of_all(left_out)
    write_inspection(args.folder, inspected)


if __name__ == "__main__":
    main()
