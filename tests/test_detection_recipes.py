"""Detection configs train by mmdet's recipes, but for what is named here."""

from fnmatch import fnmatch
from functools import lru_cache

import pytest

pytest.importorskip("mmdet.models", exc_type=ImportError)

from mmengine.config import Config
from mmengine.hub import get_config

from tests.builders import CONFIGS

COCO = dict(
    coco_frcnn_r50="faster_rcnn/faster-rcnn_r50_fpn_1x_coco",
    coco_mask_rcnn_r50="mask_rcnn/mask-rcnn_r50_fpn_1x_coco",
    coco_gfl_r50="gfl/gfl_r50_fpn_1x_coco",
    coco_rtmdet_s="rtmdet/rtmdet_s_8xb32-300e_coco",
)
# Trained by mmdet's recipe for Pascal VOC; networks of its configs for COCO.
VOC_RECIPE = "pascal_voc/faster-rcnn_r50_fpn_1x_voc0712"
FCOS = "fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco"
VOC = dict(
    voc_frcnn_r50="faster_rcnn/faster-rcnn_r50_fpn_1x_coco",
    voc_frcnn_r101="faster_rcnn/faster-rcnn_r101_fpn_1x_coco",
    voc_cascade_r50="cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco",
    voc_cascade_r101="cascade_rcnn/cascade-rcnn_r101_fpn_1x_coco",
    voc_retinanet_r50="retinanet/retinanet_r50_fpn_1x_coco",
    voc_retinanet_r101="retinanet/retinanet_r101_fpn_1x_coco",
    voc_gfl_r50="gfl/gfl_r50_fpn_1x_coco",
    voc_gfl_r101="gfl/gfl_r101_fpn_ms-2x_coco",
    voc_fcos_r50=FCOS,
    voc_fcos_r101=FCOS,
)
YOLOX = dict(
    voc_yolox_s="yolox/yolox_s_8xb8-300e_coco",
    voc_yolox_m="yolox/yolox_m_8xb8-300e_coco",
)
RTMDET = dict(
    voc_rtmdet_s="rtmdet/rtmdet_s_8xb32-300e_coco",
    voc_rtmdet_m="rtmdet/rtmdet_m_8xb32-300e_coco",
)
RUN = (
    *("train_cfg", "val_cfg", "test_cfg", "param_scheduler", "optim_wrapper"),
    *("auto_scale_lr", "train_dataloader", "val_dataloader", "test_dataloader"),
    *("val_evaluator", "test_evaluator", "hooks"),
)
# What may differ: in all configs, ...
OURS = [
    "optim_wrapper.type",  # a step can be left out
    "train_dataloader.dataset*.type",  # errors in the data are told in words
    "val_dataloader.dataset.type",
    "train_dataloader.persistent_workers",  # flips depend on (seed, epoch)
    "train_dataloader.worker_init_fn.type",
    "hooks.NumClassCheckHook.type",
]
# ... in those of VOC, AP beside mAP@0.5 (test_detection_configs.py has both), ...
SCORES = ["*_evaluator.*"]
# ... by recipes for COCO, the data, ...
DATA = [
    "*_dataloader.dataset*.type",
    *("*_dataloader.dataset*.ann_file", "*_dataloader.dataset*.data_root"),
    "*_dataloader.dataset*.data_prefix.*",
]
CLASSES = ["model.*num_classes"]
# ... and in one.
OF_ONE = dict(
    # mmdet has 16, that of its base, and a learning rate for 8 x 32 images.
    coco_rtmdet_s=["auto_scale_lr.base_batch_size"],
    # Those of mmdet's FCOS, see below.
    voc_fcos_r50=["optim_wrapper.paramwise_cfg.*", "param_scheduler.*"],
    voc_fcos_r101=["optim_wrapper.paramwise_cfg.*", "param_scheduler.*"],
)


def flat(value, path=""):
    """Leaves by their paths, without the scopes of types."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {path: value}
    return {
        name: leaf
        for key, each in items
        if key != "_scope_"
        for name, leaf in flat(each, f"{path}.{key}".lstrip(".")).items()
    }


def with_hooks(cfg):
    """A config whose hooks go by their types, wherever they stand."""
    cfg = cfg.to_dict()
    hooks = [*cfg.get("default_hooks", {}).values(), *cfg.get("custom_hooks", ())]
    return dict(cfg, hooks={hook["type"]: hook for hook in hooks})


@lru_cache(None)
def mmdets(name):
    return with_hooks(get_config(f"mmdet::{name}.py"))


@lru_cache(None)
def ours(name):
    return with_hooks(Config.fromfile(CONFIGS / "vanilla" / f"{name}.py"))


def differing(cfg, theirs, sections, allowed=()):
    """Paths at which a config is not mmdet's, but for those that may differ."""
    mine, others = (
        flat({name: each[name] for name in sections if name in each})
        for each in (cfg, theirs)
    )
    return sorted(
        path
        for path in {*mine, *others}
        if mine.get(path) != others.get(path)
        and not any(fnmatch(path, pattern) for pattern in allowed)
    )


