"""What a config leaves out of the preparation of batches."""

from pathlib import Path

import mmpretrain
import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from pckd_mm.models import RotatedViewsDataPreprocessor
from pckd_mm.registry import MODELS
from pckd_mm.utils.dependencies import has_detection
from tests.builders import CONFIGS, classifier, pckd_config

STUDENT, TEACHER = classifier(8), classifier(14)
THEIRS = "mmpretrain::_base_/datasets/"


def distillation(**settings):
    return MODELS.build(pckd_config(STUDENT, TEACHER, **settings)).train()


def raw_batch(size: int = 8, channels: int = 3) -> dict:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        256, (4, channels, size, size), generator=generator, dtype=torch.uint8
    )
    return dict(
        inputs=images,
        data_samples=[DataSample().set_gt_label(label) for label in range(4)],
    )


@pytest.mark.parametrize("base", ["cifar100_bs16", "imagenet_bs32_pil_resize"])
@pytest.mark.parametrize("num_views", [None, 1, 4])
def test_a_data_set_of_mmpretrain(base, num_views):
    """Views of images that its pipeline has augmented, normalised as it says."""
    cfg = get_config(f"{THEIRS}{base}.py").data_preprocessor.to_dict()
    assert "type" not in cfg
    model = distillation(data_preprocessor=cfg, num_views=num_views)
    kind = RotatedViewsDataPreprocessor if num_views == 4 else ClsDataPreprocessor
    assert type(model.data_preprocessor) is kind
    batch = raw_batch()
    images = batch["inputs"].float()
    if cfg["to_rgb"]:
        images = images.flip(1)
    mean, std = (torch.tensor(cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    images = (images - mean) / std
    views = num_views or 1
    expected = torch.stack(
        [torch.rot90(images, turn, (-2, -1)) for turn in range(views)], dim=1
    )
    found = model.data_preprocessor(batch, training=True)
    assert torch.equal(found["inputs"], expected.flatten(0, 1))
    model.load_teacher()
    model.progress = 0.5
    assert model.parse_losses(model(**found, mode="loss"))[0] > 0


def test_every_data_set_of_mmpretrain():
    """All whose data preprocessor has no type, which are those of one label."""
    folder = Path(mmpretrain.__path__[0]) / ".mim/configs/_base_/datasets"
    found = 0
    for path in sorted(folder.glob("*.py")):
        cfg = Config.fromfile(path).get("data_preprocessor")
        if cfg is None or "type" in cfg:  # of other tasks
            continue
        found += 1
        with DefaultScope.overwrite_default_scope("mmpretrain"):
            model = distillation(data_preprocessor=cfg, num_views=4)
        assert isinstance(model.data_preprocessor, RotatedViewsDataPreprocessor), path
    assert found > 40


def test_none_is_the_students():
    mean = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    student = dict(STUDENT, data_preprocessor=mean)
    shared = MODELS.build(pckd_config(student, TEACHER))
    assert shared.data_preprocessor is shared.student.data_preprocessor
    for num_views, kind in (
        (1, ClsDataPreprocessor),
        (4, RotatedViewsDataPreprocessor),
    ):
        model = MODELS.build(pckd_config(student, TEACHER, num_views=num_views))
        made = model.data_preprocessor
        assert type(made) is kind
        assert made.mean.flatten().tolist() == mean["mean"]


def test_a_preprocessor_that_is_built_must_make_the_views():
    views = RotatedViewsDataPreprocessor(num_views=2)
    model = distillation(data_preprocessor=views, num_views=2)
    assert model.data_preprocessor is views
    student = MODELS.build(STUDENT)
    model = MODELS.build(pckd_config(student, TEACHER, num_views=1))
    assert model.data_preprocessor is student.data_preprocessor


@pytest.mark.parametrize(
    ("given", "name", "made"),
    [
        (RotatedViewsDataPreprocessor(num_views=2), "RotatedViewsDataPreprocessor", 2),
        (ClsDataPreprocessor(), "ClsDataPreprocessor", 1),
        (dict(type="ClsDataPreprocessor"), "ClsDataPreprocessor", 1),
        (dict(type=ClsDataPreprocessor), "ClsDataPreprocessor", 1),
    ],
)
def test_other_views_are_refused(given, name, made):
    expected = f"num_views=4 and the data_preprocessor {name}, which makes {made}; "
    with pytest.raises(ValueError, match=expected):
        distillation(data_preprocessor=given, num_views=4)
    # Both ways of the advice.
    distillation(data_preprocessor=given, num_views=made)
    advised = dict(type="RotatedViewsDataPreprocessor")
    assert distillation(data_preprocessor=advised, num_views=4).training


def test_views_of_a_subclass():
    class Mine(RotatedViewsDataPreprocessor):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

    model = distillation(data_preprocessor=dict(type=Mine), num_views=2)
    assert model.data_preprocessor.num_views == 2


@pytest.mark.skipif(not has_detection(), reason="needs mmdet")
def test_a_detectors_is_mmdets():
    from mmdet.models import DetDataPreprocessor

    cfg = Config.fromfile(CONFIGS / "kd" / "digit_scenes_frcnn_r18w32_r18w8.py").model
    teacher = Config.fromfile(cfg.teacher_config).model
    plain = {
        key: value
        for key, value in cfg.architecture.data_preprocessor.items()
        if key != "type"
    }
    settings = dict(teacher=teacher, teacher_ckpt=None, data_preprocessor=plain)
    model = MODELS.build(dict(cfg, **settings))
    assert type(model.data_preprocessor) is DetDataPreprocessor
    assert model.data_preprocessor is not model.student.data_preprocessor
