"""Validation on a part of the training images: the test set is never read."""

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from pckd_mm.experiments.hold_out import hold_out
from pckd_mm.utils.config import load_config
from tests.builders import ROOT, image_folder

TEST = "never/to/be/read"


def test_the_test_set_is_in_the_config_no_more(tmp_path):
    images = image_folder(tmp_path / "data", images=10)
    cfg = load_config(ROOT / "configs" / "vanilla" / "cifar100_resnet8_6e.py")
    cfg.train_dataloader.dataset.dataset.data_root = str(images)
    cfg.val_dataloader.dataset.dataset.data_root = TEST
    cfg.work_dir = str(tmp_path)
    hold_out(cfg, 0.2)
    assert TEST not in cfg.pretty_text

    loaders = {
        name: Runner.build_dataloader(cfg[f"{name}_dataloader"], seed=0)
        for name in ("train", "val", "test")
    }
    parts = {name: paths(loader) for name, loader in loaders.items()}
    assert parts["val"] == parts["test"]
    assert not parts["train"] & parts["val"]
    assert len(parts["train"]) == 4 * len(parts["val"])
    assert loaders["val"].dataset.test_mode and not loaders["train"].dataset.test_mode


def paths(loader):
    dataset = loader.dataset.dataset
    return {dataset.get_data_info(i)["img_path"] for i in range(len(dataset))}


def test_the_pipelines_stay_where_they_are():
    train = dict(type="A", split="train", pipeline=["crop"])
    cfg = Config(
        dict(
            train_dataloader=dict(dataset=train),
            val_dataloader=dict(dataset=dict(type="A", split="b", pipeline=["whole"])),
            test_dataloader=dict(dataset=dict(type="A", split="c", pipeline=[])),
            val_evaluator=dict(type="V"),
            test_evaluator=dict(type="T"),
        )
    )
    hold_out(cfg, 0.1, seed=5)
    shared = dict(type="pckd_mm.held_out_part", share=0.1, seed=5)
    assert cfg.train_dataloader.dataset == dict(shared, part="train", dataset=train)
    held = dict(train, pipeline=["whole"], test_mode=True)
    expected = dict(dataset=dict(shared, part="val", dataset=held))
    assert cfg.val_dataloader == cfg.test_dataloader == expected
    assert cfg.test_evaluator == dict(type="V")


def test_what_a_detector_reads_of_an_image_stays_there():
    """Beside the boxes, which COCO's metric reads in place of its file."""
    steps = {
        "its own": [dict(type="PackDetInputs", meta_keys=("img_id", "border"))],
        "mmdet's": [dict(type="mmdet.PackDetInputs")],
    }
    for who, pipeline in steps.items():
        loader = dict(dataset=dict(type="D", pipeline=pipeline))
        cfg = Config(
            dict(
                train_dataloader=dict(dataset=dict(type="D", pipeline=[])),
                val_dataloader=loader,
                val_evaluator=[dict(type="mmdet.CocoMetric", ann_file="val.json")],
            )
        )
        hold_out(cfg, 0.1)
        (step,) = cfg.val_dataloader.dataset.dataset.pipeline
        assert {"instances", "flip", "img_id"} <= set(step.meta_keys)
        assert ("border" in step.meta_keys) == (who == "its own")
        assert cfg.val_evaluator[0].ann_file is None


@pytest.mark.parametrize("share", [0, 1, 1.5])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(ValueError, match=f"is {share}; expected one between 0 and 1"):
        hold_out(Config(), share)


def test_several_data_sets_are_refused():
    several = dict(type="ConcatDataset", datasets=[])
    loader = dict(dataset=dict(type="RepeatDataset", dataset=several))
    with pytest.raises(ValueError, match="train_dataloader has a ConcatDataset of"):
        hold_out(Config(dict(train_dataloader=loader)), 0.1)
