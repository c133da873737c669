"""What is installed, and whether it works together; imports nothing that may fail."""

from .finding import Finding
from .imports import check_imports
from .machine import check_configs, check_machine
from .requirements import check_requirements

__all__ = [
    "Finding",
    "check_configs",
    "check_imports",
    "check_machine",
    "check_requirements",
]
