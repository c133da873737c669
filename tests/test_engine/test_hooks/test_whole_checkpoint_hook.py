"""WholeCheckpointHook: nothing is lost when a run is cut off."""

import errno
import os
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.runner import Runner

from pckd_mm.compat import weights_only_loading
from pckd_mm.engine.hooks import WholeCheckpointHook, whole_checkpoint_hook
from pckd_mm.engine.hooks.whole_checkpoint_hook import WholeLocalBackend
from pckd_mm.utils.checkpoint import find_whole_checkpoint, read_checkpoint
from pckd_mm.utils.files import WriteError
from tests.builders import Point


class Given(BaseMetric):
    """One value after the other, from what a run has of a list."""

    default_prefix = "a"

    def __init__(self, values):
        super().__init__()
        self.values = values

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        value = self.values.pop(0)
        if value is None:
            raise KeyboardInterrupt  # the run is cut off in its validation
        return {"top1": value, "mAP": -value}


def run(
    work_dir, values, epochs=3, resume=False, by_epoch=True, val_interval=1, **settings
):
    """Train as far as it goes."""
    loader = dict(
        dataset=[{"inputs": torch.zeros(1)}] * 2,
        batch_size=1,
        sampler=dict(type="DefaultSampler", shuffle=False),
    )
    loop = dict(by_epoch=True, max_epochs=epochs, val_interval=val_interval)
    training = loader
    if not by_epoch:
        loop = dict(by_epoch=False, max_iters=2 * epochs, val_interval=2)
        training = dict(loader, sampler=dict(type="InfiniteSampler", shuffle=False))
    hook = dict(type="pckd_mm.WholeCheckpointHook", interval=1, max_keep_ckpts=2)
    hook.update(by_epoch=by_epoch, **settings)
    runner = Runner(
        Point(),
        str(work_dir),
        train_dataloader=training,
        val_dataloader=loader,
        train_cfg=loop,
        val_cfg=dict(),
        val_evaluator=Evaluator(Given(values)),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(checkpoint=hook),
        resume=resume,
        load_from=find_whole_checkpoint(str(work_dir)) if resume else None,
        experiment_name=f"{work_dir}{resume}{epochs}",
    )
    with weights_only_loading():
        runner.train()
    return runner


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


@pytest.fixture
def watched(monkeypatch):
    """Names that were given and taken, in their order, and what was there then."""
    events = []
    replace, remove = os.replace, os.remove

    def replaced(source, target):
        replace(source, target)
        events.append(f"+{Path(target).name}")

    def removed(path):
        remove(path)
        events.append(f"-{Path(path).name}")

    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "remove", removed)
    return events


def test_old_ones_go_when_the_new_one_is_there(tmp_path, watched):
    run(tmp_path, [1, 2, 3, 4], epochs=4)
    saved = [[f"+epoch_{epoch}.pth", "+last_checkpoint"] for epoch in (1, 2, 3, 4)]
    expected = [*saved[0], *saved[1], *saved[2], "-epoch_1.pth"]
    assert watched == [*expected, *saved[3], "-epoch_2.pth"]
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "epoch_4.pth")


def test_the_best_goes_when_a_better_one_is_there(tmp_path, watched):
    run(tmp_path, [1, 3, 2], save_best="a/top1")
    expected = ["+epoch_1.pth", "+last_checkpoint"]
    expected += ["+best_a_top1_epoch_1.pth", "+epoch_1.pth", "+last_checkpoint"]
    expected += ["+epoch_2.pth", "+last_checkpoint", "+best_a_top1_epoch_2.pth"]
    expected += ["+epoch_2.pth", "+last_checkpoint", "-best_a_top1_epoch_1.pth"]
    assert watched == [*expected, "+epoch_3.pth", "+last_checkpoint", "-epoch_1.pth"]


def test_several_best_ones(tmp_path):
    best = ["a/top1", "a/mAP"]
    run(tmp_path, [2, 3, 1], save_best=best, rule="greater")
    found = [name for name in names(tmp_path) if name.startswith("best")]
    assert found == ["best_a_mAP_epoch_3.pth", "best_a_top1_epoch_2.pth"]


