"""One pass of a teacher for several students."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.utils import apply_to
from mmpretrain.structures import DataSample

from pckd_mm.engine.channels_last import _inputs_with_channels_last
from pckd_mm.engine.shared_teacher import SharedLoader, Student, TeacherPass
from pckd_mm.models.data_preprocessors.ready_batch import ReadyBatch
from pckd_mm.registry import MODELS
from pckd_mm.utils.randomness import reseed
from tests.builders import classifier, small_method

STUDENT, TEACHER = classifier(8), classifier(14)
METHODS = dict(pckd=4, kd=1, fitnet=1, at=1, crd=1)
NORMALISED = dict(
    type="pckd_mm.RotatedViewsDataPreprocessor", mean=[120.0] * 3, std=[60.0] * 3
)


def build(method, seed=0):
    """A method with a teacher whose weights do not depend on the seed."""
    torch.manual_seed(7)
    teacher = MODELS.build(TEACHER)
    torch.manual_seed(seed)
    cfg = small_method(method, STUDENT, teacher)
    model = MODELS.build(
        dict(cfg, data_preprocessor=NORMALISED, num_views=METHODS[method])
    )
    model.progress = 0.5
    if method == "crd":
        model.distiller.distill_losses["loss_crd"].set_labels(list(range(10)) * 4)
    return model.train()


def raw_batch(images=6):
    """As a data set in memory gives it."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randint(256, (images, 3, 16, 16), generator=generator)
    sample = DataSample(metainfo=dict(sample_idx=torch.arange(images)))
    sample.set_gt_label(torch.arange(images) % 10)
    return dict(inputs=inputs.byte(), data_samples=[sample])


def shared_batches(*methods):
    """The batches of students with these methods."""
    model = build(methods[0])
    students = [Student.of(build(method, seed=3), model) for method in methods]
    reseed(0, 1, 2)
    return TeacherPass(model, students).run(raw_batch(), range(len(methods)))


def step(model, batch):
    """Losses, and gradients of all weights."""
    model.zero_grad()
    torch.manual_seed(5)  # for the negatives of CRD
    losses = model(**batch, mode="loss")
    model.parse_losses(losses)[0].backward()
    return losses, [p.grad for p in model.parameters() if p.grad is not None]


# The teacher of the ordinary algorithm runs in it, on the same views.
def test_a_student_learns_what_it_would_from_a_teacher_of_its_own():
    for number, batch in shared_batches(*METHODS).items():
        method = list(METHODS)[number]
        assert len(batch["inputs"]) == 6 * METHODS[method]
        model = build(method)
        expected = step(build(method), dict(batch))
        model.given_records = batch.records
        model._frozen.module.forward = None  # nothing runs it
        found = step(model, dict(batch))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
        assert len(found[1]) > 20 and model.given_records is None


@pytest.mark.parametrize("method", ["kd", "pckd"])
def test_views_do_not_depend_on_who_is_there(method):
    alone = shared_batches(method)[0]
    among = shared_batches("pckd", "kd", method)[2]
    assert torch.equal(alone["inputs"], among["inputs"])
    torch.testing.assert_close(alone.records, among.records)


def test_what_is_handed_out_lies_as_students_that_choose_nothing_take_it():
    """The layout that the teacher takes is not safe for all of them."""
    methods = ["pckd", "kd", "fitnet"]
    model, seen = build(methods[0]), []

    def note(module, args):
        seen.append(args[0].is_contiguous(memory_format=torch.channels_last))

    model.data_preprocessor.register_forward_hook(_inputs_with_channels_last)
    model.teacher.to(memory_format=torch.channels_last)
    model.teacher.backbone.register_forward_pre_hook(note)
    students = [Student.of(build(method), model) for method in methods]
    batches = TeacherPass(model, students).run(raw_batch(), range(len(methods)))
    assert seen == [True]
    for batch in batches.values():
        tensors = [batch["inputs"], batch.clone()["inputs"]]
        apply_to(batch.records, torch.is_tensor, tensors.append)
        assert len(tensors) > 2 and all(part.is_contiguous() for part in tensors)


def test_views_are_turned_and_normalised():
    (batch,) = shared_batches("pckd").values()
    model = build("pckd")
    reseed(0, 1, 2)
    expected = model.data_preprocessor(raw_batch(), True)["inputs"]
    assert torch.equal(batch["inputs"], expected)
    upright = shared_batches("kd")[0]["inputs"]
    assert torch.equal(upright, expected[::4])


def test_one_record_for_all_that_have_it_in_common():
    first, second, third = shared_batches("pckd", "pckd", "kd").values()
    assert first["inputs"] is second["inputs"]
    ours, theirs = (batch.records["logits"][0] for batch in (first, second))
    assert ours.shape == theirs.shape == (24, 10) and torch.equal(ours, theirs)
    assert torch.equal(third.records["logits"][0], ours[::4])
    assert not ours.is_inference()


def test_a_loader_whose_batches_come_from_elsewhere():
    asked = []

    def take(step):
        asked.append(step)
        return ReadyBatch(shared, [step], dict(logits=[shared]))

    shared = torch.ones(2)
    taker = SimpleNamespace(take=take)
    loader = SharedLoader([1, 2], taker, lambda: 5)
    first, second = loader
    assert len(loader) == 2 and second["data_samples"] == [(5, 1)]
    # What a step writes into its batch is nobody else's.
    first["inputs"].zero_()
    first.records["logits"][0].zero_()
    assert shared.tolist() == second["inputs"].tolist() == [1, 1]
    assert asked == [(5, 0), (5, 1)]
    assert loader.index(2) == 1  # all else is the loader's own
