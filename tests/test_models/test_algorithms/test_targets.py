"""Labels that are one class an image, and labels that are not."""

import logging
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.engine import SwitchRecipeHook
from mmpretrain.structures import DataSample, MultiTaskDataSample

from pckd_mm.models.algorithms.labelling import SharesCheck
from pckd_mm.models.algorithms.targets import LabelKind, Targets
from pckd_mm.registry import MODELS
from tests.builders import batch, build_pckd, classifier, pckd_config

STUDENT, TEACHER = classifier(8), classifier(14)
MIXUP = dict(augments=[dict(type="mmpretrain.Mixup", alpha=0.8)])
# Where a preview of an image that is compared with none has no use.
SINGLE_VIEW = dict(type="mmpretrain.ClsDataPreprocessor")


def several_labels(cfg, **head):
    """The same network with a head for several labels an image."""
    head = {
        **cfg["head"],
        "type": "mmpretrain.MultiLabelLinearClsHead",
        "loss": dict(type="mmpretrain.CrossEntropyLoss", use_sigmoid=True),
        **head,
    }
    return dict(cfg, head=head)


def without(model, *losses, **settings):
    """Config of PCKD without some losses."""
    left_out = dict.fromkeys(losses)
    model["distiller"]["distill_losses"].update(left_out)
    for name, value in settings.items():
        model["distiller"]["distill_losses"][name].update(value)
    return model


def built(model):
    torch.manual_seed(0)
    model = MODELS.build(model)
    model.progress = 0.25
    model.load_teacher()
    return model.eval()  # BatchNorm as it is, so that a second run gives the same


def multi_hot_batch(images=5, views=1, classes=10):
    inputs, _ = batch(images, views=views)
    scores = (torch.rand(images, classes) < 0.3).float()
    samples = [
        DataSample().set_gt_label(score.nonzero()[:, 0]).set_gt_score(score)
        for score in scores
    ]
    return inputs, samples, scores


# ------------------------------------------------------------------ mixed labels


def mixed_config(**settings):
    model = pckd_config(
        STUDENT,
        TEACHER,
        data_preprocessor=dict(
            type="pckd_mm.RotatedViewsDataPreprocessor",
            num_views=1,
            batch_augments=MIXUP,
        ),
    )
    model.update(settings)
    return model


@pytest.mark.parametrize("loss", ["CategoryContrastiveLoss", "DecoupledKDLoss"])
def test_losses_of_one_class_refuse_mixed_labels(loss):
    model = mixed_config()
    if loss == "DecoupledKDLoss":
        without(model, "loss_cc")
        distiller = model["distiller"]
        distiller["distill_losses"]["loss_dkd"] = dict(type=loss)
        mapping = dict(distiller["loss_forward_mappings"]["loss_kd"])
        del mapping["weight"]
        mapping["gt_labels"] = dict(recorder="labels", from_student=True)
        mapping["progress"] = dict(recorder="progress", from_student=True)
        distiller["loss_forward_mappings"]["loss_dkd"] = mapping
    with pytest.raises(ValueError, match=rf"\({loss}\) found labels that batch_augm"):
        MODELS.build(model)


def test_crd_refuses_mixed_labels():
    from tests.builders import method

    model = {
        **method("crd"),
        "architecture": STUDENT,
        "teacher": TEACHER,
        "data_preprocessor": mixed_config()["data_preprocessor"],
    }
    with pytest.raises(ValueError, match="ContrastiveRepresentationLoss.* mix"):
        MODELS.build(model)


class Switching:
    """What MMPretrain's SwitchRecipeHook does with a runner."""

    def __init__(self, model):
        self.runner = SimpleNamespace(
            model=model, _resume=False, epoch=1, logger=logging.getLogger()
        )

    def to(self, **recipe):
        hook = SwitchRecipeHook([dict(action_epoch=2, **recipe)])
        hook.before_train_epoch(self.runner)


