"""The objective does not depend on how many processes compute it."""

from pathlib import Path
from typing import Dict, List

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn

from tests.builders import batch, build_pckd, classifier, in_processes, method

IMAGES = 12
STEPS = 20
# Images of each process.
SPLITS = {"2": [6, 6], "2 unequal": [9, 3], "4": [3] * 4, "4 unequal": [1, 5, 2, 4]}


def model(**settings) -> nn.Module:
    built = build_pckd(classifier(8), classifier(14), **settings)
    # Statistics of a batch are another thing, for which there is SyncBN.
    for module in built.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return built


def part(sizes: List[int], rank: int, seed: int) -> tuple:
    """This process's views and samples of a batch."""
    inputs, samples = batch(IMAGES, seed=seed)
    first = sum(sizes[:rank])
    rows = slice(4 * first, 4 * (first + sizes[rank]))
    return inputs[rows], samples[first : first + sizes[rank]]


def trained(wrapped: nn.Module, sizes: List[int], rank: int) -> Dict[str, Tensor]:
    """Losses and gradients of the first step, and weights after all."""
    module = getattr(wrapped, "module", wrapped)
    optimizer = torch.optim.SGD(wrapped.parameters(), 0.02, 0.9, weight_decay=5e-4)
    found = {}
    for step in range(STEPS):
        optimizer.zero_grad()
        losses = wrapped(*part(sizes, rank, step), mode="loss")
        total, log = module.parse_losses(losses)
        total.backward()
        if step == 0:
            found.update({f"loss {k}": v.detach() for k, v in log.items()})
            for name, parameter in module.named_parameters():
                found[f"gradient {name}"] = parameter.grad.clone()
        optimizer.step()
    weights = {f"weight {k}": v.detach() for k, v in module.named_parameters()}
    return {**found, **weights}


def work(rank: int, sizes: List[int], folder: Path, settings: dict) -> None:
    wrapped = MMDistributedDataParallel(
        model(**settings), device_ids=None, broadcast_buffers=False
    )
    found = trained(wrapped, sizes, rank)
    for name, value in found.items():
        if name.startswith("loss "):
            dist.all_reduce(value)
            value /= len(sizes)
    if rank == 0:
        torch.save(found, f"{folder}/found.pth")


def by_processes(sizes: List[int], folder: Path, **settings) -> Dict[str, Tensor]:
    in_processes(len(sizes), work, folder, sizes, folder, settings)
    return torch.load(folder / "found.pth", weights_only=True)


@pytest.fixture(scope="module")
def alone() -> Dict[str, Tensor]:
    return trained(model(), [IMAGES], 0)


@pytest.mark.parametrize("split", SPLITS)
def test_losses_gradients_and_weights_are_those_of_one_process(split, alone, tmp_path):
    found = by_processes(SPLITS[split], tmp_path)
    assert found.keys() == alone.keys()
    for name, expected in alone.items():
        error = (found[name] - expected).norm()
        # A bias in front of a BatchNorm has gradient zero, but for rounding.
        assert error <= 1e-5 * expected.norm() + 1e-6, (name, error, expected.norm())


def test_options_of_the_losses_are_those_of_one_process_too(tmp_path):
    distiller = method("pckd")["distiller"]
    distiller["preview"]["growth"] = 1.0  # harder than the mean is hard
    distiller["distill_losses"].update(
        loss_kd=dict(type="PreviewKLDivergence", standardize=True),
        loss_cc=dict(type="CenterContrastiveLoss"),
        loss_ca=dict(type="CategoryAlignmentLoss", form="gram"),
    )
    for record in ("preds_S", "preds_T"):  # all views
        distiller["loss_forward_mappings"]["loss_kd"][record]["view"] = None
    found = by_processes([9, 3], tmp_path, distiller=distiller)
    alone = trained(model(distiller=distiller), [IMAGES], 0)
    for name in [name for name in alone if not name.startswith("weight ")]:
        error = (found[name] - alone[name]).norm()
        assert error <= 1e-5 * alone[name].norm() + 1e-6, name


def test_each_process_for_itself_is_another_objective(alone, tmp_path):

    settings = {**method("pckd")["distiller"], "across_processes": False}
    found = by_processes([6, 6], tmp_path, distiller=settings)
    contrast = "loss distill.loss_cc"
    assert abs(found[contrast] / alone[contrast] - 1) > 0.01


def work_stopped(rank: int) -> None:
    wrapped = MMDistributedDataParallel(model(), device_ids=None)
    wrapped.module.distillation_stopped = True
    for step in range(2):  # DDP complains in the second
        losses = wrapped(*part([6, 6], rank, step), mode="loss")
        wrapped.module.parse_losses(losses)[0].backward()
    for parameter in wrapped.module.distiller.parameters():
        assert parameter.grad.count_nonzero() == 0


def test_stopped_distillation_leaves_ddp_no_parameter_to_wait_for(tmp_path):
    in_processes(2, work_stopped, tmp_path)
