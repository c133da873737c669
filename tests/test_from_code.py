"""Distillation from Python: two networks and the name of a method."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pckd_mm
from pckd_mm.models import MultiViewDistill
from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config
from tests.builders import ROOT, build_pckd, classifier, detector, method, scenes
from tests.dense import dense_detector

CLASSES = 5


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)  # as for any config with relative paths


def network(width: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    features = nn.Sequential(
        nn.Conv2d(3, width, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    return nn.Sequential(features, nn.Linear(width, CLASSES))


def images(count=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(count, 3, 16, 16, generator=generator)
    return pixels, torch.randint(CLASSES, (count,), generator=generator)


def test_two_networks_of_torch_in_a_loop_of_ones_own():
    student, teacher = network(4), network(8, seed=1)
    before = copy.deepcopy(student.state_dict())
    taught = copy.deepcopy(teacher.state_dict())
    model = pckd_mm.distill(student, teacher, input_shape=(3, 16, 16))
    assert isinstance(model, MultiViewDistill) and model.student.model is student
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for epoch in range(8):
        model.progress = (epoch + 1) / 8
        loss, log = model.losses_of(*images())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(log["student.loss"]))
    assert losses[-1] < losses[0]
    now = student.state_dict()
    assert all(not torch.equal(now[name], before[name]) for name in now)
    assert all(torch.equal(taught[n], t) for n, t in teacher.state_dict().items())


def test_the_losses_are_those_of_the_config(monkeypatch):
    student, teacher = classifier(8), classifier(14)
    model = pckd_mm.distill(student, teacher, options={"loss_fa": 3, "loss_kd.tau": 2})
    expected = build_pckd(student, teacher)
    expected.distiller.distill_losses["loss_fa"].loss_weight = 3
    expected.distiller.distill_losses["loss_kd"].tau = 2
    model.load_teacher()  # which draws its weights, since there is no checkpoint
    expected.load_state_dict(model.state_dict())
    expected.teacher.load_state_dict(model.teacher.state_dict())
    pixels, labels = images()
    for built in (model, expected):
        built.progress = 0.25
        built.train()
    views = pckd_mm.models.data_preprocessors.rotated_views.rotated_views(pixels, 4)
    samples = [
        pckd_mm.models.algorithms.multi_view_distill.DataSample().set_gt_label(label)
        for label in labels
    ]
    loss, log = model.losses_of(pixels, labels)
    other = expected.loss(views, samples)
    assert {n: float(v) for n, v in log.items() if n != "loss"} == pytest.approx(
        {name: float(value) for name, value in other.items()}, rel=1e-5
    )
    assert float(loss) == pytest.approx(sum(float(v) for v in other.values()))


def test_labels_that_are_scores():
    model = pckd_mm.distill(network(4), network(8), "kd", input_shape=(3, 16, 16))
    model.progress = 1
    pixels, labels = images()
    scores = F.one_hot(labels, CLASSES).float()
    one, _ = model.losses_of(pixels, labels)
    other, _ = model.losses_of(pixels, scores)
    assert float(one) == pytest.approx(float(other), rel=1e-5)


def test_places_go_to_the_losses_that_ask_for_them():
    crd = dict(sample_n=6, neg_num=2, dim_out=128)
    options = {f"loss_crd.{name}": value for name, value in crd.items()}
    shape = (3, 16, 16)
    model = pckd_mm.distill(
        network(4), network(8), "crd", options=options, input_shape=shape
    )
    model.progress = 1
    pixels, labels = images()
    with pytest.raises(ValueError, match="asks for sample_idx"):
        model.losses_of(pixels, labels)
    model.distiller.distill_losses["loss_crd"].set_labels(labels.tolist())
    _, log = model.losses_of(pixels, labels, torch.arange(len(labels)))
    assert log["distill.loss_crd"].isfinite()


def test_images_without_labels():
    """The teacher says what is in them: a KL divergence, worked out by hand."""
    settings = dict(calculate_student_loss=False, input_shape=(3, 16, 16))
    model = pckd_mm.distill(network(4), network(8, seed=1), "kd", **settings)
    model.train()
    pixels, labels = images()
    loss, log = model.losses_of(pixels)
    assert set(log) == {"loss", "distill.loss_kd"}
    with torch.no_grad():
        student, teacher = (
            (net.model(pixels) / 4).log_softmax(1)
            for net in (model.student, model.teacher)
        )
    divergence = (teacher.exp() * (teacher - student)).sum(1).mean() * 4**2
    weight = model.distiller.distill_losses["loss_kd"].loss_weight
    torch.testing.assert_close(loss.detach(), weight * divergence)
    # What asks for labels says so.
    with pytest.raises(ValueError, match="label"):
        pckd_mm.distill(network(4), network(8), input_shape=(3, 16, 16)).losses_of(
            pixels
        )


@pytest.mark.parametrize("kind", ["torch", "mmpretrain", "config"])
def test_kd_weighs_the_students_own_loss(kind):
    """0.1 times the cross-entropy, whatever the student is built from."""
    shipped = method("kd")["architecture"]["head"]["loss"]["loss_weight"]
    student = {
        "torch": network(4),
        "mmpretrain": pckd_mm.registry.MODELS.build(classifier(8, CLASSES)),
        "config": classifier(8, CLASSES),
    }[kind]
    model = pckd_mm.distill(student, network(8), "kd", input_shape=(3, 16, 16))
    model.progress = 1
    pixels, labels = images()
    _, log = model.losses_of(pixels, labels)
    logits = model.student(pixels, mode="tensor")
    if not isinstance(logits, torch.Tensor) or logits.shape[-1] != CLASSES:
        logits = model.student.head(model.student.extract_feat(pixels))
    expected = shipped * F.cross_entropy(logits, labels)
    assert float(log["student.loss"]) == pytest.approx(float(expected), rel=1e-4)


def test_names_of_configs_with_a_checkpoint():
    model = pckd_mm.distill(
        "vanilla/cifar100_resnet8",
        "vanilla/cifar100_resnet20",
        teacher_ckpt="zoo/cifar100_resnet20_60e.pth",
    )
    assert model.num_classes == 100
    assert model.teacher_config == "vanilla/cifar100_resnet20"
    # Views are normalised as the student's config says.
    declared = load_config("vanilla/cifar100_resnet8").data_preprocessor.mean
    mean = model.data_preprocessor.mean.flatten().tolist()
    assert mean == pytest.approx(declared) and mean[0] > 100
    model.load_teacher()


def test_images_of_ones_own_loader_reach_the_teacher_as_they_are(log):
    """A network of torch has them normalised, in a way that nobody says."""
    student = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 100)
    )
    seen = []
    settings = [{}, dict(data_preprocessor=dict(mean=[0.0] * 3, std=[1.0] * 3))]
    for given in settings:
        model = pckd_mm.distill(
            student,
            "vanilla/cifar100_resnet20",
            "kd",
            teacher_ckpt="zoo/cifar100_resnet20_60e.pth",
            input_shape=(3, 32, 32),
            **given,
        )
        model.load_teacher()
        model.teacher.register_forward_pre_hook(
            lambda _, inputs, kwargs: seen.append((*inputs, *kwargs.values())[0]),
            with_kwargs=True,
        )
        pixels = torch.randn(6, 3, 32, 32)
        model.losses_of(pixels, torch.arange(6))
        if not given:
            assert torch.equal(seen.pop(), pixels)
            said = "How the student's images are normalised is not known: "
            assert any(message.startswith(said) for message in log())
    # Who says mean and std of pixels has them turned into the teacher's.
    cfg = load_config("vanilla/cifar100_resnet20").data_preprocessor
    mean, std = (torch.tensor(cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    torch.testing.assert_close(seen.pop(), (pixels - mean) / std)


def test_a_built_student_keeps_the_kind_of_its_loss():
    """KD weighs it, whatever it is."""
    loss = dict(type="mmpretrain.LabelSmoothLoss", label_smooth_val=0.3)
    student = MODELS.build(classifier(8, loss=loss))
    model = pckd_mm.distill(student, classifier(14), "kd", input_shape=(3, 16, 16))
    own = model.student.head.loss_module
    assert type(own).__name__ == "LabelSmoothLoss" and own.loss_weight == 0.1


def constant(value):
    return dict(type="Constant", layer="Conv2d", val=value)


def student_config(**backbone):
    """A student of MMPretrain; its backbone's settings."""
    student = classifier(8, CLASSES)
    student["backbone"].update(backbone)
    return student


