from pckd_mm.utils.dependencies import has_detection

__all__ = []

if has_detection():
    from .whole_coco_metric import WholeCocoMetric  # noqa: F401

    __all__ += ["WholeCocoMetric"]
