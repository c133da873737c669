"""Shapes of records, for connectors that depend on them."""

import copy
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModel
from torch import Tensor

from pckd_mm.utils.randomness import isolated_randomness

from .distiller_config import Config, map_settings
from .pckd_distiller import PCKDDistiller


def whole_network(network: BaseModel, inputs: Tensor) -> Any:
    """Run a network from its inputs to the classifier."""
    return network(inputs, mode="tensor")


def dry_run(
    student: BaseModel,
    teacher: BaseModel,
    distiller: dict,
    input_shape: Sequence[int],
    run: Callable[[BaseModel, Tensor], Any] = whole_network,
    teacher_size: Optional[Sequence[int]] = None,
) -> PCKDDistiller:
    """Record one image of zeros through copies of both networks.

    Args:
        student (BaseModel): The student; it stays as it is.
        teacher (BaseModel): The teacher; it stays as it is.
        distiller (dict): Config of a :class:`PCKDDistiller`, for its recorders.
        input_shape (Sequence[int]): Channels, height and width of an image.
        run (Callable): Runs a network on inputs. Defaults to :func:`whole_network`.
        teacher_size (Sequence[int], optional): Height and width of the teacher's
            images. Defaults to None, those of ``input_shape``.

    Returns:
        PCKDDistiller: One without losses, which holds the records.
    """
    probe = PCKDDistiller(
        preview=None,
        student_recorders=distiller.get("student_recorders"),
        teacher_recorders=distiller.get("teacher_recorders"),
    )
    networks = dict(student=student, teacher=teacher)
    for who, network in networks.items():
        network = copy.deepcopy(network).eval()
        getattr(probe, f"prepare_from_{who}")(network)
        shape = list(input_shape)
        if who == "teacher" and teacher_size is not None:
            shape[1:] = teacher_size
        zeros = next(network.parameters()).new_zeros(1, *shape)
        with isolated_randomness(), torch.no_grad():
            with getattr(probe, f"{who}_recorders"):
                run(network, zeros)
    return probe


def resolve_shapes(
    connectors: Dict[str, Config],
    student: BaseModel,
    teacher: BaseModel,
    distiller: dict,
    input_shape: Optional[Sequence[int]],
    run: Callable[[BaseModel, Tensor], Any] = whole_network,
    teacher_size: Optional[Sequence[int]] = None,
) -> Dict[str, Config]:
    """Replace the names of records in connectors by their shapes.

    A connector's ``*_shape`` may be ``'<student or teacher>.<recorder>'``, with
    ``'.<data_idx>'`` behind it for an entry of a record that is a tuple; it becomes
    the shape of that record for one image, such as (64, 8, 8).

    Args:
        connectors (dict[str, dict]): Configs of connectors.
        student (BaseModel): The student.
        teacher (BaseModel): The teacher.
        distiller (dict): Config of the distiller, for its recorders.
        input_shape (Sequence[int], optional): Channels, height and width of an image.
        run (Callable): Runs a network on inputs. Defaults to :func:`whole_network`.
        teacher_size (Sequence[int], optional): Height and width of the teacher's
            images. Defaults to None, those of ``input_shape``.

    Returns:
        dict[str, dict]: A copy with numbers. The networks run only where a connector
        names a record.

    Raises:
        ValueError: Where a connector names a record and ``input_shape`` is missing, or
            there is no such record.
    """
    probe: List[PCKDDistiller] = []  # at most one

    def shape(name: str, key: str, value: Any) -> Any:
        if not (key.endswith("_shape") and isinstance(value, str)):
            return value
        if input_shape is None:
            raise ValueError(
                f"The connector {name} asks for the shape of {value!r}, which depends "
                "on the images; expected the model's input_shape, such as (3, 32, 32) "
                "for channels, height and width: set it."
            )
        if not probe:
            settings = (distiller, input_shape, run, teacher_size)
            probe.append(dry_run(student, teacher, *settings))
        return _record_shape(probe[0], name, key, value)

    return map_settings(connectors, shape)


def _record_shape(
    probe: PCKDDistiller, connector: str, key: str, value: str
) -> Tuple[int, ...]:
    who, _, rest = value.partition(".")
    recorder, _, data_idx = rest.partition(".")
    record = None
    if who in ("student", "teacher"):
        records = getattr(probe, f"{who}_recorders").recorders
        buffer = records[recorder].data_buffer if recorder in records else []
        record = buffer[0] if buffer else None
    if data_idx and isinstance(record, (list, tuple)):
        index = int(data_idx) if data_idx.isdecimal() else len(record)
        record = record[index] if index < len(record) else None
    if not isinstance(record, Tensor):
        raise ValueError(
            f"The connector {connector} has {key}={value!r}, which is no feature that "
            "is recorded; expected the name of one, as student.<recorder> or "
            "teacher.<recorder>.<data_idx>."
        )
    return tuple(record.shape[1:])