def test_augments_that_are_switched_on_later():
    """As if they had been on, and refused for what they are refused for."""
    plain = dict(
        type="pckd_mm.RotatedViewsDataPreprocessor", num_views=1, to_onehot=True
    )
    model = without(mixed_config(data_preprocessor=plain), "loss_cc")
    expected = without(mixed_config(), "loss_cc")
    model, expected = built(model), built(expected)
    Switching(model).to(batch_augments=MIXUP)
    torch.manual_seed(3)
    inputs, samples = batch(6, views=1)
    for each in (expected, model):
        torch.manual_seed(3)
        data = dict(inputs=inputs, data_samples=[s.clone() for s in samples])
        data = each.data_preprocessor(data, training=True)
        each(**data, mode="loss")
    weight = expected.distiller.preview_weight
    assert torch.equal(model.distiller.preview_weight, weight)
    Switching(model).to(batch_augments=None)
    assert model.data_preprocessor.batch_augments is None

    for settings, match in (
        (dict(num_views=1), r"\(CategoryContrastiveLoss\) found labels that batch_aug"),
        (dict(num_views=4), "batch_augments mix images, whose rotated views must"),
    ):
        model = built(mixed_config(data_preprocessor=dict(plain, **settings)))
        Switching(model).to(batch_augments=MIXUP)
        with pytest.raises(ValueError, match=match):
            model(*batch(6, views=settings["num_views"]), mode="loss")


def test_the_loss_of_the_student_is_switched():
    model = built(pckd_config(STUDENT, TEACHER))
    before = model(*batch(6), mode="loss")["student.loss"]
    loss = dict(type="mmpretrain.LabelSmoothLoss", label_smooth_val=0.5)
    Switching(model).to(loss=loss)
    inputs, samples = batch(6)
    found = model(inputs, samples, mode="loss")["student.loss"]
    log = model.student(inputs[::4], mode="tensor").log_softmax(1)
    labels = torch.cat([sample.gt_label for sample in samples])
    expected = -(0.5 * log[range(6), labels] + 0.5 * log.mean(1)).mean()
    torch.testing.assert_close(found, expected)
    assert not torch.isclose(found, before)


def test_mixed_labels_weigh_images_by_their_own_loss():
    # The advice of the refusal: loss_cc goes.
    model = built(without(mixed_config(), "loss_cc"))
    inputs, samples = batch(6, views=1)
    data = dict(inputs=inputs, data_samples=samples)
    data = model.data_preprocessor(data, training=True)
    scores = torch.stack([sample.gt_score for sample in data["data_samples"]])
    assert ((scores > 0).sum(1) == 2).any()  # some are mixed

    losses = model(**data, mode="loss")

    logits = model.student(data["inputs"], mode="tensor")
    cross_entropy = -(scores * logits.log_softmax(1)).sum(1)
    hardness = cross_entropy / cross_entropy.mean()
    threshold = 1.005 ** (0.25 * 240)
    weight = torch.where(hardness <= threshold, 1.0, torch.exp(-(hardness**2)))
    torch.testing.assert_close(model.distiller.preview_weight, weight)
    torch.testing.assert_close(losses["student.loss"], cross_entropy.mean())
    log_s, log_t = (
        (network(data["inputs"], mode="tensor") / 4).log_softmax(1)
        for network in (model.student, model.teacher)
    )
    divergence = (log_t.exp() * (log_t - log_s)).sum(1)
    torch.testing.assert_close(
        losses["distill.loss_kd"], 16 * (weight * divergence).mean()
    )


# --------------------------------------------------------------- several labels


def several_config(**settings):
    model = pckd_config(
        several_labels(STUDENT), several_labels(TEACHER), data_preprocessor=SINGLE_VIEW
    )
    model.update(settings)
    return model


def test_losses_of_one_class_refuse_several_labels():
    with pytest.raises(ValueError, match="loss_kd .*several labels.*use_sigmoid=True"):
        MODELS.build(without(several_config(), "loss_cc"))
    sigmoid = dict(use_sigmoid=True)
    with pytest.raises(ValueError, match="loss_cc .*several labels an image; .*one cl"):
        MODELS.build(without(several_config(), loss_kd=sigmoid))


