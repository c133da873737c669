"""What the command line asks for to train faster."""

import argparse

import pytest

from pckd_mm.utils.speed_arguments import SpeedArguments, add_speed_arguments


def read(*words):
    parser = argparse.ArgumentParser()
    add_speed_arguments(parser)
    return SpeedArguments.of(parser.parse_args(words))


@pytest.mark.parametrize(
    "words, expected, rounding",
    [
        ([], SpeedArguments(), []),
        (["--amp"], SpeedArguments(amp="auto"), ["mixed precision"]),
        (
            ["--force-amp", "--fast"],
            SpeedArguments(amp="force", fast=True),
            ["mixed precision on any CPU", "fast"],
        ),
        (
            ["--compile", "reduce-overhead", "--data-on-device"],
            SpeedArguments(compile="reduce-overhead", data_on_device=True),
            ["compiled (reduce-overhead)"],
        ),
    ],
)
def test_options_are_read_and_written(words, expected, rounding):
    assert read(*words) == expected
    assert expected.command_line() == words
    assert expected.what_rounds() == rounding


def test_a_mode_may_be_left_out(capsys):
    assert read("--compile") == SpeedArguments(compile="default")
    with pytest.raises(SystemExit):
        read("--compile", "x.py")
    assert "invalid choice: 'x.py'" in capsys.readouterr().err
