"""Images that are held out: which, how many, and that they are the same ever again."""

import numpy as np
import pytest
from mmpretrain.datasets import CustomDataset

from pckd_mm.datasets import LettersDataset, content_split, stratified_split
from pckd_mm.registry import DATASETS

PARTS = ("train", "val")


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


def test_a_data_set_that_is_built_keeps_its_images():
    whole = LettersDataset(per_class=8, seed=3)
    every = images(whole)
    kept, held = (part_of(part, dataset=whole) for part in PARTS)
    assert images(whole) == every
    assert images(kept) == images(part_of("train"))
    assert images(held) == images(part_of("val"))
    message = "pipeline for a data set that is built; expected one beside a config"
    with pytest.raises(ValueError, match=message):
        part_of("val", dataset=whole, pipeline=[])


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
    with pytest.raises(ValueError, match="found 92 images, of which none can be held"):
        part_of(which, dataset=letters)


def files(folder, count, begin=0):
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{index}.png" for index in range(begin, begin + count)]
    for index, path in enumerate(paths, begin):
        path.write_bytes(f"image {folder.name} {index}".encode())
    return list(map(str, paths))


def test_an_image_stays_in_its_part_by_what_it_holds(tmp_path):
    paths = files(tmp_path / "a", 300)
    kept, held = content_split(paths, [0] * 300, 0.2)
    assert sorted([*kept, *held]) == list(range(300)) and 35 < len(held) < 85
    before = {paths[i]: i in set(held.tolist()) for i in range(300)}
    # Others come, go, and are renamed.
    more = files(tmp_path / "a", 100, begin=300)
    moved = str(tmp_path / "a" / "renamed.png")
    (tmp_path / "a" / "7.png").rename(moved)
    left = [path for path in paths if not path.endswith(("/7.png", "/9.png"))]
    now = [*more, moved, *left]
    _, held = content_split(now, [0] * len(now), 0.2)
    parts = {now[i]: i in set(held.tolist()) for i in range(len(now))}
    assert {path: parts[path] for path in left} == {p: before[p] for p in left}
    assert parts[moved] == before[str(tmp_path / "a" / "7.png")]


def test_a_category_is_never_held_out_as_a_whole(tmp_path):
    paths = [*files(tmp_path / "a", 40), *files(tmp_path / "b", 1)]
    labels = [0] * 40 + [1]
    for share in (0.1, 0.5, 0.99):
        kept, held = content_split(paths, labels, share)
        assert {labels[i] for i in kept} == {0, 1} and 40 not in held
    missing = [str(tmp_path / "nowhere.png"), *paths]
    content_split(missing, [0, *labels], 0.5)  # who loads it says that it is not there


def test_of_what_one_seed_kept_another_holds_a_share_out(tmp_path):
    files = [tmp_path / f"{index}.jpg" for index in range(400)]
    for index, file in enumerate(files):
        file.write_text(str(index))
    paths = list(map(str, files))
    kept, _ = content_split(paths, [0] * 400, 0.3)
    left = [paths[place] for place in kept]
    assert not len(content_split(left, [0] * len(left), 0.3)[1])  # the same hash
    _, held = content_split(left, [0] * len(left), 0.3, seed=1)
    assert 0.2 < len(held) / len(left) < 0.4


def test_parts_of_a_data_set_by_content(tmp_path):
    for label in ("a", "b"):
        files(tmp_path / label, 30)
    folder = dict(type="CheckedCustomDataset", data_root=str(tmp_path))
    parts = {
        which: part_of(which, 0.3, dataset=folder, by="content") for which in PARTS
    }
    names = {
        which: {part.get_data_info(i)["img_path"] for i in range(len(part))}
        for which, part in parts.items()
    }
    assert not names["train"] & names["val"] and len(names["val"]) > 5
    assert len(names["train"]) + len(names["val"]) == 60
    with pytest.raises(ValueError, match="by='size'; expected 'draw' or 'content'"):
        part_of("train", dataset=folder, by="size")