@pytest.mark.parametrize("as_scores", [False, True], ids=["labels", "scores"])
@pytest.mark.parametrize("views", [1, 4])
def test_step_of_several_labels(as_scores, views):
    model = built(without(several_config(), "loss_cc", loss_kd=dict(use_sigmoid=True)))
    inputs, samples, scores = multi_hot_batch(views=views)
    if not as_scores:
        samples = [DataSample().set_gt_label(sample.gt_label) for sample in samples]

    losses = model(inputs, samples, mode="loss")

    assert losses.keys() == {
        "student.loss",
        "distill.loss_kd",
        "distill.loss_ca",
        "distill.loss_fa",
    }
    upright = inputs[::views]
    s_logits, t_logits = (
        network(upright, mode="tensor") for network in (model.student, model.teacher)
    )
    own = F.binary_cross_entropy_with_logits(s_logits, scores, reduction="none")
    torch.testing.assert_close(losses["student.loss"], own.sum() / len(own))
    hardness = own.mean(1) / own.mean()
    threshold = 1.005 ** (0.25 * 240)
    weight = torch.where(hardness <= threshold, 1.0, torch.exp(-(hardness**2)))
    torch.testing.assert_close(model.distiller.preview_weight, weight)
    p, q = (t_logits / 4).sigmoid(), (s_logits / 4).sigmoid()
    divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(
        losses["distill.loss_kd"],
        16 * (weight * divergence.sum(1)).mean(),
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_sample_for_all_images_is_one_for_each():
    """As InMemoryDataset gives it: each image has one of several possible labels."""
    model = built(without(several_config(), "loss_cc", loss_kd=dict(use_sigmoid=True)))
    inputs, samples = batch(4)
    labels = torch.cat([sample.gt_label for sample in samples])
    whole = DataSample(metainfo=dict(sample_idx=torch.arange(4))).set_gt_label(labels)
    losses = model(inputs, [whole], mode="loss")
    expected = model(inputs, samples, mode="loss")
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)


