"""What a run's losses are called in its log."""

from typing import Optional

__all__ = ["GRADIENT_COSINE", "GRADIENT_SHARE", "STUDENT", "term_of"]

# What shares of the gradient are called, in front of the name of a term.
GRADIENT_SHARE = "gradient_share/"
# What cosines with the gradient of the student's own losses are called, likewise.
GRADIENT_COSINE = "gradient_cosine/"
# The student's own losses together.
STUDENT = "student"


def term_of(key: str) -> Optional[str]:
    """The term that a loss of a distillation belongs to.

    Args:
        key (str): What the algorithm and the log call it.

    Returns:
        str, optional: 'student' for the student's own, else its name; None for what is
        no loss, such as an accuracy, which MMEngine does not add up, and for the sum.
    """
    who, _, name = key.partition(".")
    if who not in (STUDENT, "distill") or "loss" not in name:
        return None
    return STUDENT if who == STUDENT else name
