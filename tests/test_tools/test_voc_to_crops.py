"""Objects cut out of a devkit, on tiny photos whose pixels tell their place."""

import importlib.util
import subprocess
import tarfile

import cv2
import numpy as np
import pytest

from pckd_mm.utils.endings import last_lines
from tests.builders import ROOT, SHARED
from tests.preloaded import preloaded

TOOL = ROOT / "tools" / "dataset_converters" / "voc_to_crops.py"
spec = importlib.util.spec_from_file_location("voc_to_crops", TOOL)
voc_to_crops = importlib.util.module_from_spec(spec)
spec.loader.exec_module(voc_to_crops)
convert = voc_to_crops.convert

OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>
<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax>
</bndbox><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"""


def write_photo(year, stem, *objects):
    """A smooth photo, which survives JPEG: green grows downwards, red rightwards."""
    rows, columns = np.mgrid[:40, :60]
    image = np.stack([0 * rows, 5 * rows, 4 * columns], axis=-1).astype(np.uint8)
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (year / name).mkdir(parents=True, exist_ok=True)
    path = str(year / "JPEGImages" / f"{stem}.jpg")
    cv2.imwrite(path, image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    text = "".join(
        OBJECT.format(name=name, box=box, difficult=difficult)
        for name, box, difficult in objects
    )
    annotation = year / "Annotations" / f"{stem}.xml"
    annotation.write_text(f"<annotation>{text}</annotation>")


@pytest.fixture
def devkit(tmp_path):
    devkit = tmp_path / "VOCdevkit"
    for year in ("VOC2007", "VOC2012"):
        write_photo(
            devkit / year,
            "a",
            ("dog", (1, 1, 60, 40), 0),
            ("cat", (5, 5, 9, 9), 1),
            ("cat", ("10.6", 21, 30, 40), 0),
        )
        write_photo(devkit / year, "b", ("dog", (31, 11, 31, 12), 0))
        for split, stems in (("trainval", "a\n"), ("test", "b  1\n\n")):
            path = devkit / year / "ImageSets" / "Main" / f"{split}.txt"
            path.write_text(stems)
    return devkit


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_cuts_out_boxes(devkit, tmp_path):
    out = tmp_path / "out"
    assert convert(devkit, out) == dict(train=4, test=2)
    assert files(out) == [
        "test/dog/2007_b_0.png",
        "test/dog/2012_b_0.png",
        "train/cat/2007_a_2.png",
        "train/cat/2012_a_2.png",
        "train/dog/2007_a_0.png",
        "train/dog/2012_a_0.png",
    ]
    # The same labels in both splits, though no cat is in the test.
    assert sorted(path.name for path in (out / "test").iterdir()) == ["cat", "dog"]
    photo = cv2.imread(str(devkit / "VOC2007" / "JPEGImages" / "a.jpg"))
    whole, cat, dot = (
        cv2.imread(str(out / name))
        for name in ("train/dog/2007_a_0.png", "train/cat/2007_a_2.png", files(out)[0])
    )
    assert np.array_equal(whole, photo)
    # Boxes count from 1 and include their ends: columns 11 to 30, rows 21 to 40.
    assert np.array_equal(cat, photo[20:40, 10:30])
    assert dot.shape == (2, 1, 3)
    assert np.abs(dot[:, 0].astype(int) - [[0, 50, 120], [0, 55, 120]]).max() <= 3


def test_years_and_difficult_objects(devkit, tmp_path):
    counts = convert(devkit, tmp_path / "out", ["2007"], with_difficult=True)
    assert counts == dict(train=3, test=1)
    assert "train/cat/2007_a_1.png" in files(tmp_path / "out")


def broken(devkit, name, content):
    path = devkit / "VOC2007" / name
    path.unlink() if content is None else path.write_text(content)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("ImageSets/Main/test.txt", "a\n", "a of .*VOC2007 and 1 photos in all"),
        ("Annotations/a.xml", None, "no .*a.xml; expected an annotation"),
        ("Annotations/a.xml", "<annotation>", "a.xml is no XML"),
        ("JPEGImages/a.jpg", None, "no .*a.jpg; expected the photo"),
        ("JPEGImages/a.jpg", "text", "a.jpg is no image"),
        *[
            (
                "Annotations/a.xml",
                f"<annotation>{OBJECT.format(name=name, box=box, difficult=0)}"
                "</annotation>",
                f"a.xml has the {problem}",
            )
            for name, box, problem in (
                ("", (1, 1, 2, 2), "name '' and"),
                ("../dog", (1, 1, 2, 2), "name '../dog'"),
                ("dog", (1, "", 2, 2), "name 'dog' and the corners \\['1', '', '2'"),
                ("dog", (1, "inf", 2, 2), "name 'dog' and the corners"),
                ("dog", (0, 1, 2, 2), "box \\(0, 1, 2, 2\\) in a photo of 60x40"),
                ("dog", (3, 1, 2, 2), "box \\(3, 1, 2, 2\\)"),
                ("dog", (1, 1, 2, 41), "box \\(1, 1, 2, 41\\)"),
                ("dog", (1, 1, 61, 4), "box \\(1, 1, 61, 4\\)"),
            )
        ],
    ],
)
def test_names_what_is_wrong(devkit, tmp_path, name, content, message):
    broken(devkit, name, content)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        convert(devkit, tmp_path / "out")
    for part in ("train", "test"):
        assert not (tmp_path / "out" / part).exists()


def test_a_year_without_a_test_set_has_photos_to_train_on(devkit, tmp_path):
    """As VOC2012, whose test set is on a server."""
    path = devkit / "VOC2012" / "ImageSets" / "Main" / "test.txt"
    path.unlink()
    assert convert(devkit, tmp_path / "out") == dict(train=4, test=1)
    assert files(tmp_path / "out" / "test") == ["dog/2007_b_0.png"]
    with pytest.raises(FileNotFoundError, match="no .*VOC2012/.*test.txt; expected"):
        convert(devkit, tmp_path / "named", ["2007", "2012"])
    broken(devkit, "ImageSets/Main/test.txt", None)
    with pytest.raises(FileNotFoundError, match="no .*VOC2007/.*test.txt; expected"):
        convert(devkit, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_goes_on_from_a_failure(devkit, tmp_path):
    photo = devkit / "VOC2012" / "JPEGImages" / "b.jpg"
    content = photo.read_bytes()
    photo.unlink()
    with pytest.raises(FileNotFoundError):
        convert(devkit, tmp_path / "out")
    photo.write_bytes(content)
    assert convert(devkit, tmp_path / "out") == dict(train=4, test=2)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["test", "train"]


def test_refuses_to_mix_with_earlier_crops(devkit, tmp_path):
    convert(devkit, tmp_path / "out")
    with pytest.raises(FileExistsError, match="out/train is there already"):
        convert(devkit, tmp_path / "out")


def test_refuses_an_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no VOC2"):
        convert(tmp_path, tmp_path / "out")


def run(*args):
    return subprocess.run(
        [preloaded().python, str(TOOL), *map(str, args)], capture_output=True, text=True
    )


def test_command(devkit, tmp_path):
    done = run(devkit, tmp_path / "out", "--years", "2012")
    # The maintained line of MMDetection prints a line when it is imported.
    assert done.stdout.splitlines()[-1] == "2 crops for training, 1 for testing"
    done = run(devkit, tmp_path / "out")
    (error,) = last_lines(done.stderr)
    assert done.returncode == 1 and "is there already" in error


@pytest.mark.skipif(
    not (SHARED / "data" / "voc2012_100.tar").is_file(), reason="no real photos here"
)
def test_real_photos(tmp_path):
    with tarfile.open(SHARED / "data" / "voc2012_100.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    devkit, out = tmp_path / "VOCdevkit", tmp_path / "out"
    counts = convert(devkit, out, splits=("train", "val"))
    # 273 objects, 38 of them difficult.
    assert sum(counts.values()) == 273 - 38 == len(files(out))
    for part in ("train", "test"):
        assert len(list((out / part).iterdir())) == 20
    counts = convert(devkit, tmp_path / "all", (), ("train", "val"), True)
    assert sum(counts.values()) == 273
