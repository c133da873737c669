"""What a look into networks found, in numbers and in its files."""

import dataclasses

import numpy as np
import pytest

from pckd_mm.analysis.inspection import (
    compared_with,
    likeness,
    read_inspection,
    write_inspection,
)
from tests.test_analysis.finished import inspected


def test_likeness_leaves_the_diagonal_out():
    one = np.array([[9.0, 1, 2], [1, 9, 4], [2, 4, 9]])
    # 1, 2, 4 and 2, 4, 8 grow alike; 1, 2, 4 and 4, 2, 1 are centered at 7/3:
    # (-4/3, -1/3, 5/3) times (5/3, -1/3, -4/3) is -39/9, each squared 42/9.
    assert likeness(one, 2 * one) == pytest.approx(1)
    other = np.array([[0.0, 4, 2], [4, -5, 1], [2, 1, 7]])
    assert likeness(one, other) == pytest.approx(-39 / 42)


def test_likeness_to_the_teacher():
    found = inspected()
    # Rows are correlated over their entries; twice the rows are correlated alike.
    teacher = found.correlations()["teacher"]
    assert teacher.shape == (3, 3) and np.diag(teacher) == pytest.approx(np.ones(3))
    first, second = found.centers["teacher"][:2]
    expected = np.mean((first - first.mean()) * (second - second.mean()))
    assert teacher[0, 1] == pytest.approx(expected / first.std() / second.std())
    values = found.likeness_to_teacher()
    assert list(values) == ["alone", "PCKD"] and values["PCKD"] == pytest.approx(1)
    # The other order of the features changes no correlation between rows.
    assert values["alone"] == pytest.approx(1)


def test_each_student_is_like_its_own_teacher():
    found = inspected()
    found.centers["big"] = np.array([[1.0, 0, 2], [4, 1, 0], [0, 3, 1]])
    matrices = found.correlations()
    expected = {
        name: likeness(matrices[name], matrices[teacher])
        for name, teacher in (("alone", "big"), ("PCKD", "teacher"))
    }
    assert expected["alone"] != pytest.approx(1)
    found = dataclasses.replace(found, teachers=dict(alone="big", PCKD="teacher"))
    assert found.likeness_to_teacher() == pytest.approx(expected)


@pytest.mark.parametrize(
    "teachers, compared",
    [
        ([], {}),
        (["A"], {"alone": "A", "KD": "A"}),
        (["A", "B"], {"KD": "A", "PCKD": "B"}),
    ],
)
def test_a_student_alone_is_compared_with_the_only_teacher(teachers, compared):
    learns_from = {"alone": "", "KD": "A", "PCKD": "B"}
    assert compared_with(teachers, learns_from) == compared


def test_without_a_teacher_nothing_is_compared():
    found = inspected()
    assert dataclasses.replace(found, teachers={}).likeness_to_teacher() == {}
    del found.centers["teacher"]
    assert found.likeness_to_teacher() == {}


def test_what_is_not_defined_is_left_out():
    found = inspected()
    found.centers["alone"] = np.ones((3, 4))
    assert np.array_equal(found.correlations()["alone"], np.zeros((3, 3)))
    assert list(found.likeness_to_teacher()) == ["PCKD"]


def test_what_is_written_is_read_back(tmp_path):
    found = inspected()
    found.centers["../a name"] = np.ones((3, 2), dtype=np.float32)
    write_inspection(tmp_path, found)
    again = read_inspection(tmp_path)
    for kind in ("centers", "matrices"):
        mine = getattr(found, kind)
        assert list(getattr(again, kind)) == list(mine)
        for name, rows in mine.items():
            read = getattr(again, kind)[name]
            assert np.array_equal(read, rows) and read.dtype == rows.dtype
    (one,), (other,) = found.maps.values(), again.maps.values()
    assert np.array_equal(one.points, other.points) and other.silhouette == 0.5
    assert np.array_equal(one.labels, other.labels)
    away = dict(centers={}, matrices={}, maps={})
    assert dataclasses.replace(again, **away) == dataclasses.replace(found, **away)


def test_a_network_may_have_any_name(tmp_path):
    found = dataclasses.replace(inspected(), wrong={"array": 3}, passes={"array": 1})
    write_inspection(tmp_path, found)
    assert read_inspection(tmp_path).wrong == {"array": 3}
