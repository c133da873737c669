"""Features of a network in a plane."""

from typing import NamedTuple, Optional, Sequence

import numpy as np

__all__ = ["FeatureMap", "categories_to_show", "map_features"]

# Categories that colours tell apart.
CATEGORIES = 10
# Points that t-SNE needs to place them.
_LEAST = 12


class FeatureMap(NamedTuple):
    """Points of some images.

    Attributes:
        points (np.ndarray): Shape (N, 2).
        labels (np.ndarray): The category of each, shape (N,).
        silhouette (float): How much nearer the features are to those of their own
            category than to the next one's, mean over the images, in [-1, 1].
    """

    points: np.ndarray
    labels: np.ndarray
    silhouette: float


def categories_to_show(pairs: Sequence[Sequence[int]], labels: np.ndarray) -> list:
    """Those that are confused most often, then others in order.

    Args:
        pairs (Sequence[Sequence[int]]): Pairs of categories that are confused, the most
            frequent first.
        labels (np.ndarray): The categories of the images, shape (N,).

    Returns:
        list[int]: At most 10 categories that have images.
    """
    there = np.unique(labels).tolist()
    confused = [category for pair in pairs for category in pair if category in there]
    return sorted(list(dict.fromkeys([*confused, *there]))[:CATEGORIES])


def map_features(
    features: np.ndarray, labels: np.ndarray, seed: int = 0
) -> Optional[FeatureMap]:
    """Place features in a plane by t-SNE (van der Maaten and Hinton, JMLR 2008).

    Distances are those of directions, as correlations and cosines see them.

    Args:
        features (np.ndarray): Shape (N, D).
        labels (np.ndarray): The category of each, shape (N,).
        seed (int): Of the random numbers. Defaults to 0.

    Returns:
        FeatureMap, optional: The points; None for too few images, for one category,
        and where scikit-learn is not installed.
    """
    if len(features) < _LEAST or not 1 < len(np.unique(labels)) < len(features):
        return None
    if not np.isfinite(features).all():
        return None
    try:
        from sklearn.manifold import TSNE
        from sklearn.metrics import silhouette_score
    except ImportError:
        return None
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    perplexity = min(30.0, (len(features) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    if directions.shape[1] < 2:
        directions = np.pad(directions, ((0, 0), (0, 1)))
    points = tsne.fit_transform(directions.astype(np.float32))
    score = float(silhouette_score(directions, labels))
    return FeatureMap(points.astype(np.float32), labels, score)
