"""Steps of DenseDistill, and which places are its instances, by plain loops."""

import types

import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from torch import nn

from pckd_mm.models.algorithms.dense_networks import classifying
from pckd_mm.registry import MODELS
from tests.builders import CONFIGS, scenes
from tests.dense import GRIDS, SCALES, STRIDES, dense_detector

EPOCH, EPOCHS = 60, 240
BOXES = [
    [[4, 4, 30, 30], [34, 10, 60, 40], [8, 36, 28, 60]],
    [[20, 20, 52, 56], [2, 2, 14, 18]],
]
CLASSES = 4


def dense_method(name: str = "pckd_dense") -> dict:
    return Config.fromfile(CONFIGS / "_base_" / "methods" / f"{name}.py").method


def build(student: dict, teacher: dict, method: str = "pckd_dense", **settings):
    torch.manual_seed(0)
    # TOOD's head asks a runner for the epoch.
    MessageHub.get_current_instance().update_info("epoch", 0)
    cfg = ConfigDict(
        {**dense_method(method), **settings}, architecture=student, teacher=teacher
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg)
        model.init_weights()
    model.progress = EPOCH / EPOCHS
    # Classifiers as after training: those of mmdet begin next to zero.
    for network in (model.student, model.teacher):
        for conv in classifying(network).values():
            nn.init.normal_(conv.weight, std=0.1)
            nn.init.normal_(conv.bias, mean=-1)
    return model.train()


def pair(kind: str, method: str = "pckd_dense", teacher: int = 12, **settings):
    return build(
        dense_detector(kind, 8), dense_detector(kind, teacher), method, **settings
    )


def batch(model, boxes=BOXES) -> dict:
    masks = hasattr(model.student, "mask_head")
    return model.data_preprocessor(scenes(boxes, masks=masks), True)


def step(model, boxes=BOXES) -> dict:
    torch.manual_seed(1)
    return model(**batch(model, boxes), mode="loss")


class Watched:
    """A step, with all that went through both networks, kept by hooks of its own."""

    def __init__(self, model, boxes=BOXES) -> None:
        self.maps = {}  # of each network and level: input and output
        self.assigned = []
        self.assigners_results = []
        self.records = {}
        handles = []
        for who in ("student", "teacher"):
            self.maps[who] = []
            for conv in classifying(getattr(model, who)).values():
                keep = self._keep(self.maps[who])
                handles.append(conv.register_forward_hook(keep))
        head = model.bbox_head
        assigner = getattr(head, "cls_assigner", getattr(head, "assigner", None))
        if assigner is not None:
            assigner.assign = types.MethodType(self._assign, assigner)
        compute = model.distiller.compute_distill_losses
        model.distiller.compute_distill_losses = lambda: self._compute(model, compute)
        try:
            self.losses = step(model, boxes)
        finally:
            model.distiller.compute_distill_losses = compute
            if assigner is not None:
                del assigner.assign
            for handle in handles:
                handle.remove()

    @staticmethod
    def _keep(kept: list):
        return lambda _, inputs, output: kept.append((inputs[0], output))

    def _assign(self, assigner, *args, **kwargs):
        result = type(assigner).assign(assigner, *args, **kwargs)
        self.assigned.append(result.gt_inds.clone())
        self.assigners_results.append(result)
        return result

    def _compute(self, model, compute) -> dict:
        for who in ("student", "teacher"):
            manager = getattr(model.distiller, f"{who}_recorders")
            for name, recorder in manager.recorders.items():
                if recorder.data_buffer:
                    self.records[who, name] = recorder.get_record_data()
        return compute()


