"""Networks by the names that people say: detectors of MMDetection's zoo."""

import copy
import functools
import os.path as osp
import re
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config
from pckd_mm.utils.methods import NetworkKind, network_kind
from pckd_mm.utils.shipped import find_config

from .networks import Named, can_be_had, no_network

__all__ = ["begin_at_random", "check_detectors", "find_detector"]

# Pixels that the last level of most detectors has at least for one of its places.
_STRIDE = 32
# Settings of networks that train all of their parameters.
_TRAINED = dict(frozen_stages=-1, norm_eval=False, requires_grad=True)


def find_detector(name: str, classes: int, pretrained: bool = True) -> Named:
    """Find a detector of one stage or two, and fit its heads to a number of classes.

    Args:
        name (str): A model of MMDetection's zoo, such as
            ``faster-rcnn_r50_fpn_1x_coco``, the beginning of its name, such as
            ``retinanet_r50_fpn`` or ``rtmdet_s``, or the path of a config.
        classes (int): Number of categories.
        pretrained (bool): Whether to begin with the weights of the zoo, where they can
            be reached now. Defaults to True.

    Returns:
        Named: The network. Without weights of the zoo it begins with random ones, and
        all of it is trained; that of a config begins as the config says.

    Raises:
        ValueError: Where there is none of that name, and for networks without regions
            or places that PCKD could compare.
    """
    if name.endswith(".py"):
        cfg, full, weights = load_config(find_config(name)), Path(name).stem, None
        if "model" not in cfg:
            raise ValueError(f"{name} has no model; expected the config of a detector.")
        model = _single(cfg.model.to_dict())
    else:
        full, config, weights = _of_zoo(name)
        cfg = load_config(config)
        model = cfg.model.to_dict()
        _take_images_as_they_are(model)
    address = weights
    _set_classes(model, classes)
    if can_be_had(weights, pretrained):
        model["backbone"].pop("init_cfg", None)
        model["init_cfg"] = dict(type="Pretrained", checkpoint=weights)
    elif not name.endswith(".py") or not pretrained:
        weights = None
        begin_at_random(model)
    network = _checked(full, model)
    if "." not in model["type"]:
        model["type"] = f"mmdet.{model['type']}"
    return Named(full, model, weights, address, cfg, _width(network))


def _single(model: Dict[str, Any]) -> Dict[str, Any]:
    """The student, of the config of a distillation."""
    return model.get("architecture") or model


def _zoo_root() -> Path:
    """Where MMDetection has its configs, and what it says of them."""
    import mmdet

    return Path(mmdet.__file__).parent / ".mim"


@functools.lru_cache(None)
def _zoo() -> Dict[str, Any]:
    """The models of MMDetection's zoo, by their names and aliases."""
    from modelindex.load_model_index import load

    root = str(_zoo_root())
    index = load(osp.join(root, "model-index.yml"))
    index.build_models_with_collections()
    found: Dict[str, tuple] = {}
    for model in index.models:
        alias = (model.data or {}).get("Alias") or []
        places = (root, osp.dirname(model.filepath or root))
        paths = (osp.join(place, model.config or "") for place in places)
        config = next(filter(osp.isfile, paths), None)
        if config is not None:
            for name in (model.name, *([alias] if isinstance(alias, str) else alias)):
                found.setdefault(name.lower(), (model.name, config, model.weights))
    return found


def _of_zoo(name: str) -> tuple:
    """Name, config and weights of a model of the zoo."""
    models, wanted = _zoo(), name.lower()
    if wanted in models:
        return models[wanted]
    # What a schedule and a data set follow: the shortest one is the plain one.
    beginnings: List[str] = [full for full in models if full.startswith(f"{wanted}_")]
    if beginnings:
        return models[min(beginnings, key=lambda full: (len(full), full))]
    # The list of the zoo is one of weights, which not all configs have.
    schedule = re.compile(rf"{re.escape(wanted)}(_\d+x[-\w]*_coco)?")
    for config in sorted(_zoo_root().glob("configs/*/*_coco.py")):
        if schedule.fullmatch(config.stem.lower()):
            return config.stem, str(config), None
    examples = "faster-rcnn_r50_fpn_1x_coco"
    raise no_network(name, "MMDetection", examples, wanted, models)