@pytest.mark.parametrize("name, theirs", COCO.items())
def test_recipes_of_coco(name, theirs):
    allowed = [*OURS, *OF_ONE.get(name, ())]
    assert differing(ours(name), mmdets(theirs), ("model", *RUN), allowed) == []


@pytest.mark.parametrize("name, theirs", VOC.items())
def test_recipes_of_voc(name, theirs):
    allowed = [*OURS, *SCORES, *OF_ONE.get(name, ())]
    assert differing(ours(name), mmdets(VOC_RECIPE), RUN, allowed) == []
    deeper = ["model.backbone.depth", "model.backbone.init_cfg.checkpoint"]
    allowed = CLASSES + (deeper if name == "voc_fcos_r101" else [])
    assert differing(ours(name), mmdets(theirs), ["model"], allowed) == []


@pytest.mark.parametrize("name", ["voc_fcos_r50", "voc_fcos_r101"])
def test_fcos_has_the_biases_and_the_warm_up_of_its_own_recipe(name):
    cfg, own = ours(name), mmdets(FCOS)
    warm_up, *rest = map(flat, cfg["param_scheduler"])
    assert warm_up == flat(own["param_scheduler"][0])
    assert rest == list(map(flat, mmdets(VOC_RECIPE)["param_scheduler"]))
    settings = [flat(each["optim_wrapper"]["paramwise_cfg"]) for each in (cfg, own)]
    assert settings[0] == settings[1] != {}


@pytest.mark.parametrize("name, theirs", YOLOX.items())
def test_recipe_of_yolox_on_voc(name, theirs):
    cfg = dict(ours(name))
    mixed = cfg["train_dataloader"]["dataset"]
    for part in mixed["dataset"]["datasets"]:
        # In the place of mmdet's one data set.
        loader = dict(cfg["train_dataloader"], dataset=dict(mixed, dataset=part))
        each = dict(cfg, train_dataloader=loader)
        allowed = [*OURS, *SCORES, *DATA, *CLASSES]
        assert differing(each, mmdets(theirs), ("model", *RUN), allowed) == []


@pytest.mark.parametrize("name, theirs", RTMDET.items())
def test_recipe_of_rtmdet_on_voc(name, theirs):
    cfg, coco = ours(name), mmdets(theirs)
    allowed = [*CLASSES, "model.*init_cfg.*"]  # it begins with what COCO taught
    assert differing(cfg, coco, ["model"], allowed) == []
    allowed = [*OURS, "optim_wrapper.optimizer.lr"]
    assert differing(cfg, coco, ["optim_wrapper"], allowed) == []
    # In proportion to the batch.
    images = 8 * cfg["train_dataloader"]["batch_size"]
    assert images == cfg["auto_scale_lr"]["base_batch_size"] == 64
    assert cfg["optim_wrapper"]["optimizer"]["lr"] == 0.004 * images / (8 * 32)
    assert str(cfg["model"]).count("'SyncBN'") == 3
    assert cfg["hooks"]["EMAHook"] == coco["hooks"]["EMAHook"]
    # The images of RTMDet-S's last epochs, of the teacher too, and how often.
    small = mmdets(RTMDET["voc_rtmdet_s"])
    last = small["hooks"]["PipelineSwitchHook"]["switch_pipeline"]
    repeated, theirs = (
        each["train_dataloader"]["dataset"] for each in (cfg, mmdets(VOC_RECIPE))
    )
    assert repeated["times"] == theirs["times"] == 3
    for part in repeated["dataset"]["datasets"]:
        assert flat(part["pipeline"]) == flat(last)
        kept = coco["train_dataloader"]["dataset"]["filter_cfg"]
        assert part["filter_cfg"] == kept
    for loader in ("val_dataloader", "test_dataloader"):
        pipelines = [each[loader]["dataset"]["pipeline"] for each in (cfg, coco)]
        assert flat(pipelines[0]) == flat(pipelines[1])
    sections = ("train_cfg", "param_scheduler")
    assert differing(cfg, mmdets(VOC_RECIPE), sections) == []


@pytest.mark.parametrize("name", [*COCO, *VOC, *YOLOX, *RTMDET])
def test_the_rate_is_for_8_gpus(name):
    cfg = ours(name)
    images = 8 * cfg["train_dataloader"]["batch_size"]
    assert cfg["auto_scale_lr"]["base_batch_size"] == images


@pytest.mark.parametrize("name", [*COCO, *VOC, *YOLOX, *RTMDET])
def test_pipelines_by_name_are_those_of_the_loaders(name):
    def pipelines(part):
        inner = [*part.get("datasets", ()), *filter(None, [part.get("dataset")])]
        own = [flat(part["pipeline"])] if "pipeline" in part else []
        return sum(map(pipelines, inner), own)

    cfg = ours(name)
    for part in ("train", "test"):
        of_loader = pipelines(cfg[f"{part}_dataloader"]["dataset"])
        assert flat(cfg[f"{part}_pipeline"]) in of_loader
