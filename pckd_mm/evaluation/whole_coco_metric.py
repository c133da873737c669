"""COCO's metric, whatever a detector finds."""

from typing import Dict

from mmdet.evaluation import CocoMetric

from pckd_mm.registry import METRICS

# What mmdet writes of each kind of prediction, where a config does not say.
_ITEMS = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
_PREDICTIONS = ("bbox", "segm")


@METRICS.register_module()
class WholeCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric``, of which a detector that finds nothing gets zeros.

    mmdet's writes no value at all then, so that the run seems not to be validated.

    Args:
        **kwargs: Arguments of :class:`mmdet.evaluation.CocoMetric`.
    """

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """Compute the metric.

        Args:
            results (list): What was found in each image, and what is there.

        Returns:
            dict[str, float]: As :class:`mmdet.evaluation.CocoMetric` returns it; AP of
            0 where nothing was found.
        """
        values = super().compute_metrics(results)
        if values or self.format_only:
            return values
        kinds = [kind for kind in self.metrics if kind in _PREDICTIONS]
        if self.classwise and kinds:
            classes = self.dataset_meta["classes"]
            values = {f"{name}_precision": 0.0 for name in classes}
        items = self.metric_items or _ITEMS
        return {**values, **{f"{kind}_{item}": 0.0 for kind in kinds for item in items}}
