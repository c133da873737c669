"""Pictures of what detectors find, beside what is there."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
from mmengine.config import Config

from .figures import new_figure
from .metric import test_loader_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mmengine.model import BaseModel

GROUND_TRUTH = "ground truth"


class Box(NamedTuple):
    """A box that is drawn.

    Attributes:
        corners (tuple[float]): Left, top, right, bottom, in pixels.
        label (int): Its class, for its colour.
        text (str): What is written at it.
        difficult (bool): Whether evaluation leaves it out.
    """

    corners: Tuple[float, float, float, float]
    label: int
    text: str
    difficult: bool = False


class Scene(NamedTuple):
    """An image and the boxes in it.

    Attributes:
        name (str): File name.
        image (np.ndarray): RGB, uint8, shape (H, W, 3).
        boxes (dict[str, list[Box]]): What is there under 'ground truth', and what each
            detector found.
    """

    name: str
    image: np.ndarray
    boxes: Dict[str, List[Box]]


def detect(
    networks: Dict[str, Tuple[Config, Path]], images: int = 4, threshold: float = 0.3
) -> List[Scene]:
    """Run detectors of mmdet on the first test images by name.

    Args:
        networks (dict[str, tuple[Config, Path]]): Names of the detectors; of each its
            config, which is not changed, and its checkpoint. The test images are those
            of the first config.
        images (int): Number of images. Defaults to 4.
        threshold (float): Boxes of a higher score are taken. Defaults to 0.3.

    Returns:
        list[Scene]: The images with their boxes, the best ones last.
    """
    import mmcv
    from mmdet.apis import inference_detector
    from mmdet.registry import DATASETS
    from mmengine.device import get_device
    from mmengine.registry import DefaultScope

    from pckd_mm.deployment.network import load_network

    detectors, names = {}, {}
    for name, (cfg, checkpoint) in networks.items():
        detector, plain, _ = load_network(cfg, checkpoint)
        detector.cfg = plain
        detectors[name] = detector.to(get_device())
        names[name] = plain.get("classes")
    known = {name: found for name, found in names.items() if found is not None}
    if len({tuple(found) for found in known.values()}) > 1:
        raise ValueError(
            f"{' and '.join(known)} find other classes than each other; expected "
            "detectors of one data set side by side: give the others a report of "
            "their own."
        )
    first = next(iter(networks.values()))[0]
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(copy.deepcopy(test_loader_of(first)["dataset"]))
    classes = dataset.metainfo["classes"]

    def there(info: dict) -> List[Box]:
        boxes = []
        for item in info["instances"]:
            label = item["bbox_label"]
            difficult = bool(item["ignore_flag"])
            boxes.append(Box(tuple(item["bbox"]), label, classes[label], difficult))
        return boxes

    def found(detector: "BaseModel", path: str) -> List[Box]:
        with DefaultScope.overwrite_default_scope("mmdet"):
            result = inference_detector(detector, path).pred_instances.cpu()
        result = result[result.scores > threshold]
        result = result[result.scores.argsort()]
        values = zip(
            result.bboxes.tolist(),
            result.labels.tolist(),
            result.scores.tolist(),
            strict=True,
        )
        return [
            Box(tuple(corners), label, f"{classes[label]} {100 * score:.0f}")
            for corners, label, score in values
        ]

    scenes = []
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))
    for info in sorted(infos, key=lambda info: info["img_path"])[:images]:
        path = info["img_path"]
        boxes = {name: found(detector, path) for name, detector in detectors.items()}
        scenes.append(
            Scene(
                Path(path).name,
                mmcv.imread(path, channel_order="rgb"),
                {GROUND_TRUTH: there(info), **boxes},
            )
        )
    return scenes


def plot_detections(path: Path, scenes: Sequence[Scene]) -> None:
    """Draw a row for each image: what is there, then what each detector found.

    Args:
        path (Path): The picture.
        scenes (Sequence[Scene]): The images, with boxes of the same detectors.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    columns = list(scenes[0].boxes)
    figure = new_figure(3 * len(columns), 3 * len(scenes))
    grid = figure.subplots(len(scenes), len(columns), squeeze=False)
    for row, scene in zip(grid, scenes, strict=True):
        row[0].set_ylabel(scene.name, fontsize="small")
        for axis, name in zip(row, columns, strict=True):
            _draw(axis, scene.image, scene.boxes[name])
    for axis, name in zip(grid[0], columns, strict=True):
        axis.set_title(name)
    figure.savefig(path)


def _draw(axis: "Axes", image: np.ndarray, boxes: Sequence[Box]) -> None:
    """Draw one panel."""
    from matplotlib.patches import Rectangle

    height, width = image.shape[:2]
    # Boxes count from the outer edge of the first pixel, not from its middle.
    axis.imshow(image, extent=(0, width, height, 0))
    axis.set_xticks([])
    axis.set_yticks([])
    for box in boxes:
        left, top, right, bottom = box.corners
        color = f"C{box.label % 10}"
        axis.add_patch(
            Rectangle(
                (left, top),
                right - left,
                bottom - top,
                fill=False,
                lw=1.5,
                edgecolor=color,
                linestyle="--" if box.difficult else "-",
            )
        )
        axis.text(
            max(left, 0),
            max(top, 0),
            box.text,
            color="white",
            fontsize=6,
            va="bottom" if top > 0.05 * height else "top",
            bbox=dict(facecolor=color, edgecolor="none", pad=0.8),
            clip_on=True,
        )
