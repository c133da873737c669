# Pascal VOC 07+12 by MMDetection's recipe, Faster R-CNN with ResNet-50 and FPN: 4
# epochs of three passes each, 8 GPUs x 2 images; mAP@0.5 on VOC 2007 test. What
# differs: errors in the data are told in words.
_base_ = "mmdet::pascal_voc/faster-rcnn_r50_fpn_1x_voc0712.py"

train_dataloader = _base_.train_dataloader
for dataset in train_dataloader.dataset.dataset.datasets:
    dataset.type = "pckd_mm.CheckedVOCDataset"
del dataset
val_dataloader = dict(dataset=dict(type="pckd_mm.CheckedVOCDataset"))
