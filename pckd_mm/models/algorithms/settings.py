"""What becomes of everything that a config says: used, refused, or named in the log.

An argument of a class that configs build is in one of three lists, by the place of
that class in the config of a run. A test walks the classes of MMEngine, MMPretrain,
MMDetection and MMRazor, and names for each one that is used the test that sees it.
"""

import logging
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from mmengine.logging import print_log

from pckd_mm.utils.methods import detects

_NORMALISATION = ("mean", "std", "to_rgb", "bgr_to_rgb", "rgb_to_bgr")
_PADDING = (
    *("pad_size_divisor", "pad_value", "pad_mask", "mask_pad_value"),
    *("pad_seg", "seg_pad_value"),
)
_PREPROCESSING = (
    *(*_NORMALISATION, *_PADDING, "to_onehot", "num_classes"),
    *("batch_augments", "non_blocking", "boxtype2tensor"),
)
# What a teacher's batch is made to have, whatever the student's has.
_OF_TEACHER = (*_NORMALISATION, "pad_value")

# Each does what it says.
USED: Dict[str, Tuple[str, ...]] = {
    # The algorithm.
    "model": (
        "architecture",
        "distiller",
        "teacher",
        "teacher_ckpt",
        "data_preprocessor",
        "init_cfg",
        "calculate_student_loss",
        "module_inplace",
        "teacher_module_inplace",
    ),
    "model.distiller": (
        "student_recorders",
        "teacher_recorders",
        "distill_deliveries",  # which those of detectors refuse
        "connectors",
        "distill_losses",
        "loss_forward_mappings",
        "init_cfg",
    ),
    "model.data_preprocessor": _PREPROCESSING,
    # The student.
    "model.architecture": (
        "backbone",
        "neck",
        "head",
        "rpn_head",
        "roi_head",
        "bbox_head",
        "mask_head",
        "model",
        "model_name",
        "pretrained",
        "init_cfg",
        "loss",
        "with_cp",
        "train_cfg",
        "test_cfg",
        "data_preprocessor",  # where the algorithm has none
    ),
    # Of a classifier.
    "model.architecture.data_preprocessor": ("batch_augments",),
    "model.teacher": (
        "backbone",
        "neck",
        "head",
        "rpn_head",
        "roi_head",
        "bbox_head",
        "mask_head",
        "model",
        "model_name",
        "data_preprocessor",
        # Where there is no teacher_ckpt.
        "init_cfg",
        "pretrained",
    ),
    "model.teacher.data_preprocessor": _OF_TEACHER,
    # The whole config.
    "": (
        "model",
        "work_dir",
        "train_dataloader",
        "val_dataloader",
        "test_dataloader",
        "train_cfg",
        "val_cfg",
        "test_cfg",
        "auto_scale_lr",
        "optim_wrapper",
        "param_scheduler",
        "val_evaluator",
        "test_evaluator",
        "default_hooks",
        "custom_hooks",
        "data_preprocessor",
        "load_from",
        "resume",
        "launcher",
        "env_cfg",
        "log_processor",
        "log_level",
        "visualizer",
        "default_scope",
        "randomness",
        "experiment_name",
        "cfg",
    ),
}


class Refused(NamedTuple):
    """A setting that ends a run before it begins.

    Attributes:
        value (Any): The value that is refused.
        instead (str): What is expected, and what to do.
    """

    value: Any
    instead: str


REFUSED: Dict[str, Dict[str, Refused]] = {
    "model": {
        "teacher_trainable": Refused(
            True,
            "a frozen teacher: remove the setting, or use mmrazor.SingleTeacherDistill",
        ),
        "teacher_norm_eval": Refused(
            False,
            "a teacher that is wholly in eval mode: remove the setting, or use "
            "mmrazor.SingleTeacherDistill",
        ),
        "student_trainable": Refused(
            False,
            "a student that learns: remove the setting, and freeze parts of it by "
            "optim_wrapper.paramwise_cfg or the backbone's frozen_stages",
        ),
    },
}

