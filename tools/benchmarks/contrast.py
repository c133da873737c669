"""Time and memory of category contrast, in blocks and as one dense matrix.

python tools/benchmarks/contrast.py --anchors 512 2048 65536

Forward and backward of the supervised contrast of random anchors, one for each line.
The dense form, the definition written down, is left out where its matrices would not
fit.
"""

import argparse
import functools
import json
import statistics
from typing import Callable, Dict, List

import torch
from torch import Tensor

from measure import MIB, made_by, peak_mib, reset_peak, say, seconds
from pckd_mm.analysis import format_number
from pckd_mm.models.losses.category_contrastive_loss import supervised_contrast


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--anchors",
        type=int,
        nargs="+",
        default=[512, 2048, 65536],
        help="two for each view of each image of a batch [512 2048 65536]",
    )
    parser.add_argument(
        "--categories", type=int, default=100, help="and width of the anchors [100]"
    )
    parser.add_argument(
        "--repeats", type=int, default=11, help="of either form, interleaved [11]"
    )
    parser.add_argument(
        "--dense-up-to", type=int, default=4096, help="anchors of the dense form [4096]"
    )
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="[cuda if there is one, else cpu]",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def dense_contrast(
    anchors: Tensor, labels: Tensor, tau: float, base_tau: float
) -> Tensor:
    """The same losses from the whole matrix of similarities, shape (M,)."""
    similarity = anchors @ anchors.T / tau
    itself = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    log_total = similarity.masked_fill(itself, -torch.inf).logsumexp(dim=1)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    attraction = (similarity * positive).sum(dim=1) / positive.sum(dim=1)
    return tau / base_tau * (log_total - attraction)


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    found = []
    for number in args.anchors:
        anchors = torch.randn(number, args.categories, device=args.device)
        anchors.requires_grad_()
        labels = torch.arange(number, device=args.device) % args.categories

        def step(
            form: Callable, anchors: Tensor = anchors, labels: Tensor = labels
        ) -> None:
            anchors.grad = None
            form(anchors, labels, 4.0, 0.07).mean().backward()

        is_dense = number <= args.dense_up_to
        floor = 0.0
        reset_peak(args.device)
        if not args.device.startswith("cuda"):
            floor = peak_mib(args.device) - anchors.nbytes / MIB
        forms: Dict[str, Callable] = {"blocks": supervised_contrast}
        if is_dense:
            forms["dense"] = dense_contrast
        times: Dict[str, List[float]] = {name: [] for name in forms}
        step(supervised_contrast)
        peak = peak_mib(args.device) - floor
        # Long ones need no repeats, nor a warm-up beside the one above.
        for repeat in range(args.repeats if is_dense else 1):
            for name, form in forms.items():
                taken = seconds(functools.partial(step, form), args.device)
                times[name].append(taken)
            say(f"{number} anchors, repeat {repeat + 1}: {1000 * taken:.1f} ms")
        row = dict(anchors=number, blocks_ms=1000 * statistics.median(times["blocks"]))
        if is_dense:
            pairs = zip(times["blocks"], times["dense"], strict=True)
            row.update(
                dense_ms=1000 * statistics.median(times["dense"]),
                blocks_over_dense=statistics.median(b / d for b, d in pairs),
            )
        found.append(dict(row, blocks_peak_mb=peak))
    if args.json:
        print(json.dumps(dict(rows=found, **made_by())))
        return
    print("| anchors | dense ms | blocks ms | blocks / dense | blocks, peak MiB |")
    print("|---|---|---|---|---|")
    for row in found:
        dense = format_number(row.get("dense_ms"), ".1f")
        ratio = format_number(row.get("blocks_over_dense"))
        print(
            f"| {row['anchors']} | {dense} | {row['blocks_ms']:.1f} | {ratio} | "
            f"{row['blocks_peak_mb']:.0f} |"
        )


if __name__ == "__main__":
    main()
