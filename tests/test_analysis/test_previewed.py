"""Images that were previewed, and what became of them."""

import numpy as np
import pytest
from mmengine.dataset import BaseDataset

from pckd_mm.analysis import previewed as module
from pckd_mm.analysis.previewed import longest_previewed, look_back

LABELS = [0, 0, 0, 1, 1, 2]
COUNTS = dict(
    previewed=np.array([1, 3, 0, 3, 0, 0]),
    seen=np.array([4, 4, 0, 4, 4, 4]),
    weight_sum=np.array([3.0, 2.0, 0.0, 1.0, 4.0, 4.0]),
)


class Numbers(BaseDataset):
    """Images that are told apart by their place."""

    METAINFO = {"classes": ("a", "b", "c")}

    def load_data_list(self):
        return [dict(gt_label=label) for label in LABELS]


@pytest.fixture(autouse=True)
def places(monkeypatch):
    """Instead of pictures the places of images."""
    monkeypatch.setattr(module, "thumbnail", lambda dataset, place: str(place))


def test_the_longest_previewed():
    # 1 and 3 were in three epochs, 3 with the smaller weight.
    assert longest_previewed(COUNTS) == [3, 1, 0]
    assert longest_previewed(COUNTS, 2) == [3, 1]


def test_what_became_of_them():
    asked = []

    def ask(places):
        asked.extend(places)
        return [2, 0, 0]  # of 3, a b, and of 1 and 0, two a

    what = look_back(COUNTS, Numbers(), ask, 2)
    assert asked == [3, 1, 0]
    found = [(i.image, i.label, i.epochs, i.mean_weight) for i in what.longest]
    assert found == [("3", "b", 3, 0.25), ("1", "a", 3, 0.5)]
    assert [image.answer for image in what.longest] == ["c", "a"]
    assert [(i.image, i.answer) for i in what.learned] == [("1", "a"), ("0", "a")]
    assert (what.asked, what.right) == (3, 2)


def test_no_image_was_previewed():
    counts = dict(COUNTS, previewed=np.zeros(6, dtype=int))
    what = look_back(counts, Numbers(), lambda places: 1 / 0, 2)
    assert what == ([], [], 0, 0)
