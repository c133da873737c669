from .embed_connector import EmbedConnector
from .hint_connector import HintConnector
from .mlp_connector import MLPConnector

__all__ = ["EmbedConnector", "HintConnector", "MLPConnector"]
