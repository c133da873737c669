"""MultiViewDistill: who is run on what, and the teacher's isolation."""

import copy
import gc
import logging
import os
import pickle
import weakref

import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmpretrain.models import LinearClsHead
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.structures import DataSample
from torch import nn

from pckd_mm.datasets.whole_batch import require_places
from pckd_mm.models.algorithms.distillation_step import training_progress
from pckd_mm.models.algorithms.multi_view_distill import upright_view
from pckd_mm.registry import MODELS
from tests.builders import batch, build_pckd, classifier, method, pckd_config

STUDENT, TEACHER = classifier(8), classifier(14)


@pytest.fixture
def model():
    return build_pckd(STUDENT, TEACHER)


@pytest.fixture
def hub():
    """A message hub of this test's own, so that no other runner's state shows."""
    before = MessageHub._instance_dict.copy()
    MessageHub._instance_dict.clear()
    yield MessageHub.get_instance("test")
    MessageHub._instance_dict.clear()
    MessageHub._instance_dict.update(before)


# --- the step ---------------------------------------------------------------------


def test_loss_names(model):
    losses = model(*batch(3), mode="loss")
    assert set(losses) == {
        "student.loss",
        "distill.loss_kd",
        "distill.loss_cc",
        "distill.loss_ca",
        "distill.loss_fa",
    }
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())


def test_student_loss_is_of_upright_views_only(model):
    model.eval()
    inputs, samples = batch(5)
    losses = model(inputs, samples, mode="loss")
    alone = model.student(inputs[::4], samples, mode="loss")
    torch.testing.assert_close(losses["student.loss"], alone["loss"])


def test_kd_is_of_upright_views_only(model):
    model.eval()
    inputs, samples = batch(4)
    other = inputs.clone()
    turned = torch.arange(len(inputs)) % 4 != 0
    other[turned] = torch.randn_like(other[turned])
    first, second = (model(x, samples, mode="loss") for x in (inputs, other))
    torch.testing.assert_close(first["distill.loss_kd"], second["distill.loss_kd"])
    # The other views do count in the contrast.
    assert first["distill.loss_cc"] != second["distill.loss_cc"]


def test_every_student_and_connector_parameter_learns(model):
    total, _ = model.parse_losses(model(*batch(3), mode="loss"))
    total.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_plain_kd_with_one_view():
    config = dict(method("kd"), teacher=TEACHER)
    config["architecture"] = classifier(
        8, loss=dict(type="mmpretrain.CrossEntropyLoss", loss_weight=0.1)
    )
    model = MODELS.build(config).eval()
    model.progress = 0.5
    inputs, samples = batch(4, views=1)
    losses = model(inputs, samples, mode="loss")
    s, t = (net(inputs, mode="tensor") for net in (model.student, model.teacher))
    labels = torch.tensor([int(sample.gt_label) for sample in samples])
    p_t = (t / 4).softmax(1)
    kl = (p_t * (p_t.log() - (s / 4).log_softmax(1))).sum(1).mean()
    torch.testing.assert_close(losses["distill.loss_kd"], 0.9 * 16 * kl)
    ce = -s.log_softmax(1)[range(4), labels].mean()
    torch.testing.assert_close(losses["student.loss"], 0.1 * ce)


def test_preview_weights_follow_the_students_difficulty(model):
    model.eval()
    inputs, samples = batch(6)
    model(inputs, samples, mode="loss")
    logits = model.student(inputs[::4], mode="tensor")
    labels = torch.tensor([int(sample.gt_label) for sample in samples])
    ce = -logits.log_softmax(1)[range(6), labels]
    gamma = ce / ce.mean()
    mu = 1.005 ** (240 * 0.25)
    expected = torch.where(gamma <= mu, 1.0, torch.exp(-(gamma**2)))
    torch.testing.assert_close(model.distiller.preview_weight, expected)


def test_stopped_distillation_leaves_the_student_alone(model):
    model.eval()
    inputs, samples = batch(3)
    model.distillation_stopped = True
    losses = model(inputs, samples, mode="loss")
    assert set(losses) == {"student.loss"}
    alone = model.student(inputs[::4], samples, mode="loss")["loss"]
    torch.testing.assert_close(losses["student.loss"], alone)


