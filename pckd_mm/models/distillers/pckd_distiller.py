"""From records of student and teacher to the losses of PCKD."""

import copy
import difflib
import weakref
from inspect import Parameter, signature
from typing import Any, Callable, Dict, List, Optional, Union

import torch
from mmengine.utils import apply_to
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder import (
    ModuleOutputsRecorder,
    ParameterRecorder,
)
from torch import Tensor, nn

from pckd_mm.models.task_modules.staged_recorder import StagedRecorder
from pckd_mm.registry import MODELS, TASK_UTILS, NeighbourlyRegistry
from pckd_mm.utils.processes import process_scope

Config = Union[dict, List[dict]]

# Records of the batch itself, which the algorithm hands over; the last two only where
# a loss asks for them.
LABELS = "labels"
PREVIEW = "preview"
PROGRESS = "progress"
SAMPLE_IDX = "sample_idx"
# Those of them that are of instances.
_OF_INSTANCES = (LABELS, PREVIEW, SAMPLE_IDX)


def _is_of_inference_mode(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_inference()


def in_scope(cfg: Config, registry: NeighbourlyRegistry, suffix: str = "") -> Config:
    """Prefix a type without a scope by that of the library that it is found in.

    MMRazor builds the parts of a distiller in the default scope, which need not know
    PCKD's or MMRazor's. These two come first here, whatever the default scope is:
    ``L1Loss`` is MMRazor's.

    Args:
        cfg (dict | list[dict]): Config of an object, or of several in a row.
        registry (NeighbourlyRegistry): Where to look.
        suffix (str): What the registry adds to the config's names. Defaults to ''.

    Returns:
        dict | list[dict]: A copy with the scope in its type.
    """
    if isinstance(cfg, (list, tuple)):
        return [in_scope(part, registry, suffix) for part in cfg]
    cfg = copy.deepcopy(dict(cfg))
    name = cfg.get("type")
    if isinstance(name, str):
        cfg["type"] = registry.with_scope(name, suffix, first=["mmrazor"])
    return cfg


def map_settings(
    connectors: Dict[str, Config], function: Callable[[str, str, Any], Any]
) -> Dict[str, Config]:
    """Replace every setting of every connector.

    Args:
        connectors (dict[str, dict]): Configs of connectors, or of several in a row.
        function (Callable): Gives the new value for the connector's name, the
            setting's name and its value.

    Returns:
        dict[str, dict]: A copy with the new values.
    """

    def replace(name: str, cfg: Config) -> Config:
        if isinstance(cfg, (list, tuple)):
            return [replace(name, part) for part in cfg]
        return {key: function(name, key, value) for key, value in cfg.items()}

    return {name: replace(name, cfg) for name, cfg in connectors.items()}


def used_connectors(distiller: dict) -> Dict[str, Config]:
    """Connectors that a loss takes a record through.

    One without a loss would have parameters without a gradient, which DDP does not
    forgive.

    Args:
        distiller (dict): Config of a distiller.

    Returns:
        dict[str, dict]: Their configs.
    """
    losses = distiller.get("distill_losses") or {}
    used = {
        record.get("connector")
        for loss, mapping in (distiller.get("loss_forward_mappings") or {}).items()
        if losses.get(loss, mapping) is not None
        for record in mapping.values()
    }
    connectors = distiller.get("connectors") or {}
    return {name: cfg for name, cfg in connectors.items() if cfg and name in used}


def resolve_widths(
    connectors: Dict[str, Config], **widths: Optional[int]
) -> Dict[str, Config]:
    """Replace ``'student'`` and ``'teacher'`` in connectors by feature widths.

    Args:
        connectors (dict[str, dict]): Configs of connectors.
        **widths (int): Width of the feature in front of each one's classifier; None
            where it is not known.

    Returns:
        dict[str, dict]: A copy with numbers.

    Raises:
        ValueError: Where a connector asks for a width that is not known.
    """

    def width(name: str, key: str, value: Any) -> Any:
        if not (
            key.endswith("_channels") and isinstance(value, str) and value in widths
        ):
            return value
        if widths[value] is None:
            raise ValueError(
                f"The connector {name} asks for the width of the {value}'s feature, "
                "and no linear classifier was found behind it; expected a number: "
                f"write it as {key}, or leave out the losses that use the connector."
            )
        return widths[value]

    return map_settings(connectors, width)


@MODELS.register_module()
class PCKDDistiller(ConfigurableDistiller):
    """MMRazor's configurable distiller with PCKD's preview of hard images.

    Recorders, connectors, losses and their mappings are written as for
    :class:`mmrazor.models.ConfigurableDistiller`, and MMRazor's mix freely with
    PCKD's. In addition

    - a mapping may take one view of each image: ``view=0`` is the upright one; or only
      the foreground instances of a detector: ``foreground=True``;
    - four more student records are there for every loss: ``labels``, the labels of the
      images, shape (B,), ``preview``, their preview weights, shape (B,), ``progress``,
      the share of the training done, in (0, 1], and ``sample_idx``, the places of the
      images in the training set, shape (B,);
    - a connector's ``*_channels`` may be ``'student'`` or ``'teacher'``, the width of
      that one's feature (``'student_place'`` that of a place of a map, where the
      feature is a patch), and its ``*_shape`` the shape of a record, such as
      ``'teacher.stages.1'``;
    - a loss, recorder or connector set to None is left out (a loss with its mapping),
      so that a config can drop one of its base's, and so is a connector that no
      mapping uses.

    Records are released as soon as the losses are computed.

    Args:
        preview (dict, optional): Config of the preview strategy; None gives every
            image weight 1. Defaults to ``dict(type='PreviewStrategy')``.
        student_recorders (dict[str, dict], optional): Recorders of the student.
        teacher_recorders (dict[str, dict], optional): Recorders of the teacher.
        connectors (dict[str, dict], optional): Connectors.
        distill_losses (dict[str, dict], optional): Losses.
        loss_forward_mappings (dict[str, dict], optional): Which records, through
            which connectors, each argument of each loss is.
        across_processes (bool): Whether preview and PCKD's losses take the batch of all
            processes as one, so that it does not matter how many there are; else each
            takes its own. Defaults to True.
        **kwargs: Further arguments of ``ConfigurableDistiller``.

    Raises:
        ValueError: For a loss without mapping, a mapping without loss, or a mapping
            that leaves out an argument that the loss needs.
    """

    def __init__(
        self,
        preview: Optional[dict] = dict(type="PreviewStrategy"),  # noqa: B006
        student_recorders: Optional[Dict[str, dict]] = None,
        teacher_recorders: Optional[Dict[str, dict]] = None,
        connectors: Optional[Dict[str, Config]] = None,
        distill_losses: Optional[Dict[str, dict]] = None,
        loss_forward_mappings: Optional[Dict[str, dict]] = None,
        across_processes: bool = True,
        **kwargs,
    ) -> None:
        def scoped(parts: Optional[dict], *place: Any) -> dict:
            return {
                name: in_scope(cfg, *place)
                for name, cfg in (parts or {}).items()
                if cfg is not None
            }

        recorder = (TASK_UTILS, "Recorder")
        batch = {
            name: dict(type="pckd_mm.Batch", source=name)
            for name in (LABELS, PREVIEW, PROGRESS, SAMPLE_IDX)
        }
        mappings = {
            name: mapping
            for name, mapping in (loss_forward_mappings or {}).items()
            if (distill_losses or {}).get(name, mapping) is not None
        }
        connectors = used_connectors(
            dict(
                connectors=connectors,
                distill_losses=distill_losses,
                loss_forward_mappings=loss_forward_mappings,
            )
        )
        super().__init__(
            student_recorders={
                **scoped(student_recorders, *recorder),
                **batch,
            },
            teacher_recorders=scoped(teacher_recorders, *recorder),
            connectors=scoped(connectors, MODELS),
            distill_losses=scoped(distill_losses, MODELS),
            loss_forward_mappings=mappings,
            **kwargs,
        )
        self._check_losses()
        self.preview = None
        if preview is not None:
            self.preview = TASK_UTILS.build(preview)
        self.across_processes = across_processes
        self.num_views = 1
        self.foreground: Union[Tensor, slice, None] = None
        # Batches of instances that are handed over, each compared within itself.
        self._batches: List[Dict[str, Any]] = []
        # What each recorder is hooked to: conversions such as SyncBN's replace
        # modules, and hooks with them.
        self._hooked: Dict[str, List[weakref.ref]] = {}

    def _check_losses(self) -> None:
        for name, loss in self.distill_losses.items():
            if "loss" not in name:
                raise ValueError(
                    f"The distiller has a loss called {name}, and MMEngine adds up "
                    "what has loss in its name; expected such a name: call it "
                    f"loss_{name} in distill_losses and loss_forward_mappings."
                )
            given = self.loss_forward_mappings.get(name, {})
            missing = [
                argument
                for argument, parameter in signature(loss.forward).parameters.items()
                if argument not in given
                and parameter.default is Parameter.empty
                and parameter.kind
                not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
            ]
            # What is optional by its signature, and not by the settings of the loss.
            needed = getattr(loss, "needed_arguments", ())
            missing += [argument for argument in needed if argument not in given]
            if missing:
                record = ""
                if missing[0] in (LABELS, PROGRESS, SAMPLE_IDX):
                    record = f"=dict(recorder={missing[0]!r}, from_student=True)"
                raise ValueError(
                    f"The loss {name} ({type(loss).__name__}) gets no {missing[0]}; "
                    "expected a record for each of its arguments: add "
                    f"loss_forward_mappings.{name}.{missing[0]}{record}."
                )

    def prepare_from_student(self, model: nn.Module) -> None:
        """Hook the recorders to the student; again where its modules were replaced."""
        self._hook("student", self.student_recorders, model)

    def prepare_from_teacher(self, model: nn.Module) -> None:
        """Hook the recorders to the teacher."""
        self._hook("teacher", self.teacher_recorders, model)

    def asks_for(self, record: str) -> bool:
        """Whether a loss takes a record of the batch, such as ``progress``."""
        return any(
            taken["recorder"] == record and taken["from_student"]
            for mapping in self.loss_forward_mappings.values()
            for taken in mapping.values()
        )

    @property
    def asks_for_foreground(self) -> bool:
        """bool: Whether a loss takes the foreground instances only."""
        return any(
            taken.get("foreground", False)
            for mapping in self.loss_forward_mappings.values()
            for taken in mapping.values()
        )

    def _hook(self, who: str, manager: RecorderManager, model: nn.Module) -> None:
        for name, recorder in manager.recorders.items():
            targets = [model]
            if hasattr(recorder, "modules"):  # one of ours, of several modules
                targets = recorder.modules(model)
            elif isinstance(recorder, (ModuleOutputsRecorder, ParameterRecorder)):
                is_module = isinstance(recorder, ModuleOutputsRecorder)
                known = dict(
                    model.named_modules() if is_module else model.named_parameters()
                )
                if recorder.source not in known:
                    near = difflib.get_close_matches(recorder.source, known, n=3)
                    kind = "module" if is_module else "parameter"
                    hint = f" such as {', '.join(near)}" if near else ""
                    raise ValueError(
                        f"The {who} recorder {name} has source {recorder.source!r}, "
                        f"which the {who} ({type(model).__name__}) does not have; "
                        f"expected the name of a {kind}{hint}."
                    )
                targets = [known[recorder.source]]
            hooked = [ref() for ref in self._hooked.get(f"{who}.{name}", [])]
            if [id(module) for module in hooked] != [id(module) for module in targets]:
                # A recorder of a parameter would keep the one before in front of it.
                recorder.data_buffer.clear()
                recorder.initialize(model)
                self._hooked[f"{who}.{name}"] = [weakref.ref(x) for x in targets]

    def record_batch(
        self,
        labels: Tensor,
        num_views: int,
        sample_loss: Optional[Tensor] = None,
        progress: Optional[float] = None,
        sample_idx: Optional[Tensor] = None,
        foreground: Union[Tensor, slice, None] = None,
        loss_weight: float = 1.0,
        stage: int = 0,
    ) -> None:
        """Take what the losses need to know of the batch.

        Called several times in a step, as for the stages of a cascade, it takes several
        batches of instances. Losses of instances are computed of each, and added up.

        Args:
            labels (Tensor): Labels of the images, shape (B,).
            num_views (int): Rows that records hold for each image.
            sample_loss (Tensor, optional): Cross-entropy of the student on each
                upright view, shape (B,), or of the first of the images only: those
                behind them have no part in the preview, and weight 1. Needed for a
                preview.
            progress (float, optional): Share of the training done, in (0, 1]; needed
                for a preview and for losses that ask for it.
            sample_idx (Tensor, optional): Places of the images in the training set,
                shape (B,); needed for losses that ask for it.
            foreground (Tensor | slice, optional): Indices of the rows that mappings
                with ``foreground=True`` take; needed for these.
            loss_weight (float): What the losses of these instances are multiplied by.
                Defaults to 1.
            stage (int): Which stage of a cascade they are of. Defaults to 0.
        """
        self.num_views = num_views
        weight, compared = None, 0
        if self.preview is not None:
            with process_scope(self.across_processes):
                weight = self.preview.weight(sample_loss, progress)
            compared = len(weight)
            behind = 0 if labels is None else len(labels) - compared
            if behind:
                weight = torch.cat([weight, weight.new_ones(behind)])
        records = {
            LABELS: labels,
            PREVIEW: weight,
            PROGRESS: progress,
            SAMPLE_IDX: sample_idx,
        }
        batch = dict(records=records, foreground=foreground, compared=compared)
        self._batches.append(dict(batch, loss_weight=loss_weight, stage=stage))
        self._turn_to(self._batches[-1])

    def _turn_to(self, batch: Dict[str, Any]) -> None:
        """Let records be those of one batch of instances."""
        self.foreground = batch["foreground"]
        for name, value in batch["records"].items():
            self.student_recorders.get_recorder(name).record(value)
        for manager in (self.student_recorders, self.teacher_recorders):
            for recorder in manager.recorders.values():
                if isinstance(recorder, StagedRecorder):
                    recorder.stage = batch["stage"]

    def compute_distill_losses(self) -> Dict[str, Tensor]:
        """Compute all losses of the recorded batches.

        Returns:
            dict[str, Tensor]: Scalars by name.
        """
        try:
            with process_scope(self.across_processes):
                if [b["loss_weight"] for b in self._batches] in ([], [1.0]):
                    return super().compute_distill_losses()
                return self._losses_of_batches()
        finally:
            self._keep_preview()
            self._batches = []

    def _keep_preview(self) -> None:
        """Of the preview weights, leave those that a preview gave, of all batches."""
        if self.preview is not None and self._batches:
            weights = torch.cat(
                [b["records"][PREVIEW][: b["compared"]] for b in self._batches]
            )
            self.student_recorders.get_recorder(PREVIEW).record(weights)

    def _losses_of_batches(self) -> Dict[str, Tensor]:
        """Losses of several batches of instances, and once those of anything else."""
        losses: Dict[str, Tensor] = {}
        for index, batch in enumerate(self._batches):
            self._turn_to(batch)
            for name, mapping in self.loss_forward_mappings.items():
                is_weighted = self._is_of_instances(mapping)
                if index and not is_weighted:
                    continue
                taken = {k: self.get_record(**record) for k, record in mapping.items()}
                loss = self.distill_losses[name](**taken)
                if is_weighted:
                    loss = batch["loss_weight"] * loss
                losses[name] = losses[name] + loss if name in losses else loss
        return losses

    def _is_of_instances(self, mapping: Dict[str, dict]) -> bool:
        """Whether a loss takes what each batch of instances has of its own."""
        for taken in mapping.values():
            of_student = taken["from_student"]
            manager = self.student_recorders if of_student else self.teacher_recorders
            if isinstance(manager.get_recorder(taken["recorder"]), StagedRecorder):
                return True
            if of_student and taken["recorder"] in _OF_INSTANCES:
                return True
        return False

    @property
    def preview_weight(self) -> Optional[Tensor]:
        """Tensor: Preview weights of the last batch, shape (B,); None without."""
        records = self.student_recorders.get_recorder(PREVIEW).data_buffer
        return records[0] if records else None

    def get_record(
        self,
        recorder: str,
        from_student: bool,
        record_idx: int = 0,
        data_idx: Optional[int] = None,
        connector: Optional[str] = None,
        connector_idx: Optional[int] = None,
        view: Optional[int] = None,
        foreground: bool = False,
    ) -> Any:
        """Look up a record.

        Args:
            recorder (str): Name of the recorder.
            from_student (bool): Whether it is one of the student's.
            record_idx (int): Which call of its source. Defaults to 0.
            data_idx (int, optional): Which entry of a record that is a tuple.
            connector (str, optional): Connector to pass it through.
            connector_idx (int, optional): Which entry of what the connector gives.
            view (int, optional): Which view of each image; None for all of them.
            foreground (bool): Whether to take the foreground instances only. Defaults
                to False.

        Returns:
            Any: The record.

        Raises:
            RuntimeError: Names the source that was not called, or the record of which
                the foreground is not known.
        """
        manager = self.student_recorders if from_student else self.teacher_recorders
        calls = len(manager.get_recorder(recorder).data_buffer)
        if record_idx >= calls:
            who = "student" if from_student else "teacher"
            source = manager.get_recorder(recorder).source
            raise RuntimeError(
                f"The {who} recorder {recorder} asks for call {record_idx + 1} of "
                f"{source!r}, which was called {calls} times in this step; expected a "
                "source that the forward pass calls: change its source or record_idx."
            )
        record = super().get_record(recorder, from_student, record_idx, data_idx)
        if view is not None:
            record = record[view :: self.num_views]
        if foreground:
            record = self._foreground_of(recorder, record)
        # What the teacher made in inference mode can have no part in a gradient.
        record = apply_to(record, _is_of_inference_mode, Tensor.clone)
        if connector is not None:
            record = self.connectors[connector](record)
        if connector_idx is not None:
            record = record[connector_idx]
        return record

    def _foreground_of(self, recorder: str, record: Optional[Tensor]) -> Any:
        if self.foreground is None:
            raise RuntimeError(
                f"A mapping asks for the foreground of {recorder}, which an algorithm "
                "without instances does not know; expected one for detectors, such as "
                "RoIDistill: remove foreground=True from loss_forward_mappings."
            )
        return None if record is None else record[self.foreground]

    def forget_preview(self) -> None:
        """Let go of the preview weights too: no batch is weighted any more."""
        self.student_recorders.get_recorder(PREVIEW).record(None)

    def release_records(self) -> None:
        """Let go of all records but the preview weights, and of the graph with them."""
        self.foreground = None
        self._batches = []
        weight = self.preview_weight
        for manager in (self.student_recorders, self.teacher_recorders):
            for recorder in manager.recorders.values():
                recorder.reset_data_buffer()
        self.student_recorders.get_recorder(PREVIEW).record(weight)
