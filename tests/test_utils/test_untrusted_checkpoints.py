"""Checkpoints that hold code are refused, and it does not run."""

import io
import os
import pickle
import tarfile
import zipfile

import pytest
import torch
from mmengine.runner import CheckpointLoader

from pckd_mm.compat import checkpoints, weights_only_loading
from pckd_mm.utils.checkpoint import read_checkpoint
from tests.fuzz import payloads


def write(path, pickled, old):
    """A file as torch writes it, around any pickle."""
    if not old:
        torch.save({"x": torch.ones(2)}, path)
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries.items():
                content = pickled if name.endswith("data.pkl") else content
                archive.writestr(name, content)
        return
    torch.save({}, path, _use_new_zipfile_serialization=False)
    with open(path, "rb") as file:
        for _ in range(3):
            pickle.load(file)
        head = file.tell()
    with open(path, "rb") as file:
        head = file.read(head)
    path.write_bytes(head + pickled + pickle.dumps([], protocol=2))


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("index", range(len(payloads(""))))
def test_code_does_not_run(tmp_path, old, index):
    canary, path = tmp_path / "canary", tmp_path / "evil.pth"
    # Behind it an empty dict, with which a careless reader would be content.
    pickled = b"\x80\x02" + payloads(str(canary))[index] + b"0}."
    write(path, pickled, old)
    with pytest.raises(ValueError, match="evil.pth ") as caught:
        read_checkpoint(str(path))
    message = str(caught.value)
    assert "\n" not in message and message.isprintable()
    assert not canary.exists()
    assert "Weights only load failed" not in message
    # Other opcodes than this one are refused whatever they name.
    if b"cposix\nsystem\n" in pickled and b"(cposix" not in pickled:
        assert "system; expected tensors and plain values only: save its" in message
        assert "torch.serialization.add_safe_globals, or" in message
    for load in (torch.load, CheckpointLoader.load_checkpoint):
        with weights_only_loading(), pytest.raises(Exception):  # noqa: B017
            load(str(path))
    assert not canary.exists()
    # That very file runs its code where torch is allowed to.
    assert torch.load(path, weights_only=False) == {}
    assert canary.exists()


@pytest.mark.parametrize(
    "message",
    [
        # As versions of torch word it, from 2.1 on.
        "Weights only load failed. WeightsUnpickler error: Unsupported class my.Net",
        "Unsupported operand 149\nUnsupported global: GLOBAL my.Net was not an allowed",
        "Trying to load unsupported GLOBAL my.Net whose module my is blocked.",
    ],
)
def test_what_a_checkpoint_asks_for_is_named(tmp_path, monkeypatch, message):
    def load(*args, **kwargs):
        raise pickle.UnpicklingError(message)

    monkeypatch.setattr(torch, "load", load)
    path = tmp_path / "x.pth"
    path.touch()
    with pytest.raises(
        ValueError, match="x.pth is refused, since .* run my.Net; expec"
    ):
        read_checkpoint(str(path))


class Code(torch.nn.Module):
    def forward(self, x):
        return x


def test_torchscript_is_refused(tmp_path):
    path = tmp_path / "script.pth"
    torch.jit.save(torch.jit.script(Code()), path)
    with pytest.raises(ValueError, match="script.pth cannot be read .*TorchScript"):
        read_checkpoint(str(path))
    # Older torch asks this function and goes on to torch.jit.load.
    with weights_only_loading():
        with torch.serialization._open_zipfile_reader(str(path)) as archive:
            with pytest.raises(
                pickle.UnpicklingError, match="TorchScript archive, whi"
            ):
                torch.serialization._is_torchscript_zip(archive)
    assert torch.jit.load(path) is not None


def test_a_dtype_is_given_no_fields(tmp_path):
    # They may say that raw bytes are objects, whose addresses are then followed.
    record = b"cnumpy\ndtype\n(" + b"X\x03\x00\x00\x00V16I00\nI01\ntR"
    empty = b"(K\x03X\x01\x00\x00\x00|NNNK\x10K\x01K\x00tb."
    path = tmp_path / "dtype.pth"
    write(path, b"\x80\x02" + record + empty, old=False)
    with pytest.raises(ValueError, match="dtype.pth "):
        read_checkpoint(str(path))
    assert torch.load(path, weights_only=False).itemsize == 16


def test_torchs_other_switch_does_not_matter(tmp_path, monkeypatch):
    path = tmp_path / "plain.pth"
    torch.save({"x": 1}, path)
    name = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    monkeypatch.setenv(name, "1")
    assert read_checkpoint(str(path)) == {"x": 1}
    assert os.environ[name] == "1"


def tar(path):
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            content = pickle.dumps(0, protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_tar_files_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "old.pth"
    tar(path)

    def extract(*args, **kwargs):
        raise AssertionError("unpacked")

    monkeypatch.setattr(tarfile.TarFile, "extract", extract)
    with pytest.raises(ValueError, match="old.pth cannot be read .*It is a tar file"):
        read_checkpoint(str(path))


def test_torch_is_left_as_it_was():
    names = ("_is_torchscript_zip", "_legacy_load")
    before = [getattr(torch.serialization, name) for name in names]
    with weights_only_loading(), weights_only_loading():
        inside = [getattr(torch.serialization, name) for name in names]
    with pytest.raises(KeyError), weights_only_loading():
        raise KeyError
    assert [getattr(torch.serialization, name) for name in names] == before
    assert all(one is not other for one, other in zip(inside, before, strict=True))


@pytest.mark.parametrize("name", ["__init__", "__subclasses__", "__reduce__", "data"])
def test_getattr_gives_statistics_only(name):
    with pytest.raises(pickle.UnpicklingError, match="builtins.getattr"):
        checkpoints._history_buffer_method(checkpoints.HistoryBuffer, name)
    with pytest.raises(pickle.UnpicklingError, match="builtins.getattr"):
        checkpoints._history_buffer_method(torch, "mean")


@pytest.mark.parametrize("content", [{1: torch.ones(1)}, {"state_dict": {2: 3}}])
def test_tensors_without_names(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match="odd.pth has a damaged state dict, without"):
        read_checkpoint(str(tmp_path / "odd.pth"))
