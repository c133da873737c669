"""Every run config builds, trains a step and predicts."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from pckd_mm.models import ContrastiveRepresentationLoss
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import load_exactly, model_state_dict, read_checkpoint
from pckd_mm.utils.config import load_config
from tests.builders import CONFIGS, ROOT

RUNS = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.glob("*/*.py")
    if path.parent.name != "_base_"
    # Detectors are in test_detection_configs.py.
    and not path.name.startswith(("voc_", "coco_", "digit_scenes_"))
)
SAME_FAMILY = (
    "wrn_40_2_wrn_16_2 wrn_40_2_wrn_40_1 resnet56_resnet20 resnet110_resnet20 "
    "resnet110_resnet32 resnet32x4_resnet8x4 vgg13_vgg8"
).split()
CROSS_FAMILY = (
    "vgg13_mobilenetv2 resnet50_mobilenetv2 resnet50_vgg8 resnet32x4_shufflev1 "
    "resnet32x4_shufflev2 wrn_40_2_shufflev1"
).split()
METHODS = "pckd pckd_wo_kd pckd_plus kd fitnet at rkd crd dkd dist".split()
ABLATIONS = "wo_cc wo_ca wo_fa wo_preview curriculum focal".split()
# Data set by the first word of a config's name: categories and shape of an image.
DATA = {
    "cifar100": (100, (3, 32, 32)),
    "digits": (9, (1, 8, 8)),
    "letters": (92, (1, 16, 16)),
    "imagenet": (1000, (3, 64, 64)),
    "stl10": (10, (3, 32, 32)),
    "tiny": (200, (3, 32, 32)),
    "folder": (20, (3, 32, 32)),
}


def build(cfg: Config):
    """As the runner does, with whatever weights where none are at hand."""
    torch.manual_seed(0)
    model = dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
    for weights in ("teacher_ckpt", "checkpoint"):
        if weights in model:
            model[weights] = None
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(model)
        model.init_weights()
    return model


# One config of each data set, of detectors too.
OF_DATA = {path.stem.split("_")[0]: path for path in CONFIGS.glob("[a-z]*/*_*.py")}


@pytest.mark.parametrize("data", [*DATA, "voc", "digit"])
def test_cudnn_tries_its_algorithms_where_images_have_one_size(data):
    env_cfg = load_config(OF_DATA[data]).env_cfg
    assert env_cfg.cudnn_benchmark is (data in DATA)


# One config of each method, data set and network.
KINDS = sorted(
    {
        (folder, name if folder == "vanilla" else name.split("_")[0]): path
        for path in reversed(RUNS)
        for folder, name in [path.split("/")]
    }.values()
)


@pytest.mark.parametrize("path", KINDS)
def test_model_of_a_config_builds_by_itself(path):
    """Without a runner, which gives the model its data preprocessor and its scope."""
    cfg = Config.fromfile(CONFIGS / path)
    DefaultScope._instance_dict.clear()
    model = MMENGINE_MODELS.build(cfg.model)
    views = 4 if is_pckd(path) else 1
    assert getattr(model.data_preprocessor, "num_views", 1) == views


def is_pckd(path: str) -> bool:
    return path.startswith("pckd")


@pytest.mark.parametrize("path", RUNS)
def test_config_trains_and_tests(path):
    cfg = Config.fromfile(CONFIGS / path)
    classes, shape = DATA[path.split("/")[1].split("_")[0].removesuffix(".py")]
    model = build(cfg)
    views = 4 if is_pckd(path) else 1
    crops = (views,) if "imagenet" in path and views > 1 else ()
    images = torch.randint(0, 256, (2, *crops, *shape), dtype=torch.uint8)
    samples = [
        DataSample(metainfo=dict(sample_idx=index)).set_gt_label(label)
        for index, label in enumerate((0, classes - 1))
    ]

    for loss in model.modules():
        if isinstance(loss, ContrastiveRepresentationLoss):  # as SampleLabelsHook does
            loss.set_labels(torch.arange(50000) % classes)

    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), True)
    assert len(data["inputs"]) == 2 * views
    total, _ = model.parse_losses(model(**data, mode="loss"))
    total.backward()
    assert total.isfinite()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained and all(parameter.grad is not None for parameter in trained)

    model.eval()
    images = images[:, 0] if crops else images
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), False)
    with torch.no_grad():
        predictions = model(**data, mode="predict")
    assert [len(p.pred_score) for p in predictions] == [classes] * 2


def test_the_benchmark_is_complete():
    expected = {
        f"{method}/cifar100_{pair}.py"
        for method in METHODS
        for pair in (*SAME_FAMILY, *CROSS_FAMILY, "resnet20_resnet8")
    }
    expected |= {f"pckd_{name}/cifar100_resnet56_resnet20.py" for name in ABLATIONS}
    networks = Config.fromfile(CONFIGS / "_base_/networks/cifar100.py").to_dict()
    assert len(networks) == 22
    expected |= {f"vanilla/cifar100_{network}.py" for network in networks}
    assert expected <= set(RUNS)


@pytest.mark.parametrize("pair", [*SAME_FAMILY, *CROSS_FAMILY])
def test_methods_differ_in_the_method_only(pair):
    """Networks, data and schedule of a row are those of the student alone."""
    networks = Config.fromfile(CONFIGS / "_base_/networks/cifar100.py")
    student = max((n for n in networks if pair.endswith(f"_{n}")), key=len)
    teacher = pair.removesuffix(f"_{student}")
    alone = Config.fromfile(CONFIGS / f"vanilla/cifar100_{student}.py").to_dict()
    assert alone.pop("model") == networks[student]
    is_mobile = student in ("mobilenetv2", "shufflev1", "shufflev2")
    assert alone["optim_wrapper"]["optimizer"]["lr"] == (0.01 if is_mobile else 0.05)
    for method in METHODS:
        cfg = Config.fromfile(CONFIGS / f"{method}/cifar100_{pair}.py").to_dict()
        model = cfg.pop("model")
        assert model["teacher"] == networks[teacher]
        model["architecture"]["head"].pop("loss", None)  # its weight is the method's
        assert model["architecture"] == networks[student]
        cfg.pop("custom_hooks")
        assert cfg == alone, method


@pytest.mark.parametrize("path", RUNS)
def test_teacher_of_a_distillation_is_a_run_of_ours(path):
    cfg = Config.fromfile(CONFIGS / path)
    if "teacher_ckpt" not in cfg.model or cfg.model.teacher_ckpt.startswith("http"):
        return
    teacher = Config.fromfile(CONFIGS.parent / cfg.model.teacher_config)
    assert teacher.model == cfg.model.teacher
    if cfg.model.teacher_ckpt.startswith("zoo/"):
        state = model_state_dict(read_checkpoint(str(ROOT / cfg.model.teacher_ckpt)))
        load_exactly(build(teacher), state, cfg.model.teacher_ckpt)
        return
    name = cfg.model.teacher_config.removeprefix("configs/").removesuffix(".py")
    epochs = teacher.train_cfg.max_epochs
    assert cfg.model.teacher_ckpt == f"work_dirs/{name}/epoch_{epochs}.pth"


def test_pckd_states_the_method():
    cfg = Config.fromfile(CONFIGS / "pckd/cifar100_wrn_40_2_wrn_16_2.py")
    losses = cfg.model.distiller.distill_losses
    weights = {name: loss.loss_weight for name, loss in losses.items()}
    assert weights == dict(loss_kd=1.0, loss_cc=0.05, loss_ca=1.0, loss_fa=20.0)
    assert (losses.loss_kd.tau, losses.loss_cc.tau, losses.loss_cc.base_tau) == (
        4.0,
        4.0,
        0.07,
    )
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (
        0.05,
        0.9,
        5e-4,
    )
    assert cfg.param_scheduler.milestones == [150, 180, 210]
    assert cfg.train_cfg.max_epochs == 240
    assert cfg.train_dataloader.batch_size == 64
    mean, std = cfg.data_preprocessor["mean"], cfg.data_preprocessor["std"]
    assert [round(v / 255, 4) for v in mean] == [0.5071, 0.4866, 0.4409]
    assert [round(v / 255, 4) for v in std] == [0.2675, 0.2565, 0.2761]


def test_pckd_plus_differs_by_what_the_search_found():
    pair = "cifar100_wrn_40_2_wrn_16_2.py"
    pckd, plus = (
        Config.fromfile(CONFIGS / method / pair).to_dict()
        for method in ("pckd", "pckd_plus")
    )
    losses = [cfg["model"]["distiller"]["distill_losses"] for cfg in (pckd, plus)]
    mappings = [
        cfg["model"]["distiller"]["loss_forward_mappings"] for cfg in (pckd, plus)
    ]
    dist = dict(inter_loss_weight=2.0, intra_loss_weight=2.0, tau=4.0)
    assert losses[1].pop("loss_kd") == dict(type="DISTRelationLoss", **dist)
    assert set(mappings[1].pop("loss_kd")) == {"logits_S", "logits_T", "weight"}
    assert losses[1]["loss_cc"].pop("loss_weight") == 0.01
    assert losses[1]["loss_fa"].pop("loss_weight") == 60
    for of_pckd in (losses[0], mappings[0]):
        del of_pckd["loss_kd"]
    for loss in ("loss_cc", "loss_fa"):
        del losses[0][loss]["loss_weight"]
    assert pckd == plus


def test_folders_and_official_files_differ_in_the_data_only():
    official, folder = (
        Config.fromfile(CONFIGS / "_base_/datasets" / name)
        for name in ("cifar100.py", "cifar100_folder.py")
    )
    assert official.train_dataloader.dataset.dataset.type == "pckd_mm.CheckedCIFAR100"
    assert (
        folder.train_dataloader.dataset.dataset.type == "pckd_mm.CheckedCustomDataset"
    )
    # Files decode to BGR, the official arrays are RGB.
    assert not official.data_preprocessor.to_rgb and folder.data_preprocessor.to_rgb
    for cfg in (official, folder):
        cfg.data_preprocessor.pop("to_rgb")
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            cfg[loader].dataset.pop("dataset")
            cfg[loader].dataset.pop("pipeline", None)
    assert official.to_dict() == folder.to_dict()


@pytest.mark.parametrize("name", ["stl10", "tiny_imagenet", "transfer_folder"])
def test_data_of_transfer_are_shrunk_rgb(name):
    cfg = Config.fromfile(CONFIGS / f"_base_/datasets/{name}.py")
    steps = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=32, backend="pillow"),
        dict(type="PackInputs"),
    ]
    # Files decode to BGR; STL-10 holds arrays, which are RGB.
    is_file = name != "stl10"
    assert cfg.data_preprocessor.to_rgb == is_file
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataset = loader.dataset.dataset
        assert dataset.pipeline == (steps if is_file else steps[1:])
    assert cfg.test_dataloader == cfg.val_dataloader
    if is_file:
        assert cfg.test_dataloader.dataset.pipeline == steps
    assert "shrunk" not in cfg
