"""The config that pckd init writes."""

from hashlib import blake2b

import pytest
from mmengine.runner import Runner

from pckd_mm.engine.skip_broken import skip_broken_files
from pckd_mm.experiments.hold_out import hold_out
from pckd_mm.registry import MODELS
from pckd_mm.starting import networks
from pckd_mm.starting.looking import look_at
from pckd_mm.starting.networks import find_classifier
from pckd_mm.starting.schedules import CLASSIFIERS, plan_for
from pckd_mm.starting.writing import config_text, default_name
from pckd_mm.utils.config import load_config
from tests.test_datasets.test_checked_folders import DAMAGED
from tests.test_starting.test_folders import photos


@pytest.mark.parametrize(
    "images, batch, epochs, warmup",
    [
        (100, 16, 200, 10),
        (1000, 32, 190, 10),
        (5000, 64, 80, 4),
        (100000, 64, 20, 1),
        (0, 16, 200, 10),
    ],
)
def test_more_images_fewer_epochs(images, batch, epochs, warmup):
    plan = plan_for(CLASSIFIERS, images, 96, pretrained=False)
    assert (plan.batch, plan.epochs, plan.warmup) == (batch, epochs, warmup)
    assert plan.lr == pytest.approx(0.05 * batch / 64)
    assert plan_for(CLASSIFIERS, images, 96, False, epochs=3).epochs == 3
    assert plan_for(CLASSIFIERS, images, 96, pretrained=True).lr == pytest.approx(
        plan.lr / 5
    )


@pytest.mark.parametrize(
    "images, epochs, warmup", [(100, 1, 1), (100, 3, 2), (129, 3, 1), (129, 60, 3)]
)
def test_the_warm_up_of_few_epochs(images, epochs, warmup):
    # On eight GPUs 128 are an epoch of one step, in which nothing rises.
    plan = plan_for(CLASSIFIERS, images, 96, False, epochs=epochs)
    assert (plan.batch, plan.warmup) == (16, warmup)


def write(root, path, monkeypatch):
    monkeypatch.setattr(networks, "_answers", lambda address: False)
    found = look_at(root)
    count = len(found.classes)
    student, teacher = (
        find_classifier("mobilenet_v2", count),
        find_classifier("resnet34", count),
    )
    plan = plan_for(CLASSIFIERS, found.images, 32, False)
    path.write_text(config_text(found, student, teacher, plan, path), encoding="utf-8")
    return load_config(path)


def loaders(cfg):
    for name in ("train", "val", "test"):
        cfg[f"{name}_dataloader"].num_workers = 0
        cfg[f"{name}_dataloader"].persistent_workers = False
    return {
        name: Runner.build_dataloader(cfg[f"{name}_dataloader"], seed=0)
        for name in ("train", "val", "test")
    }


def paths(loader):
    dataset = loader.dataset
    return {dataset.get_data_info(i)["img_path"] for i in range(len(dataset))}


def test_a_part_is_held_out_where_there_is_no_val(tmp_path, monkeypatch):
    for name in ("cat", "blue whale", "straße"):
        photos(tmp_path / "photos" / name, 20)
    cfg = write(tmp_path / "photos", tmp_path / "mine.py", monkeypatch)
    text = (tmp_path / "mine.py").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if str(tmp_path) not in line]
    assert max(len(line) for line in lines if "noqa" not in line) <= 88
    built = loaders(cfg)
    train, val = paths(built["train"]), paths(built["val"])
    assert not train & val and len(train | val) == 60 and len(val) > 2
    assert paths(built["test"]) == val
    classes = ["blue whale", "cat", "straße"]
    assert list(built["train"].dataset.metainfo["classes"]) == classes
    image = built["val"].dataset[0]["inputs"]
    assert image.shape == (3, 32, 32)
    # A crop for each view is the runner's hook to set.
    assert built["train"].dataset[0]["inputs"].shape[-2:] == (32, 32)
    model = MODELS.build(cfg.model)
    assert model.num_classes == 3
    assert model.teacher_ckpt == "work_dirs/mine/teacher/epoch_200.pth"


def test_how_the_student_is_trained(tmp_path, monkeypatch):
    """As the CRD benchmark has it, but by Nesterov's momentum and with clipping."""
    for name in ("cat", "dog"):
        photos(tmp_path / "photos" / name, 20)
    cfg = write(tmp_path / "photos", tmp_path / "mine.py", monkeypatch)
    optimizer = dict(type="SGD", lr=0.05 * 16 / 64, momentum=0.9, weight_decay=5e-4)
    assert cfg.optim_wrapper == dict(
        type="pckd_mm.SkipStepOptimWrapper",
        optimizer=dict(optimizer, nesterov=True),
        clip_grad=dict(max_norm=5),
    )
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 16
    # A rise over a twentieth of the epochs, then a cosine.
    assert cfg.train_cfg.max_epochs == 200
    rise, fall = cfg.param_scheduler
    steps = dict(by_epoch=True, begin=0, end=10, convert_to_iter_based=True)
    assert rise == dict(type="LinearLR", start_factor=0.05, **steps)
    assert fall == dict(type="CosineAnnealingLR", by_epoch=True, T_max=200)


