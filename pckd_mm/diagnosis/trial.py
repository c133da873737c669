"""Import modules one after the other, and tell of each; see ``imports.py``.

It is run by ``python -c``, with a mark for its lines and the names of the modules.
"""

import importlib
import json
import sys
import warnings
from typing import Any


def tell(**found: Any) -> None:
    print(sys.argv[1] + json.dumps(found), flush=True)


def devices() -> dict:
    """Names of the GPUs, and what mixed precision is on this machine."""
    import torch

    from pckd_mm.utils.precision import has_fast_bfloat16

    gpus = []
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        gpus = [torch.cuda.get_device_name(number) for number in range(count)]
        fast = torch.cuda.is_bf16_supported()
        words = "of the GPU" if fast else "not of the GPU: --amp takes float16"
    elif has_fast_bfloat16():
        words = "fast on this CPU"
    else:
        words = "slow on this CPU: --amp stays in float32"
    return dict(gpus=gpus, bfloat16=words, cuda=torch.version.cuda)


def operators() -> str:
    """The CUDA version of mmcv's operators, as mmcv says it; '' without them."""
    ops = sys.modules.get("mmcv.ops")
    return "" if ops is None else ops.get_compiling_cuda_version()


warnings.simplefilter("ignore")
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except BaseException as error:  # an assertion, a wrong ABI, or an exit
        tell(**{name: f"{type(error).__name__}: {error}"})
    else:
        tell(**{name: ""})
for ask in (devices, operators):
    try:
        tell(**{ask.__name__: ask()})
    except Exception:  # an import above says why
        tell(**{ask.__name__: None})
