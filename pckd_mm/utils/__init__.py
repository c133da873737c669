"""Helpers without a registry: checkpoints and random numbers."""
