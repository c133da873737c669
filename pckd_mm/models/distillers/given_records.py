"""Records that another process has made."""

from typing import Any, Dict, List

from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder import ParameterRecorder

__all__ = ["Records", "give_records", "records_of_calls"]

# By the name of the recorder, what it holds of each call.
Records = Dict[str, List[Any]]


def records_of_calls(manager: RecorderManager) -> Records:
    """What recorders hold of a forward pass.

    Args:
        manager (RecorderManager): The recorders.

    Returns:
        dict[str, list]: The records; none of those that read parameters, which every
        process has.
    """
    return {
        name: recorder._data_buffer
        for name, recorder in manager.recorders.items()
        if recorder._data_buffer and not isinstance(recorder, ParameterRecorder)
    }


def give_records(manager: RecorderManager, records: Records) -> None:
    """Let recorders hold what others recorded, as if the network had run here.

    Args:
        manager (RecorderManager): The recorders.
        records (dict[str, list]): As :func:`records_of_calls` gives them.
    """
    for name, record in records.items():
        manager.get_recorder(name)._data_buffer = list(record)
