"""Views of a training batch, against numpy and against every possible crop."""

import copy

import numpy as np
import pytest
import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from pckd_mm.models.data_preprocessors import RotatedViewsDataPreprocessor
from pckd_mm.registry import MODELS

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 40.0]
PLAIN = dict(flip_prob=0.0, crop_padding=0)


def make_images(count, size=8, seed=0):
    """Images like those of a loader; no two crops of one are alike."""
    generator = np.random.RandomState(seed)
    images = generator.randint(1, 256, (count, 3, size, size)).astype(np.uint8)
    return torch.from_numpy(images)


def make_batch(images):
    samples = [DataSample().set_gt_label(index % 5) for index in range(len(images))]
    return dict(inputs=images, data_samples=samples)


def views_of(images, training=True, **kwargs):
    preprocessor = RotatedViewsDataPreprocessor(**kwargs)
    return preprocessor(make_batch(images), training)["inputs"]


def all_crops(image, padding=4):
    """Every crop of an image (C, S, S) after zero padding, with its place."""
    size = image.shape[-1]
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    return {
        (top, left): padded[:, top : top + size, left : left + size]
        for top in range(2 * padding + 1)
        for left in range(2 * padding + 1)
    }


def crop_of(view, image):
    """Place of the one crop of the image that equals the view."""
    places = [
        place for place, crop in all_crops(image).items() if np.array_equal(view, crop)
    ]
    assert len(places) == 1
    return places[0]


@pytest.mark.parametrize("num_views", [1, 2, 3, 4])
def test_counter_clockwise_rotations(num_views):
    images = make_images(3)
    views = views_of(images, num_views=num_views, **PLAIN)
    assert views.shape == (3 * num_views, 3, 8, 8)
    assert views.dtype == torch.float32
    for i in range(3):
        for r in range(num_views):
            expected = np.rot90(images[i].numpy(), r, axes=(1, 2))
            assert np.array_equal(views[num_views * i + r].numpy(), expected)


def test_quarter_turn_by_hand():
    image = torch.tensor([[[[1, 2], [3, 4]]]])
    views = views_of(image, **PLAIN)
    assert views[:, 0].tolist() == [
        [[1, 2], [3, 4]],
        [[2, 4], [1, 3]],
        [[4, 3], [2, 1]],
        [[3, 1], [4, 2]],
    ]


def turned_back(views, count):
    """Views before their rotation, as (count, views, C, S, S)."""
    views = views.numpy().reshape(count, -1, *views.shape[1:])
    turns = [np.rot90(views[:, r], -r, axes=(2, 3)) for r in range(views.shape[1])]
    return np.stack(turns, axis=1)


def test_certain_flip_is_left_to_right_and_first():
    images = make_images(3)
    upright = turned_back(views_of(images, flip_prob=1.0, crop_padding=0), 3)
    mirrored = images.numpy()[..., ::-1]
    for r in range(4):
        assert np.array_equal(upright[:, r], mirrored)


def test_flip_is_shared_by_the_views():
    images = make_images(400, size=4)
    torch.manual_seed(0)
    upright = turned_back(views_of(images, flip_prob=0.5, crop_padding=0), 400)
    originals = images.numpy()
    flips = 0
    for views, original in zip(upright, originals, strict=True):
        flipped = not np.array_equal(views[0], original)
        expected = original[..., ::-1] if flipped else original
        assert all(np.array_equal(view, expected) for view in views)
        flips += flipped
    # Five standard deviations around the half.
    assert 150 < flips < 250


def test_crops_are_drawn_for_every_view():
    images = make_images(60)
    torch.manual_seed(0)
    views = views_of(images, flip_prob=0.0).numpy()
    # In the turned image and, as if cropped before the turn, in the upright one.
    turned, upright = np.zeros((4, 4), dtype=int), np.zeros((4, 4), dtype=int)
    for i, image in enumerate(images.numpy()):
        for count, back in ((turned, 0), (upright, 1)):
            places = []
            for r in range(4):
                view = np.rot90(views[4 * i + r], -r * back, axes=(1, 2))
                original = np.rot90(image, r * (1 - back), axes=(1, 2))
                places.append(crop_of(view, original))
            for r in range(4):
                for other in range(4):
                    count[r, other] += places[r] == places[other]
    # Two independent draws agree once in 81 times.
    assert turned[np.triu_indices(4, 1)].max() <= 6
    assert upright[np.triu_indices(4, 1)].max() <= 6


def test_single_view_is_flip_and_crop():
    images = make_images(40)
    torch.manual_seed(0)
    views = views_of(images, num_views=1).numpy()
    assert len(views) == 40
    flips = 0
    for view, image in zip(views, images.numpy(), strict=True):
        crops, mirrored = all_crops(image), all_crops(image[..., ::-1])
        kept = any(np.array_equal(view, crop) for crop in crops.values())
        flipped = any(np.array_equal(view, crop) for crop in mirrored.values())
        assert kept != flipped
        flips += flipped
    assert 5 < flips < 35


