"""What a run needs of its model, checked one by one."""

from typing import Any, Sequence

from mmengine.hooks import Hook
from mmengine.model import MMSeparateDistributedDataParallel, is_model_wrapper
from mmrazor.engine import StopDistillHook
from mmrazor.models import SingleTeacherDistill
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset

from pckd_mm.datasets.image_format import channel_order, pixel_transform


def check_stop(
    model: SingleTeacherDistill, hooks: Sequence[Hook], max_epochs: int
) -> None:
    """Where the distillation stops, the student's own loss must be left.

    Args:
        model (SingleTeacherDistill): The algorithm.
        hooks (Sequence[Hook]): A runner's hooks.
        max_epochs (int): Epochs of the run.

    Raises:
        ValueError: Where nothing is left to learn from.
    """
    if model.calculate_student_loss:
        return
    for hook in hooks:
        if isinstance(hook, StopDistillHook) and hook.stop_epoch < max_epochs:
            raise ValueError(
                f"StopDistillHook stops the distillation at epoch {hook.stop_epoch} of "
                f"{max_epochs}, and calculate_student_loss=False leaves nothing to "
                "learn from then; expected one of both: leave out the hook, or set "
                "model.calculate_student_loss=True."
            )


def check_wrapper(model: nn.Module) -> None:
    """What distributes a distillation must leave its networks whole.

    Args:
        model (nn.Module): A runner's model.

    Raises:
        TypeError: For a distillation in FSDP, a DDP of each part, DeepSpeed or
            ColossalAI.
    """
    if not is_model_wrapper(model):
        return
    # ColossalAI's has no module.
    inner = getattr(model, "module", getattr(model, "model", None))
    whole = isinstance(model, DistributedDataParallel)
    by_parts = isinstance(model, MMSeparateDistributedDataParallel)
    if isinstance(inner, SingleTeacherDistill) and (by_parts or not whole):
        raise TypeError(
            f"The {type(inner).__name__} is distributed by {type(model).__name__}, "
            "which takes networks apart or copies them; expected "
            "MMDistributedDataParallel, since whole features and weights of the one "
            "student are recorded: leave out model_wrapper_cfg.type and strategy."
        )


def tell_channel_order(model: Any, dataset: Dataset) -> None:
    """Tell a distillation in what order the channels of its images are read.

    Args:
        model (BaseModel | TeacherOf): Where it has ``teacher_inputs``, which convert
            images for the teacher, they are told.
        dataset (Dataset): The images, which may not say it.

    Raises:
        ValueError: For images that are normalised already, which are converted wrongly.
    """
    inputs = getattr(model, "teacher_inputs", None)
    if inputs is None:
        return
    order = channel_order(dataset)
    if order is not None:
        inputs.tell_channel_order(order)
    found = pixel_transform(dataset) if inputs.converts else None
    if found is not None:
        raise ValueError(
            f"The images' pipeline has a {found}, and the teacher's images are "
            "normalised otherwise than the student's; expected pixels of 0 to 255, "
            "from which it is worked out: leave it out, and give mean and std of such "
            "pixels to data_preprocessor."
        )
