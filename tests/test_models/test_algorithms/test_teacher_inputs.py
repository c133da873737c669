"""The teacher of a distillation gets the images that it was trained on."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from pckd_mm.registry import MODELS
from tests.builders import CONFIGS, build_pckd, classifier, image_folder, method

STUDENT = dict(mean=[129.3, 124.1, 112.4], std=[68.2, 65.4, 70.4], to_rgb=False)
VIEWS = dict(type="pckd_mm.RotatedViewsDataPreprocessor", crop_padding=2, **STUDENT)
TEACHERS = dict(
    half=dict(mean=[127.5] * 3, std=[127.5] * 3),
    raw=dict(type="mmpretrain.ClsDataPreprocessor"),
    swapped=dict(STUDENT, to_rgb=True),
    imagenet=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
    ),
)
# Written as a user would: of a run, with the preprocessor beside the model.
RUN = "data_preprocessor = {}\nmodel = {}\ntest_dataloader = dict(dataset={})\n"


def images(count: int = 4, size: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, 3, size, size)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def step(model, size: int = 8) -> dict:
    """A step on the same views; the teacher's records, and the pixels of the views."""
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 1)]
    preprocessor = model.data_preprocessor
    model.teacher_inputs.tell_channel_order("bgr")  # as the PreflightHook does
    torch.manual_seed(7)
    pixels = preprocessor.make_views(images(size=size))
    torch.manual_seed(7)
    batch = dict(inputs=images(size=size), data_samples=samples)
    data = preprocessor(batch, True)
    seen = {}
    handles = [
        model.teacher.register_forward_pre_hook(
            lambda _, inputs: seen.update(inputs=inputs[0])
        ),
        model.teacher.head.fc.register_forward_hook(
            lambda _, inputs, output: seen.update(feature=inputs[0], logits=output)
        ),
    ]
    try:
        losses = model(**data, mode="loss")
    finally:
        for handle in handles:
            handle.remove()
    return dict(seen, batch=data["inputs"], pixels=pixels, losses=losses)


def expected(model, pixels, settings, size=None) -> dict:
    """By the teacher's own pipeline: its preprocessor, the size, the network."""
    settings = {k: v for k, v in settings.items() if k != "type"}
    inputs = ClsDataPreprocessor(**settings)(dict(inputs=pixels))["inputs"]
    if size is not None:
        inputs = F.interpolate(inputs, size, mode="bilinear", antialias=True)
    with torch.no_grad():
        feature = model.teacher.backbone(inputs)[-1].mean(dim=(2, 3))
        logits = model.teacher.head.fc(feature)
    return dict(inputs=inputs, feature=feature, logits=logits)


def assert_sees(found: dict, wanted: dict) -> None:
    for name, value in wanted.items():
        scale = value.abs().max().clamp_min(1)
        error = (found[name] - value).abs().max() / scale
        assert error < 1e-4, (name, error)


@pytest.mark.parametrize("size", [None, 16, (4, 6)])
@pytest.mark.parametrize("name", TEACHERS)
def test_four_views_as_by_the_teachers_own_pipeline(name, size):
    model = build_pckd(
        classifier(8),
        dict(classifier(14), data_preprocessor=TEACHERS[name]),
        data_preprocessor=VIEWS,
        teacher_input_size=size,
    )
    found = step(model)
    assert len(found["batch"]) == 16
    wanted = expected(model, found["pixels"], TEACHERS[name], size)
    assert_sees(found, wanted)
    assert all(loss.isfinite() for loss in found["losses"].values())


