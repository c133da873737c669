from .linear_probe import LinearProbe
from .plain_classifier import PlainClassifier

__all__ = ["LinearProbe", "PlainClassifier"]
