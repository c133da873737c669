"""Runs of detectors, as users start them: train, kill, resume, test, export, fail."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

pytest.importorskip("mmdet.models", exc_type=ImportError)

from pckd_mm.utils.checkpoint import read_checkpoint
from tests.builders import CONFIGS, ROOT, SHARED
from tests.detection import (
    at,
    random_weights,
    scalars,
    small_voc,
    unpack,
    without_objects,
)
from tests.preloaded import TIMEOUT, preloaded
from tests.test_tools.test_train import assert_same, environment, kill_after

sys.path.insert(0, str(ROOT / "tools" / "dataset_converters"))
from digits_to_voc import write_scenes  # noqa: E402

PCKD = "configs/pckd/digit_scenes_frcnn_r18w32_r18w8.py"
TEACHER = "configs/vanilla/digit_scenes_frcnn_r18w32.py"
STUDENT = "configs/vanilla/digit_scenes_frcnn_r18w8.py"
TRAIN, TEST = "tools/train.py", "tools/test.py"
MAP = "pascal_voc/mAP"
# Overfits four scenes, so that the detections mean something.
EPOCHS, KILLED, EPOCH_AT_KILL = 40, "epoch_20_student.pth", 20
SHORT = [
    "randomness.seed=3",
    "train_dataloader.batch_size=4",
    f"train_cfg.max_epochs={EPOCHS}",
    f"train_cfg.val_interval={EPOCHS}",
    "param_scheduler.milestones=[30]",
    f"default_hooks.checkpoint.interval={EPOCH_AT_KILL}",
    "default_hooks.logger.interval=1",
]
SEEN = [
    f"{name}_dataloader.dataset.ann_file=VOC2007/ImageSets/Main/train.txt"
    for name in ("val", "test")
]


def last_line(done: subprocess.CompletedProcess) -> str:
    return done.stderr.strip().splitlines()[-1]


def succeeded(*runs: subprocess.CompletedProcess) -> None:
    for done in runs:
        assert done.returncode == 0, done.stderr[-3000:]


def losses(logged: list) -> list:
    return [line["loss"] for line in logged if "loss" in line]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """A devkit of four digit scenes for training."""
    return write_scenes(tmp_path_factory.mktemp("scenes"), train=4, val=1, test=1)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("teacher") / "teacher.pth"
    return random_weights(ROOT / TEACHER, out)


# ------------------------------------------------------------------ real photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """VOC 07+12 in small, and VOC2012 with all classes: what was run, and where."""
    if not (SHARED / "data" / "voc_mini_5_5.tar").is_file():
        pytest.skip("no real photos here")
    root = tmp_path_factory.mktemp("photos")
    mini = str(small_voc(unpack("voc_mini_5_5.tar", root / "mini"), root / "configs"))
    all_classes = unpack("voc2012_100.tar", root / "all")
    all_classes = str(small_voc(all_classes, root / "configs_all", batch_size=10))
    sets = "VOC2012/ImageSets/Main"
    one_year = [
        f"train_dataloader.dataset.dataset.datasets.0.ann_file={sets}/train.txt",
        f"val_dataloader.dataset.ann_file={sets}/val.txt",
        "val_dataloader.dataset.data_prefix.sub_data_root=VOC2012/",
    ]
    work = f"--work-dir={root / 'work'}"
    one, two = (f"train_cfg.max_epochs={epochs}" for epochs in (1, 2))
    commands = {
        "train": [TRAIN, mini, work, "--cfg-options", one],
        "test": [
            *(TEST, mini, str(root / "work" / "epoch_1.pth")),
            *(f"--work-dir={root / 'test'}", f"--out={root / 'test.json'}"),
        ],
        "resume": [TRAIN, mini, work, "--resume", "--cfg-options", two],
        "all": [
            *(TRAIN, all_classes, f"--work-dir={root / 'work_all'}"),
            *("--cfg-options", one, *one_year),
        ],
    }
    runs = {name: preloaded().call(command) for name, command in commands.items()}
    return root, runs


def test_real_photos_train_validate_and_resume(photos):
    root, runs = photos
    succeeded(runs["train"], runs["resume"])
    logged = scalars(root / "work")
    # Ten photos in batches of two, in each of two epochs; a validation after each, and
    # one when the run is resumed, since no checkpoint holds what the first led to.
    assert [line["step"] for line in logged if "loss" in line] == [*range(1, 11)]
    assert all(map(math.isfinite, losses(logged)))
    assert [line["step"] for line in logged if MAP in line] == [1, 1, 2]
    terms = {name for line in logged for name in line if name.startswith("distill.")}
    assert terms == {f"distill.loss_{name}" for name in ("kd", "cc", "ca", "fa")}
    assert "resumed epoch: 1, iter: 5" in runs["resume"].stdout
    assert "Epoch(train) [1]" in runs["train"].stdout
    assert "Epoch(train) [1]" not in runs["resume"].stdout
    names = {path.name for path in (root / "work").glob("*.pth")}
    assert names == {
        f"epoch_{epoch}{end}.pth" for epoch in (1, 2) for end in ("", "_student")
    }
    before, after = (
        read_checkpoint(str(root / "work" / f"epoch_{epoch}.pth"))["state_dict"]
        for epoch in (1, 2)
    )
    moved = "architecture.roi_head.bbox_head.fc_cls.weight"
    assert not torch.equal(before[moved], after[moved])


def test_real_photos_test(photos):
    root, runs = photos
    succeeded(runs["test"])
    validated = [line[MAP] for line in scalars(root / "work") if MAP in line]
    # Of networks that know next to nothing; of better ones below.
    assert json.loads((root / "test.json").read_text())[MAP] == validated[0]


def test_real_photos_of_all_classes(photos):
    root, runs = photos
    succeeded(runs["all"])
    year = root / "all" / "VOCdevkit" / "VOC2012"
    text = "".join(path.read_text() for path in year.glob("Annotations/*.xml"))
    meta = read_checkpoint(str(root / "work_all" / "epoch_1.pth"))["meta"]
    classes = meta["dataset_meta"]["classes"]
    assert len(classes) == 20 and all(f"<name>{c}</name>" in text for c in classes)
    logged = scalars(root / "work_all")
    # 70 photos in batches of ten.
    assert len(losses(logged)) == 7 and all(map(math.isfinite, losses(logged)))
    assert len([line for line in logged if MAP in line]) == 1


# ------------------------------------------------- two processes, kill and resume


def test_two_processes_one_without_any_object(tmp_path, scenes, teacher):
    devkit = without_objects(scenes, tmp_path / "VOCdevkit")
    cfg = Config.fromfile(ROOT / PCKD)
    assert "find_unused_parameters" not in cfg
    cfg.merge_from_dict(dict(custom_imports=dict(imports=["tests.detection"])))
    cfg.custom_hooks.append(dict(type="pckd_mm.KeepProcessHook"))
    # Images 0 and 2 go to the first process, 1 and 3 to the second.
    cfg.train_dataloader.sampler.shuffle = False
    cfg.train_dataloader.batch_size = 1
    cfg.dump(tmp_path / "pckd.py")
    options = [
        *SHORT[2:],
        *at(devkit),
        f"model.teacher_ckpt={teacher}",
        "train_cfg.max_epochs=2",
        "train_cfg.val_interval=2",
    ]
    work = tmp_path / "work"
    done = subprocess.run(
        ["tools/dist_train.sh", tmp_path / "pckd.py", "2", f"--work-dir={work}"]
        + ["--cfg-options", *options],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    succeeded(done)
    first, second = (read_checkpoint(str(work / f"process_{r}.pth")) for r in (0, 1))
    # Two steps an epoch, in two epochs.
    assert len(first["objects"]) == 4 and all(first["objects"])
    assert second["objects"] == [0] * 4
    assert_same(second["parameters"], first["parameters"])
    logged = scalars(work)
    assert len(losses(logged)) == 4 and all(map(math.isfinite, losses(logged)))
    assert [line["step"] for line in logged if MAP in line] == [2]
    state = read_checkpoint(str(work / "epoch_2.pth"))["state_dict"]
    assert all(value.isfinite().all() for value in state.values())


# Writes the detections in images. A distillation is no detector that mmdet builds.
DETECT = """
import sys

