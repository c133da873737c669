"""Files that are there only when they are whole."""

import errno
import os
import resource
import signal

import pytest
import torch

from pckd_mm.utils.files import (
    WriteError,
    remove_unfinished,
    save_whole,
    write_whole,
)


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "new" / "a.pth"
    write_whole(str(path), b"first")
    write_whole(str(path), b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["a.pth"]


def test_what_torch_saves(tmp_path):
    path = tmp_path / "a.pth"
    save_whole(str(path), dict(state_dict=dict(weight=torch.arange(3))))
    assert torch.load(path)["state_dict"]["weight"].tolist() == [0, 1, 2]
    assert os.listdir(tmp_path) == ["a.pth"]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (order.append("sync"), sync(f)))
    monkeypatch.setattr(
        os, "replace", lambda a, b: (order.append("replace"), replace(a, b))
    )
    write_whole(str(tmp_path / "a.pth"), b"content")
    # The content, its name, and the folder that has the name.
    assert order == ["sync", "replace", "sync"]


def test_half_a_file_is_removed_and_the_former_one_kept(tmp_path):
    path = tmp_path / "a.pth"
    write_whole(str(path), b"former")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(WriteError) as error:
            write_whole(str(path), b"x" * 12_345)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.errno == errno.EFBIG
    message = error.value.strerror
    assert message.startswith(
        f"{path} was not written: File too large; it takes 12,345"
    )
    assert path.read_bytes() == b"former"
    assert os.listdir(tmp_path) == ["a.pth"]


def test_whatever_ends_the_writing_leaves_no_part(tmp_path, monkeypatch):
    def interrupted(descriptor):
        raise SystemExit(143)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(SystemExit):
        write_whole(str(tmp_path / "a.pth"), b"content")
    assert os.listdir(tmp_path) == []


def test_what_killed_processes_left_is_removed(tmp_path):
    folder = tmp_path / "work[1]"  # no pattern
    folder.mkdir()
    for name in ("epoch_1.pth.unfinished", "epoch_1.pth", "teacher.pth.part"):
        (folder / name).touch()
    assert remove_unfinished(str(folder)) == [str(folder / "epoch_1.pth.unfinished")]
    assert sorted(os.listdir(folder)) == ["epoch_1.pth", "teacher.pth.part"]
