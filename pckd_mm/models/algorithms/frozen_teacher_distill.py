"""A student and a teacher that are paired: what all algorithms share."""

import copy
from abc import abstractmethod
from functools import partial
from inspect import signature
from typing import Any, Optional, Sequence, Tuple, Union

from mmengine.model import BaseModel
from mmrazor.models.algorithms import BaseAlgorithm, SingleTeacherDistill
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
from pckd_mm.models.data_preprocessors.trained_inputs import Size, trained_inputs
from pckd_mm.models.distillers import PCKDDistiller
from pckd_mm.models.distillers.distiller_config import in_scope
from pckd_mm.models.distillers.mappings import used_mappings
from pckd_mm.models.distillers.pairing import name_stages
from pckd_mm.models.distillers.record_shapes import resolve_shapes, whole_network
from pckd_mm.models.task_modules.classifier import Classifier
from pckd_mm.registry import MODELS
from pckd_mm.utils.checkpoint import fit_on_load
from pckd_mm.utils.example_inputs import input_channels, takes

from .distillation_step import DistillationStep
from .frozen_teacher import Unregistered
from .settings import check_settings, check_teacher
from .teachers import read_teacher
from .trainable import layer_depth, require_learning


class FrozenTeacherDistill(DistillationStep):
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
        normalised_images (bool): Whether images come normalised, as by a loader of
            one's own, so that the teacher gets them as they are. Defaults to False.
        **kwargs: Further arguments of :class:`mmrazor.models.SingleTeacherDistill`.

    Raises:
        FileNotFoundError: Where the teacher is to be read from a config that is not
            there.
        TypeError: For a network that the algorithm does not serve, a distiller that is
            no ``PCKDDistiller``, and settings of another class, such as the student's.
        ValueError: For a student that is frozen or shares weights with the teacher, for
            different numbers of categories, for a recorder without source, and for
            settings that cannot be honoured (:mod:`.settings`).
    """

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
        normalised_images: bool = False,
        **kwargs: Any,
    ) -> None:
        check_settings("model", kwargs, type(self).__name__)
        self._check_settings(kwargs)
        is_built = isinstance(teacher, nn.Module)
        given = architecture if isinstance(architecture, dict) else {}
        student = self._build_network("student", architecture)
        declared = teacher
        if declared is None:
            declared = read_teacher(teacher_config, teacher_ckpt, type(self).__name__)
        check_teacher(declared, teacher_ckpt, quiet=teacher is None)
        built: BaseModel = self._build_network("teacher", declared)
        require_learning(student, built)
        self._check_pair(student, built)
        trained = trained_inputs(
            declared,
            built,
            teacher_config,
            teacher_input_size,
            teacher_ckpt,
            input_shape,
        )
        super().__init__(
            architecture=student,
            teacher=built,
            distiller=self._complete_distiller(
                distiller, student, built, input_shape, trained.size
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
        self._frozen = Unregistered(self._modules.pop("teacher"))
        self.teacher.eval()
        # A plain student's checkpoint has no connectors.
        fit_on_load(self, optional=("distiller.",))
        fit_on_load(self.teacher, exact=True)
        normalisation = None
        is_said = data_preprocessor is not None or declared_normalisation(architecture)
        if is_said and not normalised_images:
            normalisation = normalisation_of(self.data_preprocessor)
        self._teacher_inputs = Unregistered(
            TeacherInputs(
                normalisation, trained, swap_teacher_channels, partial(takes, built)
            )
        )
        self.teacher_inputs.tell()
        self.teacher_ckpt = teacher_ckpt
        self.teacher_config = teacher_config
        self._teacher_loaded = teacher_ckpt is None and is_built
        self._progress = None
        self.on_losses = None

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
        distiller["loss_forward_mappings"] = used_mappings(
            distiller.get("distill_losses"), distiller.get("loss_forward_mappings")
        )
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

    @property
    def num_classes(self) -> int:
        """int: Categories of the student, without a background."""
        return self._classifiers[0].categories

    def get_layer_depth(self, param_name: str, prefix: str = "") -> Tuple[int, int]:
        """Layer of a parameter, and how many there are (:func:`layer_depth`)."""
        return layer_depth(self.student, param_name.removeprefix(prefix))

    def init_weights(self) -> None:
        """Initialise the student and load the teacher: training begins."""
        # First what may be missing: the student's weights may take a download.
        self.load_teacher()
        super().init_weights()
        self.init_connectors()

    def init_connectors(self) -> None:
        """Initialise the connectors; MMEngine does not look into torch's containers."""
        _init_weights(self.distiller.connectors)


def _init_weights(module: nn.Module) -> None:
    """Initialise a module as it says, once, and of a container what is inside."""
    if getattr(module, "is_init", False):
        return
    init_weights: Any = getattr(module, "init_weights", None)
    if init_weights is not None:
        init_weights()
        return
    for part in module.children():
        _init_weights(part)
