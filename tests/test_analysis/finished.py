"""Finished runs of a comparison, made by hand."""

import base64

import numpy as np

from pckd_mm.analysis import Method
from pckd_mm.analysis.feature_map import FeatureMap
from pckd_mm.analysis.inspection import ConfusedPair, Inspected, PreviewedImage

# A picture of one pixel.
_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAA"
    "AABJRU5ErkJggg=="
)
PNG = base64.b64decode(_PIXEL)


def method(name, *finals, previews=None):
    """A method whose runs have these accuracies in the end and a better one before."""
    curves = {
        seed: {1: 50.0, 2: final + 1, 3: final} for seed, final in enumerate(finals)
    }
    return Method(name, curves, previews or {})


def preview(share):
    return [
        dict(epoch=e, threshold=1 + e / 10, share=share, histogram=[1, 0, 2, 7])
        for e in (1, 2, 3)
    ]


ALONE = method("alone", 90.0, 92.0, 94.0)
PCKD = method(
    "PCKD", 95.0, 95.0, 98.0, previews={seed: preview(0.3) for seed in (0, 1, 2)}
)
TEACHER = method("teacher", 97.5)


def inspected():
    """What a look into a teacher and two students found."""
    uri = f"data:image/png;base64,{_PIXEL}"
    rows = np.array([[1.0, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3]])
    counts = {"teacher": 1, "alone": 7, "PCKD": 3}
    return Inspected(
        networks=["teacher", "alone", "PCKD"],
        teachers={"alone": "teacher", "PCKD": "teacher"},
        test_images=40,
        wrong={"teacher": 4, "alone": 12, "PCKD": 9},
        pairs=[ConfusedPair("<b>", "d", 20, counts, uri, uri)],
        passes={"PCKD": 3},
        previewed={"PCKD": [PreviewedImage("d", 2, 0.25, uri, "<b>")]},
        learned={"PCKD": [PreviewedImage("d", 1, 0.5, uri, "d")]},
        asked={"PCKD": [30, 20]},
        categories=["a", "<b>", "d"],
        matrices={
            name: np.array([[10, 0, 0], [0, 10 - count, count], [0, 2, 8]])
            for name, count in counts.items()
        },
        maps={"PCKD": FeatureMap(rows[:, :2], np.array([0, 1, 2]), 0.5)},
        centers={"teacher": rows, "alone": rows[:, ::-1], "PCKD": 2 * rows},
    )
