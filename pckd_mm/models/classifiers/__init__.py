from .linear_probe import LinearProbe
from .plain_classifier import PlainClassifier, how_it_loads, keep_own_names

__all__ = ["LinearProbe", "PlainClassifier", "how_it_loads", "keep_own_names"]
