"""The config of a student alone, without anything of its training."""

import os.path as osp
from inspect import signature
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Union

from mmengine.config import Config
from mmengine.registry import DefaultScope

from pckd_mm.datasets.image_format import held_format
from pckd_mm.models.data_preprocessors.defaults import PLAIN
from pckd_mm.registry import DATASETS, MODELS
from pckd_mm.utils.class_name import class_name
from pckd_mm.utils.config import load_config, loader_of, model_of
from pckd_mm.utils.methods import detects, without_method
from pckd_mm.utils.nested_datasets import inner_datasets, is_held_out, nested_datasets

__all__ = [
    "config_beside",
    "file_pipeline",
    "plain_config",
    "require_room_for_config",
    "write_plain_config",
]

# What a file that is written here begins with.
_HEADER = "# The student of"


def config_beside(checkpoint: Union[str, Path]) -> str:
    """The config of a checkpoint, which MMEngine writes into the run's folder.

    Args:
        checkpoint (str | Path): Path of the checkpoint. Of ``student.pth`` a config
            ``student.py`` beside it comes first. Those of students alone, which may
            have been exported into the run's folder, come last.

    Returns:
        str: Its path.

    Raises:
        FileNotFoundError: Where there is none, or several.
    """
    path = Path(checkpoint)
    own = path.with_suffix(".py")
    if own.is_file():
        return str(own)
    found = sorted(path.parent.glob("*.py"))
    found = [file for file in found if not _is_plain_config(file)] or found
    if len(found) == 1:
        return str(found[0])
    names = ", ".join(file.name for file in found) or "none"
    raise FileNotFoundError(
        f"The folder of {checkpoint} has several configs ({names}); expected one: name "
        "it by --config."
        if found
        else f"There is no config beside {checkpoint}; expected the one that it was "
        "trained with: name it by --config."
    )


def file_pipeline(cfg: Config) -> List[dict]:
    """The steps from an image file to a network's input.

    Args:
        cfg (Config): Config of a run.

    Returns:
        list[dict]: The pipeline of its test data, behind steps that load a file where
        that data has arrays.

    Raises:
        ValueError: Where the config has none.
    """
    nested = nested_datasets(_test_dataset(cfg) or {})
    place = next((each for each in nested if "pipeline" in each), None)
    if place is None:
        raise ValueError(
            f"{cfg.filename} has no test_dataloader with a pipeline; expected one, "
            "which says what a network's input is made of a file by."
        )
    steps = [dict(step) for step in place["pipeline"]]
    return [*_loading(place, steps), *steps]


def _test_dataset(cfg: Mapping[str, Any]) -> Any:
    """The data set of a run's test; of its validation where it has none."""
    return loader_of(cfg, "test", "val").get("dataset")


def _loading(dataset: Any, steps: List[dict]) -> List[dict]:
    """Steps that make of a file what a data set holds in its stead, as CIFAR does."""
    order, size = held_format(dataset)
    if size is None or any("LoadImage" in class_name(step["type"]) for step in steps):
        return []
    load = dict(type="LoadImageFromFile")
    resize = dict(type="Resize", scale=tuple(reversed(size)), backend="pillow")
    if order == "gray":
        return [dict(load, color_type="grayscale"), resize]
    # A file decodes to BGR.
    return [load, resize, dict(type="NumpyToPIL", to_rgb=True), dict(type="PILToNumpy")]


def plain_config(cfg: Config, classes: Optional[Sequence[str]] = None) -> Config:
    """The config of the student of a run, for MMPretrain or MMDetection alone.

    Args:
        cfg (Config): Config of a distillation, or of a plain network.
        classes (Sequence[str], optional): Names of its categories. Defaults to None,
            those that the config says.

    Returns:
        Config: ``model`` with its data preprocessor, ``test_pipeline``, a
        ``test_dataloader`` with it, and ``classes`` where they are known. It imports
        this package only where the network is one of it.
    """
    run, trained = cfg.to_dict(), model_of(cfg).to_dict()
    model = without_method(trained) if "architecture" in trained else dict(trained)
    model.pop("pretrained", None)  # the checkpoint has all weights
    own = model.get("data_preprocessor")
    shared = trained.get("data_preprocessor")
    model["data_preprocessor"] = _plain_preprocessor(shared or own, model)
    pipeline = file_pipeline(cfg)
    dataset: Dict[str, Any] = dict(type="CustomDataset", data_root="", test_mode=True)
    classes = classes if classes is not None else _classes(cfg)
    if detects(model):
        dataset = _plain_dataset(run, classes)
    if classes is not None:
        classes = list(classes)
        dataset.update(metainfo=dict(classes=classes))
    plain = dict(
        default_scope=run.get("default_scope") or "mmpretrain",
        model=model,
        test_pipeline=pipeline,
        test_dataloader=dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            dataset=dict(dataset, pipeline=pipeline),
        ),
        test_evaluator=_plain_evaluator(run.get("test_evaluator")),
        test_cfg=dict(),
    )
    if detects(model):
        plain["visualizer"] = dict(
            type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")]
        )
    if _is_of_this_package(model):
        plain["custom_imports"] = dict(imports=["pckd_mm"], allow_failed_imports=False)
    if classes is not None:
        plain["classes"] = classes
    return Config(plain)


