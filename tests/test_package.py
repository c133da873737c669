"""Wheel and sdist: installed, they give everything in an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile

import cv2
import modelindex
import numpy as np
import pytest

from tests.builders import ROOT

# What a release is built from.
SOURCES = [
    *("pckd_mm", "configs", "tools", "zoo"),
    *("pyproject.toml", "setup.py", "README.md", "LICENSE", "model-index.yml"),
]
CLASSIFIER = "pckd/digits_resnet20_resnet8_thin"
FEW = [
    "train_dataloader.dataset.dataset.indices=32",
    "train_dataloader.batch_size=16",
    "val_dataloader.dataset.dataset.indices=32",
    "test_dataloader.dataset.dataset.indices=32",
    "train_cfg.max_epochs=1",
]
USES = """
from mmengine.config import Config
from mmengine.hub import get_config
import pckd_mm
from pckd_mm.utils.checkpoint import read_checkpoint
from pckd_mm.utils.config import load_config

read = Config.fromfile("read.py")
inherited = Config.fromfile("inherited.py")
expected = load_config("pckd/digits_resnet20_resnet8_thin").to_dict()
assert read.to_dict() == inherited.to_dict() == expected
assert get_config("pckd_mm::pckd/digits_resnet20_resnet8_thin.py").to_dict() == expected
assert load_config("configs/vanilla/voc_frcnn_r101.py").model
assert read_checkpoint("zoo/cifar100_resnet20_60e.pth")
print(pckd_mm.__path__[0])
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the wheel, which is built from the sdist, and the sdist."""
    build = pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("release")
    source, out = folder / "source", folder / "dist"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=leave)
        else:
            shutil.copy(ROOT / name, source / name)
    builder = build.ProjectBuilder(source, runner=quietly)
    sdist = builder.build("sdist", out)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    build.ProjectBuilder(unpacked, runner=quietly).build("wheel", out)
    return out


ANSWERS = """
import sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession("student.onnx")
(images,) = session.get_inputs()
given = numpy.random.rand(5, 3, 32, 32).astype("float32") * 255
(scores,) = session.run(None, {images.name: given})
print("torch" not in sys.modules, scores.shape)
"""


def quietly(command, cwd=None, extra_environ=None):
    """Run a step of the build."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(extra_environ or {})},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def environment_in(folder):
    """A new environment that sees the libraries of the tests' one, and its pip."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # A path alone: the libraries' own .pth files, that of an editable pckd_mm among
    # them, have no part in it.
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    return python, [*pip, "--no-deps"]


@pytest.fixture(scope="module")
def python(built, tmp_path_factory):
    """An environment with the wheel, and the libraries of the tests' environment."""
    folder = tmp_path_factory.mktemp("environment")
    python, pip = environment_in(folder)
    (wheel,) = built.glob("*.whl")
    quietly([*pip, "--no-index", str(wheel)])
    return python


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """The folder that the user works in."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def call(python, empty):
    """Run a command of the environment in the empty folder."""

    def call(*command, status=0):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment.update(OMP_NUM_THREADS="1")
        environment["PATH"] = f"{python.parent}:{environment['PATH']}"
        done = subprocess.run(
            [str(word) for word in command],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
        )
        said = f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        assert done.returncode == status, said
        return done

    return call


@pytest.fixture(scope="module")
def package(python):
    """The folder of the installed package."""
    (folder,) = python.parents[1].glob("lib/python*/site-packages/pckd_mm")
    return folder


def test_the_sdist_holds_no_link_and_the_wheel_what_is_in_the_repository(built):
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    with tarfile.open(sdist) as archive:
        assert all(entry.isfile() or entry.isdir() for entry in archive)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    configs = {path.relative_to(ROOT) for path in ROOT.glob("configs/**/*.py")}
    assert {f"pckd_mm/{path}" for path in configs} <= names
    assert {f"pckd_mm/.mim/{path}" for path in configs} <= names
    ours = {path.relative_to(ROOT) for path in ROOT.glob("pckd_mm/**/*.py")}
    assert {str(path) for path in ours} <= names
    clone_only = ("/demo", "/dev/", "/benchmarks/", "__pycache__", "tests/")
    assert not [name for name in names if "tools" in name and "demo" in name]
    found = [n for n in names if any(part in n for part in clone_only)]
    assert all("configs/" in name for name in found), found


def test_type_checkers_take_its_types(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert "pckd_mm/py.typed" in archive.namelist()


def test_what_openmmlabs_tools_look_for(package):
    mim = package / ".mim"
    index = modelindex.load(str(mim / "model-index.yml"))
    assert len(index.models) > 200
    assert all((mim / model.config).is_file() for model in index.models)
    assert (mim / "zoo" / "cifar100_resnet20_60e.pth").is_file()
    for name in ("train.py", "test.py", "dist_train.sh", "slurm_test.sh"):
        assert (mim / "tools" / name).is_file()
    assert os.access(mim / "tools" / "dist_train.sh", os.X_OK)


def test_configs_are_reached_from_an_empty_folder(call, empty, package):
    (empty / "read.py").write_text(
        "from mmengine.config import read_base\n\nwith read_base():\n"
        f"    from pckd_mm.configs.{CLASSIFIER.replace('/', '.')} import *\n"
    )
    (empty / "inherited.py").write_text(f'_base_ = "pckd_mm::{CLASSIFIER}.py"\n')
    done = call("python", "-c", USES)
    assert done.stdout.split()[-1] == str(package)
    # MMEngine alone reads what is of one kind.
    plain = "from mmengine.config import Config; Config.fromfile('read.py')"
    call("python", "-c", plain)


def test_one_command(call):
    done = call("pckd", "--help")
    assert "usage: pckd" in done.stdout
    assert call("python", "-m", "pckd_mm", "--help").stdout == done.stdout
    done = call("pckd", "train", "pckd/digits_resnet20_resnet8_thick", status=1)
    assert "did you mean pckd/digits_resnet20_resnet8_thin" in done.stderr


def test_train_test_and_export(call, empty, package):
    call("pckd", "train", "vanilla/digits_resnet20", "--cfg-options", *FEW)
    work_dir = empty / "work_dirs" / "vanilla" / "digits_resnet20"
    teacher = f"model.teacher_ckpt={work_dir / 'epoch_1.pth'}"
    # The tool that mim calls, with a process for each GPU.
    train = package / ".mim" / "tools" / "dist_train.sh"
    config = package / ".mim" / "configs" / f"{CLASSIFIER}.py"
    call("bash", train, config, "1", "--cfg-options", *FEW, teacher)
    checkpoint = empty / "work_dirs" / CLASSIFIER / "epoch_1.pth"
    call("pckd", "export", checkpoint, "student.pth")
    alone = "vanilla/digits_resnet8_thin"
    out = ["--out", "metrics.json", "--cfg-options", FEW[3]]
    done = call("pckd", "test", alone, "student.pth", *out)
    assert "accuracy/top1" in done.stdout and (empty / "metrics.json").is_file()


def test_compare(call):
    few = ["train_dataloader.dataset.dataset.indices=32"]
    done = call(
        *("pckd", "compare", "--methods", "kd", "--pairs", "resnet20_resnet8_thin"),
        *("--dataset", "digits", "--seeds", "0", "--dry-run", "--cfg-options", *few),
    )
    assert "python -m pckd_mm train" in done.stdout


def test_doctor(call, package):
    done = call("pckd", "doctor")
    assert f" in {package}\n" in done.stdout and "All is well." in done.stdout


def write_photos(folder):
    """Letters in photos of different sizes, a folder for each."""
    for number, letter in enumerate("ABC"):
        place = folder / f"the letter {letter}"
        place.mkdir(parents=True)
        for index in range(12):
            side = 40 + 3 * index + number
            photo = np.full((side, side + 10, 3), 10 * index, np.uint8)
            style = (cv2.FONT_HERSHEY_SIMPLEX, side / 30, (255, 255 - index, 200), 2)
            cv2.putText(photo, letter, (side // 4, side - 8), *style)
            cv2.imwrite(str(place / f"photo {index}.png"), photo)


def test_from_own_photos_to_onnx_by_five_commands(call, empty):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    write_photos(empty / "photos")
    networks = ("--teacher", "resnet18", "--student", "mobilenet_v3_small")
    few = ("--size", "32", "--epochs", "1", "--from-scratch")
    call("pckd", "init", "--data", "photos", *networks, *few)
    name = "photos_resnet18_mobilenet_v3_small"
    call("pckd", "compare", f"{name}.py", "--seeds", "0", "--methods", "pckd")
    work_dir = empty / "work_dirs" / name
    (run,) = work_dir.glob("PCKD/seed_0")
    call("pckd", "report", run)
    assert "Which loss moves" in (run / "report" / "report.html").read_text()
    checkpoint = run / "epoch_1.pth"
    done = call("pckd", "predict", checkpoint, "photos", "--json", "found.json")
    found = json.loads((empty / "found.json").read_text())
    assert len(found) == len(done.stdout.splitlines()) == 36
    onnx = ("student.onnx", "--preprocess", "--images", "photos")
    call("pckd", "export", checkpoint, *onnx)
    # The student answers, without torch.
    done = call("python", "-c", ANSWERS)
    assert done.stdout.split() == ["True", "(5,", "3)"]


def test_a_clone_of_the_same_name_is_in_nobodys_way(call, empty):
    (empty / "pckd_mm").mkdir()
    try:
        call("python", "-c", "import pckd_mm; assert pckd_mm.__version__")
    finally:
        (empty / "pckd_mm").rmdir()


def test_an_editable_install_is_an_entry_of_the_path(tmp_path):
    """Which a folder that is named pckd_mm does not hide, as it would a finder."""
    clone = tmp_path / "pckd_mm"
    clone.mkdir()
    for name in SOURCES:
        (clone / name).symlink_to(ROOT / name)
    python, pip = environment_in(tmp_path / "environment")
    quietly([*pip, "--no-index", "--no-build-isolation", "-e", str(clone)])
    (site,) = (tmp_path / "environment").glob("lib/python*/site-packages")
    (entry,) = site.glob("__editable__*.pth")
    assert entry.read_text().split() == [str(clone)]
    code = "import importlib.util as u; print(u.find_spec('pckd_mm').origin)"
    done = subprocess.run(
        [str(python), "-c", code],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(clone / "pckd_mm" / "__init__.py"), done.stderr
