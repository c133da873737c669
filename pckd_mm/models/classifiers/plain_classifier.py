"""Any network of PyTorch that gives logits, as a classifier of MMPretrain."""

from typing import Any, Dict, List, Optional, Union

from mmengine.model import BaseModel
from mmengine.utils import get_object_from_string
from mmpretrain.models import HuggingFaceClassifier, TimmClassifier
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from pckd_mm.registry import MODELS


@MODELS.register_module()
class PlainClassifier(TimmClassifier):
    """A network that is no part of OpenMMLab, such as one of torchvision.

    Its checkpoints hold the network's own names, as :class:`mmpretrain.models.
    TimmClassifier` does it: a file of torchvision loads, and a student that was trained
    here loads in torchvision.

    Args:
        model (str | nn.Module): The network, or what makes it, by its name:
            ``model="torchvision.models.resnet18"``. It takes images and gives logits,
            shape (N, C), alone or as the attribute ``logits`` of what it gives.
        loss (dict | nn.Module): The loss. Defaults to the cross-entropy.
        train_cfg (dict, optional): ``augments``, as for :class:`mmpretrain.models.
            ImageClassifier`. Defaults to None.
        data_preprocessor (dict, optional): What prepares the batches. Defaults to None,
            mmpretrain's ``ClsDataPreprocessor``.
        init_cfg (dict, optional): How the weights are initialised. Defaults to None, by
            the network itself.
        **kwargs: Arguments for what makes the network, such as ``num_classes=100``.

    Raises:
        TypeError: Where ``model`` names no function or class, or what it makes is no
            ``nn.Module``.
    """

    def __init__(
        self,
        model: Union[str, nn.Module],
        loss: Union[dict, nn.Module] = dict(type="CrossEntropyLoss"),  # noqa: B006
        train_cfg: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
        **kwargs: Any,
    ) -> None:
        data_preprocessor = dict(data_preprocessor or {})
        data_preprocessor.setdefault("type", "mmpretrain.ClsDataPreprocessor")
        if train_cfg is not None and "augments" in train_cfg:
            data_preprocessor["batch_augments"] = train_cfg
        # TimmClassifier's own constructor makes a network of timm.
        super(TimmClassifier, self).__init__(
            init_cfg=init_cfg, data_preprocessor=data_preprocessor
        )
        self.model = _make(model, kwargs)
        if not isinstance(loss, nn.Module):
            loss = MMPRETRAIN_MODELS.build(loss)
        self.loss_module = loss
        self._register_load_state_dict_pre_hook(self._add_state_dict_prefix)
        keep_as_built(self)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Optional[List[DataSample]] = None,
        mode: str = "tensor",
    ) -> Any:
        """Run the network; see :meth:`mmpretrain.models.TimmClassifier.forward`."""
        if mode == "tensor":
            output = self.model(inputs)
            self._check_output(output)
            return getattr(output, "logits", output)
        return super().forward(inputs, data_samples, mode)

    def _check_output(self, output: Any) -> None:
        """Refuse outputs beside the logits in training, as Inception's have."""
        names = getattr(output, "_fields", ())
        beside = [n for n in names if n != "logits" and getattr(output, n) is not None]
        if self.training and "logits" in names and beside:
            raise NotImplementedError(
                f"its {type(self.model).__name__} gives {' and '.join(beside)} beside "
                "the logits in training, whose losses would be left out: set "
                "aux_logits=False"
            )

    def loss(
        self, inputs: Tensor, data_samples: List[DataSample], **kwargs: Any
    ) -> Dict[str, Tensor]:
        """Compute the loss.

        Args:
            inputs (Tensor): Images, shape (N, C, H, W).
            data_samples (list[DataSample]): Their labels.
            **kwargs: Further arguments of the loss.

        Returns:
            dict[str, Tensor]: ``loss``, a scalar.
        """
        return self._get_loss(self(inputs), data_samples, **kwargs)


def how_it_loads(network: nn.Module) -> Optional[str]:
    """How the exported student of another library is loaded there, in a sentence.

    Args:
        network (nn.Module): The student.

    Returns:
        str, optional: None for a network of MMPretrain or MMDetection, whose tools load
        it by its config.
    """
    if not isinstance(network, (TimmClassifier, HuggingFaceClassifier)):
        return None
    inner = network.model
    made = f"{type(inner).__module__.partition('.')[0]}'s {type(inner).__name__}"
    card = getattr(inner, "pretrained_cfg", None) or {}
    if card.get("architecture") and not isinstance(network, PlainClassifier):
        made = f"timm.create_model({card['architecture']!r}) of the same arguments"
    return f"load_state_dict of {made} takes the state_dict of this file."


def keep_as_built(network: BaseModel) -> None:
    """Let a network of another library keep its weights, and their names.

    MMEngine's ``init_weights`` asks every part to initialise itself, which timm's
    networks do anew, whatever weights they were built with.

    MMPretrain's classifiers of timm and Hugging Face return a state dict with the names
    of these libraries, which torch takes from the outermost module only; what they load
    has them in any case, so that a distillation of such a student could not be resumed.

    Args:
        network (BaseModel): One that keeps the network as ``model``, changed in place.
    """
    network.model.is_init = True  # MMEngine's mark
    if _rename_in_place in network._state_dict_hooks.values():
        return  # a PlainClassifier, or a network of another algorithm
    handle = network._register_state_dict_hook(_rename_in_place)
    network._state_dict_hooks.move_to_end(handle.id, last=False)


def _rename_in_place(
    module: nn.Module, state: dict, prefix: str, local_metadata: dict
) -> None:
    longer = f"{prefix}model."
    for name in [name for name in state if name.startswith(longer)]:
        state[prefix + name.removeprefix(longer)] = state.pop(name)


def _make(model: Union[str, nn.Module], arguments: dict) -> nn.Module:
    if isinstance(model, nn.Module):
        if arguments:
            raise TypeError(
                f"PlainClassifier found the network {type(model).__name__} and "
                f"{next(iter(arguments))}, which is for the making of one; expected "
                "either: leave it out."
            )
        return model
    make = get_object_from_string(model)
    if not callable(make):
        raise TypeError(
            f"PlainClassifier found model={model!r}, which is no function or class; "
            "expected the full name of one, such as torchvision.models.resnet18."
        )
    network = make(**arguments)
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"PlainClassifier found that {model} makes a {type(network).__name__}; "
            "expected an nn.Module that gives logits."
        )
    return network
