"""Networks of timm and Hugging Face as student and as teacher."""

import pytest
import torch
import torch.nn.functional as F

from pckd_mm.registry import MODELS
from tests.builders import batch, classifier, pckd_config

TIMM = dict(type="mmpretrain.TimmClassifier", model_name="resnet10t", num_classes=10)


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """A ResNet of Hugging Face's, by the folder of its config."""
    transformers = pytest.importorskip("transformers", reason="the extra zoo")
    folder = tmp_path_factory.mktemp("resnet")
    transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], num_labels=10
    ).save_pretrained(folder)
    return dict(type="mmpretrain.HuggingFaceClassifier", model_name=str(folder))


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize("library", ["timm", "hugging face"])
def test_step(role, library, request):
    if library == "timm":
        pytest.importorskip("timm", reason="the extra zoo")
        network = TIMM
    else:
        network = request.getfixturevalue("hugging_face")
    networks = dict(architecture=classifier(8), teacher=classifier(14))
    networks["architecture" if role == "student" else "teacher"] = network
    config = pckd_config(
        networks["architecture"], networks["teacher"], teacher_input_size="same"
    )
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.progress = 0.25
    model.load_teacher()
    inputs, samples = batch(3, size=32)
    model.train()
    sum(model(inputs, samples, mode="loss").values()).backward()
    assert all(p.grad is not None for p in model.parameters())

    state = model.state_dict()
    if role == "student":  # by the names of its own library, and read again
        own = model.student.model.state_dict()
        assert {f"architecture.{name}" for name in own} <= state.keys()
        other = MODELS.build(config)
        assert other.load_state_dict(state).missing_keys == []
        assert all(torch.equal(state[k], v) for k, v in other.state_dict().items())

    model.eval()
    losses = model(inputs, samples, mode="loss")
    labels = torch.cat([sample.gt_label for sample in samples])
    s_scores, t_scores = (
        torch.stack([x.pred_score for x in each(inputs[::4], mode="predict")])
        for each in (model.student, model.teacher)
    )
    torch.testing.assert_close(
        losses["student.loss"], F.nll_loss(s_scores.log(), labels)
    )
    # From probabilities p: those at temperature 4 are p ** (1/4), scaled to 1.
    s, t = (scores**0.25 for scores in (s_scores, t_scores))
    s, t = s / s.sum(1, keepdim=True), t / t.sum(1, keepdim=True)
    weight = model.distiller.preview_weight
    expected = 16 * (weight * (t * (t / s).log()).sum(1)).mean()
    torch.testing.assert_close(losses["distill.loss_kd"], expected, rtol=1e-3, atol=0)


def test_checkpoints_have_the_librarys_own_names(tmp_path):
    """Those networks put a prefix of their own to what they load."""
    timm = pytest.importorskip("timm", reason="the extra zoo")
    state = timm.create_model("resnet10t", num_classes=10).state_dict()
    paths = {}
    for prefix in ("module.", "architecture."):
        paths[prefix] = str(tmp_path / f"{prefix}pth")
        torch.save({prefix + k: v for k, v in state.items()}, paths[prefix])
    init_cfg = dict(type="Pretrained", checkpoint=paths["architecture."])
    config = pckd_config(dict(TIMM, init_cfg=init_cfg), TIMM)
    model = MODELS.build(dict(config, teacher_ckpt=paths["module."]))
    model.init_weights()
    for network in (model.student, model.teacher):
        for name, value in network.model.state_dict().items():
            assert torch.equal(value, state[name]), name
    # A plain student's, for a distillation of it.
    for weight in model.student.parameters():
        torch.nn.init.zeros_(weight)
    model.load_state_dict(state)
    assert torch.equal(model.student.model.fc.weight, state["fc.weight"])


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_weights_that_a_network_comes_with_stay(name):
    """timm's networks draw their weights anew where MMEngine asks all parts to."""
    pytest.importorskip("timm", reason="the extra zoo")
    network = dict(TIMM, model_name=name)
    model = MODELS.build(pckd_config(network, network))
    before = [
        {key: value.clone() for key, value in each.state_dict().items()}
        for each in (model.student, model.teacher)
    ]
    model.init_weights()
    for each, expected in zip((model.student, model.teacher), before, strict=True):
        for key, value in each.state_dict().items():
            assert torch.equal(value, expected[key]), key
