"""From a kind to a network, a partner for it and a batch of random images."""

import tempfile
from inspect import signature
from typing import Any, List, Union

import torch
from mmengine.config import Config, ConfigDict
from mmpretrain.registry import MODELS as PRETRAIN_MODELS
from mmpretrain.structures import DataSample, MultiTaskDataSample
from torch import nn

from pckd_mm.utils.methods import NetworkKind, network_kind

from .classifier_kinds import CLASSES
from .detector_kinds import CATEGORIES
from .kinds import Kind, configs_of

IMAGES = 2
# A few regions show as much as thousands.
_MOST = dict(nms_pre=200, max_per_img=32, num=32)


def scope(kind: Kind) -> str:
    """Default scope of the kind's configs."""
    return "mmdet" if kind.labels == "boxes" else "mmpretrain"


def run_config(kind: Kind) -> Config:
    """The kind's config with a model to build: few classes, no weights to fetch."""
    if kind.library in ("timm", "transformers"):
        return Config(dict(model=_wrapped(kind)))
    cfg = Config.fromfile(configs_of(kind.library) / kind.source)
    of_detector = kind.labels == "boxes"
    model = _plain(cfg.model.to_dict(), CATEGORIES if of_detector else CLASSES)
    if of_detector:
        for preprocessor in _preprocessors(model):
            preprocessor.pop("batch_augments", None)
    else:
        # Mixed images have no views; they are a matter of data, not of the network.
        model.pop("train_cfg", None)
        _set_image_size(model["backbone"], kind.size)
    cfg.model = ConfigDict(model)
    for name, value in kind.settings.items():
        prefix = "" if name.startswith("data_preprocessor.") else "model."
        cfg.merge_from_dict({prefix + name: value})
    return cfg


def network(kind: Kind) -> Union[ConfigDict, nn.Module]:
    """The network: a config, or of torchvision a module."""
    if kind.library == "torchvision":
        import torchvision

        make = getattr(torchvision.models, kind.source)
        return make(num_classes=CLASSES, **kind.settings)
    return run_config(kind).model


def is_of_one_stage(kind: Kind) -> bool:
    """Whether it is a detector that DenseDistill is for, or refuses."""
    if kind.labels != "boxes":
        return False
    return network_kind(run_config(kind).model) is NetworkKind.ONE_STAGE


def scores_by_sigmoid(kind: Kind) -> bool:
    """Whether each category of a detector has a sigmoid, and the background none."""
    model = run_config(kind).model
    if is_of_one_stage(kind):
        loss = model.get("bbox_head", {}).get("loss_cls") or {}
        of_softmax = "CrossEntropy" in loss.get("type", "")
        return not of_softmax or bool(loss.get("use_sigmoid"))
    heads = model.get("roi_head", {}).get("bbox_head", {})
    loss = {} if isinstance(heads, (list, tuple)) else heads.get("loss_cls") or {}
    # Plain cross-entropy is of a softmax in the end, whatever its loss is.
    is_custom = loss.get("type") == "CrossEntropyCustomLoss"
    return is_custom and bool(loss.get("use_sigmoid"))


def partner(kind: Kind) -> ConfigDict:
    """Config of a plain small network for the same labels.

    Of a one-stage detector it is another one of its kind, for the same places.
    """
    if is_of_one_stage(kind):
        return run_config(kind).model
    if kind.labels == "boxes":
        return _small_detector(kind)
    head = dict(
        type="LinearClsHead",
        num_classes=CLASSES,
        in_channels=64,
        loss=dict(type="CrossEntropyLoss"),
    )
    if kind.labels == "several":
        head.update(
            type="MultiLabelLinearClsHead",
            loss=dict(type="CrossEntropyLoss", use_sigmoid=True),
        )
    if kind.labels == "tasks":
        task_heads = {name: head for name in tasks(kind)}
        head = dict(type="MultiTaskHead", task_heads=task_heads)
    return ConfigDict(
        type="mmpretrain.ImageClassifier",
        backbone=dict(type="pckd_mm.CIFARResNet", depth=8, in_channels=_channels(kind)),
        neck=dict(type="mmpretrain.GlobalAveragePooling"),
        head=head,
    )


def tasks(kind: Kind) -> List[str]:
    """The tasks of a network with several."""
    return list(kind.settings["head"]["task_heads"])


def preprocessing(kind: Kind) -> dict:
    """How a classifier's config prepares images: mean, std, channels, labels."""
    given: dict = {}
    if kind.library == "mmpretrain":
        given = run_config(kind).get("data_preprocessor") or {}
    settings = dict(
        mean=given.get("mean", [123.675, 116.28, 103.53]),
        std=given.get("std", [58.395, 57.12, 57.375]),
    )
    if len(settings["mean"]) == 3:
        settings["to_rgb"] = given.get("to_rgb", kind.library != "mmpretrain")
    if given.get("to_onehot"):
        settings.update(to_onehot=True, num_classes=CLASSES)
    return settings


def batch(kind: Kind) -> dict:
    """Random images and labels, as a data loader gives them."""
    generator = torch.Generator().manual_seed(0)
    shape = (IMAGES, _channels(kind), kind.size, kind.size)
    images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    sample = _scene if kind.labels == "boxes" else _labelled
    samples = [sample(kind, index) for index in range(IMAGES)]
    return dict(inputs=list(images), data_samples=samples)


def _channels(kind: Kind) -> int:
    return 3 if kind.labels == "boxes" else len(preprocessing(kind)["mean"])


