from .linear_probe import LinearProbe
from .plain_classifier import PlainClassifier, how_it_loads, keep_as_built

__all__ = ["LinearProbe", "PlainClassifier", "how_it_loads", "keep_as_built"]
