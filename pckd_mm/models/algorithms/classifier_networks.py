"""Which classifiers can be distilled, and where their heads are."""

from typing import Optional, Union

from mmengine.model import BaseModel
from mmpretrain.models import (
    BaseClassifier,
    HuggingFaceClassifier,
    MultiTaskHead,
    TimmClassifier,
)
from torch import nn

from pckd_mm.models.classifiers import PlainClassifier, keep_as_built

__all__ = ["as_classifier", "built_classifier", "check_classifier", "head_of"]


def as_classifier(model: Union[dict, nn.Module]) -> Union[dict, BaseModel]:
    """A network that is no part of OpenMMLab, such as one of torchvision, as one.

    Args:
        model (dict | nn.Module): A network, or its config.

    Returns:
        dict | BaseModel: What it is, or a :class:`PlainClassifier` of it.
    """
    if isinstance(model, nn.Module) and not isinstance(model, BaseModel):
        return PlainClassifier(model)
    return model


def built_classifier(model: BaseModel) -> BaseModel:
    """A network as its library made it, whose weights no ``init_weights`` draws anew.

    Args:
        model (BaseModel): A classifier.

    Returns:
        BaseModel: The same.
    """
    if isinstance(model, (TimmClassifier, HuggingFaceClassifier)):
        keep_as_built(model)
    return model


def check_classifier(who: str, model: BaseModel) -> None:
    """Refuse what is no classifier with a head.

    Args:
        who (str): What it is, for messages: ``"student"`` or ``"teacher"``.
        model (BaseModel): A network.

    Raises:
        TypeError: Names its class.
    """
    of_mmpretrain = isinstance(model, BaseClassifier)
    if not of_mmpretrain or not (model.with_head or hasattr(model, "_get_loss")):
        raise TypeError(
            f"The {who} is a {type(model).__name__}; expected a classifier of "
            "mmpretrain with a head, such as ImageClassifier, TimmClassifier or "
            "HuggingFaceClassifier, or any other network as pckd_mm."
            "PlainClassifier."
        )


def head_of(model: BaseModel, task: Optional[str]) -> Optional[nn.Module]:
    """The head of a classifier, of several tasks that of one.

    Args:
        model (BaseModel): A classifier.
        task (str, optional): Which task of a network with several.

    Returns:
        nn.Module, optional: None for a network of another library.
    """
    head = getattr(model, "head", None)
    return head.task_heads[task] if isinstance(head, MultiTaskHead) else head
