"""Checkpoints: reading, finding, fitting, exporting."""

import errno
import os
import shutil
import zipfile
from urllib.error import URLError

import numpy as np
import pytest
import torch
from mmengine.runner import CheckpointLoader
from torch import nn

from pckd_mm.utils.checkpoint import (
    checkpoint_to_resume,
    export_student,
    find_whole_checkpoint,
    load_exactly,
    load_fitting,
    model_state_dict,
    naming_where_resume_goes_on,
    plain_names,
    read_checkpoint,
    require_whole,
)
from pckd_mm.utils.files import WriteError


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint .*none.pth"):
        read_checkpoint(str(tmp_path / "none.pth"))


def test_file_without_a_dict(tmp_path):
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(ValueError, match="holds a list"):
        read_checkpoint(str(path))


def test_student_is_taken_of_a_distillation():
    state = {
        "architecture.fc.weight": torch.ones(1),
        "distiller.connectors.align.weight": torch.ones(2),
    }
    assert model_state_dict({"state_dict": state}) == {"fc.weight": torch.ones(1)}


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_the_student_of_a_wrapped_distillation_is_exported(tmp_path, wrapper):
    state = {f"{wrapper}architecture.fc.weight": torch.ones(1)}
    state[f"{wrapper}distiller.connectors.align.weight"] = torch.ones(2)
    path, out = (str(tmp_path / name) for name in ("whole.pth", "out.pth"))
    torch.save({"state_dict": state}, path)
    export_student(path, out)
    assert read_checkpoint(out)["state_dict"] == {"fc.weight": torch.ones(1)}


def test_a_prefix_of_only_some_names_stays():
    state = {"module.weight": torch.ones(1), "weight": torch.zeros(1)}
    assert plain_names(state) == (state, [])
    state = {"module.a.weight": torch.ones(1), "module.weight": torch.zeros(1)}
    tensors, notes = plain_names(state)
    assert tensors.keys() == {"a.weight", "weight"}
    assert notes == ["names without module"]


def test_load_exactly_names_what_is_not_a_tensor():
    layer = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"weight is str instead of \(3, 2\)"):
        load_exactly(layer, {"weight": "w", "bias": torch.zeros(3)}, "file")
    with pytest.raises(ValueError, match=r"bias is ndarray instead of \(3,\)"):
        load_exactly(layer, {"weight": torch.zeros(3, 2), "bias": np.zeros(3)}, "file")


def test_counters_of_norm_layers_may_be_absent():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    trained = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    trained(torch.randn(4, 2))
    counter = "1.num_batches_tracked"
    weights = dict(trained.state_dict())  # a plain one, as a converter writes it
    del weights[counter]
    assert load_fitting(network, {"model": weights}, "x.pth") == [
        "taken from model in the file"
    ]
    for name, tensor in weights.items():
        assert torch.equal(network.state_dict()[name], tensor), name
    assert network[1].num_batches_tracked == 0
    assert counter not in weights  # what was given is as it was
    load_exactly(network, trained.state_dict(), "x.pth")
    assert network[1].num_batches_tracked == 1
    del weights["1.running_var"]
    with pytest.raises(ValueError, match="1 tensors: 1.running_var is missing"):
        load_exactly(network, weights, "x.pth")


def test_long_lists_are_cut():
    layers = nn.Sequential(*[nn.Linear(1, 1) for _ in range(15)])
    with pytest.raises(ValueError, match="in 30 tensors.*and 10 more"):
        load_exactly(layers, {}, "file")


def test_export_refuses_a_plain_network(tmp_path):
    path = tmp_path / "plain.pth"
    torch.save({"state_dict": nn.Linear(1, 1).state_dict()}, path)
    with pytest.raises(ValueError, match="holds no student"):
        export_student(str(path), str(tmp_path / "out.pth"))
    assert not (tmp_path / "out.pth").exists()


