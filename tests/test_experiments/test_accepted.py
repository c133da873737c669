"""Settings that nothing takes, found without building."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from pckd_mm.engine.guards import DEFAULT_HOOKS, use_guards, with_types
from pckd_mm.engine.skip_broken import skip_broken_files
from pckd_mm.engine.speed_options import use_speed_up
from pckd_mm.experiments.accepted import accepted, nearest, unknown_settings

CONFIG = dict(
    train_dataloader=dict(
        batch_size=4,
        num_batch_per_epoch=2,
        sampler=dict(type="DefaultSampler", shuffle=True),
        collate_fn=dict(type="pckd_mm.collate_batches"),
        dataset=dict(
            type="pckd_mm.InMemoryDataset",
            dataset=dict(
                type="CIFAR10",
                data_root="missing",
                pipeline=[
                    dict(type="RandomFlip", prob=0.5),
                    dict(
                        type="RandomApply",
                        transforms=[dict(type="Resize", scale=8)],
                        prob=0.5,
                    ),
                    dict(type="torchvision/Grayscale"),
                    dict(type="Albumentations", transforms=[dict(type="RGBShift")]),
                ],
            ),
        ),
    ),
    train_cfg=dict(by_epoch=True, max_epochs=2),
    val_cfg=dict(),
    val_evaluator=[dict(type="Accuracy", topk=(1,))],
    optim_wrapper=dict(
        optimizer=dict(type="SGD", lr=0.1),
        paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=2))),
        clip_grad=dict(max_norm=1),
    ),
    param_scheduler=[
        dict(type="CosineAnnealingLR", T_max=2, convert_to_iter_based=True)
    ],
    default_hooks=dict(
        checkpoint=dict(interval=2),
        param_scheduler=dict(type="ParamSchedulerHook"),
        timer=None,
    ),
    custom_hooks=[dict(type="EMAHook", momentum=0.1, priority="LOW")],
    visualizer=dict(type="UniversalVisualizer", vis_backends=[]),
    env_cfg=dict(cudnn_benchmark=True),
    randomness=dict(seed=0, deterministic=True),
    model=dict(anything="is not looked at"),
    # Variables that a config is put together from.
    a_variable=dict(of="its own"),
    detector=dict(train_cfg=dict(rpn=dict(assigner=dict(type="MaxIoUAssigner")))),
    transforms=[dict(type="of another library")],
    data=dict(train=dict(pipeline=[dict(type="of MMCV 1")])),
)


def found(*options):
    cfg = Config(CONFIG)
    cfg.merge_from_dict(dict(options))
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        return [(each.path, each.meant) for each in unknown_settings(cfg)]


def test_what_is_taken_is_no_fault():
    assert found() == []


@pytest.mark.parametrize(
    "name, meant",
    [
        ("train_dataloader.batch_sise", "batch_size"),
        ("train_dataloader.sampler.shufle", "shuffle"),
        ("train_dataloader.dataset.dataset.indexes", "indices"),
        ("train_dataloader.dataset.dataset.pipeline.0.probe", "prob"),
        ("train_dataloader.dataset.dataset.pipeline.1.transforms.0.scal", "scale"),
        ("train_cfg.max_epoch", "max_epochs"),
        ("val_evaluator.0.top", "topk"),
        ("optim_wrapper.optimizer.momentun", "momentum"),
        ("optim_wrapper.clip_grads", "clip_grad"),
        ("param_scheduler.0.T_maxi", "T_max"),
        ("default_hooks.checkpoint.intervall", "interval"),
        ("default_hooks.param_scheduler.interval", None),
        ("custom_hooks.0.begin_epochs", "begin_epoch"),
        ("visualizer.vis_backend", "vis_backends"),
        ("env_cfg.cudnn_benchmrk", "cudnn_benchmark"),
        ("randomness.sed", "seed"),
    ],
)
def test_what_nothing_takes_is_named_with_the_nearest(name, meant):
    assert found((name, 1)) == [(name, meant)]


def test_types_and_hooks_that_are_not_there():
    name = "optim_wrapper.optimizer.type"
    assert found((name, "SDG")) == [(f"{name}=SDG", "SGD")]
    name = "custom_hooks.0.type"
    assert found((name, "EMAHok")) == [(f"{name}=EMAHok", "EMAHook")]
    misspelt = ("default_hooks.checkpont.interval", 2)
    assert found(misspelt) == [("default_hooks.checkpont", "checkpoint")]


@pytest.mark.parametrize(
    "hook",
    [
        ("non_finite.action", "skip"),
        ("broken_files.most", 0.3),
        ("speed_up.keep_memory", False),
        ("logger.interval", 5),
    ],
)
def test_settings_of_hooks_that_training_adds_need_no_type(hook):
    name, value = hook
    assert found((f"default_hooks.{name}", value)) == []
    name, last = name.split(".")
    misspelt = f"default_hooks.{name}.{last}s"
    assert found((misspelt, value)) == [(misspelt, last)]


def test_what_training_adds_is_what_a_name_stands_for():
    """The options of the command line name the types themselves."""
    cfg = Config(dict(optim_wrapper={}, train_dataloader=dict(dataset=dict())))
    cfg.train_dataloader.dataset.type = "pckd_mm.CheckedCustomDataset"
    use_guards(cfg)
    use_speed_up(cfg, fast=False, compile_mode=None)
    skip_broken_files(cfg)
    types = {name: hook.type for name, hook in cfg.default_hooks.items()}
    assert len(types) == 9 and types.items() <= DEFAULT_HOOKS.items()
    # Their settings alone make them, whoever reads the config; MMEngine asks for types.
    alone = dict(non_finite=dict(action="skip"), mine=dict(a=1), timer=None)
    assert with_types(alone) == dict(
        alone, non_finite=dict(type="pckd_mm.NonFiniteLossHook", action="skip")
    )


class Base:
    def __init__(self, first, *, second=2):
        pass


class HandsOn(Base):
    def __init__(self, third, **kwargs):
        super().__init__(1, **kwargs)


class Inherits(HandsOn):
    pass


class Nothing:
    pass


class GivesThemAway:
    def __init__(self, **kwargs):
        pass


def function(first, *rest, **kwargs):
    pass


def test_arguments_of_classes_and_functions():
    assert accepted(Base) == ({"first", "second"}, True)
    assert accepted(HandsOn) == accepted(Inherits)
    assert accepted(HandsOn) == ({"first", "second", "third"}, True)
    assert accepted(Nothing) == (set(), True)
    assert accepted(GivesThemAway) == (set(), False)
    assert accepted(function) == ({"first"}, False)
    assert "momentum" in accepted(torch.optim.SGD)[0]


def test_a_name_is_taken_for_one_that_it_looks_like():
    assert nearest("tua", ["tau", "loss_weight"]) == "tau"
    assert nearest("tua", ["tau"], 0.85) is None
    assert nearest("anything", ["tau"]) is None
