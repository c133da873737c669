"""Subcommands of ``pckd convert``."""
