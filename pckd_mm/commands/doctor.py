"""Say what is installed, and whether it works together.

  pckd doctor

It imports everything that training needs, in a process of its own, which takes some
seconds. The exit status is 1 where something is wrong, with one sentence of advice for
each fault.
"""

import argparse
from pathlib import Path
from typing import List

from pckd_mm.version import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has no options."""


def run(args: argparse.Namespace) -> int:
    """Examine, and print what was found.

    Args:
        args (Namespace): Nothing in it is read.

    Returns:
        int: Exit status.
    """
    try:
        from pckd_mm import diagnosis
    except ImportError as error:  # it needs a single package
        print(f"{error}: pip install {error.name}.")
        return 1
    findings: List[diagnosis.Finding] = [
        diagnosis.Finding("pckd_mm", f"{__version__} in {Path(__file__).parents[1]}"),
        *diagnosis.check_requirements(),
        *diagnosis.check_machine(),
        *diagnosis.check_imports(),
        *diagnosis.check_configs(),
    ]
    widths = [
        max(len(finding.what) for finding in findings),
        max((len(finding.found) for finding in findings if finding.needed), default=0),
    ]
    for finding in findings:
        mark = "!!" if finding.advice or finding.follows else "ok"
        line = f"{mark} {finding.what:{widths[0]}}  {finding.found:{widths[1]}}"
        print(f"{line}  {finding.needed}".rstrip())
    advice = [finding.advice for finding in findings if finding.advice]
    if not advice and not any(finding.follows for finding in findings):
        print("\nAll is well.")
        return 0
    if not advice:
        print("\nWhat is marked !! could not be tried, for what is said above it.")
        return 1
    print(f"\n{len(advice)} {'fault' if len(advice) == 1 else 'faults'}:")
    for sentence in advice:
        print(f"- {sentence}")
    return 1
