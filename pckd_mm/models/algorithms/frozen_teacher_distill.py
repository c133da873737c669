"""A student that learns from a frozen teacher: what all such algorithms share."""

import copy
import logging
from abc import abstractmethod
from functools import partial
from inspect import signature
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterator,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import torch
from mmengine.logging import MessageHub, print_log
from mmengine.model import BaseModel
from mmrazor.models.algorithms import BaseAlgorithm, SingleTeacherDistill
from mmrazor.models.task_modules.recorder import (
    ModuleOutputsRecorder,
    ParameterRecorder,
)
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from mmrazor.models.utils import add_prefix
from torch import Tensor, nn

from pckd_mm.models.data_preprocessors import TeacherInputs
from pckd_mm.models.data_preprocessors.normalisation import (
    declared_normalisation,
    normalisation_of,
)
from pckd_mm.models.data_preprocessors.student_settings import (
    other_settings,
    share_batch_augments,
)
from pckd_mm.models.data_preprocessors.trained_inputs import (
    Size,
    trained_inputs,
)
from pckd_mm.models.distillers import PCKDDistiller
from pckd_mm.models.distillers.pairing import name_stages
from pckd_mm.models.distillers.pckd_distiller import PROGRESS, in_scope
from pckd_mm.models.distillers.record_shapes import resolve_shapes, whole_network
from pckd_mm.models.task_modules.classifier import Classifier
from pckd_mm.models.task_modules.stage_outputs_recorder import StageOutputsRecorder
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import fit_on_load
from pckd_mm.utils.example_inputs import input_channels, takes
from pckd_mm.utils.fold_batchnorm import fold_batchnorm

from .settings import check_settings, check_teacher
from .teachers import load_teacher, read_teacher


