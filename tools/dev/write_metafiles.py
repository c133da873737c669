"""Write configs/<method>/metafile.yml and model-index.yml from what is in configs/.

python tools/dev/write_metafiles.py            # write them
python tools/dev/write_metafiles.py --check    # fail if that would change them

Results are those of docs/measured.yml. A config whose weights are listed in
zoo/metafile.yml stands there and nowhere else.
"""

import argparse
import functools
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any, Dict, List, Optional, Sequence

import yaml
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from pckd_mm.analysis import MAP50, TOP1, published
from pckd_mm.analysis.measured import Measurement, read_measured
from pckd_mm.registry import MODELS
from pckd_mm.utils.config import load_config

ROOT = Path(__file__).resolve().parents[2]
NOTE = "# Written by tools/dev/write_metafiles.py.\n"
ZOO = "zoo/metafile.yml"
DATASETS = {
    "cifar100": "CIFAR-100",
    "digits": "Digits of scikit-learn",
    "imagenet": "ImageNet-1k",
    "letters": "Letters of matplotlib's fonts",
    "stl10": "STL-10",
    "tiny_imagenet": "TinyImageNet",
    "folder": "Folders of images",
    "voc": "Pascal VOC 07+12",
    "coco": "COCO 2017",
    "digit_scenes": "Scenes of scikit-learn's digits",
}
TASKS = {TOP1: "Image Classification", MAP50: "Object Detection"}
METRICS = {TOP1: "Top 1 Accuracy", MAP50: MAP50.name}
ARXIV = "https://arxiv.org/abs/"
PCKD = (
    "Preview-based Category Contrastive Learning for Knowledge Distillation",
    f"{ARXIV}2410.14143",
)
PAPERS = {
    "kd": ("Distilling the Knowledge in a Neural Network", f"{ARXIV}1503.02531"),
    "fitnet": ("FitNets: Hints for Thin Deep Nets", f"{ARXIV}1412.6550"),
    "at": (
        "Paying More Attention to Attention: Improving the Performance of "
        "Convolutional Neural Networks via Attention Transfer",
        f"{ARXIV}1612.03928",
    ),
    "rkd": ("Relational Knowledge Distillation", f"{ARXIV}1904.05068"),
    "crd": ("Contrastive Representation Distillation", f"{ARXIV}1910.10699"),
    "dkd": ("Decoupled Knowledge Distillation", f"{ARXIV}2203.08679"),
    "dist": ("Knowledge Distillation from A Stronger Teacher", f"{ARXIV}2205.10536"),
}


def collection_name(method: str) -> str:
    """Name of a method's collection."""
    own = dict(vanilla="Vanilla", transfer="Transfer", pckd_fpn="PCKD + FPN imitation")
    names = {**own, **published.METHODS}
    return names.get(method, method)


def collection(method: str) -> Dict[str, Any]:
    """The collection of a folder of configs."""
    entry: Dict[str, Any] = {"Name": collection_name(method)}
    paper = PCKD if method.split("_")[0] == "pckd" else PAPERS.get(method)
    if paper is not None:
        entry["Paper"] = {"Title": paper[0], "URL": paper[1]}
    entry["README"] = "README.md"
    return entry


@functools.lru_cache(None)
def _parameters(model: str, scope: str) -> int:
    with DefaultScope.overwrite_default_scope(scope):
        network = MODELS.build(ConfigDict(json.loads(model)))
    return sum(parameter.numel() for parameter in network.parameters())


def _result(measured: Measurement, dataset: str) -> Dict[str, Any]:
    """What was measured after the last epoch."""
    metrics = {METRICS[measured.metric]: round(measured.mean, 2)}
    if measured.ap:
        metrics["AP"] = round(mean(measured.ap.values()), 2)
    return {"Task": TASKS[measured.metric], "Dataset": dataset, "Metrics": metrics}