@pytest.mark.parametrize("name", TEACHERS)
def test_whole_step_equals_that_of_a_teacher_of_the_same_images(name):
    # A model that does not convert, whose teacher is handed its own images.
    model = build_pckd(
        classifier(8),
        dict(classifier(14), data_preprocessor=TEACHERS[name]),
        data_preprocessor=VIEWS,
    ).eval()
    found = step(model)
    plain = build_pckd(classifier(8), classifier(14), data_preprocessor=VIEWS).eval()
    plain.load_state_dict(model.state_dict())
    plain.teacher.load_state_dict(model.teacher.state_dict())
    wanted = expected(model, found["pixels"], TEACHERS[name])["inputs"]
    plain.teacher.register_forward_pre_hook(lambda _, inputs: (wanted, *inputs[1:]))
    for name, loss in step(plain)["losses"].items():
        torch.testing.assert_close(found["losses"][name], loss, rtol=1e-4, atol=1e-5)


def test_both_alike_is_the_same_tensor(log):
    for teacher in (classifier(14), dict(classifier(14), data_preprocessor=STUDENT)):
        model = build_pckd(classifier(8), teacher, data_preprocessor=VIEWS)
        found = step(model)
        assert found["inputs"] is found["batch"]
    lines = [line for line in log() if "normalised" in line]
    assert len(lines) == 1 and "as the student's, as the teacher's own" in lines[0]


def test_images_that_come_normalised_are_the_teachers_too():
    teacher = dict(classifier(14), data_preprocessor=TEACHERS["half"])
    for is_normalised in (False, True):
        model = build_pckd(
            classifier(8),
            teacher,
            data_preprocessor=VIEWS,
            normalised_images=is_normalised,
        )
        found = step(model)
        assert torch.equal(found["inputs"], found["batch"]) == is_normalised


def test_size_of_the_students_images_is_no_resize(log):
    model = build_pckd(
        classifier(8), classifier(14), data_preprocessor=VIEWS, teacher_input_size=8
    )
    found = step(model)
    assert found["inputs"] is found["batch"]
    assert not any("pixels" in line for line in log())


def run_of(tmp_path, preprocessor: dict, dataset: dict, model=None) -> dict:
    path = tmp_path / "teacher.py"
    path.write_text(RUN.format(preprocessor, model or classifier(14), dataset))
    (tmp_path / "teacher.pth").touch()
    return dict(teacher_config=str(path))


IMAGES = dict(
    type="CustomDataset",
    pipeline=[
        dict(type="LoadImageFromFile"),
        dict(type="ResizeEdge", scale=18),
        dict(type="CenterCrop", crop_size=16),
        dict(type="PackInputs"),
    ],
)


@pytest.mark.parametrize("beside", [True, False])
def test_preprocessor_and_size_of_teacher_config(tmp_path, beside, log):
    settings = run_of(tmp_path, TEACHERS["half"], IMAGES)
    teacher = classifier(14)
    if not beside:
        teacher = None
        torch.save(MODELS.build(classifier(14)).state_dict(), tmp_path / "teacher.pth")
        settings["teacher_ckpt"] = str(tmp_path / "teacher.pth")
    model = build_pckd(classifier(8), teacher, data_preprocessor=VIEWS, **settings)
    found = step(model)
    assert_sees(found, expected(model, found["pixels"], TEACHERS["half"], 16))
    source = f"as teacher_config {settings['teacher_config']} says"
    lines = [line for line in log() if source in line]
    assert len(lines) == 2
    assert "mean [127.5, 127.5, 127.5]" in lines[0]
    assert "16 x 16 pixels" in lines[1] and "4 times as many" in lines[1]


def test_same_size_switches_the_resize_off(tmp_path):
    settings = run_of(tmp_path, STUDENT, IMAGES)
    settings["teacher_input_size"] = "same"
    model = build_pckd(
        classifier(8), classifier(14), data_preprocessor=VIEWS, **settings
    )
    found = step(model)
    assert found["inputs"] is found["batch"]


def test_config_of_mmpretrain_by_name():
    model = build_pckd(
        classifier(8),
        classifier(14),
        data_preprocessor=VIEWS,
        teacher_config="mmpretrain::vision_transformer/vit-base-p16_64xb64_in1k-384px.py",
        teacher_input_size=16,
        swap_teacher_channels=False,
    )
    found = step(model)
    assert_sees(found, expected(model, found["pixels"], TEACHERS["half"], 16))


