"""One line of what was found."""

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """What was found, and what to do where that is a fault.

    Args:
        what (str): Such as the name of a package.
        found (str): Such as its version.
        needed (str): What is needed. Defaults to '', nothing in particular.
        advice (str): One sentence; '' where there is no fault, the default.
        follows (bool): Whether it is the consequence of a fault that another finding
            has the advice for. Defaults to False.
    """

    what: str
    found: str
    needed: str = ""
    advice: str = ""
    follows: bool = False
