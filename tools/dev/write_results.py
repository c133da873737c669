"""Write the tables of README.md and of pages in docs/: results, standing, speed.

python tools/dev/write_results.py                      # renew the tables
python tools/dev/write_results.py --check              # fail if that would change them
python tools/dev/write_results.py --add REPORT.json    # first record what was measured
python tools/dev/write_results.py --add-gpu FOLDER     # first record all of gpu.sh's
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Dict, Optional, Sequence

from pckd_mm.analysis.measured import JOINT, merge, read_measured, write_measured
from pckd_mm.analysis.report_measurements import from_report
from pckd_mm.utils.commits import all_of

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).resolve().parent))
from result_tables import MeasuredTables, SpeedTables, standing  # noqa: E402


def fill(text: str, parts: Dict[str, str]) -> str:
    """Put the generated parts between their markers.

    Args:
        text (str): The page.
        parts (dict[str, str]): The parts.

    Returns:
        str: The page with them.

    Raises:
        ValueError: Where a marker is missing.
    """
    for name, part in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(
                f"The page has not one {begin} and one {end}; expected both, around "
                "the generated table."
            )
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return text


def main(argv: Optional[Sequence[str]] = None, root: Path = ROOT) -> int:
    """Add what was measured, write or check the tables.

    Args:
        argv (Sequence[str], optional): The command line; None for the process's.
        root (Path): Root of the repository.

    Returns:
        int: Exit status.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--add",
        type=Path,
        nargs="+",
        default=[],
        metavar="REPORT.json",
        help="reports of tools/compare.py to record in docs/measured.yml",
    )
    parser.add_argument(
        "--add-gpu",
        type=Path,
        metavar="FOLDER",
        help="folder of tools/benchmarks/gpu.sh: steps to record in "
        "docs/speed_gpu.json, and reports of compare.py",
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    record = root / "docs" / "measured.yml"
    try:
        entries, speed = read_measured(record), SpeedTables(root)
        if args.add_gpu is not None:
            args.add += sorted(args.add_gpu.glob("*/report.json"))
            for path in sorted(args.add_gpu.glob("*.json")):
                speed.add(path)
        for path in args.add:
            report = json.loads(path.read_text(encoding="utf-8"))
            commits = {entry.key: entry.commit for entry in entries}
            entries = merge(entries, from_report(report))
            for entry in entries:
                several = len(all_of(entry.commit.split(JOINT))) > 1
                if not several or entry.commit == commits.get(entry.key):
                    continue
                print(
                    f"{entry.config} has seeds of the commits {entry.commit}: its "
                    "config and its teacher should be the same in each."
                )
        tables = MeasuredTables(root, entries)
        parts = {
            root / "docs" / "results.md": tables.results(),
            root / "docs" / "standing.md": standing.parts(root),
            root / "docs" / "speed.md": speed.speed(),
            root / "README.md": tables.readme(),
        }
        before = {page: page.read_text(encoding="utf-8") for page in parts}
        after = {page: fill(text, parts[page]) for page, text in before.items()}
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if args.check:
        for page in parts:
            if before[page] != after[page]:
                print(
                    f"{page} is not what its sources say; run "
                    "tools/dev/write_results.py.",
                    file=sys.stderr,
                )
        return int(before != after)
    if args.add:
        write_measured(record, entries)
    if args.add_gpu is not None:
        speed.write()
    for page, text in after.items():
        page.write_text(text, encoding="utf-8")
    print("Metafiles hold results too: run tools/dev/write_metafiles.py.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
