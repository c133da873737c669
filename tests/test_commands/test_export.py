"""pckd export and pckd predict, as a user calls them."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from pckd_mm.commands import main
from pckd_mm.deployment.predict import _flat
from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config
from tests.builders import detector

NAME = "kd/cifar100_resnet20_resnet8_6e"
CLASSES = [f"kind {index}" for index in range(100)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the config and a checkpoint of a distillation, and photos."""
    folder = tmp_path_factory.mktemp("run")
    cfg = load_config(NAME)
    torch.manual_seed(0)
    student = MODELS.build(cfg.model.architecture)
    tensors = {f"architecture.{n}": t for n, t in student.state_dict().items()}
    meta = dict(dataset_meta=dict(classes=CLASSES), epoch=6)
    torch.save(dict(meta=meta, state_dict=tensors), folder / "epoch_6.pth")
    cfg.dump(folder / "cifar100_resnet20_resnet8_6e.py")
    rng = np.random.RandomState(0)
    (folder / "photos").mkdir()
    for index, size in enumerate([(40, 60), (32, 32), (90, 50)]):
        image = rng.randint(0, 256, (*size, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / "photos" / f"{index}.png"), image)
    return folder


def test_weights_with_a_config(run, tmp_path, capsys):
    out = tmp_path / "student.pth"
    assert main(["export", str(run / "epoch_6.pth"), str(out)]) == 0
    assert f"{tmp_path / 'student.py'} is its config" in capsys.readouterr().out
    cfg = load_config(tmp_path / "student.py")
    MODELS.build(cfg.model).load_state_dict(torch.load(out)["state_dict"])
    assert cfg.classes == CLASSES

    # The student alone goes on to ONNX, and says what it sees, without the run.
    onnx = tmp_path / "student.onnx"
    pytest.importorskip("onnxscript")
    options = ["--preprocess", "--images", str(run / "photos")]
    assert main(["export", str(out), str(onnx), *options]) == 0
    said = capsys.readouterr().out
    assert "images: float32, N x 3 x 32 x 32" in said and "channels: RGB" in said
    assert "scores of 7 images differ from torch's by at most" in said

    assert main(["predict", str(out), str(run / "photos"), "--top=100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    # What ONNX Runtime gives for the first photo, read by other means.
    import onnxruntime

    image = cv2.cvtColor(cv2.imread(str(run / "photos" / "1.png")), cv2.COLOR_BGR2RGB)
    session = onnxruntime.InferenceSession(str(onnx))
    inputs = {"images": image.transpose(2, 0, 1)[None].astype(np.float32)}
    (scores,) = session.run(None, inputs)[0]
    best = int(scores.argmax())
    _, _, found = lines[1].partition("1.png: ")
    assert found.startswith(f"kind {best} {scores[best]:.2f}")
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == CLASSES


@pytest.fixture
def otherwise_prepared(run, tmp_path):
    """The run, by another data preprocessor than OpenMMLab's classifiers have."""

    def prepare(**settings):
        cfg = load_config(NAME)
        cfg.model.data_preprocessor = settings
        cfg.dump(tmp_path / "run.py")
        shutil.copy(run / "epoch_6.pth", tmp_path)
        return str(tmp_path / "epoch_6.pth")

    return prepare


def test_images_are_those_of_the_students_data_preprocessor(
    otherwise_prepared, run, tmp_path
):
    checkpoint = otherwise_prepared(
        type="pckd_mm.RotatedViewsDataPreprocessor",
        num_views=4,
        mean=[120.0, 60.0, 30.0],
        std=[60.0, 30.0, 90.0],
        to_rgb=True,
        pad_size_divisor=40,
        pad_value=2,
    )
    photo, out = run / "photos" / "1.png", tmp_path / "found.json"
    assert main(["predict", checkpoint, str(photo), "--json", str(out)]) == 0
    (found,) = json.loads(out.read_text())
    network = MODELS.build(load_config(NAME).model.architecture).eval()
    state = torch.load(checkpoint)["state_dict"]
    network.load_state_dict({k.split(".", 1)[1]: v for k, v in state.items()})
    image = cv2.imread(str(photo))[..., ::-1].astype(np.float32)  # RGB
    image = (image - [120, 60, 30]) / [60, 30, 90]
    inputs = torch.full((1, 3, 40, 40), 2.0)
    inputs[0, :, :32, :32] = torch.from_numpy(image.transpose(2, 0, 1))
    scores = network(inputs, mode="tensor").softmax(1)[0]
    assert found["found"][0]["label"] == CLASSES[int(scores.argmax())]
    assert found["found"][0]["score"] == pytest.approx(float(scores.max()), rel=1e-4)


def test_what_preprocess_cannot_write_is_refused(otherwise_prepared, tmp_path, capsys):
    pytest.importorskip("onnxscript")
    checkpoint = otherwise_prepared(
        type="mmpretrain.ClsDataPreprocessor",
        mean=[120.0],
        std=[60.0],
        pad_size_divisor=40,
    )
    out = str(tmp_path / "student.onnx")
    assert main(["export", checkpoint, out, "--preprocess"]) == 1
    said = capsys.readouterr().err
    assert "ClsDataPreprocessor of the student does more to images than" in said
    assert main(["export", checkpoint, out]) == 0  # as the message advises
    assert "images: float32, N x 3 x 40 x 40" in capsys.readouterr().out


def test_into_the_folder_of_the_run(run, tmp_path, capsys):
    """As often as one likes; the run's checkpoints are still found to be its own."""
    folder = shutil.copytree(run, tmp_path / "run")
    checkpoint = str(folder / "epoch_6.pth")
    for name in ("student", "again"):
        assert main(["export", checkpoint, str(folder / f"{name}.pth")]) == 0
        assert f"{folder / name}.py is its config" in capsys.readouterr().out
    texts = [(folder / f"{name}.py").read_text() for name in ("student", "again")]
    assert texts[0] == texts[1]
    assert main(["predict", checkpoint, str(run / "photos")]) == 0


@pytest.mark.parametrize("name", ["kd", "vanilla"])
def test_weights_of_a_student_alone(name, run, tmp_path, capsys):
    """That of a run of its own, and that which training writes beside a checkpoint."""
    cfg = load_config(NAME)
    network = MODELS.build(cfg.model.architecture)
    meta = dict(dataset_meta=dict(classes=CLASSES))
    path = tmp_path / "epoch_6_student.pth"
    torch.save(dict(meta=meta, state_dict=network.state_dict(), optimizer={}), path)
    if name == "vanilla":
        cfg = load_config("vanilla/cifar100_resnet8_6e")
    cfg.dump(tmp_path / "run.py")
    out = tmp_path / "mine.pth"
    assert main(["export", str(path), str(out)]) == 0
    content = torch.load(out)
    assert set(content) == {"meta", "state_dict"}
    plain = load_config(tmp_path / "mine.py")
    built = MODELS.build(plain.model)
    built.load_state_dict(content["state_dict"])
    for one, other in zip(built.parameters(), network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert plain.classes == CLASSES


def test_weights_of_another_network_are_not_given_this_config(run, tmp_path, capsys):
    other = MODELS.build(load_config("vanilla/cifar100_resnet20").model)
    checkpoint, out = tmp_path / "other.pth", tmp_path / "student.pth"
    torch.save(dict(state_dict=other.state_dict()), checkpoint)
    assert main(["export", str(checkpoint), str(out), "--config", NAME]) == 1
    assert "does not fit" in capsys.readouterr().err
    assert not out.exists() and not out.with_suffix(".py").exists()


def test_a_file_without_weights_is_no_student(tmp_path, capsys):
    torch.save(dict(optimizer=dict(lr=1)), tmp_path / "none.pth")
    assert main(["export", str(tmp_path / "none.pth"), str(tmp_path / "a.pth")]) == 1
    assert "none.pth holds no student; expected" in capsys.readouterr().err
    assert not (tmp_path / "a.pth").exists()


def test_predictions_are_drawn_and_written(run, tmp_path, capsys):
    out, file = tmp_path / "drawn", tmp_path / "found.json"
    command = ["predict", str(run / "epoch_6.pth"), str(run / "photos")]
    assert main([*command, "--out", str(out), "--json", str(file), "--top=2"]) == 0
    drawn = [f"photos_{index}.png.png" for index in range(3)]
    assert sorted(path.name for path in out.iterdir()) == drawn
    found = json.loads(file.read_text())
    assert [len(entry["found"]) for entry in found] == [2, 2, 2]
    first, second = (entry["score"] for entry in found[0]["found"])
    assert 1 > first >= second > 0
    assert main([*command, "--score=1.1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("2.png: nothing")


def test_a_detector(run, tmp_path, capsys):
    pytest.importorskip("mmdet")
    cfg = load_config("vanilla/digit_scenes_frcnn_r18w8")
    cfg.model = detector(8)
    torch.manual_seed(0)
    network = MODELS.build(cfg.model)
    meta = dict(dataset_meta=dict(classes=("a", "b", "c", "d")))
    path = tmp_path / "epoch_1.pth"
    torch.save(dict(meta=meta, state_dict=network.state_dict()), path)
    cfg.dump(tmp_path / "run.py")
    out, file = tmp_path / "drawn", tmp_path / "found.json"
    command = ["predict", str(path), str(run / "photos" / "0.png"), "--score=0"]
    assert main([*command, "--out", str(out), "--json", str(file)]) == 0
    assert (out / "photos_0.png.png").is_file()
    (entry,) = json.loads(file.read_text())
    assert entry["found"], "an untrained detector finds what is not there"
    for found in entry["found"]:
        left, top, right, bottom = found["box"]
        assert found["label"] in "abcd" and 0 <= left <= right <= 60
        assert 0 <= top <= bottom <= 40

    # Without names, which nothing has to say: labels are numbers.
    torch.save(network.state_dict(), path)
    cfg.test_dataloader.dataset = dict(
        type="XMLDataset", pipeline=cfg.test_dataloader.dataset.pipeline
    )
    cfg.dump(tmp_path / "run.py")
    (out / "photos_0.png.png").unlink()
    assert main([*command, "--out", str(out), "--json", str(file)]) == 0
    assert (out / "photos_0.png.png").is_file()
    (entry,) = json.loads(file.read_text())
    assert {type(found["label"]) for found in entry["found"]} == {int}

    bad = among_unreadable(run, tmp_path / "mixed")
    (out / "photos_0.png.png").unlink()
    capsys.readouterr()
    check_the_others(command[:2], tmp_path / "mixed", bad, tmp_path, capsys)

    assert main(["export", str(path), str(tmp_path / "a.onnx")]) == 1
    assert "FasterRCNN, whose operators" in capsys.readouterr().err


def test_another_config_is_not_overwritten(run, tmp_path, capsys):
    (tmp_path / "mine.py").write_text("mine = 1\n")
    assert main(["export", str(run / "epoch_6.pth"), str(tmp_path / "mine.pth")]) == 1
    assert "mine.py is there and is another file" in capsys.readouterr().err
    assert (tmp_path / "mine.py").read_text() == "mine = 1\n"
    assert not (tmp_path / "mine.pth").exists()
    # Nor a script that is named in place of a checkpoint.
    assert main(["export", str(run / "epoch_6.pth"), str(tmp_path / "mine.py")]) == 1
    assert "mine.py is to be written; expected the name" in capsys.readouterr().err
    assert (tmp_path / "mine.py").read_text() == "mine = 1\n"


def test_a_checkpoint_is_not_overwritten(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    first, second = (tmp_path / "run" / f"epoch_{epoch}.pth" for epoch in (6, 7))
    whole = torch.load(first, weights_only=False)
    torch.save({**whole, "optimizer": {"state": {}}}, second)
    before = [path.read_bytes() for path in (first, second)]
    for out, reason in (
        (first, "that is to be read"),
        (second, "a run can go on from"),
    ):
        assert main(["export", str(first), str(out)]) == 1
        assert reason in capsys.readouterr().err
    assert [path.read_bytes() for path in (first, second)] == before
    (tmp_path / "mine.pth").write_bytes(b"mine")
    assert main(["export", str(first), str(tmp_path / "mine.pth")]) == 1
    assert "is no student that was exported before" in capsys.readouterr().err
    # Such a one is written anew.
    for _ in range(2):
        assert main(["export", str(first), str(tmp_path / "student.pth")]) == 0


def test_a_file_that_is_no_image_is_named(run, tmp_path, capsys):
    (tmp_path / "bad.png").write_text("no image")
    assert main(["predict", str(run / "epoch_6.pth"), str(tmp_path / "bad.png")]) == 1
    assert "bad.png cannot be read as an image" in capsys.readouterr().err


UNREADABLE = dict(text=b"no image", nothing=b"", cut=b"\x89PNG\r\n\x1a\n")


def among_unreadable(run, folder):
    """A photo before, between and behind files that are no images."""
    folder.mkdir()
    for index, content in enumerate(UNREADABLE.values()):
        (folder / f"{index} bad.png").write_bytes(content)
        photo = (run / "photos" / f"{index}.png").read_bytes()
        (folder / f"{index} good.png").write_bytes(photo)
    return [f"{folder / str(index)} bad.png" for index in range(len(UNREADABLE))]


def check_the_others(command, folder, bad, tmp_path, capsys):
    out, file = tmp_path / "drawn", tmp_path / "found.json"
    options = [str(folder), "--out", str(out), "--json", str(file)]
    assert main([*command, *options]) == 1
    said = capsys.readouterr()
    expected = "cannot be read as an image; expected one: leave it out."
    assert said.err.splitlines() == [f"{path} {expected}" for path in bad]
    good = [path.replace("bad", "good") for path in bad]
    assert [line.split(":")[0] for line in said.out.splitlines()] == good
    assert [entry["file"] for entry in json.loads(file.read_text())] == good
    assert len(list(out.iterdir())) == len(good)


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_other_images_are_predicted(run, tmp_path, capsys, monkeypatch, batch):
    monkeypatch.setattr("pckd_mm.deployment.predict._BATCH", batch)
    bad = among_unreadable(run, tmp_path / "mixed")
    command = ["predict", str(run / "epoch_6.pth")]
    check_the_others(command, tmp_path / "mixed", bad, tmp_path, capsys)


def test_drawings_of_all_images(run, tmp_path):
    photo = (run / "photos" / "0.png").read_bytes()
    names = ["train/cat/1.png", "val/cat/1.png", "val/dog/1.png", "dog_1.png"]
    for name in names:
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo)
    out = tmp_path / "drawn"
    command = ["predict", str(run / "epoch_6.pth"), str(tmp_path / "mine")]
    assert main([*command, "--out", str(out)]) == 0
    drawn = sorted(path.name for path in out.iterdir())
    of_folders = ["train_cat_1.png.png", "val_cat_1.png.png", "val_dog_1.png.png"]
    assert drawn == sorted([f"{tmp_path.name}_mine_dog_1.png.png", *of_folders])


def test_names_of_drawings():
    assert _flat([]) == {}
    assert _flat(["1.png", "1.png"]) == {"1.png": "1.png"}
    assert _flat(["/a/1.png", "b/1.png"]) == {
        "/a/1.png": "a_1.png",
        "b/1.png": "b_1.png",
    }
    joined = ["a_b/1.png", "a/b_1.png", "c/2.png"]
    assert len(set(_flat(joined).values())) == 3
    absolute = ["/a/1.png", "a/1.png"]
    assert len(set(_flat(absolute).values())) == 2


@pytest.mark.parametrize(
    "command, reason",
    [
        (["export", "nowhere.pth", "a.onnx"], "nowhere.pth"),
        (["predict", "{run}/epoch_6.pth", "nowhere"], "There is no nowhere; expected"),
        (["predict", "{run}/epoch_6.pth", "{empty}"], "has no images; expected files"),
    ],
)
def test_what_is_not_there(command, reason, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    words = [word.format(run=run, empty=tmp_path / "empty") for word in command]
    assert main(words) == 1
    assert reason in capsys.readouterr().err


def test_options_of_onnx_alone(run, capsys):
    with pytest.raises(SystemExit):
        main(["export", str(run / "epoch_6.pth"), "a.pth", "--preprocess"])
    assert "--preprocess and --images are for *.onnx" in capsys.readouterr().err
