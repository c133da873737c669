"""A view of each image: of records that have views, and of no others."""

import pytest
import torch

from pckd_mm.models.distillers.record_rows import rows_of_view
from pckd_mm.registry import MODELS
from tests.builders import batch, build_pckd, classifier, method, pckd_config

STUDENT, TEACHER = classifier(8), classifier(14)


def mapped(**views) -> dict:
    """The shipped distiller; views of arguments by ``loss__argument``."""
    distiller = method("pckd")["distiller"]
    for place, view in views.items():
        loss, argument = place.split("__")
        distiller["loss_forward_mappings"][loss][argument]["view"] = view
    return distiller


def losses_of(distiller, images=8):
    model = build_pckd(STUDENT, TEACHER, distiller=distiller).eval()
    model.distiller.preview.growth = 1.0  # some images are hard
    losses = model(*batch(images), mode="loss")
    assert model.distiller.preview_weight.unique().numel() > 1
    return losses


def test_what_is_of_the_image_is_that_of_each_view():
    """Labels and weights have a row for each image, of which a view takes none away."""
    usual = losses_of(mapped())
    found = losses_of(mapped(loss_kd__weight=0))
    torch.testing.assert_close(found, usual, rtol=0, atol=0)
    embeds = dict(loss_cc__s_embed=0, loss_cc__t_embed=0)
    upright = losses_of(mapped(**embeds))
    found = losses_of(mapped(**embeds, loss_cc__labels=0, loss_cc__weight=0))
    torch.testing.assert_close(found, upright, rtol=0, atol=0)
    assert upright["distill.loss_cc"] != usual["distill.loss_cc"]


def test_a_view_that_is_not_there():
    distiller = mapped(loss_kd__preds_T=4)
    reason = "recorder logits asks for view=4, and found 4 views .* expected 0 to 3"
    views = dict(type="RotatedViewsDataPreprocessor")
    with pytest.raises(ValueError, match=reason):  # before the training
        MODELS.build(
            pckd_config(STUDENT, TEACHER, distiller=distiller, data_preprocessor=views)
        )
    with pytest.raises(ValueError, match=reason):  # of batches that come with views
        losses_of(distiller)
    one = dict(views, num_views=1)
    with pytest.raises(ValueError, match="view=3, and found 1 views"):
        MODELS.build(
            pckd_config(
                STUDENT,
                TEACHER,
                distiller=mapped(loss_kd__preds_T=3),
                data_preprocessor=one,
            )
        )


@pytest.mark.parametrize(
    "rows, images, fits",
    [(12, 3, True), (12, None, True), (12, 6, False), (7, 1, False)],
)
def test_rows_that_are_no_views(rows, images, fits):
    record = (torch.arange(rows), None, [torch.arange(rows)])
    if fits:
        first, nothing, (second,) = rows_of_view("x", record, 1, 4, images)
        assert first.tolist() == second.tolist() == [1, 5, 9] and nothing is None
        return
    with pytest.raises(ValueError, match=f"recorder x .* found {rows} rows for 4 view"):
        rows_of_view("x", record, 1, 4, images)


def test_one_view_is_all_there_is():
    # Whatever has no rows of images: a detector's maps beside its regions.
    record = torch.arange(3)
    assert torch.equal(rows_of_view("x", record, 0, 1, 8), record)
