"""Tensors on their way to a device."""

import pytest
import torch

from pckd_mm.utils.devices import send
from tests.fake_device import fake_device


@pytest.mark.device
def test_nothing_waits_for_a_tensor_that_is_sent():
    with fake_device() as device:
        sent = send(torch.arange(3), torch.device("cuda"))
        assert sent.is_cuda and device.waits == []
        assert send(sent, torch.device("cuda")) is sent


def test_what_is_there_stays_as_it_is():
    tensor = torch.arange(3)
    assert send(tensor, torch.device("cpu")) is tensor
