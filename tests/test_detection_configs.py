"""Every detection config builds, trains a step and predicts."""

import os

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope

from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config
from tests.builders import CONFIGS, ROOT, scenes

RUNS = sorted(
    path.relative_to(CONFIGS).as_posix()
    for pattern in ("*/voc_*.py", "*/coco_*.py", "*/digit_scenes_*.py")
    for path in CONFIGS.glob(pattern)
)
METHODS = ("kd", "pckd", "pckd_fpn")
PAIRS = {"r101_r50": ("r101", "r50"), "r101_r18": ("r101", "r18")}
PAIRS["r50_mobilenetv2"] = ("r50", "mobilenetv2")
DISTILLED = [path for path in RUNS if not path.startswith("vanilla/")]
# Detectors of one stage and of masks, with their teachers and students.
ONE_STAGE = dict(
    voc_retinanet=("r101", "r50"),
    voc_fcos=("r101", "r50"),
    voc_gfl=("r101", "r50"),
    voc_rtmdet=("m", "s"),
    voc_yolox=("m", "s"),
    coco_gfl=("r101", "r50"),
    coco_rtmdet=("m", "s"),
)
# By networks of mmdet's zoo.
COCO = dict(
    coco_frcnn_r101_r50="faster_rcnn/faster-rcnn_r101_fpn_2x_coco",
    coco_mask_rcnn_r101_r50="mask_rcnn/mask-rcnn_r101_fpn_2x_coco",
    coco_gfl_r101_r50="gfl/gfl_r101_fpn_ms-2x_coco",
    coco_rtmdet_m_s="rtmdet/rtmdet_m_8xb32-300e_coco",
)
CLASSES = dict(voc=20, coco=80, digit=10)
# The teacher's and the student's classifiers have other widths.
NO_ALIGNMENT = ("rtmdet_m_s", "yolox_m_s", "rtmdet_w64_w16")


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    # Where a run is started, and what teacher_config is relative to.
    monkeypatch.chdir(ROOT)


def few_regions(detector) -> None:
    """Propose and sample fewer regions: they are most of a step of two stages."""
    if "roi_head" in detector:
        detector.train_cfg.rpn_proposal.max_per_img = 50
        detector.test_cfg.rpn.max_per_img = 20
        stages = detector.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = 32


def build(cfg: Config):
    torch.manual_seed(0)
    model = cfg.model
    if "architecture" in model:
        model.teacher_ckpt = None
        model.teacher = load_config(model.teacher_config).model
    for part in (model.get("architecture", model), model.get("teacher")):
        if part is not None:
            part.init_cfg = part.backbone.init_cfg = None  # nothing is downloaded
            few_regions(part)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(model)
        model.init_weights()
    return model


def test_all_pairs_are_there():
    expected = {f"{m}/voc_frcnn_{pair}.py" for m in METHODS for pair in PAIRS}
    networks = ("r18", "r50", "r101", "r101_coco", "mobilenetv2")
    expected |= {f"vanilla/voc_frcnn_{network}.py" for network in networks}
    expected |= {f"{method}/voc_cascade_r101_r50.py" for method in ("kd", "pckd")}
    expected |= {f"vanilla/voc_cascade_{network}.py" for network in ("r50", "r101")}
    for name, pair in ONE_STAGE.items():
        expected |= {f"{m}/{name}_{'_'.join(pair)}.py" for m in ("kd", "pckd")}
        alone = pair[1:] if name.startswith("coco_") else pair
        expected |= {f"vanilla/{name}_{network}.py" for network in alone}
    for name in ("coco_frcnn", "coco_mask_rcnn"):
        expected |= {f"{method}/{name}_r101_r50.py" for method in ("kd", "pckd")}
        expected |= {f"vanilla/{name}_r50.py"}
    assert expected == {path for path in RUNS if "digit_scenes" not in path}


def batch(boxes, name: str) -> dict:
    data = scenes(boxes, CLASSES[name.split("_")[0]], size=64)
    for sample in data["data_samples"]:
        if "mask_rcnn" in name:
            masks = np.zeros((len(sample.gt_instances), 64, 64), np.uint8)
            masks[:, 10:40, 10:40] = 1
            sample.gt_instances.masks = BitmapMasks(masks, 64, 64)
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
    return data