def convolutions(model):
    layers = model.student.modules()
    return [m.weight.unique().tolist() for m in layers if isinstance(m, nn.Conv2d)]


def test_a_student_of_a_config_is_initialised_as_it_says(tmp_path):
    shape = (3, 16, 16)
    student = student_config(init_cfg=constant(0.125))
    model = pckd_mm.distill(student, network(8), input_shape=shape)
    found = convolutions(model)
    assert found == [[0.125]] * len(found) and found
    # Weights of a file, too.
    torch.save(model.student.backbone.state_dict(), tmp_path / "student.pth")
    file = dict(type="Pretrained", checkpoint=str(tmp_path / "student.pth"))
    loaded = pckd_mm.distill(
        student_config(init_cfg=file), network(8), input_shape=shape
    )
    assert convolutions(loaded) == found
    # A Runner does not do it again.
    for weight in model.student.parameters():
        weight.data.fill_(3)
    model.init_weights()
    assert convolutions(model) == [[3.0]] * len(found)


def test_nobody_is_told_of_each_parameter(capfd):
    pckd_mm.distill(student_config(), network(8), input_shape=(3, 16, 16))
    printed = "".join(capfd.readouterr())
    assert "init_weights" not in printed and "PretrainedInit" not in printed
    assert len(printed.splitlines()) < 5