def is_held_out(path) -> bool:
    digest = blake2b(path.read_bytes(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < 0.2 * 2**64


@pytest.mark.parametrize(
    "split, images, broken, batches",
    [
        ("", 17, 0, [16]),
        ("", 18, 0, [16, 2]),
        ("", 18, 1, [16]),  # skipped it may be another number
        ("", 15, 1, [15]),
        ("train", 33, 0, [16, 16]),
        ("train", 32, 0, [16, 16]),
        ("train", 3, 0, [3]),
        ("train", 16, 1, [16]),  # mended it would be one more
    ],
)
def test_no_batch_of_one_image(tmp_path, monkeypatch, split, images, broken, batches):
    """Which PCKD cannot compare with any other."""
    drawn = sorted(photos(tmp_path / "drawn", 80).iterdir())
    held = [path for path in drawn if is_held_out(path)]
    kept = drawn if split else [path for path in drawn if path not in held]
    for index, path in enumerate([*kept[:images], *([] if split else held[:3])]):
        folder = tmp_path / "photos" / split / ("cat", "dog")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)
    if split:
        for name in ("cat", "dog"):
            photos(tmp_path / "photos" / "val" / name, 1)
    for index in range(broken):
        (tmp_path / "photos" / split / "cat" / f"x{index}.jpg").write_bytes(b"broken")
    cfg = write(tmp_path / "photos", tmp_path / "mine.py", monkeypatch)
    skip_broken_files(cfg)
    loader = loaders(cfg)["train"]
    assert [len(batch["inputs"]) for batch in loader] == batches


def test_folders_of_splits_are_taken_as_they_are(tmp_path, monkeypatch):
    for split, count in (("train", 5), ("val", 3), ("test", 2)):
        for name in ("cat", "dog"):
            photos(tmp_path / "photos" / split / name, count)
    cfg = write(tmp_path / "photos", tmp_path / "mine.py", monkeypatch)
    counts = {name: len(paths(loader)) for name, loader in loaders(cfg).items()}
    assert counts == dict(train=10, val=6, test=4)


def test_a_test_folder_is_never_trained_on(tmp_path, monkeypatch):
    for split, count in (("train", 20), ("test", 4)):
        for name in ("cat", "dog"):
            photos(tmp_path / "photos" / split / name, count)
    cfg = write(tmp_path / "photos", tmp_path / "mine.py", monkeypatch)
    found = {name: paths(loader) for name, loader in loaders(cfg).items()}
    assert len(found["train"] | found["val"]) == 40 and len(found["test"]) == 8
    assert not any("/test/" in path for path in found["train"] | found["val"])
    assert not found["train"] & found["val"]


def test_settings_are_chosen_on_a_part_of_the_training_part(tmp_path, monkeypatch):
    for name in ("cat", "dog"):
        photos(tmp_path / "photos" / name, 60)
    cfg = write(tmp_path / "photos", tmp_path / "mine.py", monkeypatch)
    before = {name: paths(loader) for name, loader in loaders(cfg).items()}
    hold_out(cfg, 0.2)
    after = {name: paths(loader) for name, loader in loaders(cfg).items()}
    assert after["train"] | after["val"] == before["train"]
    assert not after["train"] & after["val"] and len(after["val"]) > 10
    # The images that the config validates on are read by nobody.
    assert not before["val"] & (after["train"] | after["val"] | after["test"])
    image = Runner.build_dataloader(cfg.val_dataloader, seed=0).dataset[0]["inputs"]
    assert image.shape == (3, 32, 32)


def test_broken_files_are_in_neither_part(tmp_path, monkeypatch):
    for name in ("cat", "dog"):
        photos(tmp_path / "photos" / name, 20)
    broken = [tmp_path / "photos" / "cat" / f"broken {i}.jpg" for i in range(20)]
    for index, path in enumerate(broken):
        path.write_bytes(DAMAGED["jpeg that is cut off"][0] + bytes(index))
    cfg = write(tmp_path / "photos", tmp_path / "mine.py", monkeypatch)
    before = {name: paths(loader) for name, loader in loaders(cfg).items()}
    held = before["val"] & set(map(str, broken))
    assert 0 < len(held) < 20, "or nothing is tried here"
    skip_broken_files(cfg)
    built = loaders(cfg)
    for name in ("train", "val"):
        assert paths(built[name]) == before[name] - set(map(str, broken))
        for item in range(len(built[name].dataset)):
            built[name].dataset[item]
    assert set(built["train"].dataset.broken_files) == set(map(str, broken))
    assert built["train"].dataset.examined == 60


def test_the_name_of_the_config(tmp_path):
    name = default_name(tmp_path / "my photos", "resnet34", "configs/my_net.py")
    assert name == "my_photos_resnet34_my_net.py"