@pytest.mark.parametrize("by_epoch", [True, False])
def test_a_validation_that_was_cut_off_is_made_up_for(tmp_path, by_epoch):
    best = dict(save_best="a/top1", by_epoch=by_epoch)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [5, 6, None], **best)
    kind, last = ("epoch", 3) if by_epoch else ("iter", 6)
    assert f"{kind}_{last}.pth" in names(tmp_path)
    values = [7, 8]
    runner = run(tmp_path, values, resume=True, **best)
    assert values == [8]  # once, although nothing was left to train
    assert f"best_a_top1_{kind}_{last}.pth" in names(tmp_path)
    assert len([name for name in names(tmp_path) if name.startswith("best")]) == 1
    assert runner.message_hub.get_info("best_score") == 7
    # The best checkpoint was noted in the other one, and so the validation was.
    run(tmp_path, values, resume=True, **best)
    assert values == [8]


def test_the_last_validation_is_made_up_for_whatever_the_interval(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [5, None], val_interval=2)  # of epochs 2 and 3
    values = [6, 7]
    run(tmp_path, values, resume=True, val_interval=2)
    assert values == [7]


def test_a_validation_between_two_epochs_is_made_up_for(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [5, None])
    values = [6, 7, 8]
    run(tmp_path, values, resume=True)
    assert values == [8]


def test_no_validation_is_made_up_for_that_was_not_due(tmp_path):
    run(tmp_path, [5], epochs=1)
    values = [6, 7]
    runner = run(tmp_path, values, epochs=2, resume=True, save_begin=0)
    assert values == []  # the one of the first epoch again, since it is not noted
    runner.train_loop.val_begin = 3
    hook = next(hook for hook in runner.hooks if isinstance(hook, WholeCheckpointHook))
    runner.message_hub.update_info("last_validated", 0)
    assert not hook._lacks_validation(runner)
    runner.train_loop.val_begin = 2
    assert hook._lacks_validation(runner)


def test_leftovers_of_a_killed_run_go(tmp_path):
    run(tmp_path, [1, 2, 3])
    # Killed before the outdated one was removed, and while the next was written.
    (tmp_path / "epoch_1.pth").touch()
    (tmp_path / "epoch_4.pth.unfinished").touch()
    (tmp_path / "last_checkpoint.unfinished").touch()
    run(tmp_path, [3], resume=True)
    found = [name for name in names(tmp_path) if "epoch" in name or "last" in name]
    assert found == ["epoch_2.pth", "epoch_3.pth", "last_checkpoint"]