@MMPRETRAIN_MODELS.register_module(force=True)
class HeadWithItsOwnLoss(LinearClsHead):
    def loss(self, feats, data_samples, **kwargs):
        return dict(loss=self(feats).square().mean() + len(feats[-1]))


def test_head_with_its_own_loss_gets_the_upright_features():
    student = classifier(8, type="mmpretrain.HeadWithItsOwnLoss")
    model = build_pckd(student, TEACHER).eval()
    losses = model(*batch(3), mode="loss")
    assert 3 <= losses["student.loss"] < 4


@pytest.mark.parametrize(
    "student",
    [
        dict(
            type="mmpretrain.ImageClassifier",
            backbone=dict(type="mmpretrain.ResNet_CIFAR", depth=18, base_channels=8),
            neck=dict(type="mmpretrain.GlobalAveragePooling"),
            head=dict(type="mmpretrain.LinearClsHead", num_classes=10, in_channels=64),
        ),
        dict(
            type="mmpretrain.ImageClassifier",
            backbone=dict(type="mmpretrain.MobileNetV2", widen_factor=0.5),
            neck=dict(type="mmpretrain.GlobalAveragePooling"),
            head=dict(
                type="mmpretrain.LinearClsHead", num_classes=10, in_channels=1280
            ),
        ),
    ],
    ids=["ResNet_CIFAR", "MobileNetV2"],
)
def test_networks_of_mmpretrain(student):
    if student["backbone"]["type"].endswith("ResNet_CIFAR"):
        student["backbone"].update(stem_channels=8)
    settings = method("pckd")["distiller"]
    settings["distill_losses"]["loss_ca"] = None  # widths differ
    model = build_pckd(student, TEACHER, distiller=settings)
    losses = model(*batch(3, size=32), mode="loss")
    assert "distill.loss_ca" not in losses
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite()


def test_one_sample_may_hold_the_labels_of_the_batch(model):
    inputs, samples = batch(5)
    weights = copy.deepcopy(model.state_dict())
    expected = model(inputs, samples, mode="loss")
    model.load_state_dict(weights)
    labels = torch.cat([sample.gt_label for sample in samples])
    found = model(inputs, [DataSample().set_gt_label(labels)], mode="loss")
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("num_places", [1, 5])
def test_places_come_with_each_image_or_with_the_batch(num_places):
    places = torch.tensor([4, 1, 9, 0, 7])
    samples = [
        DataSample(metainfo=dict(sample_idx=part)) for part in places.chunk(num_places)
    ]
    if num_places == 5:
        samples = [DataSample(metainfo=dict(sample_idx=int(p))) for p in places]
    assert require_places(samples).tolist() == [4, 1, 9, 0, 7]


def test_the_teacher_runs_in_inference_mode(model):
    modes = []
    handle = model.teacher.backbone.register_forward_hook(
        lambda *parts: modes.append(torch.is_inference_mode_enabled())
    )
    model(*batch(3), mode="loss")
    handle.remove()
    assert modes == [True]


def test_what_is_delivered_can_have_a_part_in_gradients():
    # Delivered values enter the student's graph, which nothing of inference mode may.
    model = build_pckd(classifier(8), classifier(14))
    model.distiller.deliveries.deliveries["pooled"] = object()
    with model._teacher_mode():
        assert not torch.is_inference_mode_enabled() and not torch.is_grad_enabled()


def test_folding_keeps_the_losses_and_what_is_recorded():
    model = build_pckd(classifier(8), classifier(14), seed=2)
    for module in model.teacher.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    inputs, samples = batch(4)
    weights = copy.deepcopy(model.state_dict())
    expected = model(inputs, samples, mode="loss")
    model.load_state_dict(weights)
    recorder = model.distiller.teacher_recorders.recorders["centers"]
    recorder._source = "backbone.conv1.weight"  # as if a loss asked for it
    # Stem, two for each of six blocks, two projections; the stem is recorded.
    assert model.fold_teacher(lambda: model.teacher(inputs)) == 14
    found = model(inputs, samples, mode="loss")
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    assert isinstance(model.teacher.backbone.bn1, nn.BatchNorm2d)


