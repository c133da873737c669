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
        self._check_order()
        values = super().compute_metrics(results)
        if values or self.format_only:
            return values
        kinds = [kind for kind in self.metrics if kind in _PREDICTIONS]
        if self.classwise and kinds:
            classes = self.dataset_meta["classes"]
            values = {f"{name}_precision": 0.0 for name in classes}
        items = self.metric_items or _ITEMS
        return {**values, **{f"{kind}_{item}": 0.0 for kind in kinds for item in items}}

    def _check_order(self) -> None:
        """Refuse a file whose categories are in another order than the labels.

        mmdet numbers them by the file, and the labels go by the classes.
        """
        if self._coco_api is None:
            return
        classes = list(self.dataset_meta["classes"])
        known = self._coco_api.load_cats(self._coco_api.get_cat_ids(cat_names=classes))
        names = [category["name"] for category in known]
        if names != classes:
            raise ValueError(
                f"ann_file of the metric has the categories {', '.join(names)} in this "
                f"order, and the classes are {', '.join(classes)}; expected one order, "
                "since the metric goes by the file's: leave ann_file out, so that what "
                "is there comes from the data set."
            )
