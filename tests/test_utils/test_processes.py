"""Rows of several processes, and what a single one has."""

from pathlib import Path
from typing import List

import torch

from pckd_mm.utils.processes import (
    gather_rows,
    mean_over_processes,
    process_count,
    process_scope,
    share_of_rows,
)
from tests.builders import in_processes


def test_a_single_process_has_all_rows():
    rows, labels = torch.randn(3, 2), torch.arange(3)
    (found, same), own = gather_rows(rows, labels)
    assert found is rows and same is labels and own == slice(0, 3)
    assert process_count() == 1 and share_of_rows(3) == 1


def test_the_mean_of_no_values_is_zero_with_a_gradient():
    weight = torch.ones(4, requires_grad=True)
    mean_over_processes(torch.zeros(0, 4) @ weight).backward()
    assert weight.grad.tolist() == [0, 0, 0, 0]
    assert float(mean_over_processes(torch.tensor([1.0, 2.0, 6.0]))) == 3


# Process r has r rows: none, one, two.
def work(rank: int, folder: Path) -> None:
    first = rank * (rank - 1) // 2
    rows = torch.arange(first, first + rank, dtype=torch.float)[:, None] + 1
    rows.requires_grad_()
    (found,), own = gather_rows(rows)
    # Each takes its own part of a sum in which every row is weighted by its rank.
    (found.sum() * (rank + 1)).backward()
    alone = {}
    with process_scope(False):
        alone["count"] = process_count()
        alone["rows"] = len(gather_rows(rows)[0][0])
    result = dict(
        found=found.detach(),
        own=[own.start, own.stop],
        gradient=rows.grad,
        mean=mean_over_processes(rows.detach()),
        share=share_of_rows(rank),
        alone=alone,
    )
    torch.save(result, f"{folder}/{rank}.pth")


def test_rows_of_processes_with_none_one_and_two(tmp_path: Path):
    in_processes(3, work, tmp_path, tmp_path)
    found: List[dict] = [
        torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in range(3)
    ]
    for rank, result in enumerate(found):
        assert result["found"].tolist() == [[1.0], [2.0], [3.0]]
        assert result["own"] == [[0, 0], [0, 1], [1, 3]][rank]
        assert result["gradient"].tolist() == rank * [[1.0 + 2 + 3]]
        assert result["share"] == rank * 3 / 3
        assert result["alone"] == dict(count=1, rows=rank)
    # The average over the processes is the mean of all rows.
    assert float(sum(result["mean"] for result in found) / 3) == 2