def test_preprocessor_without_mean_of_a_teacher_says_nothing():
    teacher = dict(classifier(14), data_preprocessor=dict(num_classes=10))
    model = build_pckd(classifier(8), teacher, data_preprocessor=VIEWS)
    found = step(model)
    assert found["inputs"] is found["batch"]


def test_students_own_preprocessor_counts():
    student = dict(classifier(8), data_preprocessor=VIEWS)
    teacher = dict(classifier(14), data_preprocessor=TEACHERS["half"])
    model = build_pckd(student, teacher)
    found = step(model)
    assert_sees(found, expected(model, found["pixels"], TEACHERS["half"]))


def test_without_any_preprocessor_batches_stay(log):
    # Batches of a loop of one's own are normalised already, in a way that is not known.
    teacher = dict(classifier(14), data_preprocessor=TEACHERS["half"])
    model = build_pckd(classifier(8), teacher)
    batch = torch.rand(2, 3, 8, 8)
    assert model.teacher_inputs(batch) is batch
    (line,) = [line for line in log() if "normalised" in line]
    assert "is not known" in line and "Set data_preprocessor" in line


def test_padding_behind_normalisation_is_refused():
    settings = dict(VIEWS, pad_size_divisor=8)
    teacher = dict(classifier(14), data_preprocessor=TEACHERS["half"])
    with pytest.raises(ValueError, match="pad_size_divisor=8.*; expected images that"):
        build_pckd(classifier(8), teacher, data_preprocessor=settings)
    # The advice; and images of one kind may be padded as ever.
    build_pckd(classifier(8), teacher, data_preprocessor=VIEWS)
    build_pckd(classifier(8), classifier(14), data_preprocessor=settings)


def test_images_of_several_sizes_keep_their_padding():
    config = dict(
        method("kd"),
        architecture=classifier(8),
        teacher=dict(classifier(14), data_preprocessor=TEACHERS["half"]),
        data_preprocessor=dict(type="mmpretrain.ClsDataPreprocessor", **STUDENT),
    )
    model = MODELS.build(config)
    model.progress = 0.5
    model.load_teacher()
    sizes = [(8, 5), (6, 8), (8, 8), (7, 7)]
    pixels = [image[:, :h, :w] for image, (h, w) in zip(images(), sizes, strict=True)]
    samples = [
        DataSample(metainfo=dict(img_shape=size)).set_gt_label(0) for size in sizes
    ]
    data = model.data_preprocessor(dict(inputs=pixels, data_samples=samples), True)
    seen = []
    model.teacher.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(**data, mode="loss")
    own = ClsDataPreprocessor(**TEACHERS["half"])(dict(inputs=pixels))["inputs"]
    torch.testing.assert_close(seen[0], own)


def test_teacher_inputs_go_where_the_teacher_goes():
    teacher = dict(classifier(14), data_preprocessor=TEACHERS["half"])
    model = build_pckd(classifier(8), teacher, data_preprocessor=VIEWS)
    plain = build_pckd(classifier(8), classifier(14), data_preprocessor=VIEWS)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert not any("scale" in name for name, _ in model.named_buffers())
    assert copy.deepcopy(model).teacher_inputs is model.teacher_inputs
    model.to("meta")
    assert model.teacher_inputs.scale.device.type == "meta"


def test_shapes_of_connectors_are_those_of_the_teachers_size():
    config = dict(method("fitnet"), architecture=classifier(8), teacher=classifier(14))
    config["data_preprocessor"] = dict(VIEWS, num_views=1)
    config["input_shape"] = (3, 8, 8)
    shapes = {}
    for size in (None, 16):
        model = MODELS.build(dict(config, teacher_input_size=size))
        model.progress = 0.5
        model.load_teacher()
        losses = step_of_one_view(model)
        assert all(loss.isfinite() for loss in losses.values())
        regressor = next(iter(model.distiller.connectors.values())).regressor
        shapes[size] = type(regressor[0]).__name__
    # From the student's size to the same, and to twice as large.
    assert shapes == {None: "Conv2d", 16: "ConvTranspose2d"}


