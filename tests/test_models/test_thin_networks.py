"""Networks of few channels train on a CPU whose oneDNN has AVX2 and no more.

In the backward pass of a convolution of kernel 1, stride 2 and fewer than 8 input
channels such a oneDNN 3.10.2 (torch 2.11) writes beyond its memory where tensors lie
with channels last. The process then dies by a signal, now and then of nothing at all.
"""

import os
import subprocess
import sys
from pathlib import Path

from pckd_mm.engine.hooks import SpeedUpHook
from tests.builders import ROOT, image_folder, run_config

EPOCHS = 25  # of four steps
DONE = "all steps done"


def train_thin_networks(folder: str) -> None:
    """Steps of PCKD with 4 channels, where channels last is asked for.

    Compilation would give it too.
    """
    from mmengine.runner import Runner

    images = image_folder(Path(folder) / "images")
    cfg = run_config(
        "pckd/cifar100_resnet20_resnet8_30e.py", images, Path(folder) / "run"
    )
    for network in (cfg.model.architecture, cfg.model.teacher):
        network.backbone.width = (4, 4, 4, 8)
        network.head.in_channels = 8
    cfg.model.teacher_ckpt = None
    cfg.model.teacher.init_cfg = None
    cfg.train_cfg = dict(by_epoch=True, max_epochs=EPOCHS, val_interval=EPOCHS)
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.speed_up.update(channels_last=True, compile=True)
    runner = Runner.from_cfg(cfg)
    assert any(isinstance(hook, SpeedUpHook) for hook in runner.hooks)
    runner.train()
    print(DONE)


def test_thin_networks_train_where_onednn_has_avx2_only(tmp_path):
    code = "import sys, tests.test_models.test_thin_networks as test; "
    code += "test.train_thin_networks(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, str(tmp_path)],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "ATEN_CPU_CAPABILITY": "avx2",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == DONE