def test_crop_places_are_uniform():
    size, count = 9, 8100
    # Every pixel tells where it comes from; the middle one is in every crop.
    image = torch.arange(size * size).view(1, 1, size, size)
    torch.manual_seed(0)
    views = views_of(image.expand(count, 1, size, size), num_views=1, flip_prob=0.0)
    middle = views[:, 0, 4, 4].long()
    counts = torch.bincount(middle, minlength=size * size)
    assert counts.sum() == count and len(counts) == 81
    # 100 expected, standard deviation 10.
    assert counts.min() > 55 and counts.max() < 145


def test_crop_places_in_height_and_width_are_independent():
    image = torch.arange(81).view(1, 1, 9, 9).expand(2000, 1, 9, 9)
    torch.manual_seed(0)
    middle = views_of(image, num_views=1, flip_prob=0.0)[:, 0, 4, 4].long()
    top, left = (middle // 9).float(), (middle % 9).float()
    correlations = torch.corrcoef(torch.stack([top, left]))
    assert abs(float(correlations[0, 1])) < 0.12


def test_other_padding():
    images = make_images(30)
    torch.manual_seed(0)
    views = views_of(images, num_views=1, flip_prob=0.0, crop_padding=1).numpy()
    for view, image in zip(views, images.numpy(), strict=True):
        crops = all_crops(image, padding=1).values()
        assert any(np.array_equal(view, crop) for crop in crops)


def test_padding_is_of_raw_pixels():
    images = torch.full((20, 3, 8, 8), 255, dtype=torch.uint8)
    torch.manual_seed(0)
    views = views_of(images, mean=MEAN, std=STD)
    for channel in range(3):
        values = views[:, channel].unique().tolist()
        mean, std = MEAN[channel], STD[channel]
        assert values == pytest.approx([(0 - mean) / std, (255 - mean) / std])


def test_normalisation():
    images = make_images(2)
    found = views_of(images, mean=MEAN, std=STD, **PLAIN)
    for i in range(2):
        for r in range(4):
            turned = np.rot90(images[i].numpy(), r, axes=(1, 2)).astype(np.float64)
            expected = (turned - np.reshape(MEAN, (3, 1, 1))) / np.reshape(
                STD, (3, 1, 1)
            )
            np.testing.assert_allclose(found[4 * i + r], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("to_rgb", [False, True])
@pytest.mark.parametrize("as_list", [False, True])
def test_evaluation_is_that_of_mmpretrain(to_rgb, as_list):
    kwargs = dict(mean=MEAN, std=STD, to_rgb=to_rgb)
    images = make_images(3)
    batch = make_batch(list(images) if as_list else images)
    expected = ClsDataPreprocessor(**kwargs)(copy.deepcopy(batch), training=False)
    found = RotatedViewsDataPreprocessor(**kwargs)(batch)
    assert torch.equal(found["inputs"], expected["inputs"])
    assert len(found["data_samples"]) == 3


def test_evaluation_of_images_that_are_not_square():
    images = torch.ones(2, 3, 4, 6)
    assert views_of(images, training=False).shape == (2, 3, 4, 6)


def test_labels_stay_one_for_each_image():
    batch = make_batch(make_images(7))
    given = list(batch["data_samples"])
    result = RotatedViewsDataPreprocessor()(batch, training=True)
    assert len(result["inputs"]) == 28
    samples = result["data_samples"]
    assert all(a is b for a, b in zip(samples, given, strict=True))
    assert [int(sample.gt_label) for sample in samples] == [0, 1, 2, 3, 4, 0, 1]


def test_batch_itself_stays():
    images = make_images(3)
    batch, before = make_batch(images), images.clone()
    RotatedViewsDataPreprocessor(mean=MEAN, std=STD)(batch, training=True)
    assert batch["inputs"] is images
    assert torch.equal(images, before)


def test_list_equals_tensor():
    images = make_images(5)
    torch.manual_seed(3)
    of_tensor = views_of(images, mean=MEAN, std=STD)
    torch.manual_seed(3)
    of_list = views_of(list(images), mean=MEAN, std=STD)
    assert torch.equal(of_tensor, of_list)


@pytest.mark.parametrize("num_views", [1, 2, 4])
@pytest.mark.parametrize("as_list", [False, True])
def test_turns_the_crop_of_each_view(num_views, as_list):
    crops = make_images(3 * num_views).unflatten(0, (3, num_views))
    views = views_of(list(crops) if as_list else crops, num_views=num_views, **PLAIN)
    assert views.shape == (3 * num_views, 3, 8, 8)
    for i in range(3):
        for r in range(num_views):
            expected = np.rot90(crops[i, r].numpy(), r, axes=(1, 2))
            assert np.array_equal(views[num_views * i + r].numpy(), expected)


def test_crops_of_an_image_share_the_flip():
    crops = make_images(1600, size=4).unflatten(0, (400, 4))
    torch.manual_seed(0)
    views = views_of(crops, flip_prob=0.5, crop_padding=0)
    flips = 0
    for found, given in zip(turned_back(views, 400), crops.numpy(), strict=True):
        kept = np.array_equal(found, given)
        assert kept or np.array_equal(found, given[..., ::-1])
        flips += not kept
    assert 150 < flips < 250


@pytest.mark.parametrize("found, num_views", [(1, 4), (4, 1), (3, 4)])
def test_another_number_of_crops_is_an_error(found, num_views):
    crops = make_images(2 * found).unflatten(0, (2, found))
    with pytest.raises(
        ValueError,
        match=f"of each image is {found}, for num_views={num_views}; expected",
    ):
        views_of(crops, num_views=num_views)


def test_to_rgb():
    images = make_images(4)
    torch.manual_seed(3)
    found = views_of(images, mean=MEAN, std=STD, to_rgb=True)
    torch.manual_seed(3)
    expected = views_of(images.flip(1), mean=MEAN, std=STD)
    assert torch.equal(found, expected)
    assert torch.equal(
        views_of(images, to_rgb=True, **PLAIN)[::4], images.flip(1).float()
    )


def test_seed_decides():
    images = make_images(6)
    torch.manual_seed(1)
    first, other = views_of(images), views_of(images)
    torch.manual_seed(1)
    again = views_of(images)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_images_that_are_not_square_are_an_error():
    with pytest.raises(ValueError, match="height x width = 4 x 6"):
        views_of(torch.ones(2, 3, 4, 6))
    # Without rotations there is nothing against them.
    assert views_of(torch.ones(2, 3, 4, 6), num_views=1).shape == (2, 3, 4, 6)


def test_lists_of_unequal_shapes_are_an_error():
    images = [torch.ones(3, 4, 4), torch.ones(3, 6, 6)]
    with pytest.raises(ValueError, match=r"\(3, 4, 4\), \(3, 6, 6\)"):
        views_of(images)


def test_batch_augments_need_a_single_view():
    kwargs = dict(
        batch_augments=dict(augments=dict(type="Mixup", alpha=0.8)), num_classes=5
    )
    with pytest.raises(ValueError, match="batch_augments"):
        RotatedViewsDataPreprocessor(**kwargs)
    assert views_of(make_images(4), num_views=1, **kwargs).shape == (4, 3, 8, 8)


def test_labels_of_a_whole_batch_stay_one_sample():
    preprocessor = RotatedViewsDataPreprocessor()
    images = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8)
    sample = DataSample().set_gt_label([4, 0, 2])
    data = preprocessor(dict(inputs=images, data_samples=[sample]), training=True)
    assert [s.gt_label.tolist() for s in data["data_samples"]] == [[4, 0, 2]]


def test_samples_of_scores_alone_pass():
    preprocessor = RotatedViewsDataPreprocessor(num_views=1)
    images = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)
    samples = [DataSample().set_gt_score(torch.tensor([0.5, 0.5])) for _ in range(2)]
    data = preprocessor(dict(inputs=images, data_samples=samples), training=True)
    assert [s.gt_score.tolist() for s in data["data_samples"]] == 2 * [[0.5, 0.5]]