def test_records_are_released_after_the_step(model):
    features = []
    model.student.neck.register_forward_hook(
        lambda module, inputs, outputs: features.append(weakref.ref(outputs[-1]))
    )
    losses = model(*batch(3), mode="loss")
    model.parse_losses(losses)[0].backward()
    del losses
    gc.collect()
    assert features and all(feature() is None for feature in features)


def test_hooks_survive_the_conversion_to_sync_bn():
    settings = method("pckd")["distiller"]
    settings["student_recorders"]["bn"] = dict(
        type="ModuleOutputs", source="backbone.bn1"
    )
    settings["teacher_recorders"]["bn"] = dict(
        type="ModuleOutputs", source="backbone.bn1"
    )
    settings["distill_losses"]["loss_bn"] = dict(type="mmrazor.L2Loss")
    settings["loss_forward_mappings"]["loss_bn"] = dict(
        s_feature=dict(recorder="bn", from_student=True),
        t_feature=dict(recorder="bn", from_student=False),
    )
    model = build_pckd(STUDENT, TEACHER, distiller=settings)
    before = model.eval()(*batch(2), mode="loss")["distill.loss_bn"]
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert isinstance(model.student.backbone.bn1, nn.SyncBatchNorm)
    assert not isinstance(model.teacher.backbone.bn1, nn.SyncBatchNorm)
    model.train().eval()
    after = model(*batch(2), mode="loss")["distill.loss_bn"]
    torch.testing.assert_close(after, before)


# --- the teacher ------------------------------------------------------------------


def test_teacher_is_no_part_of_the_module_tree(model):
    assert not [name for name in model.state_dict() if "teacher" in name]
    inside = {id(module) for module in model.modules()}
    assert not inside & {id(module) for module in model.teacher.modules()}
    trained = {id(parameter) for parameter in model.parameters()}
    assert not trained & {id(parameter) for parameter in model.teacher.parameters()}
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())


def test_teacher_stays_wholly_in_eval_mode():
    teacher = classifier(14)
    teacher["neck"] = [dict(type="mmpretrain.GlobalAveragePooling")]
    teacher["neck"] = dict(type="mmpretrain.GlobalAveragePooling")
    model = build_pckd(STUDENT, teacher)
    model.teacher.backbone.layer1.append(nn.Dropout(0.5))
    for mode in (True, False, True):
        assert model.train(mode) is model
        assert not any(module.training for module in model.teacher.modules())
    statistics = copy.deepcopy(model.teacher.state_dict())
    model(*batch(3), mode="loss")
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, statistics[name]), name


def test_copies_share_the_teacher(model):
    # EMAHook copies the model.
    assert copy.deepcopy(model).teacher is model.teacher


def test_teacher_follows_dtype(model):
    model.double()
    assert next(model.teacher.parameters()).dtype == torch.float64
    inputs, samples = batch(2)
    losses = model(inputs.double(), samples, mode="loss")
    assert losses["distill.loss_cc"].dtype == torch.float64


def save(model: dict, path, wrap=lambda state: state) -> dict:
    state = MODELS.build(model).state_dict()
    torch.save(wrap(state), path)
    return state


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "meta": {"epoch": 3}},
        lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
        # A student distilled before, now the teacher.
        lambda state: {
            "state_dict": {f"architecture.{k}": v for k, v in state.items()}
            | {"distiller.connectors.align.mlp.0.weight": torch.zeros(2, 2)}
        },
        # What MMEngine's runner saves beside the weights.
        lambda state: {
            "state_dict": state,
            "message_hub": {"log_scalars": {"train/lr": HistoryBuffer([0.1], [1])}},
        },
        # As others save it: of a compiled network, with averages beside.
        lambda state: {
            "model": {f"module.model._orig_mod.{k}": v for k, v in state.items()},
            "model_ema": {k: v + 1 for k, v in state.items()},
        },
        # MMRazor's own: a student of the same network, and its teacher.
        lambda state: {
            "state_dict": {f"teacher.{k}": v + 1 for k, v in state.items()}
            | {f"architecture.{k}": v for k, v in state.items()}
        },
    ],
    ids=["bare", "checkpoint", "ddp", "distilled", "runner", "elsewhere", "mmrazor"],
)
def test_teacher_checkpoint_loads(tmp_path, wrap):
    path = tmp_path / "teacher.pth"
    state = save(TEACHER, path, wrap)
    model = build_pckd(STUDENT, TEACHER, teacher_ckpt=str(path))
    model.init_weights()
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_what_was_done_to_names_is_told(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        "pckd_mm.models.algorithms.teachers.print_log",
        lambda text, **_: said.append(text),
    )
    path = tmp_path / "teacher.pth"
    save(TEACHER, path, lambda state: {f"student.{k}": v for k, v in state.items()})
    build_pckd(STUDENT, TEACHER, teacher_ckpt=str(path)).init_weights()
    assert said == [f"Loaded the teacher from {path}; names without 'student.'"]


