"""Networks by the names that people say: classifiers of MMPretrain's zoo."""

import inspect
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

import torch
from mmengine.config import Config
from mmpretrain.models import MultiLabelClsHead

from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import zoo_model
from pckd_mm.utils.config import load_config
from pckd_mm.utils.nearest import likely_names
from pckd_mm.utils.shipped import find_config

__all__ = ["Named", "can_be_had", "find_classifier", "no_network"]

# Seconds to wait for an answer of where checkpoints lie.
_PATIENCE = 5


@dataclass
class Named:
    """A network for the classes of a user.

    Args:
        name (str): Its name in the zoo, or the config that it is of.
        model (dict): Its config.
        weights (str, optional): Where weights are that it begins with, if they can be
            had.
        address (str, optional): Where its zoo has weights, whether they can be had or
            not.
        config (Config, optional): What it is of, where that says how it is trained.
        width (int, optional): Length of the feature that its classifier sees, where
            that is known.
    """

    name: str
    model: Dict[str, Any]
    weights: Optional[str] = None
    address: Optional[str] = None
    config: Optional[Config] = None
    width: Optional[int] = None


def find_classifier(name: str, classes: int, pretrained: bool = True) -> Named:
    """Find a classifier, and fit its head to a number of classes, one an image.

    Args:
        name (str): ``resnet34``, ``mobilenet_v2``, the full name of a model of
            MMPretrain's zoo, or the path of a config.
        classes (int): Number of categories.
        pretrained (bool): Whether to begin with the weights of the zoo, where they can
            be reached now. Defaults to True.

    Returns:
        Named: The network.

    Raises:
        ValueError: Where there is none of that name, or it has no backbone and head
            with ``num_classes``.
    """
    if name.endswith(".py"):
        cfg, full, weights = load_config(find_config(name)), Path(name).stem, None
    else:
        full = _full_name(name)
        zoo: Any = zoo_model(full)
        cfg, weights = zoo.config, zoo.weights
    model = cfg.model.to_dict()
    head = model.get("head") or {}
    if "num_classes" not in head or "backbone" not in model:
        lacks = "backbone" if "num_classes" in head else "head with num_classes"
        raise ValueError(
            f"{full} has no {lacks}; expected a classifier, such as resnet34."
        )
    head["num_classes"] = classes
    head.pop("topk", None)
    _let_train(head)
    model.pop("data_preprocessor", None)
    model.pop("train_cfg", None)  # mixed images, which not all losses are defined for
    if "." not in model["type"]:
        model["type"] = f"mmpretrain.{model['type']}"
    if not pretrained:
        for part in (model, model.get("backbone", {})):
            part.pop("init_cfg", None)
    if can_be_had(weights, pretrained):
        model["backbone"]["init_cfg"] = dict(
            type="Pretrained", checkpoint=weights, prefix="backbone"
        )
        return Named(full, model, weights, weights, width=head.get("in_channels"))
    return Named(full, model, address=weights, width=head.get("in_channels"))


def _let_train(head: Dict[str, Any]) -> None:
    """Fit what a head learns by to its classes, and to labels of one class an image.

    A loss that does not take these, as for mixed images, becomes the cross-entropy.
    """
    kind = MODELS.class_of(head["type"])
    if not isinstance(kind, type):
        return  # who builds it says so
    if "distillation" in inspect.signature(kind).parameters:
        # Of LeViT and EfficientFormer, which MMPretrain then only tests.
        head["distillation"] = False
    loss = head.get("loss")
    if loss is None or issubclass(kind, MultiLabelClsHead):
        return
    classes = head["num_classes"]
    if "num_classes" in loss:
        loss["num_classes"] = classes
    try:
        function = MODELS.build(dict(loss))
    except KeyError as error:
        raise ValueError(
            f"The head has the loss {loss.get('type')}, which cannot be built "
            f"({' '.join(str(error).split())[:200]}); expected one that is registered: "
            "import its module by custom_imports of the config."
        ) from error
    # As many images as no loss could take for scores of the classes.
    labels = torch.arange(classes + 1) % classes
    try:
        function(torch.zeros(classes + 1, classes), labels, avg_factor=classes + 1)
    except Exception:  # whatever a loss says of labels that it does not take
        weight = loss.get("loss_weight", 1.0)
        head["loss"] = dict(type="mmpretrain.CrossEntropyLoss", loss_weight=weight)
        print(f"Its loss, {loss['type']}, takes no labels; CrossEntropyLoss is taken.")


def _full_name(name: str) -> str:
    """The name in the zoo that a short one stands for."""
    if zoo_model(name) is not None:
        return name
    from mmpretrain.apis import ModelHub

    names: List[str] = sorted(ModelHub._models_dict)
    wanted = name.lower().replace("_", "-")
    found = [
        full
        for full in names
        if full.partition("_")[0].lower() == wanted and full.endswith("in1k")
    ]
    if found:
        return min(found, key=len)
    short = dict.fromkeys(full.partition("_")[0] for full in names)
    raise no_network(name, "MMPretrain", "resnet34 or mobilenet-v2", wanted, short)


def no_network(
    name: str, library: str, examples: str, wanted: str, known: Iterable[str]
) -> ValueError:
    """What is said where a zoo has no network of a name.

    Args:
        name (str): As the user says it.
        library (str): Whose zoo it is.
        examples (str): Names that it has.
        wanted (str): The name as it is compared with others.
        known (Iterable[str]): The names that it has.
    """
    likely = likely_names(wanted, known)
    meant = f": did you mean {' or '.join(likely)}?" if likely else "."
    return ValueError(
        f"There is no network {name}; expected one of {library}'s zoo, such as "
        f"{examples}, or the path of a config{meant}"
    )


def can_be_had(address: Optional[str], wanted: bool = True) -> bool:
    """Whether weights are wanted, and can be had from where they are.

    Args:
        address (str, optional): Where they are; None where there are none.
        wanted (bool): Whether they are wanted. Defaults to True.
    """
    return bool(address and wanted and _answers(address))


def _answers(address: str) -> bool:
    """Whether a file can be had from an address."""
    try:
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=_PATIENCE):
            return True
    except (OSError, ValueError):
        return False
