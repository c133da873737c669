"""A whole step of PCKD with logits of +-1e4 is finite."""

import copy

import pytest
import torch

from tests.builders import batch, build_pckd, classifier


def logits_of(network, inputs):
    # A copy, whose statistics of BatchNorm move in its place.
    with torch.no_grad():
        return copy.deepcopy(network)(inputs, mode="tensor")


def by_bias(head):
    """All images at the same corners."""
    with torch.no_grad():
        head.fc.bias.copy_(1e4 * (-1.0) ** torch.arange(len(head.fc.bias)))


def by_centers(head, largest):
    """Category centers so long that images are at different corners."""
    with torch.no_grad():
        head.fc.weight.mul_(1.2e4 / largest)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("who", ["student", "teacher", "both"])
@pytest.mark.parametrize("how", ["bias", "centers"])
def test_losses_and_gradients_are_finite(how, who, bfloat16):
    model = build_pckd(classifier(8), classifier(14))
    inputs, samples = batch(6)
    networks = dict(student=model.student, teacher=model.teacher)
    for network in [networks[who]] if who != "both" else networks.values():
        if how == "bias":
            by_bias(network.head)
        else:
            by_centers(network.head, logits_of(network, inputs).abs().max())
        assert logits_of(network, inputs).abs().max() > 9.9e3
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        losses = model(inputs, samples, mode="loss")
    total, log = model.parse_losses(losses)
    names = {"student.loss", "distill.loss_kd", "distill.loss_cc", "distill.loss_ca"}
    assert names < log.keys()
    for name, value in log.items():
        assert value.isfinite(), name
    assert total > 10
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
