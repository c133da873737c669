"""The tool that takes pairs of detectors through a whole life on real photos."""

import json
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from tests.builders import ROOT

pytest.importorskip("mmdet.models", exc_type=ImportError)
sys.path.insert(0, str(ROOT / "tools" / "dev"))
import try_detectors  # noqa: E402


def test_sizes_of_images_are_divided_wherever_they_are():
    part = dict(
        pipeline=[
            dict(type="Resize", scale=(1000, 600)),
            dict(type="RandomCrop", crop_size=[640, 640], ratio_range=(0.5, 2.0)),
        ],
        batch_augments=[dict(random_size_range=(480, 800), interval=10)],
        scale=0.5,
    )
    try_detectors.shrink(part, 4)
    resize, crop = part["pipeline"]
    assert resize["scale"] == (250, 150)
    assert crop["crop_size"] == (160, 160) and crop["ratio_range"] == (0.5, 2.0)
    assert part["batch_augments"][0]["random_size_range"] == (120, 200)
    assert part["scale"] == 0.5


@pytest.mark.parametrize("name", ["voc_yolox_m_s", "voc_cascade_r101_r50"])
def test_a_config_on_little_data(name, tmp_path):
    path = ROOT / "configs" / "pckd" / f"{name}.py"
    cfg, shipped = try_detectors.small(path, tmp_path, 4), Config.fromfile(path)
    detector = cfg.model.architecture
    assert "init_cfg" not in detector and "init_cfg" not in detector.backbone
    # Frozen statistics of random weights would let features grow without end.
    assert not detector.backbone.get("norm_eval", False)
    data = cfg.train_dataloader.dataset
    times, parts = [], [cfg.val_dataloader.dataset, cfg.test_dataloader.dataset]
    while "datasets" not in data:  # YOLOX mixes images of it
        times.append(data.get("times"))
        data = data.dataset
    assert set(times) <= {1, None}
    assert (
        shipped.train_dataloader.dataset.keys() == cfg.train_dataloader.dataset.keys()
    )
    for part in (*data.datasets, *parts):
        assert part.data_root == str(tmp_path)
    # A mosaic is cut to one image, of which boxes are left.
    for transform in cfg.train_dataloader.dataset.get("pipeline", []):
        if transform.type == "RandomAffine":
            assert transform.border == (-80, -80)
        elif transform.type == "Mosaic":
            assert transform.img_scale == (160, 160)
    # The networks are the whole ones.
    for part in ("neck", "test_cfg"):
        assert detector[part] == shipped.model.architecture[part]
    assert cfg.model.distiller == shipped.model.distiller


@pytest.fixture
def tools(monkeypatch):
    """What the tools would write, without running them; mmdet's result by hand."""
    ran, found = [], dict(validated=0.25, ours=0.25, mmdet=0.25)

    def run(log: Path, tool, *arguments) -> None:
        ran.append((str(tool), *map(str, arguments)))
        (work,) = (a for a in ran[-1] if a.startswith("--work-dir="))
        folder = Path(work.removeprefix("--work-dir=")) / "1"
        if str(tool).endswith("train.py"):
            (folder / "vis_data").mkdir(parents=True, exist_ok=True)
            lines = [
                {"loss": 2.5, "step": 1},
                {try_detectors.MAP: found["validated"], "step": 1},
            ]
            text = "".join(f"{json.dumps(line)}\n" for line in lines)
            (folder / "vis_data" / "scalars.json").write_text(text)
        elif "--out" in ran[-1]:
            out = Path(ran[-1][ran[-1].index("--out") + 1])
            out.write_text(json.dumps({try_detectors.MAP: found["ours"]}))
        else:
            folder.mkdir(parents=True)
            result = json.dumps({try_detectors.MAP: found["mmdet"]})
            (folder / "1.json").write_text(result)

    monkeypatch.setattr(try_detectors, "run", run)
    return ran, found


def test_what_mmdet_finds_has_to_be_the_same(tools, tmp_path, capsys):
    ran, found = tools
    work = ["--work-dir", str(tmp_path / "one")]
    assert try_detectors.main([str(tmp_path), "voc_gfl_r101_r50", *work]) == 0
    assert "voc_gfl_r101_r50: well" in capsys.readouterr().out
    assert [Path(command[0]).name for command in ran] == [
        *(["train.py"] * 3),
        *(["test.py"] * 2),
    ]
    assert "--resume" in ran[2] and "mmdet" in ran[4][0]
    for number, by in enumerate(found):
        found.update(dict.fromkeys(found, 0.25), **{by: 0.24})
        work = ["--work-dir", str(tmp_path / str(number))]
        assert try_detectors.main([str(tmp_path), "voc_gfl_r101_r50", *work]) == 1
        assert "DIFFERS" in capsys.readouterr().out
    # The same folder once more, and what says nothing.
    assert try_detectors.main([str(tmp_path), "voc_gfl_r101_r50", *work]) == 1
    assert "is there already; expected a new folder" in capsys.readouterr().out
    found.update(dict.fromkeys(found, 0))
    work = ["--work-dir", str(tmp_path / "none")]
    assert try_detectors.main([str(tmp_path), "voc_gfl_r101_r50", *work]) == 0
    assert "finds nothing" in capsys.readouterr().out


def test_a_failure_and_a_name_that_is_not_there(tmp_path, capsys):
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no such thing')\n")
    with pytest.raises(RuntimeError, match="no such thing"):
        try_detectors.run(tmp_path / "log.txt", broken)
    for name in ("voc_gfl", "coco_gfl_r101_r50"):
        with pytest.raises(SystemExit):
            try_detectors.main([str(tmp_path), name])
        said = capsys.readouterr().err
        assert f"{name} is no config of Pascal VOC; expected voc_cascade_r101" in said
