from .embed_connector import EmbedConnector
from .mlp_connector import MLPConnector

__all__ = ["EmbedConnector", "MLPConnector"]
