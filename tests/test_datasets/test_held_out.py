"""Images that are held out: which, how many, and that they are the same ever again."""

import numpy as np
import pytest
from mmpretrain.datasets import CustomDataset

from pckd_mm.datasets import LettersDataset, stratified_split
from pckd_mm.registry import DATASETS


def part_of(which, share=0.25, **settings):
    letters = dict(type="LettersDataset", per_class=8, seed=3)
    config = dict(type="held_out_part", dataset=letters, part=which, share=share)
    return DATASETS.build({**config, **settings})


def images(dataset):
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return {(info["gt_label"], info["img"].tobytes()) for info in infos}


def test_each_category_gives_its_share():
    labels = [0] * 10 + [1] * 4 + [2] * 3 + [3]
    kept, held = stratified_split(labels, 0.3)
    assert sorted([*kept, *held]) == list(range(18))
    assert (np.diff(kept) > 0).all() and (np.diff(held) > 0).all()
    # 3 of 10, 1 of 4 (1.2), 1 of 3 (0.9), and the only one of its kind stays.
    assert np.bincount(np.array(labels)[held], minlength=4).tolist() == [3, 1, 1, 0]
    # At least one, and at least one is left.
    held = stratified_split([0] * 50 + [1] * 2, 0.01)[1]
    assert np.bincount(np.array([0] * 50 + [1] * 2)[held]).tolist() == [1, 1]
    kept = stratified_split([0, 0], 0.99)[0]
    assert len(kept) == 1


def test_the_draw_is_fixed_by_its_seed():
    labels = np.arange(600) % 3
    first, again, other = (stratified_split(labels, 0.1, seed)[1] for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    # Numbers of NumPy's documented generator: a change would move all searches' images.
    assert first[:5].tolist() == [7, 10, 14, 18, 22]


def test_the_parts_share_no_image_and_are_all():
    whole = images(LettersDataset(per_class=8, seed=3))
    kept, held = part_of("train"), part_of("val")
    assert isinstance(kept, LettersDataset)
    assert (len(kept), len(held)) == (92 * 6, 92 * 2)
    assert not images(kept) & images(held)
    assert images(kept) | images(held) == whole
    assert kept.metainfo == held.metainfo
    assert images(part_of("val", seed=1)) != images(held)


@pytest.mark.parametrize("share", [0, 1, -0.5, 2])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(ValueError, match=f"share of {share}; expected"):
        part_of("train", share)


def test_another_part_is_refused():
    with pytest.raises(ValueError, match="part='test'; expected 'train' or 'val'"):
        part_of("test")


def test_labels_that_are_not_one_each_are_refused(tmp_path):
    (tmp_path / "a.png").touch()
    unlabelled = CustomDataset(data_root=str(tmp_path), with_label=False)
    config = dict(type="held_out_part", dataset=unlabelled, part="val")
    with pytest.raises(ValueError, match="gt_label=None of image 0; expected one"):
        DATASETS.build(config)


@pytest.mark.parametrize("which", ["train", "val"])
def test_a_single_image_of_each_category_cannot_be_held_out(which):
    letters = dict(type="LettersDataset", per_class=1, seed=3)
    with pytest.raises(ValueError, match="found 92 images, no two of one category; ex"):
        part_of(which, dataset=letters)
