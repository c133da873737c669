"""A teacher that is held: frozen, and no part of the module tree."""

import logging
from typing import (
    Any,
    Callable,
    ContextManager,
    Generic,
    List,
    Optional,
    Tuple,
    TypeVar,
)

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmrazor.models.algorithms import SingleTeacherDistill
from mmrazor.models.task_modules.recorder import ParameterRecorder
from torch import Tensor, nn

from pckd_mm.models.data_preprocessors import TeacherInputs
from pckd_mm.utils.fold_batchnorm import fold_batchnorm

from .teachers import load_teacher

Held = TypeVar("Held", bound=nn.Module)


class Unregistered(Generic[Held]):
    """Hold a module outside of its owner's module tree; copies of the owner share it.

    So it is in no state dict, optimizer, EMA, checkpoint or DDP bucket. A copy leaves
    it on the device, and of the dtype, that it has for its owner.

    Args:
        module (nn.Module): The module.
        is_own (bool): Whether it goes where its holder goes. Defaults to True.
    """

    def __init__(self, module: Held, is_own: bool = True) -> None:
        self.module = module
        self.is_own = is_own

    def __deepcopy__(self, memo: dict) -> "Unregistered[Held]":
        return Unregistered(self.module, is_own=False)

    def __reduce__(self) -> Tuple[type, tuple]:
        # What is read from a file is shared with nobody.
        return type(self), (self.module,)


class FrozenTeacher(SingleTeacherDistill):
    """Hold a teacher that is wholly in eval mode, without gradients, and in no state.

    Its checkpoint is read once, when training begins. What builds and pairs the two
    networks is :class:`FrozenTeacherDistill`.
    """

    # Set by the constructor of the algorithm.
    _frozen: Unregistered[BaseModel]
    _teacher_inputs: Unregistered[TeacherInputs]
    _teacher_loaded: bool
    teacher_ckpt: Optional[str]
    teacher_config: Optional[str]
    # Names of its categories, where its checkpoint says them.
    teacher_classes: Optional[List[str]] = None

    @property
    def teacher(self) -> BaseModel:
        """BaseModel: The frozen teacher."""
        # MMRazor's constructor registers it, ours takes it out again.
        registered = self._modules.get("teacher")
        return self._frozen.module if registered is None else registered

    @property
    def teacher_inputs(self) -> TeacherInputs:
        """TeacherInputs: What turns the student's batches into the teacher's."""
        return self._teacher_inputs.module

    def _apply(
        self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any
    ) -> "FrozenTeacher":
        """Move the teacher along to devices and dtypes, unless it is another's."""
        for held in (self._frozen, self._teacher_inputs):
            if held.is_own:
                held.module._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def set_module_inplace_false(self, architecture: BaseModel, varstr: str) -> None:
        """Let no layer overwrite what a recorder keeps of the one before it.

        MMRazor's own walk finds no layers where torch keeps them in a plain dict, and
        none inside of those that have the attribute themselves.

        Args:
            architecture (BaseModel): A network, changed in place.
            varstr (str): Not used.
        """
        for module in architecture.modules():
            if getattr(module, "inplace", False):
                module.inplace = False

    def load_teacher(self) -> None:
        """Read the teacher's checkpoint, once.

        Raises:
            FileNotFoundError: Names the config that trains the teacher.
            ValueError: For a file that is damaged, needs code or does not fit.
        """
        if self._teacher_loaded:
            return
        if self.teacher_ckpt is None:
            # Its config may say where its weights are (init_cfg).
            self.teacher.init_weights()
            print_log(
                "The algorithm has no teacher_ckpt: the teacher is what its own "
                "init_cfg makes it.",
                logger="current",
                level=logging.WARNING,
            )
            self._teacher_loaded = True
            return
        self.teacher_classes = load_teacher(
            self.teacher, self.teacher_ckpt, self.teacher_config
        )
        self._teacher_loaded = True

    def _prepare(self) -> None:
        """Make ready for a step: a copy has to be, and what was released."""
        self.load_teacher()
        if not self._frozen.is_own:
            self._require_near_teacher()
        if not self.distiller.is_hooked:
            self.distiller.prepare_from_student(self.student)
            self.distiller.prepare_from_teacher(self.teacher)

    def _require_near_teacher(self) -> None:
        """Refuse to train a copy on another device than the teacher that it shares."""
        own, teachers = (
            next(network.parameters()).device
            for network in (self.student, self.teacher)
        )
        if own != teachers:
            raise RuntimeError(
                f"A copy of a {type(self).__name__} found its student on {own} and "
                f"the teacher, which it shares with the original, on {teachers}; "
                f"expected one device: move the original to {own} too, or build "
                "another algorithm in place of the copy."
            )

    def fold_teacher(self, run: Callable[[], Any]) -> int:
        """Fold the teacher's BatchNorms into its convolutions, but for recorded ones.

        Args:
            run (Callable): Runs a step's forward pass, on any batch.

        Returns:
            int: How many were folded; see :func:`pckd_mm.utils.fold_batchnorm`.
        """
        self.load_teacher()
        recorded = [
            recorder.source
            for recorder in self.distiller.teacher_recorders.recorders.values()
            if isinstance(recorder, ParameterRecorder)
        ]
        return fold_batchnorm(self.teacher, run, keep=recorded)

    def _teacher_mode(self) -> ContextManager:
        """The mode that the teacher runs in: no gradient, and nothing kept for one."""
        if self.distiller.deliveries.deliveries:  # what they hand over needs versions
            return torch.no_grad()
        return torch.inference_mode()

    def train(self, mode: bool = True) -> "FrozenTeacher":
        """Set the mode of student and distiller; the teacher stays in eval mode."""
        nn.Module.train(self, mode)
        self.teacher.eval()
        # Conversions (SyncBN) between construction and training lose hooks.
        if self.distiller.is_hooked:
            self.distiller.prepare_from_student(self.student)
        return self

    def release_networks(self) -> None:
        """Take the recorders' hooks off student and teacher; a step hooks them again.

        What asks for plain networks, such as ``torch.jit.script``, takes them then.
        """
        self.distiller.release(self.student, self.teacher)
