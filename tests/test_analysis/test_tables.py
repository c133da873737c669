"""Tables from numbers made by hand."""

from dataclasses import replace

import pytest

from pckd_mm.analysis import AP, MAP50, Method, Table, command_list, summarise
from pckd_mm.analysis.tables import caption, format_table, table_cells
from tests.test_analysis.finished import ALONE, PCKD, TEACHER, method

TABLE = Table([ALONE, PCKD], [TEACHER])


def test_numbers_by_hand():
    teacher, alone, pckd = summarise(TABLE)
    assert (alone.score.mean, alone.score.std, alone.gain) == (92.0, 2.0, None)
    # Deviations from 96: -1, -1, 2; their squares make 6, over n - 1 = 2 it is 3.
    assert (pckd.score.mean, pckd.gain) == (96.0, 4.0)
    assert pckd.score.std == pytest.approx(3**0.5)
    assert (teacher.score.mean, teacher.score.std, teacher.gain) == (97.5, None, 5.5)


def test_table():
    assert format_table(table_cells(summarise(TABLE))).splitlines() == [
        "| method  | top-1 last, mean +- std | best epoch | n | gain  |",
        "|---------|-------------------------|------------|---|-------|",
        "| teacher | 97.50 +- -              | 98.50      | 1 | +5.50 |",
        "| alone   | 92.00 +- 2.00           | 93.00      | 3 | -     |",
        "| PCKD    | 96.00 +- 1.73           | 97.00      | 3 | +4.00 |",
    ]


def test_where_there_are_several_teachers_a_line_names_its_own():
    big = method("big", 99.0)
    mine = replace(PCKD, teacher="big")
    cells = table_cells(summarise(Table([ALONE, mine], [TEACHER, big])))
    assert [line[:3] for line in cells] == [
        ["method", "learns from", "top-1 last, mean +- std"],
        ["teacher", "-", "97.50 +- -"],
        ["big", "-", "99.00 +- -"],
        ["alone", "-", "92.00 +- 2.00"],
        ["PCKD", "big", "96.00 +- 1.73"],
    ]
    # Of one teacher there is nothing to say.
    (headline, *_) = table_cells(summarise(Table([ALONE, mine], [big])))
    assert "learns from" not in headline
    (headline, *_) = table_cells(summarise(Table([ALONE, mine])))
    assert "learns from" not in headline
    # It need not have a line.
    for teachers in ([TEACHER], []):
        other = replace(PCKD, name="KD", teacher="https://x.org/a.pth")
        cells = table_cells(summarise(Table([ALONE, mine, other], teachers)))
        assert [line[1] for line in cells[-2:]] == ["big", "https://x.org/a.pth"]


def test_the_best_epoch_is_that_of_each_run():
    # 80 after epoch 1, and 70 after epoch 2; the mean curve is best with 60.
    curves = {0: {1: 80.0, 2: 40.0, 3: 50.0}, 1: {1: 20.0, 2: 70.0, 3: 60.0}}
    (row,) = summarise(Table([Method("alone", curves)]))
    assert (row.score.mean, row.score.best) == (55.0, 75.0)


def test_of_a_checkpoint_that_was_only_tested_no_epoch_is_the_best():
    teacher = Method("teacher", {0: {1: 97.0}}, notes={0: {"tested": "a.pth"}})
    row, _ = summarise(Table([ALONE], [teacher]))
    assert (row.score.mean, row.score.best) == (97.0, None)
    line = format_table(table_cells([row])).splitlines()[-1]
    assert line == "| teacher | 97.00 +- -              | -          | 1 | +5.00 |"


def detector(name, *finals, ap=()):
    """Runs whose AP is there for the first seeds, best after the first epoch."""
    curves = {seed: {4: 10.0, 8: final} for seed, final in enumerate(finals)}
    further = {seed: {4: value + 2, 8: value} for seed, value in enumerate(ap)}
    return Method(name, curves, further={AP: further} if ap else {})


def test_a_second_metric_stands_beside_the_first():
    methods = [
        detector("alone", 40.0),
        # A mean of one of two runs would be compared with that of both.
        detector("partial", 50.0, 60.0, ap=[25.0]),
        detector("PCKD", 45.0, 47.0, ap=[20.0, 22.0]),
    ]
    table = Table(methods, metric=MAP50)
    assert [cells[3:] for cells in table_cells(summarise(table), MAP50)] == [
        ["AP last, mean +- std", "AP best", "n", "gain"],
        ["-", "-", "1", "-"],
        ["-", "-", "2", "+15.00"],
        ["21.00 +- 1.41", "23.00", "2", "+6.00"],
    ]
    assert "AP is the mean average precision over IoU 0.5 to 0.95" in caption(table)
    old = Table(methods[:1], metric=MAP50)
    assert len(table_cells(summarise(old), MAP50)[0]) == 5 and "AP" not in caption(old)


def test_loss_is_shown_as_loss():
    rows = summarise(Table([ALONE, method("worse", 89.0, 90.0)]))
    assert rows[1].gain == -2.5 and table_cells(rows)[2][-1] == "-2.50"


def test_what_is_not_measured_is_a_dash():
    methods = [
        Method("alone", {}, published=69.06),
        Method("KD", {0: {1: 70.0}}, published=70.66, command="python kd.py"),
    ]
    rows = summarise(Table(methods))
    assert table_cells(rows)[1:] == [
        ["alone", "-", "-", "0", "-", "69.06", "-"],
        ["KD", "70.00 +- -", "70.00", "1", "-", "70.66", "[2]"],
    ]
    assert command_list(rows) == "```sh\npython kd.py  # [2]\n```"


def test_the_caption_says_what_the_best_epoch_is_for():
    text = caption(TABLE)
    assert text.startswith("Top-1 accuracy in percent on the test set after the last ")
    assert "epoch (3); " in text and "over n seeds: 0, 1, 2. The gain is that" in text
    assert "of the last epoch over alone." in text
    assert "chosen on the test set, too" in text and "published values" in text
    assert caption(Table([Method("alone", {})])) == "No run is finished yet."


def test_the_caption_says_which_images_were_held_out():
    text = caption(Table([ALONE, PCKD], held_out=0.1))
    assert " in percent on 10 % of the training images, held out, after the" in text
    assert "chosen on these images themselves" in text
    assert "test set" not in text and "published" not in text