def _wrapped(kind: Kind) -> dict:
    if kind.library == "timm":
        return dict(
            type="mmpretrain.TimmClassifier",
            model_name=kind.source,
            num_classes=CLASSES,
            **kind.settings,
        )
    from transformers import AutoConfig

    # A name would be looked up at Hugging Face; a folder is read.
    folder = tempfile.mkdtemp(prefix="sweep-")
    config = AutoConfig.for_model(kind.source, num_labels=CLASSES, **kind.settings)
    config.save_pretrained(folder)
    return dict(type="mmpretrain.HuggingFaceClassifier", model_name=folder)


def _plain(value: Any, classes: int) -> Any:
    """Without weights to fetch, and with so many classes."""
    if isinstance(value, (list, tuple)):
        kept = [part for part in value if not _is_pretrained(part)]
        return type(value)(_plain(part, classes) for part in kept)
    if not isinstance(value, dict):
        return value
    plain = {}
    for key, part in value.items():
        if key == "pretrained":
            part = False if isinstance(part, bool) else None
        if key == "init_cfg" and _is_pretrained(part):
            part = None
        if key == "type" and part in ("SyncBN", "MMSyncBN"):
            part = "BN"  # of one process
        # One class is the objects of an RPN.
        if key == "num_classes" and isinstance(part, int) and part > 1:
            part = classes
        # Regions that a detector proposes, keeps and samples.
        if key in _MOST and isinstance(part, int):
            part = min(part, _MOST[key])
        plain[key] = _plain(part, classes)
    return plain


def _is_pretrained(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "Pretrained"


def _preprocessors(model: Any) -> List[dict]:
    if isinstance(model, (list, tuple)):
        return [found for part in model for found in _preprocessors(part)]
    if not isinstance(model, dict):
        return []
    found = [model["data_preprocessor"]] if model.get("data_preprocessor") else []
    return found + _preprocessors(list(model.values()))


def _set_image_size(backbone: dict, size: int) -> None:
    if isinstance(backbone.get("module"), dict):
        backbone = backbone["module"]
    known = signature(PRETRAIN_MODELS.get(backbone["type"]).__init__).parameters
    for name in ("img_size", "input_size"):
        if name in known:
            is_pair = isinstance(known[name].default, tuple)
            backbone[name] = (size, size) if is_pair else size


def _labelled(kind: Kind, index: int) -> Union[DataSample, MultiTaskDataSample]:
    if kind.labels == "tasks":
        sample = MultiTaskDataSample()
        for task in tasks(kind):
            sample.set_field(DataSample().set_gt_label(index + 3), task)
        return sample
    several = [index + 3, index + 5]
    return DataSample().set_gt_label(several if kind.labels == "several" else index + 3)


def _scene(kind: Kind, index: int) -> Any:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    size = kind.size
    whole = torch.tensor([[8, 8, 60, 60], [50, 40, 120, 100], [20, 64, 48, 120.0]])
    boxes = whole * size / 128
    drawn = torch.zeros(len(boxes), size, size, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(drawn, boxes.int(), strict=True):
        mask[top:bottom, left:right] = 1
    sample = DetDataSample(
        metainfo=dict(
            img_id=index,
            img_path="",
            img_shape=(size, size),
            ori_shape=(size, size),
            scale_factor=(1.0, 1.0),
            batch_input_shape=(size, size),
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=boxes,
        labels=torch.arange(len(boxes)) % CATEGORIES,
    )
    if "mask" in str(run_config(kind).model):  # assigners of others fail on them
        sample.gt_instances.masks = BitmapMasks(drawn.numpy(), size, size)
    sample.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
    )
    # Of detectors without an RPN of their own.
    sample.proposals = InstanceData(bboxes=boxes + 2, scores=torch.ones(len(boxes)))
    sample.gt_sem_seg = PixelData(sem_seg=drawn.amax(0, keepdim=True).long())
    return sample


def _small_detector(kind: Kind) -> ConfigDict:
    """A small Faster R-CNN, or Cascade R-CNN, that normalises as the kind does."""
    run = run_config(kind).model.to_dict()
    stages = run.get("roi_head", {}).get("num_stages")
    base = "cascade-rcnn" if stages else "faster-rcnn"
    models = configs_of("mmdet") / "_base_" / "models"
    cfg = Config.fromfile(models / f"{base}_r50_fpn.py")
    model = _plain(cfg.model.to_dict(), CATEGORIES)
    model["backbone"].update(depth=18, base_channels=16, stem_channels=16)
    model["neck"].update(in_channels=[16, 32, 64, 128], out_channels=32)
    model["rpn_head"].update(in_channels=32, feat_channels=32)
    model["roi_head"]["bbox_roi_extractor"]["out_channels"] = 32
    heads = model["roi_head"]["bbox_head"]
    for head in heads if stages else [heads]:
        head["in_channels"] = 32
        if scores_by_sigmoid(kind):
            head["loss_cls"] = run["roi_head"]["bbox_head"]["loss_cls"]
    preprocessors = _preprocessors(run)
    if preprocessors:
        for name in ("mean", "std", "bgr_to_rgb", "rgb_to_bgr"):
            if name in preprocessors[0]:
                model["data_preprocessor"][name] = preprocessors[0][name]
        model["data_preprocessor"]["pad_size_divisor"] = preprocessors[0].get(
            "pad_size_divisor", 1
        )
    return ConfigDict(model)
