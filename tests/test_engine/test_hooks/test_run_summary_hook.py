"""RunSummaryHook: the table is in the log, in front of the first step."""

from mmengine.runner import Runner

from tests.builders import image_folder, run_config

LOOKS = ["tensorboard --logdir here", "wandb sync there"]


def test_commands_that_show_curves_are_in_the_log(tmp_path):
    images = image_folder(tmp_path / "images")
    cfg = run_config("vanilla/cifar100_resnet8_6e.py", images, tmp_path / "work")
    cfg.train_cfg.max_epochs = 1
    cfg.custom_hooks = [dict(type="pckd_mm.RunSummaryHook", looks=LOOKS)]
    Runner.from_cfg(cfg).train()
    (log,) = (tmp_path / "work").glob("*/*.log")
    before, found = log.read_text().split("About to train:")
    assert "Epoch(train)" not in before
    table = found.split("Epoch(train)")[0].splitlines()
    curves = [line.split(maxsplit=1) for line in table if "Curves" in line]
    assert curves == [["Curves", look] for look in LOOKS]
