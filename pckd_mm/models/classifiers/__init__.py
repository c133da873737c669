from .linear_probe import LinearProbe
from .plain_classifier import PlainClassifier, keep_own_names

__all__ = ["LinearProbe", "PlainClassifier", "keep_own_names"]
