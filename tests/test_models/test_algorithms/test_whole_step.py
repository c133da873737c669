"""A whole training step of PCKD against the plain computation of the method."""

import copy
import math
import zipfile

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from pckd_mm.registry import MODELS
from tests import reference
from tests.builders import SHARED, batch, build_pckd, classifier, small_method
from tests.test_models.test_losses.test_decoupled_kd_loss import plain_dkd
from tests.test_models.test_losses.test_dist_relation_loss import plain_weighted

EPOCH, EPOCHS = 60, 240
MEAN = torch.tensor([0.5071, 0.4866, 0.4409]).view(3, 1, 1)
STD = torch.tensor([0.2675, 0.2565, 0.2761]).view(3, 1, 1)


def cifar_images(count: int) -> tuple:
    """Real training images, one of every class in turn, and their labels."""
    path = SHARED / "data" / "cifar100_png.zip"
    if not path.is_file():
        pytest.skip(f"the real images {path.name} are not here")
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith("train/")]
        classes = sorted({name.split("/")[1] for name in names})
        first = {}
        for name in sorted(names):
            if name.endswith(".png"):
                first.setdefault(name.split("/")[1], name)
        images, labels = [], []
        for label in range(0, len(classes), len(classes) // count)[:count]:
            raw = np.frombuffer(archive.read(first[classes[label]]), np.uint8)
            image = cv2.imdecode(raw, cv2.IMREAD_COLOR)[:, :, ::-1]
            images.append(torch.from_numpy(image.copy()).permute(2, 0, 1))
            labels.append(label)
    return torch.stack(images), labels


def random_images(count: int) -> tuple:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=generator)
    return images, [7 * index % 100 for index in range(count)]


def plain_step(model, views: torch.Tensor, labels: torch.Tensor) -> dict:
    """The objective in float64, without distiller, on a copy of the model.

    Only the backbones run in float32: in float64 some activation next to zero would
    pass a ReLU that it does not pass in float32, and change gradients by more than
    rounding does.
    """
    student, connectors = model.student, model.distiller.connectors

    def features(network, x):
        return network.backbone(x)[-1].double().mean(dim=(2, 3))

    with torch.no_grad():
        t_feat = features(model.teacher, views)
    s_feat = features(student, views)
    s_fc, t_fc = student.head.fc, model.teacher.head.fc
    first, norm, _, second = connectors["align"].mlp
    hidden = s_feat @ first.weight.T + first.bias
    centered = hidden - hidden.mean(0)
    hidden = centered / (centered.square().mean(0) + norm.eps).sqrt()
    hidden = (hidden * norm.weight + norm.bias).clamp_min(0)
    mapped = hidden @ second.weight.T + second.bias
    embeds = []
    for name in ("s_embed", "t_embed"):
        linear = connectors[name].linear
        embed = s_feat @ linear.weight.T + linear.bias
        embeds.append(embed / embed.square().sum(1, keepdim=True).sqrt())
    upright = range(0, len(views), 4)
    return reference.total_loss(
        s_logits=(s_feat @ s_fc.weight.T + s_fc.bias)[upright],
        t_logits=(t_feat @ t_fc.weight.T + t_fc.bias)[upright],
        mapped=mapped,
        t_feat=t_feat,
        s_embed=embeds[0],
        t_embed=embeds[1],
        s_weight=s_fc.weight,
        s_bias=s_fc.bias,
        t_weight=t_fc.weight.detach(),
        t_bias=t_fc.bias.detach(),
        labels=labels,
        epoch=EPOCH,
        epochs=EPOCHS,
        alpha=1.0,
        beta=0.05,
        phi=20.0,
        delta=1.0,
    )


@pytest.mark.parametrize("source", [cifar_images, random_images])
def test_total_loss_and_gradients_equal_the_plain_computation(source):
    images, labels = source(5)
    model = build_pckd(
        classifier(8, classes=100, width=1),
        classifier(20, classes=100, width=1),
        data_preprocessor=dict(
            type="pckd_mm.RotatedViewsDataPreprocessor",
            mean=(255 * MEAN).flatten().tolist(),
            std=(255 * STD).flatten().tolist(),
        ),
    )
    model.progress = EPOCH / EPOCHS
    samples = [DataSample().set_gt_label(label) for label in labels]
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), True)
    assert len(data["inputs"]) == 4 * len(labels)

    plain_model = copy.deepcopy(model)
    plain_model._frozen = copy.copy(model._frozen)
    plain_model._frozen.module = copy.deepcopy(model.teacher)
    for module in (
        plain_model.student.head,
        plain_model.teacher.head,
        plain_model.distiller,
    ):
        module.double()
    plain = plain_step(plain_model, data["inputs"], torch.tensor(labels))
    plain["total"].backward()

    total, log = model.parse_losses(model(**data, mode="loss"))
    total.backward()

    torch.testing.assert_close(total.double(), plain["total"], rtol=1e-4, atol=0)
    expected = dict(plain_model.named_parameters())
    for name, parameter in model.named_parameters():
        found, wanted = parameter.grad.double(), expected[name].grad.double()
        error = (found - wanted).norm() / wanted.norm()
        # A bias in front of a BatchNorm has gradient zero, but for rounding.
        negligible = wanted.norm() < 1e-9 * plain["total"].detach()
        assert error <= 1e-4 or (negligible and found.norm() < 1e-4), (name, error)


@pytest.mark.parametrize("name", ["pckd_dist", "pckd_plus", "pckd_dkd"])
def test_other_forms_of_kd_weigh_upright_views_by_the_preview(name):
    config = small_method(name, classifier(8), classifier(14))
    config["distiller"]["preview"]["growth"] = 1.0  # harder than the mean is hard
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.load_teacher()
    model.eval().progress = 0.5
    inputs, samples = batch(6)
    found = model(inputs, samples, mode="loss")["distill.loss_kd"]

    student, teacher = (
        network(inputs, mode="tensor")[::4]
        for network in (model.student, model.teacher)
    )
    labels = torch.cat([sample.gt_label for sample in samples])
    losses = reference.cross_entropies(student, labels)
    weights = torch.tensor(
        [
            1.0 if gamma <= 1 else math.exp(-(gamma**2))
            for gamma in reference.difficulties(losses)
        ]
    )
    assert 0 < (weights < 1).sum() < 6
    if name == "pckd_dkd":  # past its warm-up
        expected = plain_dkd(student, teacher, labels, weights)
    else:
        expected = plain_weighted(student, teacher, weights)
    reference.assert_near(found.detach(), expected.detach(), 1e-4)


def test_reference_batch_norm_is_torchs():
    # The plain computation writes BatchNorm out; make sure it means the same one.
    x = torch.randn(6, 4, dtype=torch.float64)
    centered = x - x.mean(0)
    plain = centered / (centered.square().mean(0) + 1e-5).sqrt()
    torch.testing.assert_close(plain, F.batch_norm(x, None, None, training=True))
