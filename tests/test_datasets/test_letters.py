"""The rendered letters: what looks alike, what is random, and that it is repeatable."""

import builtins
import hashlib
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import default_collate

from pckd_mm.datasets import LettersDataset, letters
from pckd_mm.registry import DATASETS
from tests.builders import ROOT

SPLITS = {"train": (8, 2208), "val": (4, 4416), "test": (4, 4416)}
PIPELINE = [dict(type="mmpretrain.PackInputs")]
HASHES = """
import sys
from tests.test_datasets.test_letters import pixels_hash
print(*map(pixels_hash, sys.argv[1:]))
"""


def pixels(split: str, **settings) -> np.ndarray:
    dataset = LettersDataset(split=split, **settings)
    return np.stack([dataset.get_data_info(i)["img"] for i in range(len(dataset))])


def pixels_hash(split: str) -> str:
    return hashlib.sha256(pixels(split, per_class=4).tobytes()).hexdigest()


def normalised(images: np.ndarray) -> np.ndarray:
    rows = images.reshape(len(images), -1).astype(float)
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def correlations(images: np.ndarray) -> np.ndarray:
    """Of each image of shape (N, H, W) with the quarter turns of each, (4, N, N)."""
    rows = normalised(images)
    turned = (np.rot90(images, turns, (1, 2)) for turns in range(4))
    return np.stack([rows @ normalised(each).T for each in turned])


def clean() -> np.ndarray:
    """Each letter in each style without noise, (styles, letters, height, width)."""
    rounds = [
        pixels(split, per_class=styles, noise=0, turn=0, shift=0)
        for split, (styles, _) in SPLITS.items()
    ]
    return np.concatenate(rounds).reshape(-1, 92, 16, 16)


def look_alikes() -> np.ndarray:
    """The largest correlation over quarter turns, as a mean over styles."""
    return np.mean([correlations(style) for style in clean()], axis=0).max(0)


def test_no_quarter_turn_of_a_letter_looks_like_another():
    found = look_alikes()
    assert found.shape == (92, 92)
    np.testing.assert_allclose(np.diag(found), 1)
    assert found[~np.eye(92, dtype=bool)].max() < 0.85


def test_the_rule_finds_letters_that_look_alike(monkeypatch):
    """By a quarter turn, across alphabets, and by size alone."""
    twins = ("un", "dp", "A\u0410", "Cc", "V\u039b")
    swapped = "".join(twins) + letters.CHARACTERS[2 * len(twins) :]
    monkeypatch.setattr(letters, "CHARACTERS", swapped)
    found = look_alikes()
    for place in range(0, 2 * len(twins), 2):
        assert found[place, place + 1] > 0.85


def test_letters_that_a_reader_confuses_are_not_both_there():
    assert len(set(LettersDataset.METAINFO["classes"])) == 92
    for twins in ("un", "UC", "ZN", "ШE", "MΣ", "LΓ", "дg", "пn", "тm", "ЭЄ"):
        assert not set(twins) <= set(letters.CHARACTERS)


