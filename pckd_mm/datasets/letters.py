"""Letters of three alphabets, rendered from the fonts that come with matplotlib."""

import math
from pathlib import Path
from typing import Any, Iterator, List, Optional

import numpy as np
from mmpretrain.datasets import BaseDataset
from PIL import Image, ImageDraw, ImageFont

from pckd_mm.registry import DATASETS

from ._common import check_split

# No quarter turn of one looks like another: the clean images of two correlate by less
# than 0.85, as a mean over all styles, whatever quarter turn one of them has. So Latin
# A and Cyrillic А are one category, and so are C and c, which differ in size alone.
# Of pairs that a reader confuses, though their strokes differ in length, one is left
# out as well: quarter turns (u n, U C, Z N, Ш E, Σ M, Γ L, Э Є), and italics that are
# another letter's (г д и п т).
CHARACTERS = (
    "ABCDEHIJKLMNOPQRSTWXYabdefgijkmnrty"
    "ΔΞΦΨΩαβγδεζηιλμξπστυφχω"
    "ДЖЦЧЩЪЫЬЮЯблм"
    "ÆæŒØßÞþðŁŊς"
    "ЂђЉЊЋћџЃЇЎ"
)
# Of each family (sans, mono, serif, STIX) two styles are for training and one each for
# validation and test, which have a regular, a bold, an italic and a bold italic one.
STYLES = {
    "train": (
        *("DejaVuSans", "DejaVuSans-BoldOblique"),
        *("DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
        *("DejaVuSerif-Bold", "DejaVuSerif-Italic"),
        *("STIXGeneral", "STIXGeneralBolIta"),
    ),
    "val": (
        *("DejaVuSans-Bold", "DejaVuSansMono"),
        *("DejaVuSerif-BoldItalic", "STIXGeneralItalic"),
    ),
    "test": (
        *("DejaVuSans-Oblique", "DejaVuSansMono-BoldOblique"),
        *("DejaVuSerif", "STIXGeneralBol"),
    ),
}
_PER_CLASS = {"train": 24, "val": 48, "test": 48}

SIDE = 16
_FINE = 4  # letters are drawn in so many times the pixels, and then averaged
_INK = 12  # pixels of the larger of a letter's height and width
_PAPER, _CONTRAST = 0.25, 0.5  # grey values, of 0 to 1: room for the noise


def _fonts() -> Path:
    """Folder of matplotlib's fonts.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "LettersDataset draws with the fonts that come with matplotlib, which is "
            "not installed: pip install matplotlib"
        ) from error
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def _draw(path: Path) -> List[Image.Image]:
    """All characters in one style, each as large as the others and in the middle."""
    if not path.is_file():
        raise FileNotFoundError(
            f"LettersDataset finds no {path}; expected the fonts that matplotlib's "
            "wheel brings: pip install --force-reinstall matplotlib"
        )
    size, ink = SIDE * _FINE, _INK * _FINE
    # The basic layout, since the other one is not in every build of Pillow.
    font = ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
    tiles = []
    for character in CHARACTERS:
        left, top, right, bottom = font.getbbox(character)
        letter = Image.new("L", (int(right - left), int(bottom - top)))
        ImageDraw.Draw(letter).text((-left, -top), character, fill=255, font=font)
        letter = letter.crop(letter.getbbox())
        scale = ink / max(letter.size)
        letter = letter.resize([max(1, round(side * scale)) for side in letter.size])
        tile = Image.new("L", (size, size))
        tile.paste(letter, ((size - letter.width) // 2, (size - letter.height) // 2))
        tiles.append(tile)
    return tiles


def _moved(tile: Image.Image, turn: float, right: float, down: float) -> np.ndarray:
    """Turn by degrees, counterclockwise, and shift by pixels.

    Returns:
        np.ndarray: Ink of 0 to 1, shape (SIDE, SIDE).
    """
    center = SIDE * _FINE / 2
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    # Pillow asks where a pixel of the outcome comes from.
    x, y = center + right * _FINE, center + down * _FINE
    rows = (cos, -sin, center - cos * x + sin * y, sin, cos, center - sin * x - cos * y)
    moved = tile.transform(
        tile.size, Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR
    )
    return np.asarray(moved.reduce(_FINE), dtype=np.float64) / 255


@DATASETS.register_module()
class LettersDataset(BaseDataset):
    """Printed letters, grey images of 16x16 pixels; they are made, not downloaded.

    92 letters of the Latin, Greek and Cyrillic alphabets, in 16 styles of DejaVu and
    STIX as matplotlib brings them, turned and shifted at random, with noise. The splits
    share no style: a letter of the validation or of the test is in a type that is not
    in the training set. No quarter turn of a letter looks like another one, since PCKD
    gives all four rotated views of an image the same label.

    The same arguments give the same images, in every process. Other versions of Pillow
    may draw a few pixels in another grey.

    Args:
        split (str): ``'train'``, ``'val'`` or ``'test'``. Defaults to ``'train'``.
        per_class (int, optional): Images of each letter, styles in turn. Defaults to
            None: 24 for training and 48 each for validation and test, 2,208 and 4,416
            images.
        noise (float): Standard deviation of the noise, where ink and paper differ by
            0.5. Defaults to 0.15.
        turn (float): Largest turn to either side, in degrees. Defaults to 15.
        shift (float): Largest shift in each direction, in pixels. Defaults to 1.5.
        seed (int): Seed of turns, shifts and noise. Defaults to 0.
        metainfo (dict, optional): Meta information, such as names of the categories.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: Names the font that is missing.
        ImportError: Where matplotlib is missing.
        ValueError: For another split, less than one image of a letter, and negative
            settings.
    """

    METAINFO = {"classes": tuple(CHARACTERS)}

    def __init__(
        self,
        split: str = "train",
        per_class: Optional[int] = None,
        noise: float = 0.15,
        turn: float = 15.0,
        shift: float = 1.5,
        seed: int = 0,
        metainfo: Optional[dict] = None,
        **kwargs: Any,
    ) -> None:
        check_split("LettersDataset", split, tuple(STYLES))
        self.split = split
        self.per_class = _PER_CLASS[split] if per_class is None else per_class
        self.noise, self.turn, self.shift, self.seed = noise, turn, shift, seed
        if self.per_class < 1:
            raise ValueError(
                f"LettersDataset found per_class={per_class}; expected 1 or more "
                "images of each letter."
            )
        for name in ("noise", "turn", "shift", "seed"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(
                    f"LettersDataset found {name}={value}; expected 0 or more."
                )
        kwargs.setdefault("test_mode", split != "train")
        super().__init__(ann_file="", metainfo=metainfo, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Render the images of the split.

        Returns:
            list[dict]: ``img``, uint8 of shape (16, 16, 1), and ``gt_label`` of each
            image: round after round all letters, each round in the next style.
        """
        tiles = [_draw(_fonts() / f"{name}.ttf") for name in STYLES[self.split]]
        return [
            dict(img=image[..., None], gt_label=label)
            for number in range(self.per_class)
            for label, image in enumerate(
                self._round(number, tiles[number % len(tiles)])
            )
        ]

    def _round(self, number: int, tiles: List[Image.Image]) -> Iterator[np.ndarray]:
        # A stream for each round, so that more images leave the first as they are.
        stream = [self.seed, list(STYLES).index(self.split), number]
        rng = np.random.default_rng(stream)
        total = len(CHARACTERS)
        turns = self.turn * rng.uniform(-1, 1, total)
        shifts = self.shift * rng.uniform(-1, 1, (total, 2))
        noise = self.noise * rng.standard_normal((total, SIDE, SIDE))
        for tile, turn, shift, grain in zip(tiles, turns, shifts, noise, strict=True):
            grey = _PAPER + _CONTRAST * _moved(tile, turn, *shift) + grain
            yield np.rint(255 * grey.clip(0, 1)).astype(np.uint8)

    def extra_repr(self) -> List[str]:
        """Split and its making, for the representation of the data set."""
        return [
            f"Split: \t{self.split}, {self.per_class} of each letter, seed {self.seed}",
            f"Made with: \tnoise {self.noise}, turn {self.turn}, shift {self.shift}",
        ]