def step_of_one_view(model) -> dict:
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 1)]
    data = model.data_preprocessor(dict(inputs=images(), data_samples=samples), True)
    return model(**data, mode="loss")


def test_attention_of_another_size():
    config = dict(method("at"), architecture=classifier(8), teacher=classifier(14))
    config["data_preprocessor"] = dict(VIEWS, num_views=1)
    model = MODELS.build(dict(config, teacher_input_size=16))
    model.progress = 0.5
    model.load_teacher()
    assert all(loss.isfinite() for loss in step_of_one_view(model).values())


def of_torchvision(**settings) -> dict:
    return dict(
        type="pckd_mm.PlainClassifier",
        model="torchvision.models.VisionTransformer",
        patch_size=16,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=8,
        num_classes=10,
        **settings,
    )


@pytest.mark.parametrize(
    "side, given, is_built",
    [(64, None, False), (96, None, False), (96, 96, False), (64, None, True)],
)
def test_transformer_of_torchvision(side, given, is_built):
    # It takes one size, and keeps it as image_size.
    teacher = of_torchvision(image_size=side)
    model = build_pckd(
        classifier(8),
        MODELS.build(teacher) if is_built else teacher,
        data_preprocessor=dict(VIEWS, num_views=1),
        teacher_input_size=given,
    )
    seen = []
    model.teacher.register_forward_pre_hook(
        lambda _, inputs: seen.append(tuple(inputs[0].shape[2:]))
    )
    assert all(loss.isfinite() for loss in step_of_one_view(model).values())
    assert seen == [(side, side)]


def test_teacher_that_does_not_run_on_the_size_that_is_given():
    teacher, settings = of_torchvision(image_size=96), dict(data_preprocessor=VIEWS)
    with pytest.raises(ValueError, match="teacher .*3 x 64 x 64 .*teacher_input_size"):
        build_pckd(classifier(8), teacher, teacher_input_size=64, **settings)
    build_pckd(classifier(8), teacher, teacher_input_size=96, **settings)  # the advice


SWIN = dict(
    type="mmpretrain.ImageClassifier",
    backbone=dict(
        type="mmpretrain.SwinTransformer",
        arch=dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4),
    ),
    neck=dict(type="mmpretrain.GlobalAveragePooling"),
    head=dict(type="mmpretrain.LinearClsHead", num_classes=10, in_channels=64),
)


@pytest.mark.parametrize("input_shape", [None, (3, 8, 8)])
def test_teacher_that_is_not_made_for_images_so_small(input_shape, log):
    # Of any size, but from the width of a window on; its default is 224.
    model = build_pckd(
        classifier(8),
        SWIN,
        data_preprocessor=dict(VIEWS, num_views=1),
        input_shape=input_shape,
    )
    assert all(loss.isfinite() for loss in step_of_one_view(model).values())
    assert model.teacher_inputs.size == (224, 224)
    assert any("sees the images at 224 x 224 pixels" in line for line in log())


def test_teacher_that_takes_images_of_the_students_size():
    model = build_pckd(classifier(8), SWIN, data_preprocessor=dict(VIEWS, num_views=1))
    batch = torch.rand(1, 3, 256, 224)
    assert model.teacher_inputs(batch) is batch and model.teacher_inputs.size is None


# --- in a run ---------------------------------------------------------------------


