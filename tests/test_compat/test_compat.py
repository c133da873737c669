"""The workarounds do what they claim, in processes of their own."""

import os
import pickle
import subprocess
import sys

import pytest
import torch
from mmengine.runner import CheckpointLoader

from pckd_mm.compat import weights_only_loading
from tests.builders import ROOT


def python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout


def test_a_prefixed_type_is_all_a_config_needs():
    out = python(
        "from mmengine.registry import MODELS\n"
        "print(MODELS.build(dict(type='pckd_mm.PreviewKLDivergence', tau=2.0)))"
    )
    assert "PreviewKLDivergence" in out


def test_importable_without_detection():
    # None in sys.modules makes an import fail as if nothing were installed.
    out = python(
        "import sys\n"
        "sys.modules['mmdet'] = None\n"
        "sys.modules['mmcv.ops'] = None\n"
        "sys.modules['mmcv._ext'] = None\n"
        "import pckd_mm.models, pckd_mm.engine\n"
        "print('fine')"
    )
    assert out.endswith("fine\n")


def test_mmrazor_beside_a_newer_mmcv():
    # What it asserts of mmcv is not met; afterwards the version is the true one. The
    # mmdet that such an mmcv comes with accepts it.
    out = python(
        "import sys, mmcv\n"
        "sys.modules['mmdet'] = None\n"
        "mmcv.__version__ = '2.3.6'\n"
        "import pckd_mm, mmrazor.models\n"
        "print(mmcv.__version__)"
    )
    assert out == "2.3.6\n"


def test_the_package_alone_imports_no_models():
    out = python("import sys, pckd_mm; print('mmrazor.models' in sys.modules)")
    assert out == "False\n"


def test_resuming_runs_no_config_of_a_checkpoint(tmp_path):
    # MMEngine's runner executes meta["config"], which old versions wrote.
    path = tmp_path / "resume.pth"
    torch.save({"meta": {"config": "print(1)", "epoch": 3}, "state_dict": {}}, path)
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location="cpu")
    assert checkpoint["meta"] == {"epoch": 3}


def test_weights_only_loading_overrides_callers(tmp_path):
    path = tmp_path / "code.pth"
    torch.save({"x": pytest.raises}, path)  # a function by its name
    torch.load(path, weights_only=False)
    with weights_only_loading():
        with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
            torch.load(path, weights_only=False)
    torch.load(path, weights_only=False)


# As after a run: DDP in a cycle of references, one step done.
ENDING = """
import os, sys
import torch
from mmengine.config import Config
from pckd_mm.compat import end_cpu_processes, prepare_cpu_processes

def threads():
    return len(os.listdir("/proc/self/task"))

def run():
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
    model.runner = [model]
    model(torch.ones(1, 2)).sum().backward()

before = threads()
prepare_cpu_processes(Config(dict(launcher="pytorch")))
run()
during = threads()
end_cpu_processes()
print(during - before, threads() - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
@pytest.mark.skipif(torch.cuda.is_available(), reason="processes of a CPU")
def test_no_thread_of_gloo_outlives_the_end():
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", ENDING],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    during, after = done.stdout.split()
    assert int(during) > 0
    assert int(after) == 0