import torch
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint

kind, config, checkpoint, out, *images = sys.argv[1:]
if kind == "plain":
    detector = init_detector(config, checkpoint, device="cpu")
else:
    from pckd_mm.registry import MODELS

    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    detector = MODELS.build(cfg.model).eval()
    detector.cfg = cfg
    load_checkpoint(detector, checkpoint, map_location="cpu", strict=True)
found = [sample.pred_instances for sample in inference_detector(detector, images)]
names = ("bboxes", "scores", "labels")
torch.save([{name: one[name] for name in names} for one in found], out)
"""
# mmdet's test tool, then DETECT; neither may load this package.
PLAIN = """
import json
import runpy
import sys

for argv in json.load(sys.stdin):
    sys.argv = argv
    runpy.run_path(argv[0], run_name="__main__")
loaded = {name.partition(".")[0] for name in sys.modules}
assert "mmdet" in loaded and loaded.isdisjoint(["pckd_mm", "mmrazor"])
"""


@pytest.fixture(scope="module")
def overfit(tmp_path_factory, scenes, teacher):
    """A run, another one that was killed and resumed, and what its student does."""
    root = tmp_path_factory.mktemp("overfit")
    options = ["--cfg-options", *SHORT, *at(scenes), *SEEN]
    train = [TRAIN, PCKD, *options, f"model.teacher_ckpt={teacher}"]
    cut = [*train, f"--work-dir={root / 'cut'}"]
    kill_after([sys.executable, *cut], root / "cut" / KILLED, TIMEOUT)
    killed = {path.name for path in (root / "cut").glob("epoch_*.pth")}

    (root / "detect.py").write_text(DETECT)
    images = sorted(map(str, (scenes / "VOC2007" / "JPEGImages").iterdir()))
    whole = str(root / "whole" / f"epoch_{EPOCHS}.pth")
    student = str(root / "whole" / f"epoch_{EPOCHS}_student.pth")
    # Testing needs no teacher.
    data = ["--cfg-options", *at(scenes, "test"), SEEN[1]]
    no_teacher = "model.teacher_ckpt=/nowhere.pth"
    test = [f"--work-dir={root / 'test'}", *data]
    detect = [str(root / "detect.py")]
    commands = [
        [*train, f"--work-dir={root / 'whole'}"],
        [*cut, "--resume"],
        [TEST, PCKD, whole, f"--out={root / 'distilled.json'}", *test, no_teacher],
        [TEST, STUDENT, student, f"--out={root / 'student.json'}", *test],
        [*detect, "distilled", PCKD, whole, str(root / "distilled.pth"), *images],
    ]
    runs = [preloaded().call(command) for command in commands]
    succeeded(*runs)

    import mmdet

    tool = str(Path(mmdet.__file__).parent / ".mim" / "tools" / "test.py")
    config = str(ROOT / STUDENT)
    plain = [
        [tool, config, student, f"--work-dir={root / 'plain'}", *data],
        [*detect, "plain", config, student, str(root / "plain.pth"), *images],
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", PLAIN],
        cwd=root,
        env=env,
        input=json.dumps(plain),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    succeeded(done)
    return root, killed, runs[1]


def test_resume_after_kill_ends_with_the_very_same_weights(overfit):
    root, killed, resumed = overfit
    assert f"epoch_{EPOCH_AT_KILL}.pth" in killed
    assert f"epoch_{EPOCHS}.pth" not in killed
    assert f"resumed epoch: {EPOCH_AT_KILL}, " in resumed.stdout
    found, expected = (
        read_checkpoint(str(root / name / f"epoch_{EPOCHS}.pth"))
        for name in ("cut", "whole")
    )
    for part in ("state_dict", "optimizer", "param_schedulers"):
        assert_same(found[part], expected[part], part)
    values = [
        [line for line in scalars(root / name) if MAP in line][-1][MAP]
        for name in ("cut", "whole")
    ]
    assert values[0] == values[1]


def test_exported_student_has_the_very_same_map(overfit):
    root, _, _ = overfit
    validated = [line[MAP] for line in scalars(root / "whole") if MAP in line]
    # Boxes of random weights would have 0.
    assert len(validated) == 1 and validated[0] > 0.05
    (plain,) = (root / "plain").glob("*/*.json")
    for path in (root / "distilled.json", root / "student.json", plain):
        assert json.loads(path.read_text())[MAP] == validated[0], path


def test_exported_student_has_the_very_same_boxes_in_plain_mmdet(overfit):
    root, _, _ = overfit
    found, expected = (
        torch.load(root / name, weights_only=True)
        for name in ("plain.pth", "distilled.pth")
    )
    assert len(found) == 6 and all(len(one["bboxes"]) > 2 for one in found)
    assert_same(found, expected)
    # Not of every image the same.
    assert not torch.equal(found[0]["scores"][:3], found[1]["scores"][:3])


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem)
        for path in sorted((CONFIGS / "vanilla").glob("*_frcnn_*.py"))
    ],
)
def test_plain_detectors_are_tested_without_this_package(path):
    cfg = Config.fromfile(path)
    for part in ("train_dataloader", "val_dataloader", "optim_wrapper"):
        cfg.pop(part)
    assert "pckd_mm" not in cfg.dump()


# --------------------------------------------------------------------- bad input


def damaged(scenes: Path, out: Path, change) -> Path:
    """A copy of scenes with the first image for training changed."""
    shutil.copytree(scenes, out)
    stem = (out / "VOC2007" / "ImageSets" / "Main" / "train.txt").read_text().split()[0]
    change(
        out / "VOC2007" / "Annotations" / f"{stem}.xml",
        out / "VOC2007" / "JPEGImages" / f"{stem}.jpg",
    )
    return out


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def voc_of_scenes(scenes: Path, out: Path) -> Path:
    """The scenes as VOC 07+12, which knows no digits."""
    for year in ("VOC2007", "VOC2012"):
        shutil.copytree(scenes / "VOC2007", out / year)
        for path in (out / year / "Annotations").iterdir():
            names = ("zero one two three four five six seven eight nine").split()
            text = path.read_text()
            for name in names:
                text = text.replace(f"<name>{name}</name>", "<name>dog</name>")
            path.write_text(text)
    return out


ERRORS = {
    "teacher of 80 classes": (
        "ValueError: teacher_ckpt",
        "coco.pth does not fit",
        "fc_cls.weight is (81, 64) instead of (21, 64)",
        "or train it: pckd train",
    ),
    "no teacher": (
        "FileNotFoundError: There is no teacher_ckpt",
        "no.pth; expected the teacher's weights",
        f"train it: pckd train {TEACHER}",
    ),
    "numbers of classes": (
        "ValueError: The student has 7 categories and the teacher 10, which loss_kd",
        "set num_classes of both heads",
    ),
    "classes of the data": ("Error: ", "9", "10"),
    "broken XML": (
        "BrokenFileError: ",
        "000001.xml is no well-formed XML",
        "correct it",
    ),
    "box outside": (
        "BrokenFileError: ",
        "000001.xml has the <bndbox> xmin=",
        "xmax=9999",
        "for its image of 160x160 pixels: correct",
    ),
    "image does not decode": (
        "BrokenFileError: ",
        "000001.jpg, the image of ",
        "does not decode",
        "expected a JPEG image",
    ),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory, scenes, teacher):
    root = tmp_path_factory.mktemp("refused")
    voc = small_voc(voc_of_scenes(scenes, root / "VOCdevkit"), root / "voc")
    coco = random_weights(
        root / "voc" / "teacher.py", root / "coco.pth", num_classes=80
    )

    def digits(devkit: Path, *options: str) -> list:
        rest = [*at(devkit), f"model.teacher_ckpt={teacher}", *options]
        return [TRAIN, PCKD, "--cfg-options", *SHORT, *rest]

    broken = damaged(
        scenes, root / "a", lambda xml, _: replace_text(xml, "</object>", "")
    )
    outside = damaged(
        scenes, root / "b", lambda xml, _: replace_text(xml, "<xmax>", "<xmax>9999")
    )
    no_image = damaged(scenes, root / "c", lambda _, jpg: jpg.write_bytes(b"\xff\xd8"))
    classes = "model.architecture.roi_head.bbox_head.num_classes"
    nine = Config.fromfile(ROOT / TEACHER)
    nine.model.roi_head.bbox_head.num_classes = 9
    nine.dump(root / "nine.py")
    weights_of_nine = random_weights(root / "nine.py", root / "nine.pth")
    commands = {
        "teacher of 80 classes": [TRAIN, str(voc), "--cfg-options"]
        + [f"model.teacher_ckpt={coco}"],
        "no teacher": digits(scenes, f"model.teacher_ckpt={root / 'no.pth'}"),
        "numbers of classes": digits(scenes, f"{classes}=7"),
        "classes of the data": digits(
            scenes,
            f"{classes}=9",
            f"model.teacher_config={root / 'nine.py'}",
            f"model.teacher_ckpt={weights_of_nine}",
            "train_cfg.max_epochs=1",
        ),
        "broken XML": digits(broken),
        "box outside": digits(outside),
        "image does not decode": digits(no_image),
    }
    assert commands.keys() == ERRORS.keys()
    work = [f"--work-dir={root / 'work'}"]
    return {name: preloaded().call([*c, *work]) for name, c in commands.items()}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_input_ends_the_run_with_the_reason(refused, case):
    done = refused[case]
    assert done.returncode == 1
    assert "Epoch(train)" not in done.stdout + done.stderr
    line = last_line(done)
    for part in ERRORS[case]:
        assert part in line, line


def test_mixed_precision_on_the_cpu(tmp_path, scenes, teacher):
    """On the CPU; a machine with a GPU has float16."""
    one = [*SHORT, "train_cfg.max_epochs=1", f"model.teacher_ckpt={teacher}"]
    work = f"--work-dir={tmp_path}"
    done = preloaded().call(
        [TRAIN, PCKD, "--force-amp", work, "--cfg-options", *one, *at(scenes)]
    )
    succeeded(done)
    (log,) = tmp_path.glob("*/*.log")
    assert "precision: bfloat16" in log.read_text()
    assert all(map(math.isfinite, losses(scalars(tmp_path))))