def test_an_init_cfg_of_a_teacher_must_fit_in_every_tensor_too(tmp_path):
    path = tmp_path / "teacher.pth"
    save(classifier(14, classes=12), path)
    init_cfg = dict(type="Pretrained", checkpoint=str(path))
    with pytest.raises(
        ValueError, match=f"{path} does not fit .* in 2 tensors: head.f"
    ):
        build_pckd(STUDENT, dict(TEACHER, init_cfg=init_cfg))


def test_teacher_may_name_its_weights_in_its_init_cfg(tmp_path):
    path = tmp_path / "teacher.pth"
    state = save(TEACHER, path)
    init_cfg = dict(type="Pretrained", checkpoint=str(path))
    model = build_pckd(STUDENT, dict(TEACHER, init_cfg=init_cfg))
    assert torch.equal(model.teacher.head.fc.weight, state["head.fc.weight"])


def test_teacher_is_loaded_at_the_first_step_at_the_latest(tmp_path):
    path = tmp_path / "teacher.pth"
    state = save(TEACHER, path)
    model = build_pckd(STUDENT, TEACHER, teacher_ckpt=str(path))
    model(*batch(2), mode="loss")
    assert torch.equal(model.teacher.head.fc.weight, state["head.fc.weight"])


def test_no_teacher_checkpoint_is_needed_to_test(tmp_path):
    model = build_pckd(STUDENT, TEACHER, teacher_ckpt=str(tmp_path / "none.pth"))
    model.eval()
    inputs, samples = batch(3, views=1)
    predictions = model(inputs, samples, mode="predict")
    expected = model.student(inputs, mode="tensor").argmax(1)
    assert [int(p.pred_label) for p in predictions] == expected.tolist()


def test_missing_teacher_checkpoint_names_the_config(tmp_path):
    model = build_pckd(
        STUDENT,
        TEACHER,
        teacher_ckpt=str(tmp_path / "none.pth"),
        teacher_config="configs/vanilla/cifar100_resnet20.py",
    )
    with pytest.raises(FileNotFoundError) as error:
        model.init_weights()
    assert "none.pth" in str(error.value)
    assert "pckd train configs/vanilla/cifar100_resnet20.py" in str(error.value)


def test_truncated_teacher_checkpoint(tmp_path):
    path = tmp_path / "teacher.pth"
    save(TEACHER, path)
    content = path.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:length])
        model = build_pckd(STUDENT, TEACHER, teacher_ckpt=str(path))
        with pytest.raises(
            ValueError, match="teacher.pth (is not whole|cannot be read)"
        ):
            model.init_weights()


def test_ill_fitting_teacher_checkpoint_lists_what_does_not_fit(tmp_path):
    path = tmp_path / "teacher.pth"

    def damage(state):
        state = dict(state)
        del state["backbone.bn1.weight"]
        state["head.fc.weight"] = torch.zeros(10, 17)
        state["head.extra"] = torch.zeros(1)
        return state

    save(TEACHER, path, damage)
    model = build_pckd(STUDENT, TEACHER, teacher_ckpt=str(path))
    before = copy.deepcopy(model.teacher.state_dict())
    with pytest.raises(ValueError) as error:
        model.init_weights()
    for part in (
        "in 3 tensors",
        "backbone.bn1.weight is missing",
        "head.fc.weight is (10, 17) instead of (10, 16)",
        "head.extra is unknown",
    ):
        assert part in str(error.value)
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, before[name]), "loaded in part"


