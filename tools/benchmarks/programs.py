"""The programs that step.py compares."""

from typing import Any, Callable, ContextManager, Iterator, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from measure import Stopwatch, say
from pckd_mm.engine.channels_last import Candidate, use_channels_last
from pckd_mm.engine.trial import Trial
from pckd_mm.utils.compilation import begin_step, compile_network
from pckd_mm.utils.fold_batchnorm import fold_batchnorm
from pckd_mm.utils.fused_optimizer import use_fused_kernel


def after(owner: Any, method: str, then: Callable[[], None]) -> None:
    """Do something after each call of an object's method."""
    call = getattr(owner, method)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        then()
        return result

    setattr(owner, method, wrapper)


def before(owner: Any, method: str, first: Callable[[], None]) -> None:
    """Do something before each call of an object's method."""
    call = getattr(owner, method)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        first()
        return call(*args, **kwargs)

    setattr(owner, method, wrapper)


class RunnerProgram:
    """Steps of a config, one at a time, with its hooks as in the middle of an epoch.

    What comes once in an epoch is left out: log lines, checkpoints, validation.

    Args:
        cfg (Config): The config.
        student (dict): State dict of the student at the start.
        teacher (dict): State dict of the teacher.
        device (str): Where it runs.
    """

    def __init__(self, cfg: Config, student: dict, teacher: dict, device: str) -> None:
        self.watch = Stopwatch(device)
        self.runner = runner = Runner.from_cfg(cfg)
        self.loop = runner.train_loop
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        runner.call_hook("before_run")
        self.model = runner.model
        self.model.init_weights()
        self.model.student.load_state_dict(student)
        self.model.teacher.load_state_dict(teacher)
        runner.optim_wrapper.initialize_count_status(self.model, 0, runner.max_iters)
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        self.model.train()
        self.batches = self._endless()

    def _endless(self) -> Iterator[Tuple[int, dict]]:
        while True:
            yield from enumerate(self.runner.train_dataloader)

    def step(self) -> None:
        """A training step, data loading and hooks included."""
        self.watch.mark("")
        index, batch = next(self.batches)
        self.watch.mark("data")
        self.loop.run_iter(index, batch)
        self.watch.mark("hooks")

    def watch_parts(self) -> None:
        """Tell the parts of a step of ``MultiViewDistill`` apart.

        The backward pass is the project's own down to the gradient of the student's
        features, and the student's from there on.
        """
        model, mark = self.model, self.watch.mark
        wrapper, distiller = self.runner.optim_wrapper, self.model.distiller
        before(model.data_preprocessor, "forward", lambda: mark("hooks"))
        after(model.data_preprocessor, "forward", lambda: mark("views"))
        after(model, "run_teacher", lambda: mark("teacher"))
        after(model, "_run_student", lambda: mark("student"))

        def watch_gradient() -> None:
            feature = distiller.get_record("feature", from_student=True, data_idx=0)
            feature.register_hook(lambda gradient: mark("losses"))

        before(distiller, "compute_distill_losses", watch_gradient)
        before(wrapper, "backward", lambda: mark("losses"))
        after(wrapper, "backward", lambda: mark("student"))
        after(wrapper, "update_params", lambda: mark("optimizer"))


class FloorProgram:
    """Both networks on ready-made views, with the options of a config, and no more.

    Args:
        cfg (Config): Config of the distillation.
        student (nn.Module): The student.
        teacher (nn.Module): The teacher.
        views (Tensor): Inputs of both, shape (V * B, 3, H, W).
        labels (Tensor): Their labels, shape (V * B,).
        device (str): Where it runs.
    """

    def __init__(
        self,
        cfg: Config,
        student: nn.Module,
        teacher: nn.Module,
        views: Tensor,
        labels: Tensor,
        device: str,
    ) -> None:
        self.watch = Stopwatch(device)
        self.views = views.to(device)
        self.labels = labels.to(device)
        self.student: Any = student.to(device)
        self.teacher: Any = teacher.to(device)
        self.student.train()
        self.teacher.eval().requires_grad_(False)
        self.optim_wrapper = build_optim_wrapper(self.student, cfg.optim_wrapper)
        options = cfg.default_hooks.speed_up
        if options.get("channels_last"):
            self._use_channels_last(options.channels_last, device == "cpu")
        if options.get("fold_teacher"):
            fold_batchnorm(self.teacher, lambda: self.teacher(self.views[:2]))
        if options.get("fused_optimizer"):
            use_fused_kernel(self.optim_wrapper.optimizer, self.views.device)
        if options.get("compile"):
            for network in (self.student, self.teacher):
                compile_network(network, **options.compile)
        self.marks_graphs = options.get("compile") and device.startswith("cuda")

    def _use_channels_last(self, wanted: Union[bool, str], on_cpu: bool) -> None:
        def context() -> ContextManager:
            return self.optim_wrapper.optim_context(self.student)

        candidates = {
            name: Candidate(Trial(network, name == "student", context), self.views)
            for name, network in (("student", self.student), ("teacher", self.teacher))
        }
        # Ready-made views do not pass the data preprocessor.
        chosen, words = use_channels_last(
            self.student, candidates, wanted, lambda: None, on_cpu
        )
        say(f"channels last in the floor: {words}")
        if all(chosen.values()):
            self.views = self.views.contiguous(memory_format=torch.channels_last)

    def _run_teacher(self) -> None:
        with torch.inference_mode():
            self.teacher(self.views)

    def step(self) -> None:
        """The step."""
        self.watch.mark("")
        if self.marks_graphs:
            begin_step()
        with self.optim_wrapper.optim_context(self.student):
            self._run_teacher()
            self.watch.mark("teacher")
            logits = self.student.head(self.student.extract_feat(self.views))
        loss = F.cross_entropy(logits.float(), self.labels)
        self.optim_wrapper.backward(loss)
        self.watch.mark("student")
        self.optim_wrapper.step()
        self.optim_wrapper.zero_grad()
        self.watch.mark("optimizer")