def test_a_student_of_a_name_is_initialised(tmp_path):
    (tmp_path / "own.py").write_text(f"model = {student_config(init_cfg=constant(2))}")
    model = pckd_mm.distill(
        str(tmp_path / "own.py"), network(8), input_shape=(3, 16, 16)
    )
    assert all(values == [2.0] for values in convolutions(model))


def test_a_student_that_is_built_keeps_its_weights():
    """And one that its own library builds, whose weights may be trained already."""
    built = pckd_mm.registry.MODELS.build(student_config(init_cfg=constant(0.125)))
    by_name = dict(model="tests.test_from_code.network", width=4, seed=3)
    plain = dict(type="pckd_mm.PlainClassifier", **by_name)
    for student, same in ((built, built), (plain, network(4, seed=3))):
        state = copy.deepcopy(same.state_dict())
        model = pckd_mm.distill(student, network(8), "kd", input_shape=(3, 16, 16))
        model.init_weights()  # as a Runner does
        kept = model.student.state_dict()
        assert kept.keys() == state.keys()
        assert all(torch.equal(kept[name], value) for name, value in state.items())


def test_a_name_of_mmpretrain_is_a_model_with_its_weights():
    model = pckd_mm.distill("resnet18_8xb32_in1k", "resnet34_8xb32_in1k")
    assert model.num_classes == 1000 and model.student.backbone.depth == 18
    assert model.teacher_ckpt.endswith(".pth") and "resnet34" in model.teacher_ckpt


def gfl(channels):
    return dense_detector("gfl", channels)


@pytest.mark.parametrize(
    "network, kind", [(detector, "RoIDistill"), (gfl, "DenseDistill")]
)
def test_detectors(network, kind):
    pytest.importorskip("mmdet")
    model = pckd_mm.distill(network(8), network(12), "kd")
    assert type(model).__name__ == kind
    assert list(model.distiller.distill_losses) == ["loss_kd"]
    model.progress = 1
    model.teacher.init_weights()
    model._teacher_loaded = True
    data = model.data_preprocessor(scenes([[[4, 4, 40, 40]]]), training=True)
    losses = model.loss(data["inputs"], data["data_samples"])
    assert losses["distill.loss_kd"].isfinite()


@pytest.mark.parametrize(
    "settings, reason",
    [
        (dict(method="pkcd"), "no method pkcd for classifiers; .* did you mean pckd"),
        (dict(method="pckd_fpn"), "no method pckd_fpn for classifiers; expected one"),
        (dict(method="pckd_terms"), "no method pckd_terms for classifiers"),
        (dict(options={"loss_fb": 1}), "pckd has no loss_fb; .* did you mean loss_fa"),
        (dict(teacher="nowhere/x"), "no config nowhere/x; expected a file, or a con"),
    ],
)
def test_what_is_not_there(settings, reason):
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        pckd_mm.distill(network(4), **{"teacher": network(8), **settings})


def test_one_network_is_not_both():
    one = network(4)
    with pytest.raises(ValueError, match="are the teacher's"):
        pckd_mm.distill(one, one, input_shape=(3, 16, 16))


def test_nothing_else_is_an_attribute_of_the_package():
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        pckd_mm.distil  # noqa: B018


def test_a_teacher_named_by_a_config_needs_its_weights():
    match = "The teacher vanilla/cifar100_resnet20 is a config without weights"
    with pytest.raises(ValueError, match=match):
        pckd_mm.distill("vanilla/cifar100_resnet8", "vanilla/cifar100_resnet20")
