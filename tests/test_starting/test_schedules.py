"""How long and how fast to train."""

import pytest
from mmengine.config import Config
from mmengine.hooks import EMAHook
from torch.optim import SGD

from pckd_mm.starting.schedules import DETECTORS, plan_for, recipe_of

ADAM = dict(type="AdamW", weight_decay=0.05)


def config(name="mine.py", batch=2, **settings):
    wrapper = dict(optimizer=dict(ADAM, lr=0.004))
    parts = dict(optim_wrapper=wrapper, train_dataloader=dict(batch_size=batch))
    return Config({**parts, **settings}, cfg_text="of no file", filename=name)


@pytest.mark.parametrize(
    "cfg, images",
    [
        # The base of a config may have set auto_scale_lr for other batches.
        (config("net_8xb32-300e.py", auto_scale_lr=dict(base_batch_size=16)), 256),
        (config("net_x101-32x4d_1x.py", auto_scale_lr=dict(base_batch_size=16)), 16),
        (config("mine.py", batch=6), 6),
    ],
)
def test_the_rate_is_for_the_images_of_the_config(cfg, images):
    recipe = recipe_of(cfg, DETECTORS)
    assert (recipe.base, recipe.optimizer) == (images, ADAM)
    plan = plan_for(recipe, 100, 640, pretrained=True)
    assert plan.lr == pytest.approx(0.004 * plan.batch / images, rel=0.01)


@pytest.mark.parametrize("of_gpu, batch", [(1, 4), (6, 6), (32, 8)])
def test_a_step_has_the_images_of_a_gpu_within_bounds(of_gpu, batch):
    recipe = recipe_of(config(batch=of_gpu), DETECTORS)
    assert plan_for(recipe, 100, 640, True).batch == batch


def test_a_config_without_data_and_hooks():
    cfg = config(train_dataloader=None, default_hooks=None, custom_hooks=None)
    recipe = recipe_of(cfg, DETECTORS)
    assert (recipe.base, recipe.largest, recipe.average) == (4, 4, None)


@pytest.mark.parametrize("kind", ["EMAHook", "mmengine.EMAHook", EMAHook])
def test_what_a_config_has_beside_its_optimizer(kind):
    average = dict(type=kind, momentum=0.1)
    wrapper = dict(
        optimizer=dict(ADAM, lr=1, _scope_="mmdet"),
        paramwise_cfg=dict(norm_decay_mult=0, _scope_="mmdet"),
    )
    for hooks in (dict(custom_hooks=[average]), dict(default_hooks=dict(mean=average))):
        recipe = recipe_of(config(optim_wrapper=wrapper, **hooks), DETECTORS)
        assert recipe.optimizer == ADAM and recipe.average == average
        assert recipe.paramwise == dict(norm_decay_mult=0)
        assert recipe.max_norm == DETECTORS.max_norm
    assert recipe_of(config(), DETECTORS).average is None


@pytest.mark.parametrize(
    "cfg",
    [
        None,
        Config(dict(model=dict())),
        config(optim_wrapper=None),
        config(optim_wrapper=dict(optimizer=dict(type="SGD"))),
        config(optim_wrapper=dict(optimizer=dict(type=SGD, lr=1))),  # a class
        config(
            optim_wrapper=dict(
                optimizer=dict(ADAM, lr=1), constructor="LearningRateDecay"
            )
        ),
    ],
)
def test_the_recipe_of_its_kind_where_a_config_has_none(cfg):
    assert recipe_of(cfg, DETECTORS) is DETECTORS