def test_soft_labels_of_one_class():
    """MMPretrain's own recipe of Mixup: its head of several labels, with a softmax."""
    soft = dict(type="mmpretrain.CrossEntropyLoss", use_soft=True)
    student = several_labels(STUDENT, loss=soft)
    config = mixed_config(architecture=student, teacher=several_labels(TEACHER))
    model = built(without(config, "loss_cc"))
    inputs, samples = batch(6, views=1)
    data = dict(inputs=inputs, data_samples=samples)
    data = model.data_preprocessor(data, training=True)
    scores = torch.stack([sample.gt_score for sample in data["data_samples"]])
    losses = model(**data, mode="loss")
    logits = model.student(data["inputs"], mode="tensor")
    own = -(scores * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(losses["student.loss"], own.mean())


def test_labels_of_one_class_that_are_several():
    model = build_pckd(STUDENT, TEACHER)
    inputs, samples, _ = multi_hot_batch(views=4)
    samples = [DataSample().set_gt_label([1, 2]) for _ in samples]
    with pytest.raises(ValueError, match="10 labels for 5 images.*MultiLabelLinear"):
        model(inputs, samples, mode="loss")


def test_one_hot_labels_need_no_number_of_classes():
    # As in recipes with binary cross-entropy, such as those of ResNet strikes back.
    student = classifier(
        8, loss=dict(type="mmpretrain.CrossEntropyLoss", use_sigmoid=True)
    )
    preprocessor = dict(
        type="pckd_mm.RotatedViewsDataPreprocessor", num_views=1, to_onehot=True
    )
    model = built(pckd_config(student, TEACHER, data_preprocessor=preprocessor))
    inputs, samples = batch(5, views=1)
    labels = torch.cat([sample.gt_label for sample in samples])
    data = model.data_preprocessor(
        dict(inputs=inputs, data_samples=samples), training=True
    )
    losses = model(**data, mode="loss")
    logits = model.student(data["inputs"], mode="tensor")
    own = F.binary_cross_entropy_with_logits(
        logits, F.one_hot(labels, 10).float(), reduction="none"
    )
    torch.testing.assert_close(losses["student.loss"], own.sum() / 5)
    assert losses["distill.loss_cc"] > 0  # one class an image all the same


# -------------------------------------------------------------- images without labels


@pytest.mark.parametrize("network", ["linear head", "other library"])
def test_scores_of_several_classes_need_a_head_for_them(network):
    """Whatever loss is trained by: the other terms would take a softmax of them."""
    by_sigmoids = dict(type="mmpretrain.CrossEntropyLoss", use_sigmoid=True)
    student = classifier(8, loss=by_sigmoids)
    if network == "other library":
        inner = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
        student = dict(type="pckd_mm.PlainClassifier", model=inner, loss=by_sigmoids)
    settings = dict(data_preprocessor=dict(SINGLE_VIEW), input_shape=(3, 8, 8))
    cfg = without(pckd_config(student, TEACHER, **settings), "loss_cc", "loss_ca")
    model = built(cfg)
    inputs, _ = batch(3, views=1)
    one_hot = F.one_hot(torch.tensor([1, 4, 4]), 10).float()

    def losses(scores):
        return model.loss(inputs, [DataSample().set_gt_score(s) for s in scores])

    assert losses(one_hot)["distill.loss_kd"].isfinite()  # one class an image
    both = one_hot.clone()
    both[1, 7] = 1
    with pytest.raises(ValueError, match="scores add up to 2; expected 1"):
        losses(both)
    with pytest.raises(ValueError, match="MultiLabelLinearClsHead"):
        losses(both)  # at each batch
    assert losses(one_hot.half())["distill.loss_kd"].isfinite()


def test_a_device_is_waited_for_once():
    check, shares = SharesCheck(), torch.ones(2, 10) / 10
    check(Targets(2, scores=shares), LabelKind.SINGLE)
    on_device = shares.to("meta")  # where nothing can be looked at
    check(Targets(2, scores=on_device), LabelKind.SINGLE)
    with pytest.raises(RuntimeError, match="(?i)meta"):
        SharesCheck()(Targets(2, scores=on_device), LabelKind.MIXED)
    check(Targets(2, scores=10 * shares), LabelKind.MULTI)


def test_images_without_labels_are_refused_with_advice_that_holds():
    inputs, _ = batch(3)
    samples = [DataSample() for _ in range(3)]
    model = build_pckd(STUDENT, TEACHER)
    with pytest.raises(ValueError, match="no labels, and .* ask for labels") as error:
        model(inputs, samples, mode="loss")
    message = str(error.value)
    for advice in (
        "calculate_student_loss=False",
        "distiller.preview=None",
        "distiller.distill_losses.loss_cc=None",
    ):
        assert advice in message

    config = without(
        pckd_config(STUDENT, TEACHER, calculate_student_loss=False), "loss_cc"
    )
    config["distiller"]["preview"] = None
    model = built(config)
    losses = model(inputs, samples, mode="loss")
    assert {name for name in losses if "loss" in name} == {
        "distill.loss_kd",
        "distill.loss_ca",
        "distill.loss_fa",
    }
    sum(losses.values()).backward()
    assert model.student.backbone.conv1.weight.grad.abs().sum() > 0


def test_soft_labels_alone():
    """Scores and no class, as of labels that were smoothed or voted on."""
    inputs, _ = batch(4)
    scores = torch.rand(4, 10).softmax(1)
    samples = [DataSample().set_gt_score(score) for score in scores]
    with pytest.raises(ValueError, match="scores and no labels, and loss_cc asks"):
        build_pckd(STUDENT, TEACHER)(inputs, samples, mode="loss")
    model = built(without(pckd_config(STUDENT, TEACHER), "loss_cc"))  # the advice
    losses = model(inputs, samples, mode="loss")
    logits = model.student(inputs[::4], mode="tensor")
    own = -(scores * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(losses["student.loss"], own.mean())
    hardness = own / own.mean()
    weight = torch.where(hardness <= 1.005**60, 1.0, torch.exp(-(hardness**2)))
    torch.testing.assert_close(model.distiller.preview_weight, weight)


def test_an_image_of_two_classes_alone_in_a_batch():
    config = pckd_config(STUDENT, TEACHER)
    config["distiller"]["preview"] = None
    samples = [DataSample(metainfo=dict(sample_idx=3)).set_gt_label([1, 2])]
    with pytest.raises(ValueError, match="2 labels for 1 images"):
        built(config)(batch(1)[0], samples, mode="loss")


@pytest.mark.parametrize("settings", [dict(to_onehot=True), dict(batch_augments=MIXUP)])
def test_a_batch_of_one_image(settings):
    config = without(mixed_config(), "loss_cc")
    config["distiller"]["preview"] = None
    config["data_preprocessor"] = dict(
        type="pckd_mm.RotatedViewsDataPreprocessor", num_views=1, **settings
    )
    model = built(config)
    inputs, (sample,) = batch(1, views=1)
    sample.set_metainfo(dict(sample_idx=3))
    data = dict(inputs=inputs, data_samples=[sample])
    losses = model(**model.data_preprocessor(data, training=True), mode="loss")
    assert losses["student.loss"].isfinite()


def test_some_images_without_labels():
    inputs, samples = batch(3)
    samples[1] = DataSample()
    with pytest.raises(ValueError, match="1 of 3 images have no label"):
        build_pckd(STUDENT, TEACHER)(inputs, samples, mode="loss")


# ----------------------------------------------------------------------- several tasks


def tasks(cfg):
    head = {k: v for k, v in cfg["head"].items() if k != "type"}
    heads = {
        name: dict(head, type="mmpretrain.LinearClsHead", num_classes=classes)
        for name, classes in (("colour", 4), ("shape", 3))
    }
    return dict(cfg, head=dict(type="mmpretrain.MultiTaskHead", task_heads=heads))


def test_step_of_one_of_several_tasks():
    model = built(pckd_config(tasks(STUDENT), tasks(TEACHER), task="shape"))
    inputs, _ = batch(4)
    samples = []
    for colour, shape in ((0, 2), (3, 0), (1, 1), (2, 2)):
        sample = MultiTaskDataSample()
        sample.set_field(DataSample().set_gt_label(colour), "colour")
        sample.set_field(DataSample().set_gt_label(shape), "shape")
        samples.append(sample)
    losses = model(inputs, samples, mode="loss")
    logits = model.student(inputs[::4], mode="tensor")
    own = F.cross_entropy(logits["shape"], torch.tensor([2, 0, 1, 2]))
    torch.testing.assert_close(losses["student.shape_loss"], own)
    s, t = (
        network(inputs[::4], mode="tensor")["shape"] / 4
        for network in (model.student, model.teacher)
    )
    divergence = F.kl_div(
        s.log_softmax(1), t.log_softmax(1), reduction="none", log_target=True
    )
    weight = model.distiller.preview_weight
    torch.testing.assert_close(
        losses["distill.loss_kd"], 16 * (weight * divergence.sum(1)).mean()
    )
    plain = built(pckd_config(classifier(8, 3), tasks(TEACHER), task="shape"))
    plain(inputs, [sample.shape for sample in samples], mode="loss")  # no tasks there
    sample.pop("shape")
    with pytest.raises(ValueError, match="1 of 4 images have no label of the task sha"):
        model(inputs, samples, mode="loss")


def test_task_of_networks_without_tasks():
    with pytest.raises(ValueError, match="task='shape', and neither .*leave out task"):
        MODELS.build(pckd_config(STUDENT, TEACHER, task="shape"))


def test_one_task_needs_no_name():
    def one(cfg):
        cfg = tasks(cfg)
        del cfg["head"]["task_heads"]["colour"]
        return cfg

    model = built(pckd_config(one(STUDENT), one(TEACHER)))
    inputs, _ = batch(3)
    samples = []
    for label in (0, 2, 1):
        sample = MultiTaskDataSample()
        sample.set_field(DataSample().set_gt_label(label), "shape")
        samples.append(sample)
    assert model(inputs, samples, mode="loss")["distill.loss_cc"].isfinite()