def test_one_hot_scores_are_those_of_the_images():
    # mmpretrain would take a sample of three labels for one image with all of them.
    preprocessor = RotatedViewsDataPreprocessor(
        num_views=1, to_onehot=True, num_classes=5
    )
    images = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8)
    sample = DataSample(metainfo=dict(sample_idx=torch.tensor([8, 9, 7])))
    sample.set_gt_label([4, 0, 2])
    data = preprocessor(dict(inputs=images, data_samples=[sample]), training=True)
    assert [int(sample.sample_idx) for sample in data["data_samples"]] == [8, 9, 7]
    scores = torch.stack([sample.gt_score for sample in data["data_samples"]])
    expected = [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert scores.tolist() == expected


@pytest.mark.parametrize("num_views", [0, 5, -1, 2.5])
def test_impossible_number_of_views(num_views):
    with pytest.raises(ValueError, match=f"num_views={num_views}; expected"):
        RotatedViewsDataPreprocessor(num_views=num_views)


def test_built_from_registry():
    preprocessor = MODELS.build(
        dict(type="pckd_mm.RotatedViewsDataPreprocessor", mean=MEAN, std=STD)
    )
    assert isinstance(preprocessor, RotatedViewsDataPreprocessor)
    assert (preprocessor.num_views, preprocessor.flip_prob) == (4, 0.5)
    assert preprocessor.crop_padding == 4


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("num_views", [1, 4])
def test_inputs_are_contiguous_whatever_the_loaders_layout(training, num_views):
    images = make_images(3).contiguous(memory_format=torch.channels_last)
    assert not images.is_contiguous()
    for padding in (0, 4):
        kwargs = dict(num_views=num_views, crop_padding=padding)
        assert views_of(images, training, **kwargs).is_contiguous()