def test_styles_are_of_one_split_and_of_every_family():
    styles = [style for part in letters.STYLES.values() for style in part]
    assert len(styles) == len(set(styles)) == 16
    for split, (number, _) in SPLITS.items():
        families = [style.split("-")[0] for style in letters.STYLES[split]]
        counts = Counter("STIX" if name[0] == "S" else name for name in families)
        assert set(counts) == {"DejaVuSans", "DejaVuSansMono", "DejaVuSerif", "STIX"}
        assert set(counts.values()) == {number // 4}


@pytest.mark.parametrize("split", SPLITS)
def test_images_and_labels(split):
    dataset = LettersDataset(split=split)
    total = SPLITS[split][1]
    labels = dataset.get_gt_labels()
    assert len(dataset) == total
    # Round after round all letters.
    assert (labels.reshape(-1, 92) == np.arange(92)).all() and total % 92 == 0
    info = dataset.get_data_info(0)
    assert info["img"].dtype == np.uint8 and info["img"].shape == (16, 16, 1)
    assert dataset.test_mode is (split != "train")
    assert f"{split}, {total // 92} of each letter, seed 0" in repr(dataset)


def mean_letters(split: str) -> np.ndarray:
    """Each label's mean over the split's styles, without noise, (letters, H, W)."""
    still = dict(per_class=SPLITS[split][0], noise=0, turn=0, shift=0)
    dataset = LettersDataset(split=split, **still)
    labels = dataset.get_gt_labels()
    images = pixels(split, **still)[..., 0]
    return np.stack([images[labels == label].mean(0) for label in range(92)])


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_label_is_the_same_letter_in_every_split(split):
    alike = normalised(mean_letters(split)) @ normalised(mean_letters("train")).T
    # Bold and italic change a letter or two more than they differ.
    assert (alike.argmax(1) == np.arange(92)).sum() >= 90


@pytest.mark.parametrize("split", SPLITS)
def test_names_are_those_of_the_letters(split):
    """In each style an L is heaviest below its middle, and a T above."""
    still = dict(per_class=SPLITS[split][0], noise=0, turn=0, shift=0)
    ink = pixels(split, **still).reshape(-1, 92, 16, 16) - 64.0
    below = ink.sum(3) @ (np.arange(16) - 7.5) / ink.sum((2, 3))
    names = LettersDataset.METAINFO["classes"]
    assert below[:, names.index("L")].min() > 0.5
    assert below[:, names.index("T")].max() < -0.5


def test_same_pixels_in_another_process():
    done = subprocess.run(
        [sys.executable, "-c", HASHES, *SPLITS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    hashes = [pixels_hash(split) for split in SPLITS]
    assert done.stdout.split()[-3:] == hashes and len(set(hashes)) == 3


def test_seed_split_and_round_have_images_of_their_own():
    first = pixels("train", per_class=16)
    # Round 8 has the style of round 0.
    assert (first[:92] != first[8 * 92 : 9 * 92]).any(axis=(1, 2, 3)).all()
    other = pixels("train", per_class=16, seed=1)
    assert (first != other).any(axis=(1, 2, 3)).all()
    # More images leave the first as they are.
    np.testing.assert_array_equal(pixels("train", per_class=3), first[: 3 * 92])


def test_noise_turn_and_shift_are_of_the_size_that_is_asked_for():
    still = dict(per_class=1, noise=0, turn=0, shift=0)
    clean = pixels("train", **still)[..., 0].astype(float)
    # Paper is 0.25, ink 0.75 at most.
    assert clean.min() == 64 and 185 < clean.max() <= 191
    noisy = pixels("train", **{**still, "noise": 0.04})[..., 0]
    assert np.std(noisy - clean) == pytest.approx(0.04 * 255, rel=0.02)

    def centers(images):
        ink = images - 64.0
        where = np.arange(16) + 0.5
        total = ink.sum((1, 2))
        return np.stack([(ink.sum(1) @ where), (ink.sum(2) @ where)]) / total

    moved = pixels("train", **{**still, "shift": 2})[..., 0]
    distance = centers(moved) - centers(clean)
    assert 1.8 < np.abs(distance).max() < 2.1
    assert np.abs(distance.mean()) < 0.25
    turned = pixels("train", **{**still, "turn": 90})[..., 0]
    assert np.abs(centers(turned) - 8).max() < np.abs(centers(clean) - 8).max() + 1
    assert np.diag(normalised(turned) @ normalised(clean).T).mean() < 0.8


def test_loads_by_name_into_batches():
    dataset = DATASETS.build(
        dict(type="pckd_mm.LettersDataset", per_class=1, pipeline=PIPELINE)
    )
    batch = default_collate([dataset[0], dataset[1]])
    assert batch["inputs"].shape == (2, 1, 16, 16)


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            dict(split="all"),
            "^LettersDataset found split='all'; expected 'train' or 'val' or 'test'",
        ),
        (
            dict(per_class=0),
            "^LettersDataset found per_class=0; expected 1 or more images",
        ),
        (dict(noise=-1), "^LettersDataset found noise=-1; expected 0 or more"),
        (dict(seed=-1), "^LettersDataset found seed=-1; expected 0 or more"),
    ],
)
def test_refuses_what_makes_no_images(settings, message):
    with pytest.raises(ValueError, match=message):
        LettersDataset(**settings)


def test_says_how_to_install_matplotlib(monkeypatch):
    real_import = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        LettersDataset()


def test_names_a_missing_font(monkeypatch, tmp_path):
    monkeypatch.setattr(letters, "_fonts", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="finds no .*DejaVuSans.ttf; expected"):
        LettersDataset()
