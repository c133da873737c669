"""Reading of configs, with the modules that they name."""

import copy
import re
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Union

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from mmengine.utils import import_modules_from_strings

from .class_name import class_name
from .printable import first_line
from .shipped import find_config

__all__ = [
    "brings_weights",
    "load_config",
    "loader_of",
    "loop_name",
    "model_of",
    "require_model",
]

# Of what MMEngine reads.
_ENDINGS = (".py", ".json", ".yaml", ".yml")


def load_config(
    path: Union[str, Path], options: Optional[Dict[str, Any]] = None
) -> Config:
    """Read a config and import its ``custom_imports``, whatever kind it is of.

    MMEngine does not import them for configs that take their bases by ``read_base``.

    Args:
        path (str | Path): Its path; the name of one of this package, such as
            ``pckd/cifar100_resnet56_resnet20``, see
            :func:`~pckd_mm.utils.shipped.find_config`; or of one of another library,
            such as ``mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py``.
        options (dict, optional): Settings that override the config's, by names such as
            ``train_cfg.max_epochs``. Defaults to None.

    Returns:
        Config: The config.

    Raises:
        FileNotFoundError: Where there is no such config.
        ImportError: Where one of the modules cannot be imported.
        RuntimeError: Where one of them raises another error, which is its cause.
        ValueError: For a file that is no config, ``custom_imports`` that name none,
            and two bases that have the same setting.
    """
    found = find_config(path)
    if "::" not in found and not found.endswith(_ENDINGS):
        raise ValueError(
            f"{path} is no config; expected a file that ends in {', '.join(_ENDINGS)}."
        )
    try:
        if "::" in found:
            cfg = get_config(found)
        else:
            cfg = Config.fromfile(found, import_custom_modules=False)
    except KeyError as error:
        _refuse_settings_of_two_bases(error, path)
        raise
    except SyntaxError as error:
        raise ValueError(
            f"The config {path}, or one of its bases, is no Python: {error}; expected "
            "no such error: mend the line."
        ) from None
    if options:
        cfg.merge_from_dict(options)
    _import_modules(cfg.get("custom_imports"), path)
    return cfg


def require_model(cfg: Config, path: Union[str, Path]) -> None:
    """Refuse a config of something else than a training.

    Args:
        cfg (Config): The config.
        path (str | Path): Where it is from.

    Raises:
        ValueError: Where it has no model.
    """
    if not isinstance(cfg.get("model"), dict):
        raise ValueError(
            f"The config {path} has no model; expected one of a training, such as "
            "pckd/cifar100_resnet56_resnet20."
        )


def model_of(cfg: Config) -> ConfigDict:
    """What a run trains, as MMEngine's runner builds it.

    Args:
        cfg (Config): Config of the run.

    Returns:
        ConfigDict: A copy of its ``model``, with the run's ``data_preprocessor`` where
        it says none of its own.
    """
    model = copy.deepcopy(cfg.model)
    if cfg.get("data_preprocessor") is not None:
        model.setdefault("data_preprocessor", copy.deepcopy(cfg.data_preprocessor))
    return model


def loop_name(train_cfg: Mapping[str, Any]) -> str:
    """The class of a training's loop, as MMEngine's runner chooses it.

    Args:
        train_cfg (Mapping): Config of the loop, by ``type`` or by ``by_epoch``.

    Returns:
        str: Its name without scope, such as ``IterBasedTrainLoop``.
    """
    if "type" in train_cfg:
        return class_name(train_cfg["type"])
    by_epoch = train_cfg.get("by_epoch", True)
    return "EpochBasedTrainLoop" if by_epoch else "IterBasedTrainLoop"


def loader_of(cfg: Mapping[str, Any], *splits: str) -> Mapping[str, Any]:
    """The config of the data loader of the first of several splits that there is.

    Args:
        cfg (Mapping): Config of a run, which may have no test images of their own.
        *splits (str): Such as "test", "val".

    Returns:
        Mapping: The data loader's config; empty where there is none with a data set.
    """
    for split in splits:
        loader = cfg.get(f"{split}_dataloader")
        if isinstance(loader, dict) and loader.get("dataset") is not None:
            return loader
    return {}


def brings_weights(network: Mapping[str, Any]) -> bool:
    """Whether a config says where all weights of a network are.

    Args:
        network (Mapping): Config of the network.
    """
    init = network.get("init_cfg") or []
    inits = init if isinstance(init, (list, tuple)) else [init]
    whole = any(class_name(each["type"]).startswith("Pretrained") for each in inits)
    return whole or bool(network.get("pretrained"))


def _refuse_settings_of_two_bases(error: KeyError, path: Union[str, Path]) -> None:
    """Put into words what MMEngine says of them; other errors are a config's own."""
    said = str(error.args[0]) if error.args else ""
    if not said.startswith("Duplicate key is not allowed among bases"):
        return
    twice = ", ".join(sorted(re.findall(r"'(.+?)'", said)))
    raise ValueError(
        f"{path} has bases that each set {twice}; expected every setting in one base "
        "alone: leave one of them out of _base_, read it in the config by "
        "mmengine.Config.fromfile, and write there what is to be taken of both, as "
        "docs/tutorials/own_detector.md does."
    ) from error


def _import_modules(named: Any, path: Union[str, Path]) -> None:
    if named is None:
        return
    if not _names_modules(named):
        raise ValueError(
            f"{path} has custom_imports={named!r}; expected the names of modules: "
            'custom_imports=dict(imports=["my_package.my_module"]).'
        )
    names = named["imports"] or []
    for name in [names] if isinstance(names, str) else names:
        try:
            import_modules_from_strings(**{**named, "imports": name})
        except ImportError as error:
            # MMEngine's error names the module, the one before it says why.
            raise ImportError(
                f"The custom_imports of {path} cannot be imported, "
                f"{error.__context__ or error}; expected modules on Python's path: set "
                "PYTHONPATH to the folder that they are in."
            ) from error
        except Exception as error:  # the module's own
            raise RuntimeError(
                f"{name}, of the custom_imports of {path}, fails while it is imported "
                f"({first_line(error)}); expected one that can be imported: "
                "mend what raises that."
            ) from error


def _names_modules(named: Any) -> bool:
    """Whether ``custom_imports`` have the form that MMEngine takes."""
    known = {"imports", "allow_failed_imports"}
    if not isinstance(named, dict) or not {"imports"} <= named.keys() <= known:
        return False
    names = named["imports"]
    if isinstance(names, list):
        return all(isinstance(name, str) for name in names)
    return names is None or isinstance(names, str)
