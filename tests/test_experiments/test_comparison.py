"""What a comparison says of mixed precision before it trains anything."""

from types import SimpleNamespace

import pytest

from pckd_mm.experiments import comparison


def run(precision, finished=False):
    return SimpleNamespace(precision=lambda: precision, is_finished=finished)


@pytest.mark.parametrize(
    "runs, said",
    [
        ([run("float32"), run("float32")], True),
        ([run("float32"), run("bfloat16 autocast", finished=True)], True),
        # Of a detector on a GPU, whatever the processor has.
        ([run("float16 autocast")], False),
        ([run("float32", finished=True)], False),
        ([], False),
    ],
)
def test_runs_that_stay_in_float32_are_announced(runs, said, capsys):
    comparison._say_where_it_stays_float32(runs)
    assert ("The runs stay in float32: this CPU" in capsys.readouterr().out) == said