def write_plain_config(
    config: Union[str, Path],
    out: Union[str, Path],
    classes: Optional[Sequence[str]] = None,
) -> Config:
    """Write :func:`plain_config` of a config file.

    Args:
        config (str | Path): The config of a run.
        out (str | Path): The file to write.
        classes (Sequence[str], optional): Names of the categories.

    Returns:
        Config: What was written.

    Raises:
        ValueError: Where another file is there.
    """
    require_room_for_config(Path(out))
    plain = plain_config(load_config(config), classes)
    header = f"{_HEADER} {osp.basename(str(config))} alone.\n"
    Path(out).write_text(header + plain.pretty_text, encoding="utf-8")
    return plain


def require_room_for_config(path: Path) -> None:
    """Refuse to write a student's config over another file.

    Args:
        path (Path): Where it is to be written.

    Raises:
        ValueError: Where another file is there.
    """
    if path.is_file() and not _is_plain_config(path):
        raise ValueError(
            f"{path} is there and is another file; expected room for the student's "
            "config: give the student another name."
        )


def _is_plain_config(path: Path) -> bool:
    """Whether a file is a config that was written here."""
    return path.is_file() and path.read_bytes().startswith(_HEADER.encode())


def _plain_preprocessor(given: Optional[dict], model: dict) -> Optional[dict]:
    """What normalises images, without the views of the training."""
    if given is None:
        return None
    kind = MODELS.class_of(given.get("type"))
    if kind is None or not kind.__module__.startswith("pckd_mm."):
        return dict(given)
    # Of one that makes views; mixing of images is for a training alone.
    taken = signature(MODELS.get(PLAIN)).parameters.keys() - {"batch_augments"}
    kept = {name: value for name, value in given.items() if name in taken}
    return dict(type=PLAIN, **kept)


def _plain_dataset(run: dict, classes: Optional[Sequence[str]]) -> dict:
    """A detector's test data, without what this package checks of it."""
    dataset = dict(_test_dataset(run))
    if is_held_out(dataset):
        # No data set of mmdet is a part of others' images: who tests names their own.
        kind = dataset["dataset"]["type"]
        dataset = dict(type=kind, data_root="", ann_file="", test_mode=True)
    kind = class_name(dataset["type"])
    if kind.startswith("Checked"):
        dataset["type"] = kind = kind.removeprefix("Checked")
    if kind == "VOCDataset" and classes is not None:
        from pckd_mm.datasets.voc_files import is_of_voc

        # By the name of a folder, VOCDataset has VOC's names in mmdet's table.
        dataset["type"] = kind if is_of_voc(classes) else "XMLDataset"
    return dataset


def _plain_evaluator(given: Any) -> Any:
    """What tests a network, without what this package adds to it."""
    if isinstance(given, (list, tuple)):
        return [_plain_evaluator(each) for each in given]
    if given and class_name(given["type"]) == "WholeCocoMetric":
        return dict(given, type="CocoMetric")
    return given


def _classes(cfg: Config) -> Optional[Sequence[str]]:
    """Names of the categories that the test data's config says, or its class.

    The class's where they are as many as the network tells apart: it may be one of
    MMPretrain's for other images.
    """
    for dataset in inner_datasets(_test_dataset(cfg) or {}):
        metainfo = dataset.get("metainfo") or {}
        classes = metainfo.get("classes") or dataset.get("classes")
        if classes is not None:
            return None if isinstance(classes, str) else classes  # a file of them
        with DefaultScope.overwrite_default_scope(cfg.get("default_scope")):
            kind = DATASETS.class_of(dataset.get("type"))
        known = getattr(kind, "METAINFO", {}).get("classes")
        if known and {len(known)} == set(_categories(cfg.get("model"))):
            return known
    return None


def _categories(value: Any) -> Iterator[int]:
    """How many categories the heads of a network tell apart, by its config."""
    if isinstance(value, dict):
        if isinstance(value.get("num_classes"), int):
            yield value["num_classes"]
        for part in value.values():
            yield from _categories(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _categories(part)


def _is_of_this_package(value: Any) -> bool:
    """Whether anything in a model's config is made by this package."""
    if isinstance(value, dict):
        module = getattr(MODELS.class_of(value.get("type")), "__module__", "")
        if module.startswith("pckd_mm."):
            return True
        return any(map(_is_of_this_package, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_is_of_this_package, value))
    return False
