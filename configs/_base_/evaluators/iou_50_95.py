# For a second VOCMetric beside that of mAP@0.5: the mean over ten thresholds is its
# mAP, and its AP50 is mAP@0.5 to three decimals. The prefix tells the two apart.
iou_50_95 = dict(
    iou_thrs=[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
    prefix="pascal_voc_50_95",
)