def test_nothing_is_touched_where_a_work_dir_was_before(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    best = dict(save_best="a/top1")
    run(old, [1, 2], epochs=2, **best)
    before = {name: (old / name).read_bytes() for name in names(old)}
    new.mkdir()
    for name, content in before.items():
        (new / name).write_bytes(content)
    run(new, [3, 4, 5, 6], epochs=4, resume=True, **best)
    assert {name: (old / name).read_bytes() for name in names(old)} == before
    assert [name for name in names(new) if name.endswith(".pth")] == [
        "best_a_top1_epoch_4.pth",
        "epoch_3.pth",
        "epoch_4.pth",
    ]


@pytest.mark.parametrize("full", ["epoch_2.pth", "best_a_top1_epoch_2.pth"])
def test_a_full_disk_ends_the_run_in_words(tmp_path, monkeypatch, full):
    replace = os.replace

    def no_space(source, target):
        if target.endswith(full):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(WriteError) as error:
        run(tmp_path, [1, 2, 3], save_best="a/top1")
    message = str(error.value)
    assert f"{full} was not written: No space left on device; it takes " in message
    assert message.count("--resume goes on from") == 1
    newest = "epoch_1.pth" if full == "epoch_2.pth" else "epoch_2.pth"
    assert message.endswith(f"{tmp_path / newest}.")
    assert "best_a_top1_epoch_1.pth" in names(tmp_path)
    assert not list(tmp_path.glob("*.unfinished"))


@register_backend("test_storage")
class Storage(LocalBackend):
    """A storage that is not the local disk."""

    written = []

    def put(self, obj, filepath):
        self.written.append(str(filepath))
        super().put(obj, filepath)


def test_other_storages_are_written_to_by_their_own_means(tmp_path):
    Storage.written.clear()
    run(tmp_path, [1, 2, 3], backend_args=dict(backend="test_storage"))
    assert Storage.written == [str(tmp_path / f"epoch_{n}.pth") for n in (1, 2, 3)]
    assert "epoch_1.pth" not in names(tmp_path)


def test_the_backend_writes_texts_and_bytes(tmp_path, watched):
    backend = get_file_backend(backend_args=dict(backend="pckd_mm.whole_local"))
    assert isinstance(backend, WholeLocalBackend)
    backend.put(b"1", tmp_path / "a")
    backend.put_text("ä", tmp_path / "b")
    assert (tmp_path / "b").read_text(encoding="utf-8") == "ä"
    assert watched == ["+a", "+b"]


def test_what_is_saved_is_what_mmengine_saves(tmp_path):
    runner = run(tmp_path, [1, 2, 3])
    saved = read_checkpoint(str(tmp_path / "epoch_3.pth"))
    assert torch.equal(saved["state_dict"]["weight"], runner.model.weight.detach())
    assert (saved["meta"]["epoch"], saved["meta"]["iter"]) == (3, 6)
    assert saved["message_hub"]["runtime_info"]["keep_ckpt_ids"] == [2, 3]
    hook = next(hook for hook in runner.hooks if isinstance(hook, WholeCheckpointHook))
    assert hook.last_ckpt == str(tmp_path / "epoch_3.pth")


@pytest.mark.parametrize("at", [0, 4], ids=["fresh", "resumed"])
@pytest.mark.parametrize(
    "hostile", ["", "..", ".", "{victim}", "{victim}/epoch_1.pth", "{work}/note.txt", 7]
)
def test_a_hostile_checkpoint_removes_nothing(tmp_path, monkeypatch, hostile, at):
    victim, work = tmp_path / "victim", tmp_path / "runs" / "work"
    here = tmp_path / "some" / "where"  # what a failure removes is in here
    for folder in (victim, here):
        folder.mkdir(parents=True)
        (folder / "epoch_1.pth").touch()
    monkeypatch.chdir(here)
    best = dict(save_best="a/top1")
    run(work, [1, 2], epochs=2, **best)
    (work / "note.txt").touch()
    path = work / "epoch_2.pth"
    checkpoint = read_checkpoint(str(path))
    if isinstance(hostile, str):
        hostile = hostile.format(victim=victim, work=work)
    info = checkpoint["message_hub"]["runtime_info"]
    info.update(outdated_ckpt=hostile, best_ckpt=hostile, last_ckpt=hostile)
    info.update(keep_ckpt_ids=[f"/../{hostile}", 1])
    checkpoint["meta"]["iter"] = info["iter"] = at
    torch.save(checkpoint, path)
    run(work, [3, 4, 5, 6, 7], epochs=4, resume=True, **best)
    assert names(victim) == names(here) == ["epoch_1.pth"]
    assert "note.txt" in names(work)


def test_processes_that_resume_in_different_places_end(tmp_path, monkeypatch):
    run(tmp_path, [1], epochs=1)
    monkeypatch.setattr(
        whole_checkpoint_hook, "all_gather_object", lambda mine: [mine, (0, 0)]
    )
    with pytest.raises(RuntimeError, match=r"resumed in .*\(1, 2\), \(0, 0"):
        run(tmp_path, [2, 3], epochs=2, resume=True)


def test_checkpoints_without_the_optimizer_are_said_to_be_no_beginning(tmp_path):
    run(tmp_path, [1], epochs=1, save_optimizer=False)
    (log,) = tmp_path.glob("*/*.log")
    assert "WARNING - Checkpoints without the optimizer (save_opt" in log.read_text()
    with pytest.raises(ValueError, match="holds no optimizer"):
        find_whole_checkpoint(str(tmp_path))


def test_a_run_that_begins_anew_over_another_one_says_so(tmp_path):
    def said():
        log = max(tmp_path.glob("*/*.log"), key=os.path.getmtime)
        return (
            "has checkpoints of an earlier run, such as epoch_2.pth" in log.read_text()
        )

    run(tmp_path, [1, 2], epochs=2)
    assert not said()
    run(tmp_path, [2, 3], epochs=3, resume=True)
    assert not said()
    (tmp_path / "epoch_3.pth").unlink()
    run(tmp_path, [4], epochs=1)
    assert said()
