"""pckd init and pckd compare CONFIG, as a user calls them."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from pckd_mm.commands import main, parse
from pckd_mm.commands.compare_options import check
from pckd_mm.starting import networks
from pckd_mm.starting.folders import Photos
from pckd_mm.utils.config import load_config
from tests.test_starting.test_folders import photos


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "_answers", lambda address: False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path):
    for name in ("cat", "dog"):
        photos(tmp_path / "photos" / name, 12)
    return tmp_path / "photos"


def test_from_a_folder_to_what_is_compared(data, tmp_path, capsys):
    assert main(["init", "--data", "photos", "--size=32", "--epochs=3"]) == 0
    said = capsys.readouterr().out
    assert "2 classes; .: 24 images, 12 of a class" in said
    assert "begins with random weights: https" in said and "be reached" in said
    assert "(loss_ca) is left out: the features of resnet34" in said
    name = "photos_resnet34_mobilenet_v2"
    assert said.endswith(f"Next:\n  pckd compare {name}.py\n")

    args = parse(["compare", f"{name}.py", "--seeds", "0", "--methods", "kd", "dist"])
    check(args)
    folder = tmp_path / "work_dirs" / name / "configs"
    assert args.teacher == str(folder.relative_to(tmp_path) / "teacher.py")
    runs = dict(run.split("=") for run in args.run)
    assert list(runs) == ["student alone", "KD", "DIST", "PCKD"]
    assert runs["PCKD"] == f"{name}.py" and str(args.work_dir) == f"work_dirs/{name}"

    pckd = load_config(f"{name}.py")
    teacher, alone, kd = map(load_config, (args.teacher, *list(runs.values())[:2]))
    assert teacher.model == pckd.model.teacher
    assert alone.model == pckd.model.architecture
    assert teacher.custom_hooks == [] and alone.train_cfg.max_epochs == 3
    assert kd.model.architecture.head.loss.loss_weight == 0.1
    assert kd.model.num_views == 1 and kd.model.teacher == pckd.model.teacher
    assert list(kd.model.distiller.distill_losses) == ["loss_kd"]
    assert kd.model.teacher_ckpt == pckd.model.teacher_ckpt
    for cfg in (alone, kd):
        assert cfg.train_dataloader == pckd.train_dataloader
        assert cfg.optim_wrapper == pckd.optim_wrapper
    # A folder that is named is taken, whatever its name.
    named = parse(["compare", f"{name}.py", "--work-dir", "work_dirs/compare"])
    check(named)
    assert str(named.work_dir) == "work_dirs/compare"
    # A second call writes nothing anew, so that nothing is trained anew.
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    check(parse(["compare", f"{name}.py", "--methods", "kd", "dist"]))
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_teacher_from_elsewhere_is_taken(data, tmp_path):
    main(["init", "--data", "photos", "--size=32", "--epochs=3", "--out=mine.py"])
    checkpoint = tmp_path / "work_dirs" / "mine" / "teacher" / "epoch_3.pth"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    args = parse(["compare", "mine.py"])
    check(args)
    # That of an earlier call is the config's, which may have changed since.
    assert args.teacher == "work_dirs/mine/configs/teacher.py"
    checkpoint.rename(tmp_path / "elsewhere.pth")
    text = (tmp_path / "mine.py").read_text()
    text = text.replace("work_dirs/mine/teacher/epoch_3.pth", "elsewhere.pth")
    (tmp_path / "mine.py").write_text(text)
    args = parse(["compare", "mine.py"])
    check(args)
    assert args.teacher == "elsewhere.pth"


def test_normalisation_of_the_model_goes_to_all(data, tmp_path):
    main(["init", "--data", "photos", "--size=32", "--epochs=3", "--out=mine.py"])
    more = "\nmodel.data_preprocessor = dict(mean=[1, 2, 3], std=[4, 5, 6])\n"
    with open(tmp_path / "mine.py", "a") as file:
        file.write(more)
    args = parse(["compare", "mine.py"])
    check(args)
    runs = dict(run.split("=") for run in args.run)
    alone, kd = (load_config(runs[name]) for name in ("student alone", "KD"))
    assert alone.data_preprocessor.mean == [1, 2, 3]
    assert "num_views" not in alone.data_preprocessor
    assert kd.model.data_preprocessor.std == [4, 5, 6]


def test_broken_files_and_classes_with_few_images_are_named(data, capsys):
    (data / "cat" / "broken.jpg").write_bytes(b"no image")
    photos(data / "cow", 2)
    (data / "cow" / "more.heic").touch()
    assert main(["init", "--data", "photos", "--size=32"]) == 0
    said = capsys.readouterr().out
    assert "cow: files of other kinds" not in said and "left out (1 .heic)" in said
    assert "Remove or replace the files named above, or add --skip-broken, th" in said
    assert "1 files cannot be read, and are not counted:\n  photos/cat/broken" in said
    assert "Fewer than 10 images to train on: cow." in said


def test_separate_images_to_validate_on_have_to_be_whole(tmp_path, capsys):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            photos(tmp_path / "photos" / split / name, 12)
    (tmp_path / "photos" / "val" / "cat" / "broken.jpg").write_bytes(b"no image")
    assert main(["init", "--data", "photos", "--size=32"]) == 0
    advice = "or add --skip-broken for those to train on, then:"
    assert advice in capsys.readouterr().out


def test_a_class_of_one_image_cannot_be_split(data, capsys):
    photos(data / "cow", 1)
    assert main(["init", "--data", "photos", "--size=32"]) == 1
    said = capsys.readouterr().err
    assert "1 classes have one image each (cow); expected two or more" in said


def test_what_is_held_out_is_told_where_it_lacks_a_class(data, capsys, monkeypatch):
    for held, status, said in (
        (dict(cat=2, dog=3), 0, ""),
        (dict(cat=2, dog=0), 0, "validate on: 2 images, and none of 1 classes (dog)"),
        (dict(cat=0, dog=0), 1, "None of the 24 images would be held out to validate"),
    ):
        found = sum(held.values()), Counter(held)
        monkeypatch.setattr(Photos, "held_out", lambda self, share, f=found: f)
        options = ["--size=32", "--force"]
        assert main(["init", "--data", "photos", *options]) == status
        printed = "".join(capsys.readouterr())
        assert said in printed and ("validate on" in printed) == bool(said)


def test_the_name_of_the_config_is_one_of_a_config(data, capsys):
    assert main(["init", "--data", "photos", "--size=32", "--out", "my cfg v1.5"]) == 0
    assert capsys.readouterr().out.endswith("  pckd compare 'my cfg v1.5.py'\n")
    assert load_config("my cfg v1.5.py").model


@pytest.mark.parametrize("steps", [1, 2, 16])  # of an epoch, by the number of GPUs
def test_the_learning_rate_rises_however_short_the_training(data, steps):
    """Not to one twentieth for good, and over the same share whatever the GPUs."""
    assert main(["init", "--data", "photos", "--size=32", "--epochs=40"]) == 0
    (path,) = Path().glob("photos_*.py")
    rise = load_config(str(path)).param_scheduler[0]
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = PARAM_SCHEDULERS.build(
        {**rise, "optimizer": optimizer, "epoch_length": steps}
    )
    rates = []
    for _ in range(40 * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    # 5 % of 40 epochs are two. Their last step has all of the rate.
    full = 2 * steps - 1
    assert rates[0] == pytest.approx(0.05)
    assert all(rate < 0.999 for rate in rates[:full])
    assert rates[full:] == pytest.approx([1] * (40 * steps - full))


@pytest.mark.parametrize(
    "options, reason",
    [
        (["--data", "nowhere"], "There is no folder nowhere"),
        (["--data", "photos", "--student", "mobilnet"], "There is no network mobiln"),
        (
            ["--data", "photos", "--out", "there.py"],
            "there.py is there already; expect",
        ),
    ],
)
def test_what_keeps_it_from_being_written(data, tmp_path, options, reason, capsys):
    (tmp_path / "there.py").touch()
    assert main(["init", *options]) == 1
    assert reason in capsys.readouterr().err
    assert (tmp_path / "there.py").read_text() == ""
    assert sorted(path.name for path in tmp_path.glob("*.py")) == ["there.py"]


@pytest.mark.parametrize(
    "command, reason",
    [
        (
            ["init", "--data", "photos", "--val-share", "1"],
            "--val-share is 1.0; expect",
        ),
        (["init", "--data", "photos", "--size", "0"], "--size is 0; expected 1 or mor"),
        (["compare", "x.py", "--pairs", "a_b"], "a config and --pairs say different"),
        (
            ["compare", "vanilla/cifar100_resnet8"],
            "no model with architecture, and teacher or",
        ),
        (["compare", "nowhere.py"], "There is no config nowhere.py"),
        (
            ["compare", "pckd/letters_resnet20_resnet8_thin", "--methods", "kx"],
            "There is no method kx",
        ),
    ],
)
def test_wrong_command_lines(command, reason, capsys):
    with pytest.raises(SystemExit):
        main(command)
    assert reason in capsys.readouterr().err
