"""What pyproject.toml cannot say without a warning; all else is there."""

from setuptools import setup

# An entry of Python's path, not a finder: beside a clone that is named pckd_mm a finder
# comes after the empty namespace package that Python takes that folder for.
setup(options={"editable_wheel": {"mode": "compat"}})
