"""A training step of PCKD never waits for the device."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample
from torch.utils._python_dispatch import TorchDispatchMode

from pckd_mm.engine.hooks import DeferredRuntimeInfoHook
from pckd_mm.models.data_preprocessors import RotatedViewsDataPreprocessor
from tests.builders import build_pckd, classifier, method

# Operators whose result, or the size of it, the host has to know.
WAITING = (
    *("_local_scalar_dense", "is_nonzero", "equal", "item"),
    *("nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"),
    *("bincount", "nonzero_static"),
)
METHODS = (
    *("item", "tolist", "cpu", "numpy"),
    *("__bool__", "__float__", "__int__", "__index__", "__array__"),
)


class Synchronisations(TorchDispatchMode):
    """Collect what a GPU would have to finish all its work for."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.found = []
        for name in METHODS:
            monkeypatch.setattr(torch.Tensor, name, self._collecting(name))

    def _collecting(self, name):
        original = getattr(torch.Tensor, name)

        def collecting(tensor, *args, **kwargs):
            self.found.append(f"Tensor.{name}")
            return original(tensor, *args, **kwargs)

        return collecting

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in WAITING:
            self.found.append(name)
        elif name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = (torch.bool, torch.uint8)
            if any(index is not None and index.dtype in masks for index in args[1]):
                self.found.append(f"{name} by a mask")
        elif name == "repeat_interleave" and not (kwargs or {}).get("output_size"):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def pckd(width, converts=False):
    student, teacher = classifier(8, width=width), classifier(14)
    settings = {}
    if converts:  # of normalisation, order of channels and size
        teacher["data_preprocessor"] = dict(mean=[99.0] * 3, std=[99.0] * 3)
        settings = dict(teacher_input_size=12)
    distiller = method("pckd")["distiller"]
    if width != (4, 4, 8, 16):  # of the teacher: alignment is undefined
        distiller["distill_losses"]["loss_ca"] = None
    preprocessor = dict(
        type="pckd_mm.RotatedViewsDataPreprocessor",
        mean=[127.5] * 3,
        std=[64.0] * 3,
        to_rgb=True,
    )
    return build_pckd(
        student,
        teacher,
        distiller=distiller,
        data_preprocessor=preprocessor,
        **settings,
    )


def data(images=6):
    generator = torch.Generator().manual_seed(0)
    shape = (images, 3, 8, 8)
    inputs = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    samples = [DataSample().set_gt_label(index % 3) for index in range(images)]
    return dict(inputs=list(inputs), data_samples=samples)


@pytest.mark.parametrize(
    "width, converts",
    [((4, 4, 8, 16), False), ((4, 4, 4, 8), False), ((4, 4, 8, 16), True)],
)
def test_no_step_waits(width, converts, monkeypatch):
    model = pckd(width, converts)
    assert model.teacher_inputs.converts is converts
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    wrapper, hook = OptimWrapper(optimizer), DeferredRuntimeInfoHook()
    batches = [data() for _ in range(2)]
    before = model.student.head.fc.weight.detach().clone()
    with Synchronisations(monkeypatch) as synchronisations:
        for index, batch in enumerate(batches):
            outputs = model.train_step(batch, wrapper)
            hook.after_train_iter(None, index, outputs=outputs)
    assert synchronisations.found == []
    assert not torch.equal(model.student.head.fc.weight, before)
    assert len(outputs) >= 4


class Copies(TorchDispatchMode):
    """Collect, for each copy from the host to the device "meta", whether it waits."""

    def __init__(self):
        super().__init__()
        self.waiting = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ == "_to_copy":
            if args[0].device.type == "cpu" and result.device.type == "meta":
                self.waiting.append(not (kwargs or {}).get("non_blocking", False))
        return result


def test_batches_go_to_the_device_without_a_wait():
    # A blocking copy to a GPU waits for all that it was told to do before.
    preprocessor = RotatedViewsDataPreprocessor(mean=[127.5] * 3, std=[64.0] * 3)
    preprocessor.to("meta")
    with Copies() as copies:
        batch = preprocessor(data(), training=True)
    assert batch["inputs"].device.type == "meta"
    assert {sample.gt_label.device.type for sample in batch["data_samples"]} == {"meta"}
    assert copies.waiting and not any(copies.waiting)


def test_each_way_of_waiting_is_found(monkeypatch):
    values = torch.tensor([1.0, -1.0])
    ways = {
        "_local_scalar_dense": lambda: values[0].item(),
        "nonzero": lambda: torch.where(values > 0),
        "index by a mask": lambda: values[values > 0],
        "index_put_ by a mask": lambda: values.__setitem__(values > 3, values[:0]),
        "masked_select": lambda: values.masked_select(values > 0),
        "equal": lambda: torch.equal(values, values),
        "Tensor.__bool__": lambda: bool(values.sum() > 0),
        "Tensor.__float__": lambda: float(values[0]),
        "Tensor.tolist": lambda: values.tolist(),
        "_unique2": lambda: values.unique(),
    }
    with Synchronisations(monkeypatch) as synchronisations:
        for name, way in ways.items():
            synchronisations.found.clear()
            way()
            assert name in synchronisations.found
        synchronisations.found.clear()
        torch.where(values > 0, values, 0 * values)[torch.tensor([1, 0])][::2].sum()
    assert synchronisations.found == []
