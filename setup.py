"""For tools that still look for a setup.py; all settings are in pyproject.toml."""

from setuptools import setup

setup()
