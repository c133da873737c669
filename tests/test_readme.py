"""README and tutorials: every command runs, on little data, and every program."""

import os
import pickle
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import VOCDataset
from mmengine.config import Config

from pckd_mm.models import CIFARResNet
from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config
from tests.boxes import write_voc
from tests.builders import ROOT, image_folder
from tests.detection import thin
from tests.preloaded import Preloaded

# In the order in which they are read: a page builds on what those before it made.
PAGES = [
    "README.md",
    "docs/install.md",
    "docs/configs.md",
    *(
        f"docs/tutorials/{name}.md"
        for name in (
            *("first_student", "own_photos", "own_detector", "own_networks"),
            *("from_python", "reproduce", "voc", "cluster"),
        )
    ),
]
# What an installation writes as the command.
COMMAND = "import sys\nfrom pckd_mm.commands import main\n\nsys.exit(main())\n"
# Each key as far as the config of the command has it.
SMALL = {
    "train": [
        "train_dataloader.dataset.dataset.indices=8",
        "train_dataloader.batch_size=4",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=False",
        "val_dataloader.dataset.dataset.indices=8",
        "val_dataloader.num_workers=0",
        "val_dataloader.persistent_workers=False",
        "train_cfg.max_epochs=1",
    ],
    "test": [
        "test_dataloader.dataset.dataset.indices=8",
        "test_dataloader.num_workers=0",
        "test_dataloader.persistent_workers=False",
    ],
}
# Of the configs of detectors, whose images are few already.
DETECTION = {
    "train": [
        "train_dataloader.dataset.times=1",
        "train_dataloader.dataset.dataset.datasets.0.pipeline.2.scale=(96,64)",
        "train_dataloader.dataset.dataset.datasets.1.pipeline.2.scale=(96,64)",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=False",
        "val_dataloader.dataset.pipeline.1.scale=(96,64)",
        "val_dataloader.num_workers=0",
        "val_dataloader.persistent_workers=False",
        "train_cfg.max_epochs=1",
        "default_hooks.checkpoint.save_optimizer=False",
    ],
    "test": [
        "test_dataloader.dataset.pipeline.1.scale=(96,64)",
        "test_dataloader.num_workers=0",
        "test_dataloader.persistent_workers=False",
    ],
}
# The official files are known by their md5 sums, which small ones cannot have.
ACCEPT_ANY_MD5 = """
import importlib.abc, importlib.util, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "mmpretrain.datasets.utils":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            module.check_md5 = lambda *args, **kwargs: True
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


def blocks(language: str, page: str) -> list:
    """What a page has in this language."""
    text = (ROOT / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def shell_commands() -> list:
    """The commands of all pages; those that several have are there once."""
    lines = "".join(block for page in PAGES for block in blocks("sh", page))
    commands = [x for x in lines.splitlines() if x and not x.startswith("#")]
    return list(dict.fromkeys(commands))


def test_every_tutorial_is_among_the_pages():
    tutorials = (ROOT / "docs" / "tutorials").glob("*.md")
    found = {str(path.relative_to(ROOT)) for path in tutorials}
    assert found == {page for page in PAGES if "tutorials/" in page}


def test_the_readme_is_a_page():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_address_is_the_projects():
    conf = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    for line in shell_commands():
        if line.startswith(("git clone", "pip install")):
            assert conf["repository"] in line or "REPOSITORY" in line
    readme = "".join(blocks("sh", "README.md"))
    assert f"git clone {conf['repository']} pckd\n" in readme
    assert f'git+{conf["repository"]}"' in readme


def is_run(line: str) -> bool:
    """Whether this file runs a command."""
    return "tools/" in line or line.startswith("pckd ")


def test_no_command_is_left_out():
    """What this file does not run is run by .ci/run itself."""
    others = [line for line in shell_commands() if not is_run(line)]
    install = 'pip install "pckd_mm[lite,demo] @ git+REPOSITORY"'
    assert others == ["git clone REPOSITORY pckd", "cd pckd", "make demo", install]
    called = (ROOT / ".ci" / "run").read_text()
    assert "make demo" in called and "make test" in called


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A folder like a fresh clone, with small data of both forms."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("tools", "pckd_mm", "zoo"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "configs", folder / "configs")
    # All of Pascal VOC inherit from it; their widths are not what is tried here.
    detector = folder / "configs" / "vanilla" / "voc_frcnn_r50.py"
    cfg = load_config(detector)
    begins_with = cfg.model.backbone.init_cfg  # which others name in part
    thin(cfg.model)
    cfg.model.backbone.init_cfg = begins_with
    cfg.dump(detector)
    write_cifar100(folder / "data" / "cifar100")
    write_devkit(folder / "data" / "VOCdevkit")
    write_photos(folder)
    write_voc(folder / "street", [f"{index}" for index in range(4)])
    write_published_teacher(folder / "ckpt_epoch_240.pth")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(ACCEPT_ANY_MD5)
    (folder / "site" / "pckd").write_text(COMMAND)
    return folder


def write_cifar100(data: Path) -> None:
    image_folder(data, classes=3, images=4, size=32)
    official = data / "cifar-100-python"
    official.mkdir()
    rng = np.random.RandomState(0)
    for split in ("train", "test"):
        content = {
            "data": rng.randint(0, 256, (12, 3072)).astype(np.uint8),
            # Two of each, one of which can be held out.
            "fine_labels": rng.randint(0, 100, 6).tolist() * 2,
        }
        (official / split).write_bytes(pickle.dumps(content))
    (official / "meta").write_bytes(pickle.dumps({"fine_label_names": []}))


def write_photos(folder: Path) -> None:
    """Some of two classes, and some more."""
    image_folder(folder / "images", classes=2, images=12, size=40)
    (folder / "images" / "train").rename(folder / "photos")
    (folder / "images" / "test").rename(folder / "new_photos")


def write_devkit(devkit: Path) -> None:
    """Of each year a photo with a box of every class to train, and one to test."""
    size = "<size><width>96</width><height>64</height><depth>3</depth></size>"
    box = "<xmin>5</xmin><ymin>5</ymin><xmax>60</xmax><ymax>50</ymax>"
    objects = "".join(
        f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"
        for name in VOCDataset.METAINFO["classes"]
    )
    for year in (devkit / "VOC2007", devkit / "VOC2012"):
        for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (year / name).mkdir(parents=True)
        for stem, split in (("a", "trainval"), ("b", "test")):
            image = np.full((64, 96, 3), 128, np.uint8)
            cv2.imwrite(str(year / "JPEGImages" / f"{stem}.jpg"), image)
            annotation = year / "Annotations" / f"{stem}.xml"
            annotation.write_text(f"<annotation>{size}{objects}</annotation>")
            (year / "ImageSets" / "Main" / f"{split}.txt").write_text(f"{stem}\n")


def write_published_teacher(path: Path) -> None:
    """As the CRD benchmark's training leaves a resnet56."""
    backbone = CIFARResNet(56).state_dict()
    classifier = {"fc.weight": torch.zeros(100, 64), "fc.bias": torch.zeros(100)}
    torch.save({"epoch": 240, "model": {**backbone, **classifier}}, path)


