"""How large an image may be."""

import pytest
from PIL import Image

from pckd_mm.datasets.image_checks import MOST_PIXELS, load_whole
from tests.test_datasets.test_checked_folders import jpeg, with_size


@pytest.mark.parametrize("limit_of_pillow", [Image.MAX_IMAGE_PIXELS, None])
@pytest.mark.parametrize("height, fits", [(13377, True), (13378, False)])
def test_the_largest_image(tmp_path, monkeypatch, limit_of_pillow, height, fits):
    # A program may lift Pillow's own limit; that of a training stays.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit_of_pillow)
    assert 13377**2 < MOST_PIXELS == 178_956_970 < 13377 * 13378
    path = tmp_path / "large.jpg"
    path.write_bytes(with_size(jpeg(), 13377, height))
    decoded = []
    if fits:
        load_whole(str(path), lambda: decoded.append(1))
    else:
        with pytest.raises(ValueError, match="178956970 pixels"):
            load_whole(str(path), lambda: decoded.append(1))
    assert len(decoded) == fits
