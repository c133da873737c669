"""The version of pckd_mm, its only home."""

__version__ = "0.1.0"
