"""Compare by Ray, lose a machine in mid-run, and compare with runs of this machine.

python tools/benchmarks/lost_machine.py
python tools/benchmarks/lost_machine.py --seeds 4 --machines 3 --work-dir work_dirs/ray

makes a Ray cluster of some machines that all are this one, at 127.0.0.1, and has three
methods trained on handwritten digits by it: the student alone, KD and PCKD. One machine
is killed while it trains a run that has a checkpoint. The same runs are trained without
Ray as well. The curves and the weights of both must be the same to the last bit.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Else Ray takes 127.0.0.1 for the address that others see this machine by.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

import psutil
import torch
from ray.cluster_utils import Cluster

from pckd_mm.analysis.report import lines_of
from pckd_mm.commands import compare
from pckd_mm.utils.children import end_with_parent

ROOT = Path(__file__).resolve().parents[2]

HERE = "127.0.0.1"
ALONE = "alone"
METHODS = {
    ALONE: "configs/vanilla/digits_resnet8_thin.py",
    "KD": "configs/kd/digits_resnet20_resnet8_thin.py",
    "PCKD": "configs/pckd/digits_resnet20_resnet8_thin.py",
}
TEACHER = "configs/vanilla/digits_resnet20.py"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=4, help="runs of each method [4]")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--machines", type=int, default=3, help="machines [3]")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of a run [2]")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/lost_machine"))
    return parser.parse_args()


@contextlib.contextmanager
def cluster_here(machines: int) -> Iterator[Cluster]:
    """A Ray cluster of one CPU on each machine; its head trains nothing.

    Args:
        machines (int): How many raylets there are beside that of the head.

    Yields:
        Cluster: The cluster; afterwards all of its processes have ended.
    """
    shared: Dict[str, Any] = dict(node_ip_address=HERE, object_store_memory=100 * 2**20)
    cluster = Cluster(
        initialize_head=True,
        head_node_args=dict(num_cpus=0, include_dashboard=False, **shared),
    )
    try:
        for _ in range(machines):
            cluster.add_node(num_cpus=1, **shared)
        yield cluster
    finally:
        cluster.shutdown()


def trained_on(node: Any) -> Optional[Path]:
    """The folder of the run that a machine of the cluster trains."""
    with contextlib.suppress(psutil.NoSuchProcess):
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for process in raylet.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                words = process.cmdline()
                if "--work-dir" in words:
                    return Path(words[words.index("--work-dir") + 1])
    return None


class Loss(threading.Thread):
    """Kill the first machine that has written a checkpoint of a run, and no other.

    Args:
        cluster (Cluster): The cluster.

    Attributes:
        folder (Path, optional): The run that was lost there.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.folder: Optional[Path] = None

    def run(self) -> None:
        while self.folder is None:
            for node in list(self.cluster.worker_nodes):
                folder = trained_on(node)
                if folder is None or not (folder / "epoch_1.pth").is_file():
                    continue
                self.folder = folder
                self.cluster.remove_node(node, allow_graceful=False)
                return
            time.sleep(0.05)


def outcome(folder: Path) -> Tuple[List[Dict[str, Any]], Dict[str, Any]]:
    """What a comparison gave.

    Args:
        folder (Path): Its work dir.

    Returns:
        tuple[list, dict]: The curves of each method's runs; the weights of all last
        checkpoints by their names.
    """
    (table,) = json.loads((folder / "report.json").read_text())["tables"]
    keys = ("seed", "accuracy")
    curves = [
        {"name": method["name"], **{key: run[key] for key in keys}}
        for method in lines_of(table)
        for run in method["runs"]
    ]
    weights = {}
    for note in sorted(folder.glob("**/finished.json")):
        last = max(
            note.parent.glob("epoch_*[0-9].pth"), key=lambda p: p.stat().st_mtime
        )
        states = torch.load(last, weights_only=False)["state_dict"]
        name = str(note.parent.relative_to(folder))
        weights.update({f"{name} {key}": value for key, value in states.items()})
    return curves, weights


def same(one: Dict[str, Any], other: Dict[str, Any]) -> bool:
    """Whether weights are equal to the last bit."""
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) for name in one
    )


def command(folder: Path, seeds: int, epochs: int, methods: Sequence[str]) -> List[str]:
    """Arguments of pckd compare."""
    teacher = [f"--teacher={TEACHER}"] if set(methods) > {ALONE} else []
    return [
        *(f"--run={name}={METHODS[name]}" for name in methods),
        *teacher,
        "--seeds",
        *map(str, range(seeds)),
        "--work-dir",
        str(folder),
        "--threads",
        "1",
        "--cfg-options",
        f"train_cfg.max_epochs={epochs}",
    ]


def main() -> int:
    args = parse_args()
    folders = {name: args.work_dir / name for name in ("ray", "local")}
    argv = {
        name: ["--fresh", *command(folder, args.seeds, args.epochs, args.methods)]
        for name, folder in folders.items()
    }
    # Meanwhile, since a cluster's start and the loss of a machine are mostly waiting.
    local = subprocess.Popen(
        [sys.executable, "-m", "pckd_mm", "compare", *argv["local"]],
        preexec_fn=end_with_parent,
    )
    try:
        with cluster_here(args.machines) as cluster:
            loss = Loss(cluster)
            loss.start()
            failed = compare.main(["--ray", cluster.address, *argv["ray"]])
        if failed or local.wait():
            raise SystemExit("Some of the runs failed.")
    finally:
        local.terminate()
        local.wait()
    (curves, weights), others = map(outcome, folders.values())
    equal = curves == others[0] and same(weights, others[1])
    print(f"\n{len(curves)} runs on {args.machines} machines of one CPU each")
    print(f"The machine that trained {loss.folder} was killed.")
    print(f"The same to the last bit: {'yes' if equal else 'no'}")
    return 0 if equal and loss.folder is not None else 1


if __name__ == "__main__":
    sys.exit(main())
