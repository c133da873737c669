"""What writes a run for TensorBoard, Weights & Biases and MLflow.

MMEngine's own backends, so that no value ends a run, and a resumed run goes on in what
it began.
"""

import os
import re
from typing import Any, Dict, Optional, Union

import numpy as np
from mmengine.config import Config
from mmengine.visualization.vis_backend import (
    BaseVisBackend,
    MLflowVisBackend,
    TensorboardVisBackend,
    WandbVisBackend,
    force_init_env,
)
from torch import Tensor

from pckd_mm.registry import VISBACKENDS

__all__ = ["MLflowTracker", "TensorBoardTracker", "WandbTracker", "as_number"]

# What MLflow takes in a name; any other sign becomes a dash.
_NOT_IN_NAMES = re.compile(r"[^\w\-. /:]")


def as_number(value: Any) -> Optional[Union[int, float]]:
    """A value as a number that every tracker takes.

    Args:
        value (Any): A number, a truth value, or a tensor or array of one element, of
            any dtype.

    Returns:
        int | float | None: The number, of a truth value 0 or 1; None for what is none,
        such as a text. NaN and infinity are numbers.
    """
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        elements = value.numel() if isinstance(value, Tensor) else value.size
        if elements != 1:
            return None
        value = value.item()  # bfloat16 too, which numpy does not have
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, (int, float)) else None


class _NumbersAlone(BaseVisBackend):
    """A backend that is handed numbers alone, and may be closed twice."""

    _is_closed = False

    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs: Any) -> None:
        """Record a number; what is none is left out.

        Args:
            name (str): Its name.
            value (Any): What :func:`as_number` takes.
            step (int): When it was. Defaults to 0.
            **kwargs: MMEngine's.
        """
        self.add_scalars({name: value}, step)

    def add_scalars(
        self,
        scalar_dict: Dict[str, Any],
        step: int = 0,
        file_path: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        """Record numbers; what is none is left out.

        Args:
            scalar_dict (dict): Names and values; a ``step`` among them is the step, as
                MMEngine's local backend takes it.
            step (int): When they were. Defaults to 0.
            file_path (str, optional): Not used.
            **kwargs: MMEngine's.
        """
        numbers = {
            name: number
            for name, value in scalar_dict.items()
            if (number := as_number(value)) is not None
        }
        step = int(numbers.pop("step", step))
        if numbers:
            self._write(numbers, step)

    def _write(self, numbers: Dict[str, Union[int, float]], step: int) -> None:
        super().add_scalars(numbers, step)

    def close(self) -> None:
        """Write all that is held back."""
        if not self._is_closed and self._env_initialized:
            self._is_closed = True
            self._finish()

    def _finish(self) -> None:
        super().close()


@VISBACKENDS.register_module()
class TensorBoardTracker(_NumbersAlone, TensorboardVisBackend):
    """MMEngine's backend of TensorBoard, which is given numbers alone.

    Args:
        save_dir (str): Folder of the event files. A resumed run adds one to those that
            are there.
    """

    def _write(self, numbers: Dict[str, Union[int, float]], step: int) -> None:
        for name, number in numbers.items():  # MMEngine's goes by self.add_scalar
            TensorboardVisBackend.add_scalar(self, name, number, step)


@VISBACKENDS.register_module()
class WandbTracker(_NumbersAlone, WandbVisBackend):
    """MMEngine's backend of Weights & Biases, with the steps of the log.

    Every number stands over ``step``: iterations for training, epochs for validation,
    as MMEngine's log has it. W&B's own count of calls tells neither.

    Args:
        save_dir (str): Folder that gets a folder ``wandb``.
        init_kwargs (dict, optional): Arguments of ``wandb.init``.
        **kwargs: See MMEngine's ``WandbVisBackend``.
    """

    def __init__(
        self, save_dir: str, init_kwargs: Optional[dict] = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("define_metric_cfg", [dict(name="*", step_metric="step")])
        super().__init__(save_dir, dict(init_kwargs or {}), **kwargs)

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Record the config, which a resumed run may change.

        MMEngine's copies every Python file below the working directory as well, with
        those of a virtual environment.

        Args:
            config (Config): The run's.
            **kwargs: Not used.
        """
        self._wandb.config.update(config.to_dict(), allow_val_change=True)

    @force_init_env
    def _write(self, numbers: Dict[str, Union[int, float]], step: int) -> None:
        self._wandb.log({**numbers, "step": step}, commit=self._commit)

    def _finish(self) -> None:
        self._wandb.finish()


@VISBACKENDS.register_module()
class MLflowTracker(_NumbersAlone, MLflowVisBackend):
    """MMEngine's backend of MLflow, which can go on with a run.

    The run's files are not copied: all of them are in its work dir.

    Args:
        save_dir (str): A folder, which is made.
        resume (bool): Whether to go on with the newest run of the experiment that has
            its name. Defaults to False.
        **kwargs: See MMEngine's ``MLflowVisBackend``.
    """

    def __init__(self, save_dir: str, resume: bool = False, **kwargs: Any) -> None:
        super().__init__(save_dir, **kwargs)
        self._resume = resume
        self._goes_on = False

    def _init_env(self) -> None:
        os.makedirs(self._save_dir, exist_ok=True)
        if self._resume:
            self._go_on()
        super()._init_env()

    def _go_on(self) -> None:
        """Start the newest run again, if there is one."""
        import mlflow

        mlflow.set_tracking_uri(self._tracking_uri)
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name(self._exp_name or "Default")
        if experiment is not None:
            newest = client.search_runs(
                [experiment.experiment_id],
                filter_string=self._of_its_name(),
                max_results=1,
                order_by=["attributes.start_time DESC"],
            )
            for run in newest:
                mlflow.start_run(run_id=run.info.run_id)
                self._goes_on = True

    def _of_its_name(self) -> str:
        """Of a server's experiment, which several runs share, those of this name."""
        if not self._run_name:
            return ""
        name = self._run_name.replace("'", "\\'")
        return f"attributes.run_name = '{name}'"

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Record the config, as parameters and as a text.

        Args:
            config (Config): The run's.
            **kwargs: Not used.
        """
        if not self._goes_on:  # MLflow refuses other values, as of ``resume``
            settings = self._flatten(config.to_dict())
            self._mlflow.log_params(_with_names(settings))
        self._mlflow.log_text(config.pretty_text, "config.py")

    @force_init_env
    def add_image(
        self, name: str, image: np.ndarray, step: int = 0, **kwargs: Any
    ) -> None:
        """Record an image.

        Args:
            name (str): Its name; MLflow takes the kind of file from its end, which
                MMEngine's names lack.
            image (np.ndarray): H x W x 3, RGB, uint8.
            step (int): When it was. Defaults to 0.
            **kwargs: Not used.
        """
        self._mlflow.log_image(image, f"{name}_{step}.png")

    @force_init_env
    def _write(self, numbers: Dict[str, Union[int, float]], step: int) -> None:
        self._mlflow.log_metrics(_with_names(numbers), step)

    def _finish(self) -> None:
        self._mlflow.end_run()


def _with_names(values: Dict[str, Any]) -> Dict[str, Any]:
    return {_NOT_IN_NAMES.sub("-", name): value for name, value in values.items()}
