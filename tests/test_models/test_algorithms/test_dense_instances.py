"""Maps of a dense head, by hand."""

import torch
from torch import nn

from pckd_mm.models.algorithms.dense_instances import DenseMaps


def maps(**settings) -> DenseMaps:
    """Three logits at each of three places in a row."""
    logits = torch.tensor([[0.0, 0.0, 5.0], [2.0, 0.0, 0.0], [1.0, 1.0, -5.0]])
    outputs = logits.T.reshape(1, 3, 1, 3)
    inputs = torch.zeros(1, 1, 1, 3)
    return DenseMaps([inputs], [outputs], [nn.Conv2d(1, 3, 1)], 3, **settings)


def test_a_place_is_as_sure_as_its_highest_logit():
    assert maps().highest().tolist() == [[5, 2, 1]]


def test_how_probable_the_background_is_does_not_count():
    """Beside a softmax, whose last logit is the background's."""
    # 1 / (2 + e^5), e^2 / (e^2 + 2) and e / (2 e + e^-5).
    wanted = torch.tensor([[0.0066, 0.7870, 0.4994]])
    found = maps(has_background=True).highest()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