def _set_classes(part: Any, classes: int) -> None:
    """Set the number of categories wherever heads of regions have one."""
    if isinstance(part, list):
        for each in part:
            _set_classes(each, classes)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == "num_classes":
                part[key] = classes
            elif key != "rpn_head":  # it tells objects from the rest
                _set_classes(value, classes)


def begin_at_random(model: Dict[str, Any]) -> None:
    """Train all of a network, which mmdet freezes a part of for weights of ImageNet.

    Args:
        model (dict): Config of a detector; changed in place.
    """
    for part in (model, model.get("backbone", {})):
        part.pop("init_cfg", None)
    _thaw(model)


def _thaw(part: Any) -> None:
    """Unfreeze stages and normalisations.

    A frozen BatchNorm that mmdet's ResNets begin with weights of zero would keep the
    residual branches at zero for ever.
    """
    if isinstance(part, list):
        for each in part:
            _thaw(each)
    elif isinstance(part, dict):
        part.update({k: v for k, v in _TRAINED.items() if k in part})
        for value in part.values():
            _thaw(value)


def _take_images_as_they_are(model: Dict[str, Any]) -> None:
    """Leave the size of images to the data, but for what the levels need."""
    preprocessor = model.setdefault("data_preprocessor", {})
    preprocessor.pop("batch_augments", None)
    preprocessor.setdefault("pad_size_divisor", _STRIDE)


def _build(model: Dict[str, Any]) -> nn.Module:
    """Build a network without weights to fetch."""
    plain = ConfigDict(copy.deepcopy(model))  # mmdet reads attributes
    for part in (plain, plain.get("backbone", {})):
        part.pop("init_cfg", None)
    if "teacher_ckpt" in plain:
        plain.teacher_ckpt = None
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(plain)


def _checked(name: str, model: Dict[str, Any]) -> nn.Module:
    """Build a network; refuse what has no regions and no places to compare."""
    from pckd_mm.models.algorithms import dense_networks, roi_networks

    try:
        network = _build(model)
        is_of_one = network_kind(network) is NetworkKind.ONE_STAGE
        of_kind = dense_networks if is_of_one else roi_networks
        of_kind.check_detector(f"network {name}", network, is_student=True)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{name} cannot be distilled here. {error}") from error
    reason = _needs_more(network)
    if reason is not None:
        raise ValueError(
            f"{name} {reason}; expected a detector of plain images and boxes, such as "
            "gfl_r50_fpn_1x_coco."
        )
    if network.with_mask or hasattr(getattr(network, "bbox_head", None), "mask_head"):
        raise ValueError(
            f"{name} finds masks, which the data here are not read with; expected a "
            "detector of boxes, such as faster-rcnn_r50_fpn_1x_coco."
        )
    return network


def _needs_more(network: nn.Module) -> Optional[str]:
    """What a detector needs that data here do not have; None where it is nothing."""
    from mmdet.models import CenterNetHead

    if isinstance(getattr(network, "bbox_head", None), CenterNetHead):
        return "is tested on images with a border, which its own pipelines add"
    if hasattr(network, "teacher_model"):
        return "learns its labels from a teacher of its own, whose weights it loads"
    return None


def _width(network: nn.Module) -> int:
    """Length of the feature that the classifier of regions or of places sees."""
    from pckd_mm.models.algorithms import dense_networks, roi_networks

    if network_kind(network) is NetworkKind.ONE_STAGE:
        classifier = next(iter(dense_networks.classifying(network).values()))
    else:
        classifier = roi_networks.box_heads(network)[0].fc_cls
    return classifier.weight[0].numel()  # of a place it is a patch


def check_detectors(student: Named, teacher: Named) -> None:
    """Refuse a pair that has no regions or places in common.

    Args:
        student (Named): The student, as :func:`find_detector` gives it.
        teacher (Named): The teacher likewise.

    Raises:
        ValueError: Says what differs.
    """
    from pckd_mm.models.algorithms.dense_networks import check_pair

    kinds = [network_kind(ConfigDict(each.model)) for each in (student, teacher)]
    if kinds[0] is not kinds[1]:
        raise ValueError(
            f"The student {student.name} is one of the {kinds[0].value} and the "
            f"teacher {teacher.name} one of the {kinds[1].value}; expected two of one "
            "kind, since they are compared by what they classify: take a teacher of "
            "the student's kind."
        )
    if kinds[0] is NetworkKind.ONE_STAGE:
        check_pair(_build(student.model), _build(teacher.model))
