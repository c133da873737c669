from .rotated_views import RotatedViewsDataPreprocessor

__all__ = ["RotatedViewsDataPreprocessor"]
