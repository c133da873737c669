"""One step of PCKD as shipped, with a network as student or as teacher."""

from pathlib import Path
from typing import Any, Dict

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from torch import nn

from pckd_mm.models.algorithms.dense_networks import classifying
from pckd_mm.registry import MODELS

from . import networks, places, scores
from .classifier_kinds import CLASSES
from .detector_kinds import CATEGORIES
from .kinds import Kind
from .outcomes import ALONE, RAW, WORKS, WRONG, classify, in_words

METHODS = Path(__file__).resolve().parents[3] / "configs" / "_base_" / "methods"
ROLES = ("student", "teacher")


def attempt(kind: Kind, role: str) -> Dict[str, Any]:
    """Distil one step and say how it went.

    Args:
        kind (Kind): The network.
        role (str): ``student`` or ``teacher``; the other one is a small plain network.

    Returns:
        dict: ``result``, ``detail`` and ``stage``, what was being done where it is not
        that it works.
    """
    torch.manual_seed(0)
    for name in ("epoch", "iter"):  # as a run tells, and some detectors ask
        MessageHub.get_current_instance().update_info(name, 0)
    stage = "build"
    with DefaultScope.overwrite_default_scope(networks.scope(kind)):
        try:
            model = build(kind, role)
            stage = "step"
            data = networks.batch(kind)
            wrong = step(model, data)
            if not wrong:
                stage = "logits"
                wrong = other_logits(model, kind, role, data)
            return dict(result=WORKS, detail="") if not wrong else wrong
        except Exception as error:
            result = classify(error)
            if result["result"] == RAW:
                alone = fails_alone(kind)
                if alone:
                    result = dict(result=ALONE, detail=alone)
            return dict(result, stage=stage)


def build(kind: Kind, role: str) -> BaseModel:
    """The distillation, initialised as a run does it."""
    of_detector = kind.labels == "boxes"
    name = "pckd"
    if of_detector:
        name = "pckd_dense" if networks.is_of_one_stage(kind) else "pckd_roi"
    cfg = Config.fromfile(METHODS / f"{name}.py")
    settings = (cfg.method if of_detector else cfg.model).to_dict()
    if not of_detector:
        preprocessing = networks.preprocessing(kind)
        if role == "teacher":
            preprocessing.pop("to_onehot", None)  # its own loss's wish
        settings["data_preprocessor"] = dict(
            preprocessing, type="pckd_mm.RotatedViewsDataPreprocessor"
        )
    if kind.labels == "several":  # as the refusals of the others advise
        settings["distiller"]["distill_losses"]["loss_kd"]["use_sigmoid"] = True
        settings["distiller"]["distill_losses"]["loss_cc"] = None
    if of_detector:
        settings["distiller"]["distill_losses"]["loss_kd"]["use_sigmoid"] = bool(
            networks.scores_by_sigmoid(kind)
        )
    if kind.labels == "tasks":
        settings["task"] = networks.tasks(kind)[0]
    pair = dict(student=networks.network(kind), teacher=networks.partner(kind))
    if role == "teacher":
        pair = dict(student=pair["teacher"], teacher=pair["student"])
    model = MODELS.build(
        dict(settings, architecture=pair["student"], teacher=pair["teacher"])
    )
    model.init_weights()
    model.progress = 1.0
    for network in (model.student, model.teacher):
        _as_after_training(network, kind)
    return model.train()


def _as_after_training(network: nn.Module, kind: Kind) -> None:
    """Classifiers of several libraries begin at zero, where all logits are one.

    Statistics of one step are those of its batch, not one tenth of them.
    """
    module: Any
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
        if type(module).__name__ == "TridentConv":  # which mmdet does not initialise
            nn.init.kaiming_normal_(module.weight)
    if networks.is_of_one_stage(kind):
        for conv in classifying(network).values():
            nn.init.normal_(conv.weight, std=2 * conv.weight[0].numel() ** -0.5)
        return
    classes = CATEGORIES + 1 if kind.labels == "boxes" else CLASSES
    for parameter in network.parameters():
        if len(parameter) == classes and parameter.ndim in (1, 2, 4):
            width = parameter[0].numel()
            nn.init.normal_(parameter, std=2 * width**-0.5 if width > 1 else 0.3)


def step(model: BaseModel, data: dict) -> Dict[str, Any]:
    """Take a step of training.

    Returns:
        dict: What is wrong with it, nothing if nothing is.
    """
    learning = {n: p for n, p in model.student.named_parameters() if p.requires_grad}
    before = {name: value.detach().clone() for name, value in learning.items()}
    optimizer = torch.optim.SGD(
        (p for p in model.parameters() if p.requires_grad), lr=1e-3
    )
    wrapper = OptimWrapper(optimizer, clip_grad=dict(max_norm=1.0))
    logged = model.train_step(_copy(data), wrapper)
    bad = [name for name, value in logged.items() if not torch.isfinite(value).all()]
    if bad:
        return dict(result=RAW, detail=f"{bad[0]} is not finite", stage="step")
    for name, value in model.student.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            return dict(result=RAW, detail=f"{name} is not finite", stage="step")
    moved = [n for n, value in learning.items() if not torch.equal(value, before[n])]
    if not moved:
        return dict(result=RAW, detail="no parameter has changed", stage="step")
    # What the student learns of the teacher alone.
    losses = model(**model.data_preprocessor(_copy(data), True), mode="loss")
    model.zero_grad()
    sum(v for k, v in losses.items() if k.startswith("distill.")).backward()
    first = list(learning.values())[: max(len(learning) // 4, 1)]
    if not any(value.grad is not None and value.grad.any() for value in first):
        detail = "the losses of distillation do not reach the student's first layers"
        return dict(result=RAW, detail=detail, stage="step")
    return {}


def other_logits(model: BaseModel, kind: Kind, role: str, data: dict) -> Dict[str, Any]:
    """Compare what is distilled with what the network predicts.

    Returns:
        dict: How they differ, nothing if they do not.
    """
    model.eval()
    compare = scores.boxes if kind.labels == "boxes" else scores.images
    if networks.is_of_one_stage(kind):
        compare = places.compare
    with torch.no_grad():
        recorded, predicted = compare(model, kind, role, _copy(data))
    if recorded.shape != predicted.shape:
        found = f"{tuple(recorded.shape)} recorded, {tuple(predicted.shape)} predicted"
        return dict(result=WRONG, detail=found, stage="logits")
    difference = (recorded - predicted).abs().max().item() if recorded.numel() else 0
    if difference <= 1e-4:
        return {}
    return dict(
        result=WRONG,
        detail=f"scores differ by {difference:.2g} from those predicted",
        stage="logits",
    )


def fails_alone(kind: Kind) -> str:
    """How the network fails without distillation; empty if it does not."""
    try:
        model = networks.network(kind)
        if isinstance(model, dict):
            model = MODELS.build(model)
            model.init_weights()
        data = networks.batch(kind)
        if isinstance(model, BaseModel):
            if kind.labels != "boxes":
                model.data_preprocessor = MODELS.build(
                    dict(networks.preprocessing(kind), type="ClsDataPreprocessor")
                )
            batch = model.data_preprocessor(data, True)
            losses = model.parse_losses(model(**batch, mode="loss"))[0]
        else:
            losses = model(torch.stack(data["inputs"]) / 128 - 1).sum()
        losses.backward()
    except Exception as error:
        return in_words(error)
    return ""


def _copy(data: dict) -> dict:
    return dict(data, data_samples=[sample.clone() for sample in data["data_samples"]])
