"""Mixup and CutMix as a student's own config asks for them."""

import copy

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.structures import DataSample

from pckd_mm.registry import MODELS
from tests.builders import classifier, method

MIXUP = dict(type="Mixup", alpha=0.8)
CUTMIX = dict(type="CutMix", alpha=1.0)
BOTH = dict(augments=[MIXUP, CUTMIX], probs=[0.4, 0.4])
NORMALISATION = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0], to_rgb=True)
CLS = dict(type="mmpretrain.ClsDataPreprocessor", num_classes=10, **NORMALISATION)
# The same, but for its own draws, which are of torch.
VIEWS = dict(
    type="pckd_mm.RotatedViewsDataPreprocessor",
    num_views=1,
    flip_prob=0.0,
    crop_padding=0,
    **NORMALISATION,
)


def network(train_cfg=BOTH, **settings) -> dict:
    settings.setdefault("train_cfg", train_cfg)
    return {**classifier(8), **copy.deepcopy(settings)}


def kd(architecture, **settings):
    """KD, which is defined for mixed labels."""
    config = dict(method("kd"), architecture=architecture, teacher=classifier(14))
    torch.manual_seed(0)
    model = MODELS.build({**config, **copy.deepcopy(settings)})
    model.progress = 0.5
    model.load_teacher()
    return model


def images() -> dict:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randint(256, (6, 3, 8, 8), generator=generator, dtype=torch.uint8)
    samples = [DataSample().set_gt_label(label) for label in (0, 3, 9, 3, 1, 7)]
    return dict(inputs=list(inputs), data_samples=samples)


def draw_from(seed: int) -> None:
    np.random.seed(seed)
    torch.manual_seed(seed)


@pytest.mark.parametrize("train_cfg", [BOTH, dict(augments=CUTMIX)])
@pytest.mark.parametrize("preprocessor", [None, CLS, VIEWS])
def test_batches_and_loss_are_those_of_mmpretrains_own_classifier(
    train_cfg, preprocessor, monkeypatch
):
    plain = MMPRETRAIN_MODELS.build(network(train_cfg, data_preprocessor=dict(CLS)))
    if preprocessor is None:  # the student's own
        model = kd(network(train_cfg, data_preprocessor=CLS))
    else:
        model = kd(network(train_cfg), data_preprocessor=preprocessor)
    plain.load_state_dict(model.student.state_dict())
    if preprocessor is VIEWS:  # which draws flips before
        make = model.data_preprocessor.make_views
        monkeypatch.setattr(
            model.data_preprocessor,
            "make_views",
            lambda x: (make(x), draw_from(seed))[0],
        )
    mixed = 0
    for seed in range(8):
        draw_from(seed)
        expected = plain.data_preprocessor(images(), True)
        draw_from(seed)
        found = model.data_preprocessor(images(), True)
        torch.testing.assert_close(found["inputs"], expected["inputs"])
        pairs = zip(found["data_samples"], expected["data_samples"], strict=True)
        for one, other in pairs:
            torch.testing.assert_close(one.gt_score, other.gt_score)
            mixed += one.gt_score.max() < 1
        loss = model.eval()(**found, mode="loss")["student.loss"]
        own = plain.eval()(**expected, mode="loss")["loss"]
        torch.testing.assert_close(loss, own)
    assert mixed > 6  # of 48; it can fail


def test_in_evaluation_nothing_is_mixed():
    model = kd(network(), data_preprocessor=VIEWS)
    found = model.data_preprocessor(images(), False)["inputs"]
    plain = MODELS.build(VIEWS)(images(), False)["inputs"]
    assert torch.equal(found, plain)


def test_several_views_are_refused_and_the_advice_holds():
    views = dict(VIEWS, num_views=4)
    with pytest.raises(ValueError, match="batch_augments mix .* train_cfg.augments"):
        kd(network(), data_preprocessor=views)
    kd(network(), data_preprocessor=dict(views, num_views=1))
    kd(network(None), data_preprocessor=views)


def test_the_same_twice_is_once():
    model = kd(network(), data_preprocessor=dict(VIEWS, batch_augments=BOTH))
    assert len(model.data_preprocessor.batch_augments.augments) == 3


def test_others_are_refused_and_the_advice_holds():
    other = dict(VIEWS, batch_augments=dict(augments=MIXUP))
    with pytest.raises(ValueError, match="asks for other augments than batch_augments"):
        kd(network(), data_preprocessor=other)
    kd(network(None), data_preprocessor=other)
    kd(network(), data_preprocessor=VIEWS)


def test_what_cannot_mix_is_refused_and_the_advice_holds():
    plain = dict(type="mmengine.ImgDataPreprocessor")
    with pytest.raises(ValueError, match="the ImgDataPreprocessor that .* mixes no im"):
        kd(network(), data_preprocessor=plain)
    kd(network(None), data_preprocessor=plain)
    kd(network(), data_preprocessor=CLS)


@pytest.mark.parametrize(
    "train_cfg, found",
    [(dict(augment=MIXUP), "augment;"), (dict(probs=[1.0]), "probs;")],
)
def test_what_classifiers_do_not_read_is_refused(train_cfg, found):
    with pytest.raises(
        ValueError, match=f"student's train_cfg has {found} expected aug"
    ):
        kd(network(train_cfg))
    kd(network(dict(augments=[dict(type="Mixup", alpha=0.8)])))
