"""A trained classifier as ONNX, compared with what torch computes."""

import contextlib
import logging
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Union

import torch
from mmpretrain.models import MultiLabelClsHead
from torch import Tensor, nn

from pckd_mm.models.data_preprocessors.normalisation import Normalisation
from pckd_mm.utils.printable import first_line

__all__ = [
    "INPUT",
    "OUTPUT",
    "Normalise",
    "Scores",
    "add_facts",
    "compare_onnx",
    "export_onnx",
]

INPUT, OUTPUT = "images", "scores"
# The newest operators that ONNX Runtime of any current release has.
_OPSET = 18


class Normalise(nn.Module):
    """Normalise images of one size.

    Args:
        normalisation (Normalisation, optional): How. Defaults to None, which leaves
            them as they are.
        reversed_channels (bool): Whether the images have the other order of channels
            than those that it is made for. Defaults to False.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        normalisation: Optional[Normalisation] = None,
        reversed_channels: bool = False,
    ) -> None:
        super().__init__()
        how = normalisation or Normalisation()
        self.swaps = (how.order is not None) != reversed_channels
        self.is_identity = (how.mean, how.std) == ((0.0,), (1.0,))
        self.register_buffer("mean", torch.tensor(how.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(how.std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images, of the shape of the images, (N, C, H, W)."""
        if self.swaps and images.shape[1] == 3:
            images = images[:, [2, 1, 0]]
        if self.is_identity:
            return images
        return (images - self.mean) / self.std


class Scores(nn.Module):
    """A classifier from images to the scores of its categories.

    Args:
        network (nn.Module): The classifier.
        normalise (nn.Module, optional): What comes before it. Defaults to None, for
            images that are normalised already.
    """

    def __init__(
        self, network: nn.Module, normalise: Optional[nn.Module] = None
    ) -> None:
        super().__init__()
        self.network = network
        head = getattr(network, "head", None)
        self.several_labels = isinstance(head, MultiLabelClsHead)
        self.normalise = normalise or nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Scores, shape (N, num_classes), of images, shape (N, C, H, W)."""
        images = self.normalise(images)
        logits = self.network(images, mode="tensor")
        if not isinstance(logits, Tensor):
            raise TypeError(
                f"The {type(self.network).__name__} gives a {type(logits).__name__}; "
                "expected a classifier that gives logits of one task."
            )
        return logits.sigmoid() if self.several_labels else logits.softmax(dim=1)


def export_onnx(network: Scores, images: Tensor, out: Union[str, Path]) -> str:
    """Write a classifier as ONNX, for any number of images.

    Args:
        network (Scores): The classifier, in eval mode.
        images (Tensor): An example of its inputs, shape (N, C, H, W), two or more.
        out (str | Path): The file to write.

    Returns:
        str: Which of torch's two exporters wrote it.

    Raises:
        RuntimeError: Where neither can, with what they say.
    """
    reasons: List[str] = []
    for name, export in (("torch.export", _by_export), ("tracing", _by_tracing)):
        try:
            with _quiet(), torch.no_grad():
                export(network, images, str(out))
            compare_onnx(network, images[:1], out)
            compare_onnx(network, images, out)
            return name
        except Exception as error:  # of whatever the network is made of
            reasons.append(f"{name}: {first_line(error, 200)}")
            Path(out).unlink(missing_ok=True)
    raise RuntimeError(
        f"torch cannot write {type(network.network).__name__} as ONNX "
        f"({'; '.join(reasons)})."
    )


def _by_export(network: nn.Module, images: Tensor, out: str) -> None:
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        network,
        (images,),
        dynamo=True,
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset_version=_OPSET,
        dynamic_shapes=({0: batch},),
        verbose=False,
    )
    assert program is not None  # by dynamo=True
    program.save(out)


def _by_tracing(network: nn.Module, images: Tensor, out: str) -> None:
    more: Dict[str, Any] = (
        {} if "dynamo" not in _options(torch.onnx.export) else dict(dynamo=False)
    )
    torch.onnx.export(
        network,
        (images,),
        out,
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset_version=17,  # the last one that it writes
        dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        **more,
    )


def _options(function: Callable) -> Sequence[str]:
    return function.__code__.co_varnames


def compare_onnx(
    network: nn.Module, images: Tensor, path: Union[str, Path], most: float = 1e-4
) -> float:
    """How far ONNX Runtime's scores are from torch's.

    Args:
        network (nn.Module): The network, in eval mode.
        images (Tensor): Its inputs.
        path (str | Path): What was written of it.
        most (float): How far they may be. Defaults to 1e-4.

    Returns:
        float: The largest difference.

    Raises:
        RuntimeError: Where it is larger than that.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    (found,) = session.run([OUTPUT], {INPUT: images.numpy()})
    with torch.no_grad():
        expected = network(images)
    if found.shape != tuple(expected.shape):
        raise RuntimeError(
            f"ONNX Runtime gives scores of shape {found.shape} for {len(images)} "
            f"images; expected {tuple(expected.shape)}"
        )
    difference = float((torch.from_numpy(found) - expected).abs().max())
    if not difference <= most:
        raise RuntimeError(
            f"ONNX Runtime's scores differ from torch's by {difference:.2g}; expected "
            f"at most {most:g}"
        )
    return difference


def add_facts(path: Union[str, Path], facts: Dict[str, str]) -> None:
    """Write into an ONNX file what its user has to know.

    Args:
        path (str | Path): The file.
        facts (dict[str, str]): Names and values of its metadata.
    """
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, str(path))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what exporters say of their own affairs."""
    names = ("torch.onnx", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
