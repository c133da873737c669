default_scope = "mmpretrain"
# Before anything imports MMRazor, which needs its help on today's torch.
custom_imports = dict(imports=["pckd_mm"], allow_failed_imports=False)

default_hooks = dict(
    # No step waits for the device to log its losses.
    runtime_info=dict(type="pckd_mm.DeferredRuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=100),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # Whenever a run is cut off, --resume finds a whole checkpoint.
    checkpoint=dict(type="pckd_mm.WholeCheckpointHook", interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    # A resumed run draws the random numbers of the uninterrupted one.
    reseed=dict(type="pckd_mm.ReseedHook"),
    # The data loader crops an image as often as the model asks for views.
    num_views=dict(type="pckd_mm.NumViewsHook"),
    # Bad data and recorders that never record end the run before it begins.
    preflight=dict(type="pckd_mm.PreflightHook"),
    # A loss that is not finite stops the run; action="skip" leaves such steps out.
    non_finite=dict(type="pckd_mm.NonFiniteLossHook", action="stop", max_skips=10),
    # Faster networks; --fast and --compile turn on what rounds differently.
    speed_up=dict(type="pckd_mm.SpeedUpHook"),
)

env_cfg = dict(
    # All images have one size here; detectors, whose have many, do not use this file.
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)

visualizer = dict(
    type="UniversalVisualizer", vis_backends=[dict(type="LocalVisBackend")]
)
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=None)
