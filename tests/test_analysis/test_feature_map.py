"""Features in a plane."""

import numpy as np
import pytest

from pckd_mm.analysis.feature_map import categories_to_show, map_features


def test_categories_that_are_confused_come_first():
    labels = np.repeat(np.arange(20), 3)
    found = categories_to_show([(17, 3), (3, 19)], labels)
    assert len(found) == 10 and {17, 3, 19} <= set(found)
    assert found == sorted(found)
    assert categories_to_show([(5, 0)], np.array([0, 0, 2])) == [0, 2]  # 5 has none
    assert categories_to_show([], np.array([], dtype=int)) == []


def clusters(spread):
    """Three directions, with noise."""
    rng = np.random.RandomState(0)
    labels = np.repeat([0, 4, 7], 12)
    centers = 5 * np.eye(6)[[0, 2, 3]].repeat(12, axis=0)
    return centers + spread * rng.randn(36, 6), labels


def test_near_images_are_near_and_the_silhouette_says_so():
    pytest.importorskip("sklearn")
    features, labels = clusters(0.1)
    scale = np.linspace(1, 90, 36)[:, None]  # lengths say nothing
    found = map_features(features * scale, labels)
    assert found.points.shape == (36, 2) and found.labels.tolist() == labels.tolist()
    assert found.silhouette > 0.9
    for category in (0, 4, 7):
        mine = found.points[labels == category]
        others = found.points[labels != category]
        near = np.linalg.norm(mine - mine.mean(0), axis=1).max()
        assert near < np.linalg.norm(others - mine.mean(0), axis=1).min()
    assert map_features(*clusters(20.0)).silhouette < 0.1
    again = map_features(features * scale, labels)
    assert np.array_equal(again.points, found.points)


@pytest.mark.parametrize("fault", ["few", "one category", "one each", "not finite"])
def test_what_cannot_be_drawn(fault):
    features, labels = clusters(0.1)
    if fault == "few":
        features, labels = features[::4], labels[::4]
    elif fault == "one category":
        labels = np.zeros_like(labels)
    elif fault == "one each":
        labels = np.arange(len(labels))
    else:
        features[3, 3] = np.nan
    assert map_features(features, labels) is None


def test_a_feature_of_one_number():
    pytest.importorskip("sklearn")
    labels = np.repeat([0, 1], 10)
    features = np.where(labels == 0, 1.0, -1.0) + np.linspace(0, 0.1, 20)
    assert map_features(features[:, None], labels).points.shape == (20, 2)
