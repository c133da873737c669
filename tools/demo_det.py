"""Show PCKD on detectors: scenes of handwritten digits, on a CPU, in some minutes.

python tools/demo_det.py

Writes the scenes to data/digit_scenes, as a devkit of Pascal VOC. Of two kinds of
detectors, Faster R-CNN of two stages and GFL of one, it trains one as the teacher, then
the same smaller one alone and with PCKD, of one seed: docs/results.md has three. The
report, with pictures of what they detect, is work_dirs/demo_det/report.html, in one
file, and report.md beside it. A second call prints the tables again; --fresh trains
everything anew.
"""

import sys
from pathlib import Path
from typing import List, Sequence

from dataset_converters.digits_to_voc import write_scenes
from demo import begin
from pckd_mm.analysis import Picture
from pckd_mm.analysis.detections import detect, plot_detections
from pckd_mm.analysis.pictures import detections_picture
from pckd_mm.commands.compare import main
from pckd_mm.experiments import PlannedTable
from pckd_mm.utils.dependencies import has_detection

DATA = Path("data/digit_scenes")
WORK_DIR = Path("work_dirs/demo_det")
PAIRS = ("frcnn_r18w32_r18w8", "gfl_r18w32_r18w8")
THRESHOLD = 0.3
NOTES = [
    "The data are scenes of the handwritten digits that come with scikit-learn, "
    "160x160 pixels with 2 to 9 digits each, in the layout of Pascal VOC: 400 for "
    "training, 300 for the test, which every validation is of too, and 100 that are "
    "not used here; no handwriting is in two of these. Digits overlap, leave the image "
    "and differ in size; those that can hardly be read are marked as difficult, and "
    "the metric leaves them out.",
    "Teacher and student of a table differ in size. The student alone and the one with "
    "PCKD share data, schedule and batch size. So small a comparison shows how the "
    "method runs, not how good it is; docs/results.md has three seeds.",
]


def detections(tables: Sequence[PlannedTable]) -> List[Picture]:
    """Draw what the detectors of the first seed find in some scenes.

    Args:
        tables (Sequence[PlannedTable]): The tables of the comparison, the student alone
            first in each.

    Returns:
        list[Picture]: A picture for each table of which a run is finished.
    """
    return [picture for table in tables for picture in _detections(table)]


def _detections(table: PlannedTable) -> List[Picture]:
    students = {line.name.split(",")[0]: line.runs[0] for line in table.lines}
    runs = {"teacher": table.teachers[0].runs[0], **students}
    # A student that was distilled is the network of the student alone.
    plain = table.lines[0].runs[0].cfg
    networks = {
        name: (plain if run.distils else run.cfg, run.network)
        for name, run in runs.items()
        if run.is_finished
    }
    if not networks:
        return []
    scenes = detect(networks, threshold=THRESHOLD)
    name = f"detections_{table.name}.png"
    plot_detections(WORK_DIR / name, scenes)
    return [detections_picture(name, scenes, THRESHOLD, "scenes of the test")]


def run() -> int:
    """Write the data, run the comparison and draw.

    Returns:
        int: Exit status.
    """
    shared = begin(__doc__, seeds=[0])
    if not has_detection():
        print(
            "The detectors need mmdet and the compiled operators of mmcv, which are "
            "not installed: make env-full",
            file=sys.stderr,
        )
        return 1
    try:
        write_scenes(DATA)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    options = [
        *("--dataset=digit_scenes", "--methods=pckd", "--pairs", *PAIRS),
        f"--work-dir={WORK_DIR}",
        *shared,
    ]
    return main(
        options,
        title="PCKD on scenes of handwritten digits",
        notes=NOTES,
        command="python tools/demo_det.py",
        appendix=detections,
    )


if __name__ == "__main__":
    sys.exit(run())