def test_a_model_of_mmpretrains_zoo_has_an_address(monkeypatch):
    asked = []

    def load(name, **kwargs):
        asked.append(name)
        return {}

    monkeypatch.setattr("mmengine.runner.CheckpointLoader.load_checkpoint", load)
    read_checkpoint("resnet34_8xb32_in1k")
    read_checkpoint("https://example.org/weights.pth")
    read_checkpoint("torchvision://resnet18")
    assert asked[0].startswith("https://") and "resnet34" in asked[0]
    assert asked[1:] == ["https://example.org/weights.pth", "torchvision://resnet18"]


# ------------------------------------------------------- checkpoints to resume from


def save(path, number=1, **changes):
    """What MMEngine's runner saves, in small."""
    content = dict(
        meta=dict(epoch=number, iter=10 * number),
        state_dict={"weight": torch.arange(1000.0) + number},
        optimizer=dict(state={}, param_groups=[]),
        message_hub=dict(runtime_info={}),
    )
    content.update(changes)
    torch.save({key: value for key, value in content.items() if value}, path)
    return str(path)


def note(folder, path):
    (folder / "last_checkpoint").write_text(str(path))


def warnings_of(monkeypatch):
    found = []
    monkeypatch.setattr(
        "pckd_mm.utils.checkpoint.resuming.print_log",
        lambda text, **_: found.append(text),
    )
    return found


def test_every_cut_is_recognised_and_named(tmp_path, monkeypatch):
    older = save(tmp_path / "epoch_9.pth", 9)
    newest = save(tmp_path / "epoch_10.pth", 10)
    note(tmp_path, newest)
    content = (tmp_path / "epoch_10.pth").read_bytes()
    assert find_whole_checkpoint(str(tmp_path)) == newest
    said = warnings_of(monkeypatch)
    lengths = [0, 1, 4, *range(100, len(content), 97), len(content) - 1]
    for length in lengths:
        (tmp_path / "epoch_10.pth").write_bytes(content[:length])
        assert find_whole_checkpoint(str(tmp_path)) == older, length
    assert len(said) == len(lengths)
    for text, length in zip(said, lengths, strict=True):
        assert text.startswith(f"{newest} is not whole ({length:,} bytes, ")
        assert text.endswith(f"The one before it, {older}, is used.")


def test_every_flipped_byte_is_recognised_or_does_no_harm(tmp_path):
    path = save(tmp_path / "epoch_1.pth")
    expected = read_checkpoint(path)
    content = (tmp_path / "epoch_1.pth").read_bytes()
    harmless = 0
    for place in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[place] ^= 0x10
        (tmp_path / "epoch_1.pth").write_bytes(flipped)
        try:
            require_whole(path)
        except ValueError as error:
            assert path in str(error)
            continue
        harmless += 1
        found = read_checkpoint(path)
        assert torch.equal(
            found["state_dict"]["weight"], expected["state_dict"]["weight"]
        )
        assert {**found, "state_dict": 0} == {**expected, "state_dict": 0}
    # Fillers that align tensors, dates, and attributes of files.
    assert 0 < harmless < len(content) / 7 / 2


def test_flipped_numbers_are_no_weights(tmp_path):
    """torch reads them; MMEngine's loader, as import pckd_mm leaves it, does not."""
    path = tmp_path / "net.pth"
    torch.save(dict(weight=torch.full((64,), 3.0)), path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.tensor(3.0).numpy().tobytes()) + 2] ^= 0x10
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["weight"][0] != 3
    for read in (read_checkpoint, CheckpointLoader.load_checkpoint):
        with pytest.raises(ValueError, match=r"net.pth is not whole \(its part .*0 is"):
            read(str(path))


def test_the_home_folder_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(dict(weight=torch.full((64,), 3.0)), tmp_path / "net.pth")
    content = (tmp_path / "net.pth").read_bytes()
    assert read_checkpoint("~/net.pth")["weight"][0] == 3
    (tmp_path / "net.pth").write_bytes(content[:-40])
    with pytest.raises(ValueError, match=r"~/net.pth is not whole"):
        read_checkpoint("~/net.pth")


