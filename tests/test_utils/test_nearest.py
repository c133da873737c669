"""What a misspelt name may have meant."""

from pckd_mm.utils.nearest import likely_names, nearest, nearest_names

NAMES = ["resnet20", "resnet8", "vgg13"]


def test_the_nearest_comes_first_and_others_are_left_out():
    assert nearest_names("resnet2", NAMES) == ["resnet20", "resnet8"]
    assert nearest_names("resnet2", NAMES, most=1) == ["resnet20"]
    assert nearest("resnet2", iter(NAMES)) == "resnet20"


def test_none_where_none_looks_like_it():
    assert nearest_names("anything", NAMES) == []
    assert nearest("anything", NAMES) is None
    assert nearest("resnet2", NAMES, alike=0.99) is None


def test_beginnings_of_long_names():
    names = ["net_l_fpn_1x", "net_l-wide_1x", "net_s_fpn_2x", "net_s_1x", "other_1x"]
    assert likely_names("net_l", names) == ["net_l_fpn_1x", "net_l-wide_1x", "net_s_1x"]
    assert likely_names("net_m_fpn", names, most=2) == ["net_s_fpn_2x", "net_l_fpn_1x"]
    assert likely_names("anything", names) == []
