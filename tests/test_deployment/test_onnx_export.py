"""Classifiers as ONNX, beside what torch computes."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from torch import nn

from pckd_mm.models.data_preprocessors.normalisation import normalisation_of
from pckd_mm.registry import MODELS
from tests.builders import classifier

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from pckd_mm.deployment import onnx_export  # noqa: E402
from pckd_mm.deployment.onnx_export import (  # noqa: E402
    Normalise,
    Scores,
    add_facts,
    compare_onnx,
    export_onnx,
)

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 40.0]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    settings = dict(type="ClsDataPreprocessor", mean=MEAN, std=STD, to_rgb=True)
    model = MODELS.build(dict(classifier(8, 5), data_preprocessor=settings))
    return model.eval()


def pixels(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, 16, 16), generator=generator).float()


def test_images_are_normalised_as_the_data_preprocessor_does(network):
    images = pixels(4)
    data = network.data_preprocessor(dict(inputs=images))
    assert torch.allclose(
        Normalise(normalisation_of(network.data_preprocessor))(images), data["inputs"]
    )
    other = Normalise(
        normalisation_of(network.data_preprocessor), reversed_channels=True
    )
    assert torch.allclose(other(images.flip(1)), data["inputs"])
    by_hand = (images.flip(1) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[
        :, None, None
    ]
    assert torch.allclose(data["inputs"], by_hand)


def test_other_preprocessors_swap_channels_by_other_names():
    preprocessor = ImgDataPreprocessor(
        mean=[1.0, 2.0, 3.0], std=[1.0, 2.0, 4.0], bgr_to_rgb=True
    )
    normalise = Normalise(normalisation_of(preprocessor))
    image = torch.tensor([0.0, 4.0, 9.0]).view(1, 3, 1, 1)
    # (9 - 1) / 1, (4 - 2) / 2, (0 - 3) / 4
    assert normalise(image).flatten().tolist() == [8.0, 1.0, -0.75]
    gray = Normalise(normalisation_of(ImgDataPreprocessor(mean=[2.0], std=[4.0])))
    assert gray(torch.full((1, 1, 1, 1), 4.0)).item() == 0.5
    assert Normalise()(image) is image


@pytest.mark.parametrize("how", ["torch.export", "tracing"])
def test_any_number_of_images(network, tmp_path, how, monkeypatch):
    if how == "tracing":

        def fail(*args):
            raise RuntimeError("cannot")

        monkeypatch.setattr(onnx_export, "_by_export", fail)
    elif "dynamo" not in onnx_export._options(torch.onnx.export):
        pytest.skip("this torch writes ONNX by tracing alone")
    scores = Scores(
        network, Normalise(normalisation_of(network.data_preprocessor))
    ).eval()
    path = tmp_path / "student.onnx"
    assert export_onnx(scores, pixels(3), path) == how
    session = onnxruntime.InferenceSession(str(path))
    for count in (1, 7):
        images = pixels(count, seed=count)
        (found,) = session.run(["scores"], {"images": images.numpy()})
        logits = network(
            Normalise(normalisation_of(network.data_preprocessor))(images),
            mode="tensor",
        )
        expected = F.softmax(logits, 1).detach().numpy()
        assert np.abs(found - expected).max() < 1e-4
        assert compare_onnx(scores, images, path) < 1e-4


def test_several_labels_have_scores_of_their_own(network):
    head = dict(type="MultiLabelLinearClsHead", num_classes=5, in_channels=16)
    model = MODELS.build(dict(classifier(8, 5), head=head)).eval()
    found = Scores(model)(pixels(2))
    assert torch.allclose(found, model(pixels(2), mode="tensor").sigmoid())


def test_scores_that_differ_are_refused(network, tmp_path):
    scores = Scores(network).eval()
    export_onnx(scores, pixels(2), tmp_path / "a.onnx")
    other = Scores(MODELS.build(classifier(8, 5)).eval())
    with pytest.raises(RuntimeError, match="differ from torch's by .*; expected at m"):
        compare_onnx(other, pixels(2) / 100, tmp_path / "a.onnx", most=1e-6)
    more = Scores(MODELS.build(classifier(8, 6)).eval())
    with pytest.raises(RuntimeError, match=r"of shape \(2, 5\) for 2 images; expected"):
        compare_onnx(more, pixels(2), tmp_path / "a.onnx")


class Unwritable(nn.Module):
    def forward(self, images, mode):
        return torch.from_numpy(images.numpy()).mean((2, 3)).geqrf()[0]


def test_what_cannot_be_written_is_said_and_leaves_no_file(tmp_path):
    path = tmp_path / "a.onnx"
    with pytest.raises(RuntimeError, match="cannot write Unwritable as ONNX .*tracing"):
        export_onnx(Scores(Unwritable()), pixels(2), path)
    assert not path.exists()


def test_a_network_that_gives_no_logits():
    class Tasks(nn.Module):
        def forward(self, images, mode):
            return dict(task=images)

    with pytest.raises(TypeError, match="gives a dict; expected a classifier that gi"):
        Scores(Tasks())(pixels(1))


def test_facts_lie_in_the_file(network, tmp_path):
    path = tmp_path / "a.onnx"
    export_onnx(Scores(network).eval(), pixels(2), path)
    add_facts(path, dict(classes=json.dumps(["a", "b"])))
    found = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(found["classes"]) == ["a", "b"]
    compare_onnx(Scores(network).eval(), pixels(1), path)