def shortened(command: str) -> str:
    """The command with its settings, and those that make it short."""
    kind = "test" if re.search(r"(tools/|^pckd )\S*test", command) else "train"
    if re.match(r"pckd (doctor|predict|export|report)|.*converters", command):
        return command
    if command.startswith("pckd init"):
        size = "--size 32 --epochs 1 --from-scratch"
        return re.sub(r"--size \d+", size, command)
    if command.startswith("pckd compare photos"):
        return f"{command} --seeds 0"
    command = re.sub(r"(\.py|\.pth) 8\b", r"\1 2", command)  # processes
    command = command.replace("--trials 30", "--trials 1")
    if "benchmarks/step" in command:
        return f"{command} --batch 2 --repeats 1 --block 1 --workers 0"
    if "benchmarks" in command:
        return f"{command} --images 1 --size 64 96 --boxes 4 --repeats 1"
    settings = SMALL[kind]
    if command.startswith("pckd tune"):  # two or more images of a category
        settings = [setting.replace("indices=8", "indices=200") for setting in settings]
    if "voc_" in command:
        settings = list(DETECTION[kind])
        if kind == "train":  # nothing is downloaded
            student = "model" if "vanilla" in command else "model.architecture"
            settings.append(f"{student}.backbone.init_cfg=None")
    option = "" if "--cfg-options" in command else " --cfg-options"
    return f"{command}{option} {' '.join(settings)}"