@pytest.mark.skipif(
    not hasattr(torch.serialization, "set_crc32_options"), reason="older torch"
)
def test_a_file_without_checksums_is_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = save(tmp_path / "epoch_1.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert read_checkpoint(path)["meta"]["epoch"] == 1
    require_whole(path)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        OSError(errno.ENOSPC, "No space left on device", "cache"),
        PermissionError(errno.EACCES, "Permission denied", "x.pth"),
    ],
)
def test_faults_that_are_not_the_files_stay_what_they_are(tmp_path, monkeypatch, error):
    def fails(*args, **kwargs):
        raise error

    path = tmp_path / "x.pth"
    torch.save({}, path)
    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(type(error)) as found:
        read_checkpoint(str(path))
    assert found.value is error


def test_extra_state_of_a_module_has_no_shape():
    class Counts(nn.Linear):
        def get_extra_state(self):
            return {"seen": 3}

        def set_extra_state(self, state):
            self.seen = state

    layer = Counts(1, 1)
    load_exactly(layer, Counts(1, 1).state_dict(), "file")
    assert layer.seen == {"seen": 3}


@pytest.mark.parametrize("name", ["none.pth", "file:///none/none.pth"])
def test_mmengines_loader_says_what_is_missing(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="There is no checkpoint .*none.pth; e"):
        CheckpointLoader.load_checkpoint(name if "/" in name else str(tmp_path / name))


def test_a_url_that_cannot_be_reached_is_named(monkeypatch):
    def fails(*args, **kwargs):
        raise URLError("no such host")

    monkeypatch.setattr("mmengine.runner.checkpoint.load_url", fails)
    with pytest.raises(
        ConnectionError, match=r"x.pth cannot be fetched \(no such host"
    ):
        read_checkpoint("https://nowhere.invalid/x.pth")


@pytest.mark.parametrize("part", ["meta", "state_dict", "optimizer", "message_hub"])
def test_what_holds_no_run_is_refused(tmp_path, part):
    path = save(tmp_path / "epoch_1.pth", **{part: None})
    with pytest.raises(ValueError, match=rf"epoch_1.pth holds no {part}; expected"):
        require_whole(path)


def test_what_does_not_say_how_far_it_is_is_refused(tmp_path):
    path = save(tmp_path / "epoch_1.pth", meta=dict(epoch=1))
    with pytest.raises(ValueError, match="epoch_1.pth holds no meta.iter; expected"):
        require_whole(path)


def test_none_is_whole(tmp_path):
    for number in (1, 2):
        (tmp_path / f"epoch_{number}.pth").write_bytes(b"PK")
    with pytest.raises(
        ValueError, match=r"No checkpoint of this run .*epoch_2.*epoch_1.*Bring"
    ):
        find_whole_checkpoint(str(tmp_path))


def test_nothing_was_saved(tmp_path):
    assert find_whole_checkpoint(str(tmp_path / "none")) is None
    for name in ("teacher.pth", "epoch_3_student.pth", "best_top1_epoch_3.pth"):
        (tmp_path / name).touch()
    note(tmp_path, "")  # cut off while it was written
    assert find_whole_checkpoint(str(tmp_path)) is None


def test_a_note_of_what_is_gone_is_no_beginning(tmp_path):
    note(tmp_path, "/gone/epoch_3.pth")
    with pytest.raises(
        FileNotFoundError, match="names /gone/epoch_3.pth, which is not"
    ):
        find_whole_checkpoint(str(tmp_path))


