"""What a misspelt name may have meant."""

from pckd_mm.utils.nearest import nearest, nearest_names

NAMES = ["resnet20", "resnet8", "vgg13"]


def test_the_nearest_comes_first_and_others_are_left_out():
    assert nearest_names("resnet2", NAMES) == ["resnet20", "resnet8"]
    assert nearest_names("resnet2", NAMES, most=1) == ["resnet20"]
    assert nearest("resnet2", iter(NAMES)) == "resnet20"


def test_none_where_none_looks_like_it():
    assert nearest_names("anything", NAMES) == []
    assert nearest("anything", NAMES) is None
    assert nearest("resnet2", NAMES, alike=0.99) is None
