"""A linear classifier on the features of a frozen network."""

import logging
from typing import Any, Dict, Optional

import torch
from mmengine.logging import print_log
from mmpretrain.models import ImageClassifier
from torch import Tensor, nn

from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import (
    fitting_tensors,
    load_exactly,
    part_of,
    read_checkpoint,
)


@MODELS.register_module()
class LinearProbe(ImageClassifier):
    """Classify by the features of a trained network, of which only the head is new.

    How well features transfer (linear evaluation, as in CRD, Tian et al., ICLR 2020):
    backbone and neck are always in eval mode and have no gradient, the head learns.

    Args:
        *args: Arguments of :class:`mmpretrain.models.ImageClassifier`.
        checkpoint (str, optional): Weights of backbone and neck, read when training
            begins: a checkpoint of any network with this backbone, whatever its head,
            or of a distillation, of which the student is taken; as a file or a URL.
            Every tensor of backbone and neck must be there. Defaults to None, which
            leaves them as their ``init_cfg`` makes them.
        checkpoint_config (str, optional): Config that trains ``checkpoint``, for the
            message where it is missing. Defaults to None.
        **kwargs: Further arguments of :class:`mmpretrain.models.ImageClassifier`.
    """

    def __init__(
        self,
        *args: Any,
        checkpoint: Optional[str] = None,
        checkpoint_config: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.checkpoint = checkpoint
        self.checkpoint_config = checkpoint_config
        for module in self._frozen().values():
            module.requires_grad_(False)
        self.train(self.training)

    def _frozen(self) -> Dict[str, nn.Module]:
        parts = dict(backbone=self.backbone, neck=self.neck)
        return {name: part for name, part in parts.items() if part is not None}

    def init_weights(self) -> None:
        """Initialise the head and load the rest: training begins.

        Raises:
            FileNotFoundError: Names the config that trains the checkpoint.
            ValueError: For a file that is damaged, needs code or does not fit.
        """
        super().init_weights()
        if self.checkpoint is None:
            print_log(
                "LinearProbe has no checkpoint: the frozen features are those of the "
                "network's own init_cfg.",
                logger="current",
                level=logging.WARNING,
            )
            return
        try:
            content = read_checkpoint(self.checkpoint)
        except FileNotFoundError:
            how = "set model.checkpoint to the weights of a network"
            if self.checkpoint_config is not None:
                how += f", or train it: pckd train {self.checkpoint_config}"
            raise FileNotFoundError(
                f"There is no checkpoint {self.checkpoint}; expected the weights to "
                f"probe: {how}."
            ) from None
        source = f"The checkpoint {self.checkpoint}"
        state, notes = fitting_tensors(content, self.state_dict(), source)
        for name, module in self._frozen().items():
            source = f"The {name} in checkpoint {self.checkpoint}"
            load_exactly(module, part_of(state, f"{name}."), source)
        how = "; ".join(["", *notes])
        print_log(f"Loaded the features from {self.checkpoint}{how}", logger="current")

    def train(self, mode: bool = True) -> "LinearProbe":
        """Set the mode of the head; backbone and neck stay in eval mode."""
        super().train(mode)
        for module in self._frozen().values():
            module.eval()
        return self

    def extract_feat(self, inputs: Tensor, stage: str = "neck") -> Any:
        """Extract features without gradient.

        Args:
            inputs (Tensor): Images, shape (N, C, H, W).
            stage (str): ``'backbone'``, ``'neck'`` or ``'pre_logits'``. Defaults to
                ``'neck'``.

        Returns:
            tuple[Tensor] | Tensor: Features as the stage gives them.
        """
        with torch.no_grad():
            return super().extract_feat(inputs, stage)