class _Unregistered:
    """Hold a module outside of its owner's module tree; copies of the owner share it.

    So it is in no state dict, optimizer, EMA, checkpoint or DDP bucket.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __deepcopy__(self, memo: dict) -> "_Unregistered":
        return self


def training_progress() -> Optional[float]:
    """Share of the training done, as MMEngine's runner keeps it.

    Returns:
        float, optional: (epoch + 1) / max_epochs; in loops of a single epoch, as
        iteration-based ones are, (iter + 1) / max_iters; None outside of a runner.
    """
    info = MessageHub.get_current_instance().runtime_info
    if info.get("loop_stage") is None:  # the runner is not there, or is done
        return None
    if info["max_epochs"] > 1:
        return (info["epoch"] + 1) / info["max_epochs"]
    return (info["iter"] + 1) / info["max_iters"]


class FrozenTeacherDistill(SingleTeacherDistill):
    """Distil a student from a frozen teacher; the base of the algorithms.

    The teacher is always wholly in eval mode, has no gradient and is no part of the
    module tree: state dict, checkpoints, optimizer and EMA hold the student and the
    connectors alone. Its checkpoint is read when training begins, so that testing a
    student needs none.

    A subclass says which networks it serves, where their classifier is, and what runs
    on a batch: :meth:`_check_network`, :meth:`_find_classifier` and :meth:`_record`.

    Args:
        architecture (dict | BaseModel): The student.
        distiller (dict): Config of a :class:`PCKDDistiller`.
        teacher (dict | BaseModel, optional): The teacher. Defaults to None, the model
            of ``teacher_config``.
        teacher_ckpt (str, optional): The teacher's weights: a file, a URL or the name
            of a model in MMPretrain's zoo. They must fit in every tensor. Defaults to
            None, for a teacher that is built already or whose ``init_cfg`` loads its
            weights.
        teacher_config (str, optional): The config that trains the teacher: its path
            as seen from the working directory, or the name of one of a library, such
            as ``mmdet::faster_rcnn/faster-rcnn_r101_fpn_1x_coco.py``. Where
            ``teacher_ckpt`` does not fit or is missing, the message names it. Defaults
            to None.
        data_preprocessor (dict | nn.Module, optional): What prepares the batches; a
            config without type is one of ``preprocessor_type``. Defaults to None, the
            student's.
        input_shape (Sequence[int], optional): Channels, height and width of the
            networks' inputs, for connectors that ask for the shape of a feature.
            Defaults to None.
        teacher_input_size (int | Sequence[int] | str, optional): Height and width of
            the images that the teacher was trained on, to which it gets them resized,
            or ``'same'`` for those of the student. Defaults to None, what the teacher
            and ``teacher_config`` say; see
            :func:`pckd_mm.models.data_preprocessors.trained_inputs.trained_inputs`.
        swap_teacher_channels (bool, optional): Whether the teacher was trained on the
            other order of channels, RGB or BGR, than the student is. Defaults to None,
            what the data preprocessors and data sets of both say.
        **kwargs: Further arguments of :class:`mmrazor.models.SingleTeacherDistill`.

    Raises:
        FileNotFoundError: Where the teacher is to be read from a config that is not
            there.
        TypeError: For a network that the algorithm does not serve, a distiller that is
            no ``PCKDDistiller``, and settings of another class, such as the student's.
        ValueError: For different numbers of categories, for a recorder without
            source, and for settings that cannot be honoured (:mod:`.settings`).
    """

    # Images that one process needs in a batch to compare them with each other.
    min_images = 1
    # Whether the distiller's instances are whole images, one weight each.
    instances_are_images = True
    # What prepares batches where the config of it has no type.
    preprocessor_type = "mmpretrain.ClsDataPreprocessor"

    def __init__(
        self,
        architecture: Union[dict, BaseModel],
        distiller: dict,
        teacher: Union[dict, BaseModel, None] = None,
        teacher_ckpt: Optional[str] = None,
        teacher_config: Optional[str] = None,
        data_preprocessor: Union[dict, nn.Module, None] = None,
        input_shape: Optional[Sequence[int]] = None,
        teacher_input_size: Size = None,
        swap_teacher_channels: Optional[bool] = None,
        **kwargs,
    ) -> None:
        check_settings("model", kwargs, type(self).__name__)
        self._check_settings(kwargs)
        is_built = isinstance(teacher, nn.Module)
        given = architecture if isinstance(architecture, dict) else {}
        student = self._build_network("student", architecture)
        is_read = teacher is None
        if is_read:
            teacher = read_teacher(teacher_config, teacher_ckpt, type(self).__name__)
        check_teacher(teacher, teacher_ckpt, quiet=is_read)
        declared = teacher
        teacher = self._build_network("teacher", teacher)
        self._check_pair(student, teacher)
        trained = trained_inputs(
            declared,
            teacher,
            teacher_config,
            teacher_input_size,
            teacher_ckpt,
            input_shape,
        )
        super().__init__(
            architecture=student,
            teacher=teacher,
            distiller=self._complete_distiller(
                distiller, student, teacher, input_shape, trained.size
            ),
            data_preprocessor=self._build_preprocessor(data_preprocessor),
            **kwargs,
        )
        if not isinstance(self.distiller, PCKDDistiller):
            raise TypeError(
                f"{type(self).__name__} found a {type(self.distiller).__name__} as "
                "distiller; expected a PCKDDistiller, which takes MMRazor's losses too."
            )
        if not self.calculate_student_loss and not self.distiller.distill_losses:
            raise ValueError(
                f"{type(self).__name__} found calculate_student_loss=False and no "
                "distill_losses, so that there is nothing to learn from; expected one "
                "of both: give the distiller a loss, or leave out the setting."
            )
        share_batch_augments(self.student.data_preprocessor, self.data_preprocessor)
        for who, config in (("architecture", given), ("teacher", declared)):
            own = config.get("data_preprocessor") if isinstance(config, dict) else None
            others = other_settings(own, self.data_preprocessor)
            check_settings(f"model.{who}.data_preprocessor", others)
        self._frozen = _Unregistered(self._modules.pop("teacher"))
        self.teacher.eval()
        # A plain student's checkpoint has no connectors.
        fit_on_load(self, optional=("distiller.",))
        fit_on_load(self.teacher, exact=True)
        normalisation = None
        if data_preprocessor is not None or declared_normalisation(architecture):
            normalisation = normalisation_of(self.data_preprocessor)
        self._teacher_inputs = _Unregistered(
            TeacherInputs(
                normalisation, trained, swap_teacher_channels, partial(takes, teacher)
            )
        )
        self.teacher_inputs.tell()
        self.teacher_ckpt = teacher_ckpt
        self.teacher_config = teacher_config
        self._teacher_loaded = teacher_ckpt is None and is_built
        self._progress: Optional[float] = None
        # Called with the losses of each step while their graph is there.
        self.on_losses: Optional[Callable[[Dict[str, Any]], None]] = None

    # ------------------------------------------------- what a subclass says

    @abstractmethod
    def _check_network(self, who: str, model: BaseModel) -> None:
        """Refuse a student or teacher that the algorithm does not serve."""

    @abstractmethod
    def _find_classifier(
        self, who: str, model: BaseModel, input_shape: Optional[Sequence[int]]
    ) -> Classifier:
        """What a network's logits are made of."""

    def _find_classifiers(
        self, who: str, model: BaseModel, input_shape: Optional[Sequence[int]]
    ) -> Sequence[Classifier]:
        """The classifiers of a network, one for each stage of a cascade."""
        return [self._find_classifier(who, model, input_shape)]

    @abstractmethod
    def _record(self, batch_inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        """Run both networks, hand the batch to the distiller, give the own losses."""

    def _plain_loss(
        self, batch_inputs: Tensor, data_samples: list
    ) -> Dict[str, Tensor]:
        """The student's own losses, when distillation was stopped."""
        return self.student.loss(batch_inputs, data_samples)

    def _run_features(self, model: BaseModel, inputs: Tensor) -> Any:
        """Run what recorders listen to, for the shapes of records."""
        return whole_network(model, inputs)

    # ------------------------------------------------------------------ build

    def _check_settings(self, kwargs: dict) -> None:
        known = {
            name
            for cls in (SingleTeacherDistill, BaseAlgorithm)
            for name in signature(cls.__init__).parameters
        }
        unknown = sorted(kwargs.keys() - known)
        if unknown:
            raise TypeError(
                f"{type(self).__name__} found the setting {unknown[0]}; expected its "
                "own settings only: the student's are those of architecture, as in "
                f"model.architecture.{unknown[0]}."
            )

    def _build_network(self, who: str, model: Union[dict, BaseModel]) -> BaseModel:
        if isinstance(model, dict):
            model = MODELS.build(copy.deepcopy(model))
        self._check_network(who, model)
        return model

    def _build_preprocessor(
        self, preprocessor: Union[dict, nn.Module, None]
    ) -> Optional[nn.Module]:
        if not isinstance(preprocessor, dict):
            return preprocessor
        kind = preprocessor.get("type") or self.preprocessor_type
        return MODELS.build(dict(preprocessor, type=kind))

    def _check_pair(self, student: BaseModel, teacher: BaseModel) -> None:
        """Refuse networks that do not go together."""

    def _complete_distiller(
        self,
        distiller: dict,
        student: BaseModel,
        teacher: BaseModel,
        input_shape: Optional[Sequence[int]],
        teacher_size: Optional[Sequence[int]] = None,
    ) -> dict:
        """Say what a config leaves to the networks: layers, widths and shapes."""
        teacher_shape = input_shape
        if teacher_size is not None:
            channels = input_shape[0] if input_shape else input_channels(teacher)
            teacher_shape = (channels, *teacher_size)
        stages = zip(
            self._find_classifiers("student", student, input_shape),
            self._find_classifiers("teacher", teacher, teacher_shape),
            strict=True,
        )
        networks = (student, teacher)
        distiller = in_scope(distiller, MODELS)
        self._classifiers, *others = stages
        distiller = name_stages(distiller, networks, [self._classifiers, *others])
        distiller["connectors"] = resolve_shapes(
            distiller["connectors"],
            *networks,
            distiller,
            input_shape,
            self._run_features,
            teacher_size,
        )
        return distiller

    def set_module_inplace_false(self, architecture: nn.Module, varstr: str) -> None:
        """Let no layer overwrite what a recorder keeps of the one before it.

        MMRazor's own walk finds no layers where torch keeps them in a plain dict, and
        none inside of those that have the attribute themselves.

        Args:
            architecture (nn.Module): A network, changed in place.
            varstr (str): Not used.
        """
        for module in architecture.modules():
            if getattr(module, "inplace", False):
                module.inplace = False

    @property
    def num_classes(self) -> int:
        """int: Categories of the student, without a background."""
        return self._classifiers[0].categories

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

    @property
    def progress(self) -> float:
        """float: Share of the training done, in (0, 1]; the runner's unless set."""
        progress = self._progress
        if progress is None:
            progress = training_progress()
        if progress is None:
            print_log(
                "Distillation runs outside of a runner: preview and losses take "
                "the training as done. Set algorithm.progress in a loop of your own.",
                logger="current",
                level=logging.WARNING,
            )
            return 1.0
        return progress

    @progress.setter
    def progress(self, value: Optional[float]) -> None:
        self._progress = value

    def _apply(self, fn, *args, **kwargs) -> "FrozenTeacherDistill":
        """Move the teacher along to devices and dtypes."""
        self.teacher._apply(fn, *args, **kwargs)
        self.teacher_inputs._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def init_weights(self) -> None:
        """Initialise the student and load the teacher: training begins."""
        # First what may be missing: the student's weights may take a download.
        self.load_teacher()
        super().init_weights()
        # MMEngine does not look into torch's own containers.
        for module in self.distiller.connectors.values():
            if hasattr(module, "init_weights"):
                module.init_weights()

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
        load_teacher(self.teacher, self.teacher_ckpt, self.teacher_config)
        self._teacher_loaded = True

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

    def train(self, mode: bool = True) -> "FrozenTeacherDistill":
        """Set the mode of student and distiller; the teacher stays in eval mode."""
        nn.Module.train(self, mode)
        self.teacher.eval()
        # Conversions (SyncBN) between construction and training lose hooks.
        self.distiller.prepare_from_student(self.student)
        return self

    # ------------------------------------------------------------------- step

    def loss(self, batch_inputs: Tensor, data_samples: list) -> Dict[str, Tensor]:
        """Compute the student's losses and the distiller's.

        Args:
            batch_inputs (Tensor): Inputs as the subclass takes them.
            data_samples (list[BaseDataElement]): The images' labels.

        Returns:
            dict[str, Tensor]: ``student.*`` and ``distill.*`` losses.
        """
        if self.distillation_stopped:
            if not self.calculate_student_loss:
                raise ValueError(
                    f"{type(self).__name__} found its distillation stopped and "
                    "calculate_student_loss=False, so that nothing is left to learn "
                    "from; expected one of both: leave out the hook that stops it, or "
                    "set calculate_student_loss=True."
                )
            self.distiller.forget_preview()
            losses = self._plain_loss(batch_inputs, data_samples)
            losses = with_gradients_for(self.distiller, losses)
            return add_prefix(losses, "student")
        self.load_teacher()
        try:
            losses = self._record(batch_inputs, data_samples)
            self._check_gradients()
            distill_losses = self.distiller.compute_distill_losses()
        finally:
            self.distiller.release_records()
        if not self.calculate_student_loss:
            losses = {}
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                distill_losses = with_gradients_for(self.student, distill_losses)
        return {
            **add_prefix(losses, "student"),
            **add_prefix(distill_losses, "distill"),
        }

    def parse_losses(
        self, losses: Dict[str, Union[Tensor, list]]
    ) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Add up what is a loss, see :class:`mmengine.model.BaseModel`.

        Args:
            losses (dict[str, Tensor | list[Tensor]]): What :meth:`loss` gives.

        Returns:
            tuple[Tensor, dict[str, Tensor]]: The sum, and what the log gets.
        """
        if self.on_losses is not None:
            self.on_losses(losses)
        return super().parse_losses(losses)

    def _check_gradients(self) -> None:
        """Refuse records that the layers behind them would learn nothing from.

        What activation checkpointing (``with_cp``) runs has no gradient inside: it runs
        again for that, when nothing is recorded any more.
        """
        if not torch.is_grad_enabled():
            return
        for name, recorder in self.distiller.student_recorders.recorders.items():
            if not self.distiller.asks_for(name):
                continue
            for layer, output in self._outputs_of(recorder):
                learns = any(weight.requires_grad for weight in layer.parameters())
                if learns and isinstance(output, Tensor) and not output.requires_grad:
                    raise RuntimeError(
                        f"The student recorder {name} recorded {recorder.source!r} "
                        "without gradient, so that its layers would learn nothing from "
                        "it; expected layers that are not inside of what activation "
                        "checkpointing runs: record the output of the whole block, or "
                        "set with_cp=False."
                    )

    def _outputs_of(self, recorder: BaseRecorder) -> Iterator[tuple]:
        """Layers of the student and what was recorded of each."""
        if isinstance(recorder, StageOutputsRecorder):
            for outputs in recorder.data_buffer:
                yield from zip(recorder.modules(self.student), outputs, strict=True)
        elif isinstance(recorder, ModuleOutputsRecorder):
            layer = self.student.get_submodule(recorder.source)
            for output in recorder.data_buffer:
                yield layer, output

    def _teacher_mode(self) -> ContextManager:
        """The mode that the teacher runs in: no gradient, and nothing kept for one."""
        if self.distiller.deliveries.deliveries:  # what they hand over needs versions
            return torch.no_grad()
        return torch.inference_mode()

    def _asked_for(self, sample_loss: Callable[[], Tensor]) -> Dict[str, Any]:
        """What preview and losses need to know of the batch beside its labels."""
        asked = {}
        has_preview = self.distiller.preview is not None
        if has_preview:
            asked["sample_loss"] = sample_loss()
        if has_preview or self.distiller.asks_for(PROGRESS):
            asked["progress"] = self.progress
        return asked


def with_gradients_for(
    module: nn.Module, losses: Dict[str, Union[Tensor, list]]
) -> Dict[str, Union[Tensor, list]]:
    """Losses of the same values that have a gradient, be it zero, for each parameter.

    DDP waits for one of each.
    """
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    nothing = 0 * sum(weight.sum() for weight in learning)
    name = next(name for name in losses if "loss" in name)
    first = losses[name]
    if isinstance(first, Tensor):
        return {**losses, name: first + nothing}
    return {**losses, name: [first[0] + nothing, *first[1:]]}