@pytest.mark.parametrize("path", RUNS)
def test_config_trains_and_tests(path):
    cfg = Config.fromfile(CONFIGS / path)
    model = build(cfg)
    # YOLOX changes the size of images by it.
    MessageHub.get_current_instance().update_info("iter", 0)
    boxes = [[[2, 2, 30, 45], [35, 20, 60, 60]], [[10, 10, 50, 55]]]
    data = batch(boxes, path.split("/")[1])
    processed = model.data_preprocessor(data, True)
    total, log = model.parse_losses(model(**processed, mode="loss"))
    total.backward()
    assert total.isfinite()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained and all(parameter.grad is not None for parameter in trained)
    terms = {name for name in log if name.startswith("distill.")}
    expected = set()
    if path in DISTILLED:
        expected = {"distill.loss_kd"}
    if path.startswith("pckd"):
        expected |= {f"distill.loss_{name}" for name in ("cc", "ca", "fa")}
    if path.removesuffix(".py").endswith(NO_ALIGNMENT):
        expected -= {"distill.loss_ca"}
    if path.startswith("pckd_fpn"):
        expected |= {f"distill.loss_pkd_{level}" for level in range(4)}
    assert terms == expected

    model.eval()
    data = batch(boxes, path.split("/")[1])
    with torch.no_grad():
        predictions = model(**model.data_preprocessor(data, False), mode="predict")
    assert [p.pred_instances.bboxes.shape[1] for p in predictions] == [4, 4]


@pytest.mark.parametrize("path", DISTILLED)
def test_only_the_model_and_its_hooks_differ_from_the_student_alone(path):
    cfg = Config.fromfile(CONFIGS / path)
    *detector, _, student = path.split("/")[1].removesuffix(".py").split("_")
    name = "_".join([*detector, student])
    alone = Config.fromfile(CONFIGS / f"vanilla/{name}.py").to_dict()
    cfg = cfg.to_dict()
    assert cfg["model"]["architecture"] == alone.pop("model")
    for key in ("model", "method", "custom_hooks", "custom_imports"):
        cfg.pop(key)
    assert cfg == alone


@pytest.mark.parametrize("path", [path for path in DISTILLED if "/coco_" not in path])
def test_teacher_is_a_run_of_ours(path):
    model = Config.fromfile(CONFIGS / path).model
    assert os.path.isfile(model.teacher_config)
    epochs = Config.fromfile(model.teacher_config).train_cfg.max_epochs
    name = model.teacher_config.removeprefix("configs/").removesuffix(".py")
    assert model.teacher_ckpt == f"work_dirs/{name}/epoch_{epochs}.pth"
    assert "teacher" not in model


@pytest.mark.parametrize("method", ["kd", "pckd"])
@pytest.mark.parametrize("name", COCO)
def test_teacher_of_coco_is_of_mmdets_zoo(name, method):
    model = Config.fromfile(CONFIGS / method / f"{name}.py").model
    assert model.teacher_config == f"mmdet::{COCO[name]}.py"
    zoo = get_config(model.teacher_config, pretrained=True)
    assert model.teacher_ckpt == zoo.model_path
    assert "teacher" not in model


@pytest.mark.parametrize("network", ["r18", "r50", "r101", "mobilenetv2"])
def test_recipe_is_mmdets(network):
    cfg = Config.fromfile(CONFIGS / f"vanilla/voc_frcnn_{network}.py")
    assert cfg.train_cfg.max_epochs == 4
    assert cfg.param_scheduler[0].milestones == [3]
    repeated = cfg.train_dataloader.dataset
    assert (repeated.type, repeated.times) == ("RepeatDataset", 3)
    assert [part.ann_file for part in repeated.dataset.datasets] == [
        f"VOC{year}/ImageSets/Main/trainval.txt" for year in (2007, 2012)
    ]
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.optim_wrapper.optimizer.lr == 0.01
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=16)
    alone, beside = cfg.val_evaluator
    assert alone.pop("_scope_") == beside.pop("_scope_") == "mmdet"
    assert alone == dict(type="VOCMetric", metric="mAP", eval_mode="11points")
    assert beside.pop("iou_thrs") == [k / 100 for k in range(50, 100, 5)]
    assert beside == dict(alone, prefix="pascal_voc_50_95")
    # Plain mmdet tests it, without pckd_mm.
    for part in (cfg.test_dataloader, cfg.test_evaluator, cfg.model, cfg.default_hooks):
        assert "pckd_mm" not in str(part)
    assert "custom_hooks" not in cfg
    assert cfg.default_hooks.categories.type == "NumClassCheckHook"
    # An epoch's flips depend on (seed, epoch).
    assert not cfg.train_dataloader.persistent_workers
    assert cfg.train_dataloader.worker_init_fn.type == "pckd_mm.seed_worker"