def fcos_labels(boxes: list) -> torch.Tensor:
    """What FCOS finds positive, place by place: of each, the smallest box around it."""
    rows = []
    for index, of_image in enumerate(boxes):
        row = []
        for stride, (low, high) in zip(
            STRIDES, [(-1, 16), (16, 32), (32, 1e8)], strict=True
        ):
            for y in range(64 // stride):
                for x in range(64 // stride):
                    found = []
                    px, py = (x + 0.5) * stride, (y + 0.5) * stride
                    for k, (x1, y1, x2, y2) in enumerate(of_image):
                        sides = (px - x1, py - y1, x2 - px, y2 - py)
                        if min(sides) > 0 and low <= max(sides) <= high:
                            area = (x2 - x1) * (y2 - y1)
                            found.append((area, (index + k) % CLASSES))
                    row.append(min(found)[1] if found else CLASSES)
        rows.append(row)
    return torch.tensor(rows)


def center_labels(boxes: list) -> torch.Tensor:
    """What CenterNet finds positive: the place, of stride 8, of each box's middle."""
    rows = torch.full((len(boxes), 8, 8), CLASSES)
    for index, of_image in enumerate(boxes):
        for k, (x1, y1, x2, y2) in enumerate(of_image):
            rows[index, int((y1 + y2) / 16), int((x1 + x2) / 16)] = (
                index + k
            ) % CLASSES
    return rows.flatten(1)


def grid_labels(boxes: list) -> torch.Tensor:
    """What SOLO finds positive: of a grid that an object's size is of, the places of
    the middle fifth of its box, at most one from that of its mask's center."""
    rows = []
    for index, of_image in enumerate(boxes):
        row = []
        for places, (low, high) in zip(GRIDS, SCALES, strict=True):
            grid = torch.full((places, places), CLASSES)
            for k, (x1, y1, x2, y2) in enumerate(of_image):
                if not low <= ((x2 - x1) * (y2 - y1)) ** 0.5 <= high:
                    continue
                spans = []
                for begin, end in ((y1, y2), (x1, x2)):
                    # Of pixels from begin to end - 1.
                    middle, reach = (begin + end - 1) / 2, 0.1 * (end - begin)
                    at = int(middle / 64 * places)
                    first = max(int((middle - reach) / 64 * places), 0, at - 1)
                    last = int((middle + reach) / 64 * places)
                    spans.append(slice(first, min(last, places - 1, at + 1) + 1))
                grid[spans[0], spans[1]] = (index + k) % CLASSES
            row.append(grid.flatten())
        rows.append(torch.cat(row))
    return torch.stack(rows)


def assigned_labels(assigned: list, boxes: list) -> torch.Tensor:
    """Labels by what the assigner gave for each image; -1 is neither."""
    rows, results = [], iter(assigned)
    for index, of_image in enumerate(boxes):
        if not of_image and len(assigned) < len(boxes):
            rows.append(torch.full_like(assigned[0], CLASSES))
            continue
        row = []
        for found in next(results).tolist():
            label = CLASSES if found == 0 else -1
            row.append((index + found - 1) % CLASSES if found > 0 else label)
        rows.append(torch.tensor(row))
    return torch.stack(rows)


def instances(
    labels: torch.Tensor, maps: list, anchors: int, logits: int = CLASSES
) -> list:
    """(image, level, y, x, anchor) of foreground, then background, by plain loops.

    Of more logits than classes the last is the background's, beside a softmax.
    """
    foreground, background, at = [], [], 0
    for level, (_, output) in enumerate(maps):
        _, _, height, width = output.shape
        for y in range(height):
            for x in range(width):
                for anchor in range(anchors):
                    for image in range(len(labels)):
                        label = int(labels[image, at])
                        place = (image, level, y, x, anchor)
                        if 0 <= label < CLASSES:
                            foreground.append((place, label))
                        elif label == CLASSES:
                            scores = logits_at(maps, place, logits)
                            if logits > CLASSES:
                                powers = scores.double().exp()
                                scores = (powers / powers.sum())[:CLASSES]
                            background.append((float(scores.max()), place))
                    at += 1
    assert at == labels.shape[1]
    chosen = sorted(background, reverse=True)[: len(foreground)]
    # By place, as the foreground is.
    hardest = sorted((place for _, place in chosen), key=lambda p: (*p[1:], p[0]))
    return [*foreground, *((place, CLASSES) for place in hardest)]


def logits_at(maps: list, place: tuple, logits: int = CLASSES) -> torch.Tensor:
    """From the raw map: channel a * C + c."""
    image, level, y, x, anchor = place
    return maps[level][1][image, anchor * logits : (anchor + 1) * logits, y, x]


def patch_at(inputs: list, place: tuple, kernel: int) -> torch.Tensor:
    """What the convolution sees, by torch's own unfolding."""
    image, level, y, x, _ = place
    level_input = inputs[level][image][None]
    columns = F.unfold(level_input, kernel, padding=kernel // 2)
    return columns[0, :, y * level_input.shape[3] + x]


def expected_labels(kind: str, watched: Watched, boxes: list) -> torch.Tensor:
    by_boxes = dict(
        fcos=fcos_labels,
        centernet=center_labels,
        solo=grid_labels,
        solov2=grid_labels,
        solo_decoupled=grid_labels,
        solo_light=grid_labels,
    )
    if kind in by_boxes:
        return by_boxes[kind](boxes)
    return assigned_labels(watched.assigned, boxes)


def anchors_of(model) -> int:
    conv = next(iter(classifying(model.student).values()))
    return conv.out_channels // CLASSES