def model_entry(
    path: Path, root: Path, measured: Dict[str, Measurement]
) -> Dict[str, Any]:
    """What is known of a run config.

    Args:
        path (Path): The config.
        root (Path): Root of the repository.
        measured (dict[str, Measurement]): Measurements of plain configs.

    Returns:
        dict: A model of a metafile.

    Raises:
        ValueError: Where the data set is not one of ``DATASETS``.
    """
    config = path.relative_to(root).as_posix()
    known = [name for name in DATASETS if path.stem.startswith(f"{name}_")]
    if not known:
        raise ValueError(
            f"{config} is of no known data set; expected a name that begins with one "
            f"of {', '.join(DATASETS)}, or a new one in tools/dev/write_metafiles.py."
        )
    dataset = DATASETS[known[0]]
    cfg = load_config(path)
    metadata: Dict[str, Any] = {"Training Data": dataset}
    if cfg.train_cfg.get("max_epochs") is not None:
        metadata["Epochs"] = cfg.train_cfg.max_epochs
    metadata["Batch Size"] = cfg.train_dataloader.batch_size
    student = cfg.model.get("architecture", cfg.model)
    if not str(student.type).endswith("LinearProbe"):
        network = json.dumps(student.to_dict(), sort_keys=True)
        metadata["Parameters"] = _parameters(network, cfg.default_scope)
    if cfg.model.get("teacher_config"):
        metadata["Teacher"] = cfg.model.teacher_config
    entry: Dict[str, Any] = {
        "Name": f"{path.parent.name}_{path.stem}",
        "In Collection": collection_name(path.parent.name),
        "Config": config,
        "Metadata": metadata,
    }
    if config in measured:
        result = measured[config]
        metadata.update(
            {
                "Command": result.command,
                "Seeds": sorted(result.last),
                "Commit": result.commit,
                "Hardware": f"{result.hardware}, {result.precision}",
                "Software": result.software,
            }
        )
        entry["Results"] = [_result(result, dataset)]
    return entry


def metafiles(root: Path) -> Dict[str, str]:
    """All files that this tool writes.

    Args:
        root (Path): Root of the repository.

    Returns:
        dict[str, str]: Texts by path from the root.
    """
    entries = read_measured(root / "docs" / "measured.yml")
    measured = {entry.config: entry for entry in entries if not entry.options}
    zoo = yaml.safe_load((root / ZOO).read_text(encoding="utf-8"))
    elsewhere = [model["Config"] for model in zoo["Models"]]
    files: Dict[str, str] = {}
    for folder in sorted((root / "configs").iterdir()):
        configs = sorted(folder.glob("*.py"))
        if not configs or folder.name.startswith("_"):
            continue
        models: List[Dict[str, Any]] = [
            model_entry(path, root, measured)
            for path in configs
            if path.relative_to(root).as_posix() not in elsewhere
        ]
        content = {"Collections": [collection(folder.name)], "Models": models}
        files[f"configs/{folder.name}/metafile.yml"] = dump(content)
    files["model-index.yml"] = dump({"Import": [*files, ZOO]})
    return files


def dump(content: Dict[str, Any]) -> str:
    """Write YAML."""
    return NOTE + yaml.safe_dump(content, sort_keys=False, width=88)


def main(argv: Optional[Sequence[str]] = None, root: Path = ROOT) -> int:
    """Write or check the files.

    Args:
        argv (Sequence[str], optional): The command line; None for the process's.
        root (Path): Root of the repository.

    Returns:
        int: Exit status.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    try:
        files = metafiles(root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    there = [path.relative_to(root) for path in root.glob("configs/*/metafile.yml")]
    stale = [path for path in there if path.as_posix() not in files]
    changed = [
        path
        for path, text in files.items()
        if not (root / path).is_file()
        or (root / path).read_text(encoding="utf-8") != text
    ]
    if args.check:
        if changed or stale:
            print(
                f"{', '.join(map(str, [*changed, *stale]))}: not what configs/ and "
                "docs/measured.yml say; run tools/dev/write_metafiles.py.",
                file=sys.stderr,
            )
        return int(bool(changed or stale))
    for path in stale:
        (root / path).unlink()
    for name in changed:
        (root / name).write_text(files[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