def test_a_work_dir_may_be_moved_or_copied(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    note(old, save(old / "epoch_3.pth", 3))
    shutil.copytree(old, new)
    assert find_whole_checkpoint(str(new)) == str(new / "epoch_3.pth")
    shutil.rmtree(old)
    assert find_whole_checkpoint(str(new)) == str(new / "epoch_3.pth")


def test_checkpoints_lie_where_out_dir_said(tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    work.mkdir()
    save(out / "step2.pth", 2)
    note(work, save(out / "step3.pth", 3))
    assert find_whole_checkpoint(str(work)) == str(out / "step3.pth")
    (out / "step3.pth").write_bytes(b"")
    assert find_whole_checkpoint(str(work)) == str(out / "step2.pth")


def test_what_an_earlier_run_left_is_not_the_newest(tmp_path):
    earlier = save(tmp_path / "epoch_240.pth", 240)
    os.utime(earlier, (1, 1))
    newest = save(tmp_path / "epoch_2.pth", 2)
    note(tmp_path, newest)
    assert find_whole_checkpoint(str(tmp_path)) == newest
    # Killed between the checkpoint and the note.
    later = save(tmp_path / "epoch_3.pth", 3)
    assert find_whole_checkpoint(str(tmp_path)) == later


def test_a_remote_checkpoint_is_taken_as_it_is(tmp_path):
    note(tmp_path, "s3://bucket/run/epoch_3.pth")
    assert find_whole_checkpoint(str(tmp_path)) == "s3://bucket/run/epoch_3.pth"
    assert checkpoint_to_resume("work", "s3://b/epoch_1.pth") == "s3://b/epoch_1.pth"


def test_a_named_checkpoint_that_is_broken_is_refused(tmp_path):
    whole = save(tmp_path / "epoch_1.pth")
    broken = tmp_path / "epoch_2.pth"
    assert checkpoint_to_resume("elsewhere", whole) == whole
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint .*_2.pth;.*_1.pth is wh"
    ):
        checkpoint_to_resume("elsewhere", str(broken))
    broken.write_bytes(b"half")
    with pytest.raises(
        ValueError, match=r"_2.pth is not whole \(4 .*_1.pth is whole\."
    ):
        checkpoint_to_resume("elsewhere", str(broken))
    (tmp_path / "epoch_1.pth").unlink()
    with pytest.raises(ValueError, match="No other one beside it"):
        checkpoint_to_resume("elsewhere", str(broken))


def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path):
    path = save(tmp_path / "epoch_1.pth", message_hub=dict(evil=os.getcwd))
    with pytest.raises(ValueError, match="refused, since reading it would run"):
        require_whole(path)


def test_a_full_disk_says_where_to_go_on(tmp_path):
    for saved, advice in (
        (False, "no checkpoint was saved yet, so that --resume begins anew."),
        (
            True,
            f"--resume goes on from the newest whole checkpoint, {tmp_path}/epoch_1",
        ),
    ):
        if saved:
            save(tmp_path / "epoch_1.pth")
        with pytest.raises(WriteError, match="make room; " + advice) as error:
            with naming_where_resume_goes_on(str(tmp_path)):
                raise WriteError(28, "x was not written")
        assert error.value.errno == 28


def test_names_without_a_number_at_their_end(tmp_path):
    note(tmp_path, save(tmp_path / "step_3.pt", 3))
    assert find_whole_checkpoint(str(tmp_path)) == str(tmp_path / "step_3.pt")


def test_a_folder_means_the_newest_whole_one_in_it(tmp_path):
    whole = save(tmp_path / "epoch_1.pth")
    (tmp_path / "epoch_2.pth").write_bytes(b"half")
    assert checkpoint_to_resume("elsewhere", str(tmp_path)) == whole
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="There is no checkpoint in .*empty"):
        checkpoint_to_resume("elsewhere", str(tmp_path / "empty"))


def test_what_is_damaged_has_a_name_that_can_be_shown(tmp_path):
    path = tmp_path / "epoch_1.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a\x15\nb", b"content")
    path.write_bytes(path.read_bytes().replace(b"content", b"contend"))
    with pytest.raises(ValueError, match="is not whole .its part a.* is damaged") as e:
        find_whole_checkpoint(str(tmp_path))
    assert str(e.value).isprintable()
