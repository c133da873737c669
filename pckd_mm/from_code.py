"""Distillation from Python: an algorithm from two networks and the name of a method."""

from typing import Any, Dict, Mapping, Optional, Union

from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.model import BaseModel
from torch import nn

from pckd_mm.models.classifiers import PlainClassifier
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import zoo_model
from pckd_mm.utils.config import brings_weights, load_config, model_of
from pckd_mm.utils.methods import load_method, loss_of, network_kind, with_loss
from pckd_mm.utils.quiet import quiet
from pckd_mm.utils.setting_names import setting_name

__all__ = ["distill"]

Network = Union[str, dict, nn.Module]


def distill(
    student: Network,
    teacher: Network,
    method: str = "pckd",
    teacher_ckpt: Optional[str] = None,
    options: Optional[Mapping[str, Any]] = None,
    **settings: Any,
) -> BaseModel:
    """Build what trains a student from a teacher, for a Runner or a loop of one's own.

    ::

        model = pckd_mm.distill(torchvision.models.resnet18(num_classes=10), teacher)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        for epoch in range(epochs):
            model.progress = (epoch + 1) / epochs
            for images, labels in loader:
                loss, log = model.losses_of(images, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        torch.save(model.student.state_dict(), "student.pth")

    Args:
        student (str | dict | nn.Module): A classifier that gives logits, whatever
            library it is of, or a detector of MMDetection: built, as the config of a
            model, or by name. A name is that of a config,
            ``vanilla/cifar100_resnet20``, ``my_config.py`` or
            ``mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py``, whose model it is, or
            of a model of MMPretrain, ``resnet18_8xb32_in1k``. Unless it is built, its
            weights are initialised as its config says (``init_cfg``).
        teacher (str | dict | nn.Module): Likewise. One that is built has its weights
            already; a model of MMPretrain's or MMDetection's zoo brings its checkpoint.
        method (str): Name of a file of ``configs/_base_/methods``, such as ``pckd``,
            ``kd``, ``dkd`` or ``dist``. Defaults to ``'pckd'``.
        teacher_ckpt (str, optional): The teacher's weights, a file or a URL. Defaults
            to None.
        options (Mapping, optional): Settings of the method: ``{"loss_kd": 2}`` for the
            weight of a loss, ``{"loss_kd.tau": 2}`` for another setting of it. Defaults
            to None.
        **settings: Further arguments of :class:`MultiViewDistill` or, for detectors of
            two stages and of one, of :class:`RoIDistill` and :class:`DenseDistill`,
            such as ``data_preprocessor`` or ``input_shape``.

    Returns:
        MultiViewDistill | RoIDistill | DenseDistill: The algorithm. ``model.student``
        is the student.

    Raises:
        FileNotFoundError: For a config that is not there.
        ValueError: For a method or a loss that is not there, and as the algorithm does.
    """
    architecture = _named(student, pretrained=False)["model"]
    named = _named(teacher, pretrained=teacher_ckpt is None)
    weights = teacher_ckpt or named.get("checkpoint")
    if isinstance(teacher, str) and not (weights or brings_weights(named["model"])):
        raise ValueError(
            f"The teacher {teacher} is a config without weights, from which nothing "
            "can be learned; expected its checkpoint as teacher_ckpt: name it, or "
            "build the teacher and load its weights."
        )
    cfg = load_method(method, network_kind(architecture))
    for option, value in (options or {}).items():
        try:
            name = setting_name(option, cfg.model.distiller.distill_losses)
        except ValueError as error:
            raise ValueError(f"options: {method} {error}") from None
        cfg.merge_from_dict({f"model.{name}": value})
    model = cfg.model.to_dict()
    if isinstance(architecture, nn.Module) and not isinstance(architecture, BaseModel):
        # Such as one of torchvision, whose loader normalises the images.
        # Settings say how, where they have mean and std.
        is_unsaid = "data_preprocessor" not in settings
        model.update(data_preprocessor={}, normalised_images=is_unsaid)
    changes = model.pop("architecture", {})  # what KD sets of a student
    model.update(
        architecture=_with_loss(architecture, changes),
        teacher=named["model"],
        teacher_config=named.get("config"),
        teacher_ckpt=weights,
        **settings,
    )
    # Networks of MMDetection read their settings as attributes.
    algorithm = MODELS.build(ConfigDict(model))
    with quiet():  # MMEngine has a line for each parameter
        if isinstance(architecture, nn.Module):
            algorithm.student.is_init = True  # a Runner would draw its weights anew
        else:
            # A Runner would, once, and a loop of one's own has none.
            algorithm.student.init_weights()
        algorithm.init_connectors()
    return algorithm


def _named(network: Network, pretrained: bool) -> Dict[str, Any]:
    """The ``model`` of a name, with the ``config`` and ``checkpoint`` that it has."""
    if not isinstance(network, str):
        return dict(model=network)
    found: Dict[str, Any] = {}
    zoo = zoo_model(network)
    if zoo is not None:
        cfg = zoo.config
        found["checkpoint"] = zoo.weights if pretrained else None
    elif "::" in network and pretrained:
        cfg = get_config(network, pretrained=True)
        found.update(checkpoint=cfg.model_path, config=network)
    else:
        cfg = load_config(network)
        found["config"] = network
    return dict(found, model=model_of(cfg).to_dict())


def _with_loss(
    student: Union[dict, nn.Module], changes: Mapping[str, Any]
) -> Union[dict, nn.Module]:
    """A student, built or not, with the loss of its own that a method gives it."""
    if isinstance(student, dict):
        return with_loss(student, changes)
    loss = loss_of(changes)
    if loss is None:
        return student
    if not isinstance(student, BaseModel):
        return PlainClassifier(student, loss=loss)
    head = getattr(student, "head", None) or student
    tasks = getattr(head, "task_heads", None)  # of a MultiTaskHead
    for owner in [head] if tasks is None else tasks.values():
        if hasattr(owner.loss_module, "loss_weight"):
            owner.loss_module.loss_weight = loss["loss_weight"]
        else:
            owner.loss_module = MODELS.build(loss)
    return student