def test_deeper_network_of_the_same_widths_does_not_fit(tmp_path):
    path = tmp_path / "teacher.pth"
    save(classifier(20), path)
    model = build_pckd(STUDENT, TEACHER, teacher_ckpt=str(path))
    with pytest.raises(ValueError, match="layer1.2.conv1.weight is unknown"):
        model.init_weights()


class _Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_no_code_of_a_checkpoint_runs(tmp_path, zipped):
    path, proof = tmp_path / "teacher.pth", tmp_path / "attacked"
    content = {"state_dict": {}, "attack": _Attack(proof)}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    model = build_pckd(STUDENT, TEACHER, teacher_ckpt=str(path))
    with pytest.raises(ValueError, match="teacher.pth"):
        model.init_weights()
    assert not proof.exists()


class _Getattr:
    def __reduce__(self):
        return getattr, (HistoryBuffer, "update")


def test_getattr_passes_for_log_histories_only(tmp_path):
    path = tmp_path / "teacher.pth"
    torch.save({"state_dict": {}, "attack": _Getattr()}, path)
    model = build_pckd(STUDENT, TEACHER, teacher_ckpt=str(path))
    with pytest.raises(ValueError, match="getattr"):
        model.init_weights()


# --- errors at build time ---------------------------------------------------------


def test_different_categories():
    with pytest.raises(ValueError, match="student has 10 .* teacher 12"):
        MODELS.build(pckd_config(STUDENT, classifier(14, classes=12)))


def test_not_an_image_classifier():
    with pytest.raises(TypeError, match="student is a CIFARResNet"):
        MODELS.build(pckd_config(STUDENT["backbone"], TEACHER))


def test_trainable_teacher_is_refused():
    with pytest.raises(ValueError, match="teacher_trainable"):
        MODELS.build(pckd_config(STUDENT, TEACHER, teacher_trainable=True))


def test_other_distiller_is_refused():
    with pytest.raises(TypeError, match="ConfigurableDistiller"):
        MODELS.build(
            pckd_config(
                STUDENT, TEACHER, distiller=dict(type="mmrazor.ConfigurableDistiller")
            )
        )


# --- errors of the batch ----------------------------------------------------------


def test_batch_of_one_image(model):
    with pytest.raises(ValueError, match="batch of one image"):
        model(*batch(1), mode="loss")


def test_inputs_that_are_no_multiple_of_the_images(model):
    inputs, samples = batch(3)
    with pytest.raises(ValueError, match="11 inputs for 3 images"):
        model(inputs[:11], samples, mode="loss")


# --- progress ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "info, expected",
    [
        (dict(epoch=0, iter=0, max_epochs=240, max_iters=1000), 1 / 240),
        (dict(epoch=239, iter=990, max_epochs=240, max_iters=1000), 1.0),
        # Iteration-based loops count as one epoch.
        (dict(epoch=0, iter=249, max_epochs=1, max_iters=1000), 0.25),
    ],
)
def test_progress_is_the_runners(hub, model, info, expected):
    for name, value in dict(info, loop_stage="train").items():
        hub.update_info(name, value)
    assert training_progress() == expected
    model.progress = None
    assert model.progress == expected


def test_progress_outside_of_a_runner_warns(hub, model, caplog):
    # What a finished run leaves behind is not the progress of the next one.
    for name in ("epoch", "iter", "max_epochs", "max_iters"):
        hub.update_info(name, 3)
    assert training_progress() is None
    model.progress = None
    with caplog.at_level(logging.WARNING):
        assert model.progress == 1.0


def test_one_call_outside_of_a_runner_leaves_the_runners_progress(hub, model):
    model.progress = None
    assert model.progress == 1.0
    for name in ("epoch", "iter", "max_epochs", "max_iters", "loop_stage"):
        hub.update_info(name, 4 if name.startswith("max") else 0)
    assert model.progress == 0.25


def test_upright_view_of_nested_features():
    rows = torch.arange(8)
    nested = (rows, [rows, rows * 2])
    first, (second, third) = upright_view(nested, 4)
    assert first.tolist() == second.tolist() == [0, 4]
    assert third.tolist() == [0, 8]
