"""What a comparison says of mixed precision before it trains anything."""

from types import SimpleNamespace

import pytest

from pckd_mm.experiments import ExperimentError, comparison


def run(precision, finished=False):
    def tell():
        if isinstance(precision, Exception):
            raise precision
        return precision

    return SimpleNamespace(precision=tell, is_finished=finished)


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


def test_what_refuses_mixed_precision_ends_it_before_the_first_run():
    refused = ValueError("--amp found a detector on the CPU")
    with pytest.raises(ExperimentError, match="^--amp found a detector"):
        comparison._say_where_it_stays_float32([run(refused)])
    # The report of runs that were trained elsewhere is still to be had.
    comparison._say_where_it_stays_float32([run(refused, finished=True)])