def runner(tmp_path, teacher: dict, to_rgb: bool, **settings) -> Runner:
    """A run on images in folders, BGR as they are read, up to its first step."""
    root = image_folder(tmp_path / "data", size=8)
    dataset = dict(
        type="pckd_mm.CheckedCustomDataset",
        data_root=str(root),
        data_prefix="train",
        pipeline=[dict(type="LoadImageFromFile"), dict(type="PackInputs")],
    )
    model = dict(
        method("pckd"),
        architecture=classifier(8, classes=3),
        teacher=teacher,
        data_preprocessor=dict(VIEWS, to_rgb=to_rgb),
        **settings,
    )
    return Runner(
        model=model,
        work_dir=str(tmp_path / "run"),
        train_dataloader=dict(
            batch_size=6,
            dataset=dataset,
            collate_fn=dict(type="default_collate"),
            sampler=dict(type="DefaultSampler", shuffle=True),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
        custom_hooks=[dict(type="pckd_mm.PreflightHook")],
        default_scope="mmpretrain",
        experiment_name=tmp_path.name,
    )


CIFAR = dict(type="CIFAR100", pipeline=[dict(type="PackInputs")])


@pytest.mark.parametrize(
    "to_rgb, dataset, flag, swaps",
    [
        (True, CIFAR, False, False),
        (False, CIFAR, False, True),
        (True, IMAGES, True, False),
        (False, IMAGES, True, True),
        (False, IMAGES, False, False),
    ],
)
def test_order_of_channels_of_the_runs_own_images(
    tmp_path, to_rgb, dataset, flag, swaps
):
    settings = run_of(tmp_path, dict(STUDENT, to_rgb=flag), dataset)
    run = runner(
        tmp_path,
        classifier(14, classes=3),
        to_rgb,
        teacher_input_size="same",
        **settings,
    )
    run.train()
    assert run.model.teacher_inputs.swaps is swaps


def test_teacher_of_cifar_pickles_sees_rgb_folders_as_they_are():
    # As in configs with cifar100_folder.py, whose teacher_config has the pickles.
    model = build_pckd(
        classifier(8),
        classifier(14),
        data_preprocessor=dict(VIEWS, mean=None, std=None, to_rgb=True),
        teacher_config=str(CONFIGS / "vanilla" / "cifar100_resnet56.py"),
    )
    assert model.teacher_inputs.swaps is False


def test_training_pipeline_that_normalises(tmp_path):
    teacher = dict(classifier(14, classes=3), data_preprocessor=TEACHERS["half"])
    run = runner(tmp_path, teacher, True)
    pipeline = run._train_dataloader["dataset"]["pipeline"]
    normalise = dict(type="mmcv.Normalize", mean=[0] * 3, std=[1] * 3)
    pipeline.insert(1, normalise)
    with pytest.raises(ValueError, match="has a Normalize, .* to data_preprocessor"):
        run.train()


def test_order_of_a_data_set_of_ones_own_is_asked_for(tmp_path):
    teacher = dict(classifier(14, classes=3), data_preprocessor=TEACHERS["swapped"])

    def run(folder: str, **settings) -> Runner:
        made = runner(tmp_path / folder, teacher, False, **settings)
        # Read by the data set's own code.
        load = dict(type="LoadImageFromFile", color_type="unchanged")
        made._train_dataloader["dataset"]["pipeline"][0] = load
        return made

    with pytest.raises(ValueError, match="RGB or BGR .* set swap_teacher_channels=Tr"):
        run("asks").train()
    # The advice.
    told = run("told", swap_teacher_channels=False)
    told.train()
    assert told.model.teacher_inputs.swaps is False


def test_training_pipeline_of_torchvision_that_normalises(tmp_path):
    teacher = dict(classifier(14, classes=3), data_preprocessor=TEACHERS["half"])
    run = runner(tmp_path, teacher, True)
    pipeline = run._train_dataloader["dataset"]["pipeline"]
    pipeline.insert(1, dict(type="torchvision/ToTensor"))
    normalise = dict(type="torchvision/Normalize", mean=[0.5] * 3, std=[0.5] * 3)
    pipeline.insert(2, normalise)
    with pytest.raises(ValueError, match="has a torchvision/ToTensor, .*leave it out"):
        run.train()