# Each has no effect there, for this reason. What data preprocessors say counts where it
# differs from what prepares the batches.
_FROZEN = "the teacher is frozen and only run"
_SHARED = "the data_preprocessor of the algorithm prepares the batches"
NAMED: Dict[str, Dict[str, str]] = {
    "model.architecture.data_preprocessor": dict.fromkeys(_PREPROCESSING, _SHARED),
    "model.teacher": {
        "train_cfg": _FROZEN,
        "test_cfg": _FROZEN,
        "loss": _FROZEN,
        "with_cp": _FROZEN,
        "init_cfg": "teacher_ckpt gives all of its weights",
        "pretrained": "teacher_ckpt gives all of its weights",
    },
    "model.teacher.data_preprocessor": {
        name: _SHARED for name in _PREPROCESSING if name not in _OF_TEACHER
    },
    # Of MMCV 1, whose configs look alike.
    "": {
        "optimizer": "MMEngine has optim_wrapper.optimizer",
        "optimizer_config": "MMEngine has optim_wrapper",
        "lr_config": "MMEngine has param_scheduler",
        "runner": "MMEngine has train_cfg",
        "total_epochs": "MMEngine has train_cfg.max_epochs",
        "evaluation": "MMEngine has train_cfg.val_interval and val_evaluator",
        "checkpoint_config": "MMEngine has default_hooks.checkpoint",
        "log_config": "MMEngine has default_hooks.logger",
        "workflow": "MMEngine has train_cfg and val_cfg",
        "data": "MMEngine has train_dataloader, val_dataloader and test_dataloader",
        "dist_params": "MMEngine has env_cfg.dist_cfg",
        "resume_from": "--resume PATH goes on from a checkpoint",
        "seed": "MMEngine has randomness.seed",
        "fp16": "--amp does that",
    },
}
# What every network's own config may say of its training.
_TRAINING = ("train_cfg", "test_cfg")


def check_settings(
    place: str, settings: Mapping[str, Any], who: str = "", quiet: bool = False
) -> None:
    """Refuse settings that cannot be honoured, and name those without effect.

    Args:
        place (str): Where in a run's config they stand, such as ``model.teacher``.
        settings (Mapping[str, Any]): Those that were given.
        who (str): What found them, for the message. Defaults to ''.
        quiet (bool): Whether ``train_cfg`` and ``test_cfg`` are no reason to warn, as
            where a network is that of its own config. Defaults to False.

    Raises:
        ValueError: For one that is refused.
    """
    for name, refused in REFUSED.get(place, {}).items():
        if name in settings and bool(settings[name]) == refused.value:
            raise ValueError(
                f"{who or place} found {name}={settings[name]}; expected "
                f"{refused.instead}."
            )
    reasons: Dict[str, List[str]] = {}
    for name, reason in NAMED.get(place, {}).items():
        if settings.get(name) not in (None, {}, []):
            reasons.setdefault(reason, []).append(f"{place}.{name}".lstrip("."))
    for reason, names in reasons.items():
        usual = quiet and all(name.endswith(_TRAINING) for name in names)
        text = f"Not used: {', '.join(names)}, since {reason}."
        if not place:  # the names may be those of the config's own variables
            text = (
                f"Nothing reads {', '.join(names)} by that name: {reason}. As a "
                "variable that the config itself uses it may stay."
            )
        print_log(
            text,
            logger="current",
            level=logging.INFO if usual else logging.WARNING,
        )


def check_teacher(
    teacher: Any, checkpoint: Optional[str] = None, quiet: bool = False
) -> None:
    """Name what has no effect in a teacher's config.

    Args:
        teacher (dict | nn.Module): The teacher; one that is built has no config.
        checkpoint (str, optional): The teacher's weights, which overrule others.
            Defaults to None.
        quiet (bool): Whether the teacher is read from a config that trains it.
            Defaults to False.
    """
    if not isinstance(teacher, Mapping):
        return
    weights = () if checkpoint else ("init_cfg", "pretrained")
    given = {
        name: value
        for name, value in teacher.items()
        if name not in weights and value is not False
    }
    # mmdet's detectors cannot be built without their train_cfg.
    check_settings("model.teacher", given, quiet=quiet or detects(teacher))


def check_augments(student: Any) -> None:
    """Refuse what MMPretrain's classifiers do not read of their ``train_cfg``.

    Args:
        student (dict | nn.Module): The student; one that is built has no config.

    Raises:
        ValueError: For anything but ``augments`` and ``probs``.
    """
    train_cfg = student.get("train_cfg") if isinstance(student, Mapping) else None
    unknown = sorted(set(train_cfg or ()) - {"augments", "probs"})
    if train_cfg and (unknown or "augments" not in train_cfg):
        raise ValueError(
            f"The student's train_cfg has {', '.join(unknown or train_cfg)}; expected "
            "augments, such as [dict(type='Mixup', alpha=0.8)], and probs, which is "
            "all that classifiers read of it: set these, or leave it out."
        )