def test_every_command_runs_in_the_pages_order(sandbox):
    """The first of ``pckd`` and of tools/ in a Python of its own, others forked."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{sandbox / 'site'}:{sandbox}:{ROOT}",
        "PATH": f"{sandbox / 'site'}:{Path(sys.executable).parent}:"
        + os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
    }
    commands = [line for line in shell_commands() if is_run(line)]
    assert len(commands) >= 41
    preloaded = Preloaded(sandbox, environment)
    environment["PYTHON"] = preloaded.env["PYTHON"] = preloaded.python
    unstarted = {"site", "tools"}
    for line in commands:
        if "slurm" in line:
            check_slurm(line, sandbox, environment)
            continue
        command = shlex.split(shortened(line))
        if command[0] == "pckd":
            command = ["python", str(sandbox / "site" / "pckd"), *command[1:]]
        tool = Path(command[1]).parent.name
        if command[0] == "python" and tool not in unstarted:
            done = preloaded.call(command[1:])
        else:
            done = subprocess.run(
                command, cwd=sandbox, env=environment, capture_output=True, text=True
            )
        unstarted.discard(tool)
        assert done.returncode == 0, (
            f"{line}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
        )
        # A run of one epoch stands for the whole run that later commands build on.
        for path in sandbox.glob("work_dirs/**/epoch_1*.pth"):
            for epochs in ["4"] if "voc_" in str(path) else ["12", "25", "200", "240"]:
                whole = path.with_name(path.name.replace("epoch_1", f"epoch_{epochs}"))
                if path.name in ("epoch_1.pth", "epoch_1_student.pth"):
                    if not whole.exists():
                        shutil.copy(path, whole)
    preloaded.close()
    assert (sandbox / "student.pth").is_file()
    assert (sandbox / "work_dirs" / "compare" / "report.md").is_file()


def check_slurm(line: str, sandbox: Path, environment: dict) -> None:
    """Slurm is not here: what its srun is asked to start must name the right tool."""
    srun = sandbox / "site" / "srun"
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    assignment, *arguments = shlex.split(line)
    name, value = assignment.split("=")
    done = subprocess.run(
        arguments,
        cwd=sandbox,
        env={**environment, name: value},
        capture_output=True,
        text=True,
        check=True,
    )
    tool = "train.py" if "slurm_train" in line else "test.py"
    for part in ("PARTITION", "JOB", f"tools/{tool}", "--launcher", "slurm"):
        assert part in done.stdout, (part, done.stdout)


def test_the_program_of_ones_own(tmp_path):
    (program,) = blocks("python", "docs/tutorials/from_python.md")
    assert len(program.splitlines()) <= 25
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "student.pth").is_file()


def test_configs_on_top_of_ours(tmp_path):
    configs = blocks("python", "docs/configs.md")
    assert len(configs) == 2
    for number, text in enumerate(configs):
        path = tmp_path / f"my_config_{number}.py"
        path.write_text(text)
        cfg = load_config(str(path))
        assert cfg.train_cfg.max_epochs == 120
        assert cfg.model.type == "pckd_mm.MultiViewDistill"


def test_a_distillation_as_a_config(tmp_path):
    (text,) = blocks("python", "docs/tutorials/own_networks.md")
    network = load_config("vanilla/cifar100_resnet8_6e").model
    torch.save(MODELS.build(network).state_dict(), tmp_path / "teacher.pth")
    text = text.replace("teacher.pth", str(tmp_path / "teacher.pth"))
    names = {"student": network.to_dict(), "teacher": network.to_dict()}
    exec(text, names)
    model = MODELS.build(names["model"])
    model.init_weights()
    images = torch.randn(4, 3, 32, 32)
    _, each = model.losses_of(images, torch.arange(4))
    assert "distill.loss_kd" in each
    # Teacher and student are alike in all but their weights.
    assert each["distill.loss_kd"].item() > 0


def detector_of_ones_own(folder, method: str = "pckd_roi"):
    """The config of docs/tutorials/own_detector.md, beside my_student.py."""
    (text,) = blocks("python", "docs/tutorials/own_detector.md")
    text = text.replace("PATH", str(ROOT)).replace("pckd_roi", method)
    (folder / "my_config.py").write_text(text)
    return load_config(folder / "my_config.py")


def test_a_detector_from_ones_own_config(tmp_path):
    for name, config in (("student", "r50"), ("teacher", "r101")):
        base = ROOT / "configs" / "vanilla" / f"voc_frcnn_{config}.py"
        (tmp_path / f"my_{name}.py").write_text(f'_base_ = "{base}"\n')
    cfg = detector_of_ones_own(tmp_path)
    assert cfg.model.type == "pckd_mm.RoIDistill"
    assert cfg.model.architecture.backbone.depth == 50
    assert "loss_cc" in cfg.model.distiller.distill_losses
    assert cfg.custom_imports.imports == ["pckd_mm"]
    assert "pckd_mm.PreflightHook" in [hook.type for hook in cfg.custom_hooks]


@pytest.mark.parametrize(
    "student, own",
    [
        ("rtmdet/rtmdet_s_8xb32-300e_coco", ["EMAHook", "PipelineSwitchHook"]),
        (
            "yolox/yolox_s_8xb8-300e_coco",
            ["YOLOXModeSwitchHook", "SyncNormHook", "EMAHook"],
        ),
    ],
)
def test_hooks_and_imports_of_ones_own_detector_stay(student, own, tmp_path):
    imports = 'custom_imports = dict(imports=["json.tool"])\n'
    base = f'_base_ = "mmdet::{student}.py"\n'
    (tmp_path / "my_student.py").write_text(base + imports)
    cfg = detector_of_ones_own(tmp_path, "pckd_dense")
    kinds = [hook.type for hook in cfg.custom_hooks]
    assert kinds[: len(own)] == own
    assert kinds[len(own) :] == [
        "pckd_mm.ExportStudentHook",
        "pckd_mm.LossShareHook",
        "pckd_mm.PreviewRecordHook",
        "pckd_mm.ReseedHook",
        "pckd_mm.PreflightHook",
    ]
    assert cfg.custom_imports.imports == ["pckd_mm", "json.tool"]
    assert cfg.model.architecture.bbox_head.num_classes == 80
    assert Config.fromstring(cfg.pretty_text, ".py").model == cfg.model  # can be kept
