"""Texts of unknown origin become one line that any log takes."""

import pytest

from pckd_mm.utils.printable import first_line, printable


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a b/\u00e9 \u732b.png", "a b/\u00e9 \u732b.png"),
        ("caf\udce9", "caf\\udce9"),
        ("\x1b[2J\n\x00", "\\x1b[2J\\n\\x00"),
        ("", ""),
    ],
)
def test_what_cannot_be_printed(text, expected):
    assert printable(text) == expected
    assert printable(text).encode().isascii() == expected.isascii()


@pytest.mark.parametrize(
    "error, expected",
    [
        (ValueError("a\nb"), "ValueError: a"),
        (OSError("\n  no\x00 room\n"), "OSError: no\\x00 room"),
        (KeyError("img"), "KeyError: 'img'"),
        (RuntimeError(), "RuntimeError"),
        (RuntimeError("\n"), "RuntimeError"),
    ],
)
def test_an_error_in_one_line(error, expected):
    assert first_line(error) == expected
    assert first_line(error, 9) == expected[:9] + "..."
    assert first_line(error, kind=False) == expected.rpartition(": ")[2]


def test_long_texts_are_cut():
    assert printable("abcdef", 6) == "abcdef"
    assert printable("abc\ndef", 4) == "abc\\n..."
