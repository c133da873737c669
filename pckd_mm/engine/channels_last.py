"""Whether the networks of a run work on tensors with channels last."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Union

import torch
from mmengine.dist import broadcast_object_list
from mmengine.model import BaseModel
from torch import Tensor, nn

from pckd_mm.engine.trial import (
    FASTER,
    Trial,
    compared,
    is_slower,
    seconds_of_each,
    try_out,
)

__all__ = [
    "AUTO",
    "Candidate",
    "unsafe_convolution",
    "use_channels_last",
]

# On a GPU, and on a CPU where it is measured to be faster.
AUTO = "auto"
_LAYOUT = torch.channels_last


def unsafe_convolution(*networks: nn.Module) -> Optional[str]:
    """A convolution that must not see channels last on a CPU.

    Where a CPU has AVX2 and no AVX-512, torch 2.11's oneDNN 3.10.2 writes beyond its
    memory in the backward pass of a convolution of kernel 1, stride 2 and fewer than 8
    input channels, if its tensors lie with channels last. Larger strides, which were
    not seen to do so, count too, and so does every CPU. ``torch.compile`` lays tensors
    so on a CPU, whatever the inputs are.

    Args:
        *networks (nn.Module): Networks, and what runs on their features.

    Returns:
        str, optional: What it is, in words; None if there is none.
    """
    for network in networks:
        for name, module in network.named_modules():
            if (
                isinstance(module, nn.Conv2d)
                and set(module.kernel_size) == {1}
                and max(module.stride) > 1
                and module.in_channels < 8
            ):
                return (
                    f"{name}, a convolution of kernel 1, stride {max(module.stride)} "
                    f"and {module.in_channels} input channels"
                )
    return None


def _lay_channels_last(network: nn.Module) -> Callable[[], None]:
    """Lay weights and buffers so; what is returned takes it back."""
    weights = [(weight, weight.data) for weight in network.parameters()]
    buffers = [(module, dict(module._buffers)) for module in network.modules()]
    # As torch documents it; the overloads of its types leave it out.
    network.to(memory_format=_LAYOUT)  # type: ignore[call-overload]

    def take_back() -> None:
        for weight, data in weights:
            weight.data = data
        for module, before in buffers:  # others were put in their places
            module._buffers.update(before)

    return take_back


def _inputs_with_channels_last(module: nn.Module, args: tuple, data: Any) -> Any:
    """Forward hook of a data preprocessor."""
    inputs = data.get("inputs") if isinstance(data, dict) else None
    if isinstance(inputs, Tensor) and inputs.ndim == 4:
        data["inputs"] = inputs.contiguous(memory_format=_LAYOUT)
    return data


@dataclass
class Candidate:
    """A network that may get the layout.

    Args:
        trial (Trial): Its passes.
        inputs (Tensor, optional): Its inputs in a step; None if not known.
        keeps_weights (bool): Whether its weights stay as they are, as DDP's do.
        beside (Sequence[nn.Module]): What else may run on its features.
    """

    trial: Trial
    inputs: Optional[Tensor]
    keeps_weights: bool = False
    beside: Sequence[nn.Module] = ()

    def _seconds(self, inputs: Tensor) -> float:
        inputs = inputs.contiguous(memory_format=_LAYOUT)
        if self.keeps_weights:
            return self.trial.seconds(inputs)
        take_back = _lay_channels_last(self.trial.network)
        try:
            return self.trial.seconds(inputs)
        finally:
            take_back()

    def choose(
        self, wanted: Union[bool, str], on_cpu: bool, earlier: Optional[bool]
    ) -> Tuple[bool, str]:
        """Try it.

        Args:
            wanted (bool | str): True, or ``AUTO``.
            on_cpu (bool): Whether it runs on a CPU, where the time decides and some
                convolutions are not safe.
            earlier (bool, optional): What the run that is resumed chose.

        Returns:
            tuple[bool, str]: Whether it gets the layout, and why, in words.
        """
        if self.inputs is None:
            return False, "it is not run on images in batches"
        with_layout = partial(self._seconds, self.inputs)
        plain = partial(self.trial.seconds, self.inputs)
        unsafe = unsafe_convolution(self.trial.network, *self.beside)
        if on_cpu and unsafe is not None:
            return False, f"it has {unsafe}, which is not safe on a CPU"
        decides = on_cpu and wanted == AUTO
        exchanges = self.trial.exchanges
        if failure := try_out(with_layout, exchanges)[1]:
            if alone := try_out(plain, exchanges)[1]:  # not the layout's
                on = earlier is True if decides else True
                return on, f"its passes cannot be tried ({alone})"
            return False, f"its passes fail in that layout ({failure})"
        if decides and earlier is not None:
            return earlier, "as in the run that is resumed"
        times = seconds_of_each({"with": with_layout, "without": plain})
        with_it, without = times["with"], times["without"]
        words = compared(with_it, without)
        if decides:
            return with_it < FASTER * without, words
        return True, f"though slower: {words}" if is_slower(with_it, without) else words


def use_channels_last(
    model: BaseModel,
    candidates: Dict[str, Candidate],
    wanted: Union[bool, str],
    step: Callable[[], Any],
    on_cpu: bool,
    earlier: Optional[Dict[str, bool]] = None,
) -> Tuple[Dict[str, bool], str]:
    """Give networks, and the inputs where all of them take it, channels last.

    A network with weights in that layout works in it whatever its inputs are. One that
    must keep its weights needs inputs in it.

    Args:
        model (BaseModel): What is trained, whose ``data_preprocessor`` gives inputs.
        candidates (dict[str, Candidate]): Its networks, by what they are called.
        wanted (bool | str): True, or ``AUTO``.
        step (Callable): Runs a step of the model without trace. Where it fails in the
            layout, all is as before.
        on_cpu (bool): Whether they run on a CPU, where for ``AUTO`` the time decides,
            which is told elsewhere.
        earlier (dict[str, bool], optional): What the run that is resumed chose.
            Defaults to None.

    Returns:
        tuple[dict[str, bool], str]: By network whether it has the layout, and all of
        that in words, with the reasons.
    """
    shared = [
        {
            name: candidate.choose(wanted, on_cpu, (earlier or {}).get(name))
            for name, candidate in candidates.items()
        }
    ]
    broadcast_object_list(shared)  # times of processes differ
    (choices,) = shared
    inputs_too = all(on for on, _ in choices.values())
    for name, candidate in candidates.items():
        if choices[name][0] and candidate.keeps_weights and not inputs_too:
            why = "DDP keeps its weights as they are, and not all networks take it"
            choices[name] = False, why
    handle = None
    laid = [
        _lay_channels_last(candidate.trial.network)
        for name, candidate in candidates.items()
        if choices[name][0] and not candidate.keeps_weights
    ]
    if inputs_too:
        handle = model.data_preprocessor.register_forward_hook(
            _inputs_with_channels_last
        )
    is_laid = any(on for on, _ in choices.values())
    if is_laid and (failure := try_out(step)[1]):
        if handle is not None:
            handle.remove()
        for take_back in laid:
            take_back()
        reason = f"a step fails in that layout ({failure})"
        choices = {name: (False, reason) for name in candidates}
    words = []
    for name, (on, why) in choices.items():
        of_inputs = ", by its inputs" if on and candidates[name].keeps_weights else ""
        why = f" ({why})" if why else ""
        words.append(f"{'on' if on else 'off'} in {name}{of_inputs}{why}")
    return {name: on for name, (on, _) in choices.items()}, ", ".join(words)
