"""Pictures inside of a page."""

import base64

__all__ = ["data_uri"]


def data_uri(content: bytes) -> str:
    """A PNG file as a data: URI.

    Args:
        content (bytes): What the file holds.

    Returns:
        str: The URI.
    """
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
