"""Tensors on their way to a device, and the room that there is."""

import pytest
import torch

from pckd_mm.utils.devices import free_memory, send
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


def test_the_machine_tells_its_memory():
    assert 1e8 < free_memory(torch.device("cpu")) < 1e15


def test_a_gpu_tells_its_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (7, 9))
    assert free_memory(torch.device("cuda")) == 7
