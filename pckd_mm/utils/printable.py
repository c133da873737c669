"""Texts of unknown origin in messages and logs."""

__all__ = ["first_line", "printable"]


def printable(text: str, most: int = 5000) -> str:
    """A text with escapes for what cannot be shown.

    Args:
        text (str): Such as a path with line breaks, or with bytes that are no UTF-8,
            which Python reads as lone surrogates and can write to no log.
        most (int): Characters to take of it. Defaults to 5000, more than a path has.
    """
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text[:most]
    )
    return shown if len(text) <= most else f"{shown}..."


def first_line(error: BaseException, most: int = 300, kind: bool = True) -> str:
    """An error's kind and the first line of its message, fit for a sentence.

    Args:
        error (BaseException): Of whatever library, with a message or without.
        most (int): Characters to take. Defaults to 300.
        kind (bool): Whether to name the kind also where there is a message. Defaults to
            True.
    """
    lines = str(error).strip().splitlines()[:1]
    words = [type(error).__name__, *lines] if kind or not lines else lines
    return printable(": ".join(words), most)
