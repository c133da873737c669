# Short and on few images; the drops come at the same shares of the run as in
# cifar_240e. The learning rate was chosen for teacher and student alone, on a part of
# the training images.
optim_wrapper = dict(
    type="pckd_mm.SkipStepOptimWrapper",
    optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = dict(
    type="MultiStepLR", by_epoch=True, milestones=[62, 75, 87], gamma=0.1
)
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=45)
