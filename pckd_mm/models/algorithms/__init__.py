from .multi_view_distill import MultiViewDistill

__all__ = ["MultiViewDistill"]
