"""Tables from numbers made by hand."""

import pytest

from pckd_mm.analysis import Method, command_list, markdown_table, summarise
from tests.test_analysis.finished import ALONE, PCKD, TEACHER, method


def test_numbers_by_hand():
    teacher, alone, pckd = summarise([ALONE, PCKD], "alone", TEACHER)
    assert (alone.mean, alone.std, alone.gain) == (92.0, 2.0, None)
    # Deviations from 96: -1, -1, 2; their squares make 6, over n - 1 = 2 it is 3.
    assert (pckd.mean, pckd.gain) == (96.0, 4.0)
    assert pckd.std == pytest.approx(3**0.5)
    assert (teacher.mean, teacher.std, teacher.gain) == (97.5, None, 5.5)


def test_table():
    assert markdown_table(summarise([ALONE, PCKD], "alone", TEACHER)).splitlines() == [
        "| method  | top-1 mean +- std | n | gain over the student alone |",
        "|---------|-------------------|---|-----------------------------|",
        "| teacher | 97.50 +- -        | 1 | +5.50                       |",
        "| alone   | 92.00 +- 2.00     | 3 | -                           |",
        "| PCKD    | 96.00 +- 1.73     | 3 | +4.00                       |",
    ]


def test_loss_is_shown_as_loss():
    worse = method("worse", 89.0, 90.0)
    assert summarise([ALONE, worse], "alone")[1].gain == -2.5
    assert "-2.50" in markdown_table(summarise([ALONE, worse], "alone"))


def test_what_is_not_measured_is_a_dash():
    methods = [
        Method("alone", {}, published=69.06),
        Method("KD", {0: {1: 70.0}}, published=70.66, command="python kd.py"),
    ]
    rows = summarise(methods, "alone")
    assert markdown_table(rows).splitlines()[2:] == [
        "| alone  | -                 | 0 | -                           | 69.06     "
        "| -       |",
        "| KD     | 70.00 +- -        | 1 | -                           | 70.66     "
        "| [2]     |",
    ]
    assert command_list(rows) == "```sh\npython kd.py  # [2]\n```"