def pipelines(part):
    """What a training image goes through, on each way."""
    if "datasets" in part:
        return [each for inner in part.datasets for each in pipelines(inner)]
    own = [step.type for step in part.get("pipeline", ())]
    inner = pipelines(part.dataset) if "dataset" in part else [[]]
    return [before + own for before in inner]


@pytest.mark.parametrize("path", [*RUNS, "_base_/benchmarks/boxes.py"])
def test_boxes_are_loaded_before_images_change(path):
    cfg = Config.fromfile(CONFIGS / path)
    ways = pipelines(cfg.train_dataloader.dataset)
    for hook in cfg.default_hooks.values():
        if "switch_pipeline" in hook:
            ways.append([step.type for step in hook.switch_pipeline])
    for way in ways:
        assert way[:2] == ["LoadImageFromFile", "LoadAnnotations"]
        assert not any(step.startswith("Load") for step in way[2:])


def test_pckd_of_regions_is_the_method():
    cfg = Config.fromfile(CONFIGS / "pckd/voc_frcnn_r101_r50.py")
    losses = cfg.model.distiller.distill_losses
    mappings = cfg.model.distiller.loss_forward_mappings
    assert cfg.model.distiller.preview == dict(type="PreviewStrategy")
    assert losses.loss_kd.tau == losses.loss_cc.tau == 4.0
    # L_KD on all sampled RoIs, L_CC and L_FA on the foreground.
    asks = {
        loss: {name for name, record in mapping.items() if record.get("foreground")}
        for loss, mapping in mappings.items()
    }
    assert asks == dict(
        loss_kd=set(),
        loss_cc={"s_embed", "t_embed", "labels", "weight"},
        loss_ca=set(),
        loss_fa={"s_feat", "t_feat"},
    )
    for recorders in ("student_recorders", "teacher_recorders"):
        sources = {r.source for r in cfg.model.distiller[recorders].values()}
        assert sources == {"classifier", "classifier.weight", "classifier.bias"}


def test_pckd_of_places_is_the_method():
    cfg = Config.fromfile(CONFIGS / "pckd/digit_scenes_gfl_r18w32_r18w8.py")
    assert cfg.model.type == "pckd_mm.DenseDistill"
    distiller = cfg.model.distiller
    losses, mappings = distiller.distill_losses, distiller.loss_forward_mappings
    assert distiller.preview == dict(type="PreviewStrategy")
    assert losses.loss_kd.use_sigmoid and losses.loss_kd.tau == 2.0
    assert losses.loss_cc.tau == 4.0
    weights = {name: loss.loss_weight for name, loss in losses.items()}
    assert weights == dict(loss_kd=1, loss_cc=0.001, loss_ca=0.3, loss_fa=1.5)
    # L_KD on background too, all else on the foreground.
    asks = {
        loss: {name for name, record in mapping.items() if record.get("foreground")}
        for loss, mapping in mappings.items()
    }
    assert asks == dict(
        loss_kd=set(),
        loss_cc={"s_embed", "t_embed", "labels", "weight", "group"},
        loss_ca={"group"},
        loss_fa={"s_feat", "t_feat"},
    )
    # The patch for contrast, its middle for feature alignment.
    assert mappings.loss_cc.s_embed.data_idx == mappings.loss_cc.t_embed.data_idx == 0
    assert mappings.loss_fa.s_feat.data_idx == mappings.loss_fa.t_feat.data_idx == 1
    align = distiller.connectors.align
    assert (align.in_channels, align.out_channels) == ("student_place", "teacher_place")
