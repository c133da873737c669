"""What a trained network finds in image files."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import torch
from mmcv.image import imread
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import VISUALIZERS, DefaultScope
from mmpretrain.models import BaseClassifier
from torch import nn

from pckd_mm.utils.class_name import class_name

from .images import UnreadableImageError, build_steps, read_image, read_input
from .onnx_export import Scores

__all__ = ["predict"]

# Images that are predicted at a time.
_BATCH = 32
# What MMEngine keeps the drawing tool as.
_NAME = "pckd_predict"
# The step that reads a file.
_LOADING = "LoadImageFromFile"


def predict(
    network: nn.Module,
    plain: Config,
    files: Sequence[str],
    classes: Optional[Sequence[str]] = None,
    most: int = 3,
    least: float = 0.0,
    folder: Optional[Path] = None,
) -> Iterator[Dict[str, Any]]:
    """Predict images, one after the other.

    Args:
        network (nn.Module): A classifier of MMPretrain or a detector of MMDetection, in
            eval mode.
        plain (Config): Its plain config.
        files (Sequence[str]): Paths of the images.
        classes (Sequence[str], optional): Names of the categories.
        most (int): How many categories of an image, the likeliest first; of detectors
            all objects are given. Defaults to 3.
        least (float): Least score of what is given. Defaults to 0.
        folder (Path, optional): Where to draw them. Defaults to None.

    Yields:
        dict: ``file``, and ``found``, a list of dicts with ``label``, ``score`` and,
        for detectors, ``box`` (left, top, right, bottom, pixels). Of a file that is no
        image ``error``, a sentence, in place of ``found``.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    names = _flat(files)
    work = _classify if isinstance(network, BaseClassifier) else _detect
    for file, sample, found in work(network, plain, files, most):
        if isinstance(found, UnreadableImageError):
            yield dict(file=file, error=str(found))
            continue
        entries = [
            dict(entry, label=classes[entry["label"]] if classes else entry["label"])
            for entry in found
            if entry["score"] >= least
        ]
        if folder is not None:
            out = str(folder / f"{names[file]}.png")
            _draw(plain, file, sample, classes, least, out)
        yield dict(file=file, found=entries)


def _classify(
    network: BaseModel, plain: Config, files: Sequence[str], most: int
) -> Iterator[tuple]:
    """Each image, what the network gives for it, and its likeliest categories.

    Of a file that is no image nothing, and the error.
    """
    from mmpretrain.structures import DataSample

    steps = build_steps(plain.test_pipeline)
    scores = Scores(network).eval()
    for begin in range(0, len(files), _BATCH):
        part, inputs = [], []
        for file in files[begin : begin + _BATCH]:
            try:
                inputs.append(read_input(file, steps))
                part.append(file)
            except UnreadableImageError as error:
                yield file, None, error
        if not part:
            continue
        with torch.no_grad():
            data = network.data_preprocessor(dict(inputs=torch.stack(inputs)))
            rows = scores(data["inputs"].float())
        for file, row in zip(part, rows, strict=True):
            values, labels = row.topk(min(most, len(row)))
            pairs = zip(labels.tolist(), values.tolist(), strict=True)
            found = [dict(label=label, score=score) for label, score in pairs]
            sample = DataSample().set_pred_score(row).set_pred_label(row.argmax())
            yield file, sample, found


def _detect(
    network: nn.Module, plain: Config, files: Sequence[str], most: int
) -> Iterator[tuple]:
    """Each image, what the network gives for it, and its objects.

    Of a file that is no image nothing, and the error.
    """
    from mmdet.apis import inference_detector

    network.cfg = plain
    # mmdet ends at what cannot be loaded; its own pipeline runs behind this.
    loading = build_steps(
        [s for s in plain.test_pipeline if class_name(s["type"]) == _LOADING]
    )
    for file in files:
        try:
            read_image(file, loading)
        except UnreadableImageError as error:
            yield file, None, error
            continue
        with DefaultScope.overwrite_default_scope(plain.default_scope):
            sample = inference_detector(network, file)
        instances = sample.pred_instances
        found: List[Dict[str, Any]] = [
            dict(label=label, score=score, box=[round(side, 1) for side in box])
            for label, score, box in zip(
                instances.labels.tolist(),
                instances.scores.tolist(),
                instances.bboxes.tolist(),
                strict=True,
            )
        ]
        yield file, sample, found


def _flat(files: Sequence[str]) -> Dict[str, str]:
    """A name for each file, with as many of its folders as tell them all apart."""
    distinct = list(dict.fromkeys(files))
    parts = [Path(file).relative_to(Path(file).anchor).parts for file in distinct]
    names: List[str] = []
    for depth in range(2, max(map(len, parts), default=0) + 2):
        names = ["_".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            break
    else:  # as of a_b/1.jpg and a/b_1.jpg
        names = [f"{name}_{index}" for index, name in enumerate(names)]
    return dict(zip(distinct, names, strict=True))


def _draw(
    plain: Config,
    file: str,
    sample: Any,
    classes: Optional[Sequence[str]],
    least: float,
    out: str,
) -> None:
    """Draw what was found in an image, as its library does it."""
    image = imread(file, channel_order="rgb")
    if "visualizer" in plain:
        visualizer = VISUALIZERS.build(
            dict(type="mmdet.DetLocalVisualizer", name=_NAME)
        )
        visualizer.dataset_meta = dict(classes=classes, palette="random")
        visualizer.add_datasample(
            out, image, sample, draw_gt=False, pred_score_thr=least, out_file=out
        )
        return
    visualizer = VISUALIZERS.build(
        dict(type="mmpretrain.UniversalVisualizer", name=_NAME)
    )
    visualizer.visualize_cls(
        image, sample, classes=classes, resize=224, draw_gt=False, out_file=out
    )
