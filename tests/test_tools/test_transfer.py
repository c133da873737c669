"""From photos to the accuracy of frozen features, as users call it."""

import json
import os
import subprocess
import tarfile

import pytest
import torch

from tests.builders import ROOT, SHARED
from tests.preloaded import preloaded

ZOO = ROOT / "zoo" / "cifar100_resnet20_60e.pth"
CONFIG = ROOT / "configs" / "transfer" / "folder_resnet20.py"


def call(folder, *args):
    return subprocess.run(
        [preloaded().python, *map(str, args)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )


def weights(path):
    content = torch.load(path, weights_only=True)
    return content.get("state_dict", content)


@pytest.mark.skipif(
    not (SHARED / "data" / "voc2012_100.tar").is_file(), reason="no real photos here"
)
def test_photos_to_accuracy(tmp_path):
    with tarfile.open(SHARED / "data" / "voc2012_100.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    converter = ROOT / "tools" / "dataset_converters" / "voc_to_crops.py"
    crops = "data/transfer"
    call(tmp_path, converter, "VOCdevkit", crops, "--splits", "train", "val")
    options = [
        f"model.checkpoint={ZOO}",
        "train_cfg.max_epochs=4",
        "train_cfg.val_interval=4",
        "randomness.seed=0",
    ]
    for loader in ("train", "val", "test"):
        options += [
            f"{loader}_dataloader.num_workers=0",
            f"{loader}_dataloader.persistent_workers=False",
        ]
    work_dir = tmp_path / "run"
    train = [ROOT / "tools" / "train.py", CONFIG, "--work-dir", work_dir]
    done = call(tmp_path, *train, "--cfg-options", *options)
    log = [line for line in done.stderr.splitlines() + done.stdout.splitlines()]
    trained = [line for line in log if "Epoch(val) [4]" in line][-1]

    found, given = weights(work_dir / "epoch_4.pth"), weights(ZOO)
    features = [name for name in found if name.startswith("backbone.")]
    # 19 convolutions and 2 projections, and five tensors of each one's norm layer.
    assert len(features) == 21 * 6
    for name in features:
        assert torch.equal(found[name], given[name]), name
    assert found["head.fc.weight"].shape == (20, 64)

    options[0] = "model.checkpoint=/nowhere.pth"  # testing needs none
    test = [ROOT / "tools" / "test.py", CONFIG, work_dir / "epoch_4.pth"]
    out = tmp_path / "metrics.json"
    call(
        tmp_path,
        *test,
        "--out",
        out,
        "--work-dir",
        tmp_path / "test",
        "--cfg-options",
        *options,
    )
    top1 = json.loads(out.read_text())["accuracy/top1"]
    assert f"accuracy/top1: {top1:.4f}" in trained
    # Chance is 5; the head starts close to it.
    assert top1 > 15
