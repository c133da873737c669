"""The pages say what was published and measured, and nothing else."""

import json
import sys

import pytest

from pckd_mm.analysis import published
from pckd_mm.analysis.measured import read_measured
from tests.builders import ROOT

sys.path.insert(0, str(ROOT / "tools" / "dev"))
import write_results  # noqa: E402
from result_tables import CAPTION  # noqa: E402


def test_the_page_is_up_to_date():
    assert write_results.main(["--check"]) == 0


def test_every_measured_config_is_there():
    entries = read_measured(ROOT / "docs" / "measured.yml")
    assert entries and all((ROOT / entry.config).is_file() for entry in entries)


PAGES = ("results", "standing", "speed")


@pytest.fixture
def sandbox(tmp_path):
    """A repository in which nothing is measured."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "docs" / "measured.yml").write_text("")
    parts = json.loads((ROOT / "docs" / "speed_gpu.json").read_text())
    for part in parts.values():
        part["result"] = None
    (tmp_path / "docs" / "speed_gpu.json").write_text(json.dumps(parts))
    for page in (*(f"docs/{name}.md" for name in PAGES), "README.md"):
        (tmp_path / page).write_text((ROOT / page).read_text())
    return tmp_path


def lines_of(sandbox, section, page="docs/results.md"):
    """Cells of a section's table lines."""
    page = (sandbox / page).read_text()
    part = page.split(f"{section}\n")[1].split("\n#")[0].split("<!-- end")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def sources_of(sandbox):
    return lines_of(sandbox, "## How it was measured")[1:]


@pytest.mark.parametrize("page", ["docs/results.md", "README.md"])
def test_pages_say_what_last_and_best_are(page):
    text = (ROOT / page).read_text()
    assert text.count(CAPTION) == 1
    assert "chosen on the test set" in CAPTION


def test_a_detector_goes_into_the_page(sandbox):
    config = "configs/pckd/voc_frcnn_r101_r50.py"
    curves = dict(
        average_precision={"1": 75.0, "2": 74.0}, average_precision_50_95={"2": 40.5}
    )
    run = dict(seed=3, final=74.0, date="2026-01-01", **curves)
    method = dict(name="PCKD", config=config, command="", runs=[run])
    table = dict(name="", teachers=[], metric="mAP@0.5", methods=[method])
    report = sandbox / "report.json"
    facts = dict(command="python a.py", hardware="h", software="s", precision="p")
    report.write_text(json.dumps(dict(tables=[table], **facts)))
    assert write_results.main(["--add", str(report)], sandbox) == 0
    ((_, other),) = [lines_of(sandbox, "## Other runs")]
    assert config in other[0]
    assert other[2:] == ["mAP@0.5", "74.00 (AP 40.50)", "75.00", "1"]
    ((source,),) = [sources_of(sandbox)]
    assert source[1:3] == ["3: 74.00 (AP 3: 40.50)", "3: 75.00"]


def test_a_report_goes_into_the_page(sandbox, capsys):
    assert write_results.main([], sandbox) == 0
    pair = "### resnet56 -> resnet20"
    table = {line[0]: line[1:5] for line in lines_of(sandbox, pair)}
    assert table["teacher, resnet56"] == ["72.34", "-", "-", "0"]
    assert table["PCKD"] == ["72.21", "-", "-", "0"]
    assert table["AT"] == ["70.55", "-", "-", "0"]
    assert table["PCKD+"] == ["-", "-", "-", "0"]  # nothing is published
    assert len(table) == 1 + 2 + len(published.METHODS)

    def row(config, *finals, above=None):
        runs = [
            dict(seed=seed, final=final, date="2026-01-01")
            for seed, final in enumerate(finals)
        ]
        for run in runs if above is not None else []:
            last = run["final"]
            run["accuracy"] = {"1": 10.0, "2": last + above, "3": last}
        return dict(name="any", config=config, command="", runs=runs)

    methods = [
        row("configs/vanilla/cifar100_resnet8_30e.py", 40.0, 42.0),
        row("configs/kd/cifar100_resnet20_resnet8_30e.py", 44.5, above=0.5),
        row("configs/pckd/cifar100_resnet56_resnet20.py", 72.0, 73.0, above=0.25),
        row("configs/pckd_focal/cifar100_resnet56_resnet20.py", 71.25, above=0),
        row("configs/pckd/imagenet_resnet34_resnet18.py", 71.5, above=1),
    ]
    report = sandbox / "report.json"
    facts = dict(command="python a.py", hardware="h", software="s", precision="p")
    tables = [dict(name="", teachers=[], methods=methods)]
    report.write_text(json.dumps(dict(tables=tables, **facts)))
    assert write_results.main(["--check"], sandbox) == 0
    assert write_results.main(["--add", str(report)], sandbox) == 0
    assert write_results.main(["--check"], sandbox) == 0

    table = {line[0]: line[1:5] for line in lines_of(sandbox, pair)}
    assert table["PCKD"] == ["72.21", "72.50 +- 0.71", "72.75 +- 0.71", "2"]
    short = lines_of(sandbox, "### 30 epochs")
    table = {line[0]: line[1:5] for line in short}
    assert table["student alone, resnet8"] == ["41.00 +- 1.41", "-", "2", "-"]
    # The gain is that of the last epoch.
    assert table["KD"] == ["44.50", "45.00", "1", "+3.50"]
    # The README has it without the commands.
    assert short[0][-1] == "command" and len(short) == 3 + len(published.METHODS)
    in_readme = lines_of(sandbox, "<!-- begin short -->", "README.md")
    assert in_readme == [line[:-1] for line in short]
    summary = lines_of(sandbox, "<!-- begin summary -->")
    (row,) = [line for line in summary if line[0] == "resnet56 -> resnet20"]
    assert row[1:5] == ["72.34", "69.06", "70.66", "72.21"]
    assert row[5:9] == ["-", "-", "72.50 +- 0.71", "72.75 +- 0.71"]
    assert (
        row[9]
        == "`python tools/compare.py --methods kd pckd --pairs resnet56_resnet20`"
    )
    imagenet = {line[0]: line[1:4] for line in lines_of(sandbox, "## ImageNet")}
    assert imagenet["PCKD"] == ["72.01 (top-5 90.69)", "71.50", "72.50"]
    ((_, other),) = [lines_of(sandbox, "## Other runs")]
    assert "pckd_focal" in other[0] and other[2:] == ["top-1", "71.25", "71.25", "1"]
    sources = {line[0].split("]")[0]: line for line in sources_of(sandbox)}
    assert len(sources) == 5
    pckd = sources["[configs/pckd/cifar100_resnet56_resnet20.py"]
    assert pckd[1:3] == ["0: 72.00, 1: 73.00", "0: 72.25, 1: 73.25"]
    alone = sources["[configs/vanilla/cifar100_resnet8_30e.py"]
    assert alone[1:3] == ["0: 40.00, 1: 42.00", "-"]

    # A page that was changed by hand, then a report that lacks a seed and has another
    # value of the other.
    page = sandbox / "docs" / "results.md"
    page.write_text(page.read_text().replace("72.50 +- 0.71", "75.00"))
    assert write_results.main(["--check"], sandbox) == 1
    methods[2]["runs"].pop()
    methods[2]["runs"][0]["final"] = 72.25
    report.write_text(json.dumps(dict(tables=tables, **facts)))
    assert write_results.main(["--add", str(report)], sandbox) == 1
    error = capsys.readouterr().err
    assert "not what its sources say" in error and "seeds [0, 1]" in error


def test_ablations_are_of_students_that_share_a_teacher(sandbox):
    """A run of the plain config is none of them."""
    report = sandbox / "report.json"
    facts = dict(command="c", hardware="h", software="s", precision="p")
    apart = ["share_teacher", "fast"]
    finals = dict(pckd=(60, apart), pckd_wo_cc=(61.5, apart), pckd_wo_kd=(50, []))
    methods = []
    for method, (final, words) in finals.items():
        config = f"configs/{method}/cifar100_resnet20_resnet8_30e.py"
        run = dict(seed=0, final=final, date="2026-01-01", apart=words)
        methods.append(dict(name=method, config=config, command="", runs=[run]))
    for part in (methods[1:], methods):  # first without what others are compared with
        tables = [dict(name="", teachers=[], methods=part)]
        report.write_text(json.dumps(dict(tables=tables, **facts)))
        assert write_results.main(["--add", str(report)], sandbox) == 0
        lines = {
            line[0]: line[1:] for line in lines_of(sandbox, "### What each part adds")
        }
        whole = part is methods
        first = ["60.00", "-", "1", "-"] if whole else ["-", "-", "0", "-"]
        assert lines["PCKD"] == first
        gain = "+1.50" if whole else "-"
        assert lines["without L_CC"] == ["61.50", "-", "1", gain]
        assert lines["without L_KD"] == ["-", "-", "0", "-"]
    assert lines_of(sandbox, "## Other runs") == []  # they are in no second table


def test_demos_have_their_tables(sandbox):
    def row(config, *finals):
        runs = [
            dict(seed=seed, final=final, date="2026-01-01", accuracy={"1": final})
            for seed, final in enumerate(finals)
        ]
        return dict(name="any", config=f"configs/{config}.py", command="", runs=runs)

    pair = "letters_resnet20_resnet8_thin"
    methods = [
        row("vanilla/letters_resnet8_thin", 60, 62),
        row(f"kd/{pair}", 65.5),
        row(f"pckd/{pair}", 66, 67),
    ]
    teacher = row("vanilla/letters_resnet20", 80)
    facts = dict(command="make demo", hardware="h", software="s", precision="p")
    report = sandbox / "report.json"
    tables = [dict(name="", teacher=teacher, methods=methods)]
    report.write_text(json.dumps(dict(tables=tables, **facts)))
    assert write_results.main(["--add", str(report)], sandbox) == 0
    headline, *lines = lines_of(sandbox, "<!-- begin demo -->")
    assert headline[1:3] == ["top-1, last", "top-1, best"]
    assert lines == [
        ["teacher", "80.00", "80.00", "1", "-"],
        ["student alone", "61.00 +- 1.41", "61.00 +- 1.41", "2", "-"],
        ["KD", "65.50", "65.50", "1", "+4.50"],
        ["DIST", "-", "-", "0", "-"],
        ["PCKD", "66.50 +- 0.71", "66.50 +- 0.71", "2", "+5.50"],
        ["PCKD+", "-", "-", "0", "-"],
    ]
    # Of the detectors nothing is measured.
    headline, *lines = lines_of(sandbox, "### Faster R-CNN")
    assert headline[1:3] == ["mAP@0.5, last", "mAP@0.5, best"]
    names = ["teacher", "student alone", "KD", "PCKD"]  # there is no config of DIST
    assert [line[0] for line in lines] == names
    assert all(line[1:] == ["-", "-", "0", "-"] for line in lines)


def test_each_further_commit_is_told(sandbox, capsys):
    report = sandbox / "report.json"
    facts = dict(command="c", hardware="h", software="s", precision="p")
    told = []
    for seed in range(4):
        commit = f"commit{min(seed, 2)}"
        run = dict(seed=seed, final=50.0, date="2026-01-01", commit=commit)
        line = dict(name="any", config="configs/a.py", command="", runs=[run])
        tables = [dict(name="", teachers=[], methods=[line])]
        report.write_text(json.dumps(dict(tables=tables, **facts)))
        assert write_results.main(["--add", str(report)], sandbox) == 0
        said = capsys.readouterr().out.splitlines()
        told.append([text.split(":")[0] for text in said if "of the commits" in text])
    begins = "configs/a.py has seeds of the commits commit0; commit1"
    assert told == [[], [begins], [f"{begins}; commit2"], []]


def test_a_missing_marker_is_named():
    with pytest.raises(ValueError, match="has not one <!-- begin short -->"):
        write_results.fill("no markers", {"short": "a table"})


STEP = dict(
    **dict(plain_ms=60.0, floor_ms=20.25, project_ms=21.0, kd_ms=6.0),
    **dict(plain_over_project=2.857, project_over_floor=1.037, own_share=0.0345),
    **dict(arithmetic_ms=12.0, device="Some GPU", commit="0123456789", torch="2.11.0"),
)
DETECTOR = dict(
    ms=dict(plain=100.0, pckd=102.0, kd=101.0),
    over_plain=dict(plain=1.0, pckd=1.021, kd=1.01),
    **dict(device="Some GPU", commit="0123456789"),
)
CONTRAST = dict(
    rows=[dict(anchors=512, blocks_ms=0.25, blocks_peak_mb=15.2)], device="Some GPU"
)
GPU = "<!-- begin speed-gpu -->"


def test_what_was_measured_on_a_gpu_is_entered_at_once(sandbox):
    write_results.main([], sandbox)
    _, *rows = lines_of(sandbox, GPU, "docs/speed.md")
    assert len(rows) == 7 and {cell for row in rows for cell in row[3:]} == {"-"}
    folder = sandbox / "gpu"
    for part, apart in (("short", {}), ("short-fast", dict(apart=["fast"]))):
        (folder / part).mkdir(parents=True)
        config = "configs/pckd/cifar100_resnet20_resnet8_30e.py"
        run = dict(seed=0, final=50.0 + len(apart), date="2026-01-01", **apart)
        method = dict(name="PCKD", config=config, command="", runs=[run])
        facts = dict(command="c", hardware="h", software="s", precision="p")
        tables = [dict(name="", teachers=[], methods=[method])]
        report = dict(facts, tables=tables)
        (folder / part / "report.json").write_text(json.dumps(report))
    for name, found in dict(fast=STEP, detector=DETECTOR, contrast=CONTRAST).items():
        (folder / f"{name}.json").write_text(json.dumps(found))
    assert write_results.main(["--add-gpu", str(folder)], sandbox) == 0
    # What --fast gave stands apart.
    short = {line[0]: line[1] for line in lines_of(sandbox, "### 30 epochs")}
    assert short["PCKD"] == "50.00"
    ((_, other),) = [lines_of(sandbox, "## Other runs")]
    assert other[1:4] == ["PCKD, fast", "top-1", "51.00"]
    _, *rows = lines_of(sandbox, GPU, "docs/speed.md")
    measured = {row[0] + row[2]: row[3:] for row in rows if row[5] != "-"}
    assert measured == {
        "resnet56 -> resnet20bfloat16, `--fast --amp`": [
            *("60.0", "20.2", "21.0", "6.0", "2.86", "1.037", "3.5 %", "12.0"),
            *("Some GPU", "0123456"),
        ],
        "Faster R-CNN R101 -> R50float32": [
            *("-", "100.0", "102.0", "101.0", "-", "1.021", "-", "-"),
            *("Some GPU", "0123456"),
        ],
    }
    (row,) = lines_of(sandbox, "<!-- begin contrast-gpu -->", "docs/speed.md")[1:]
    assert row == ["512", "-", "0.2", "-", "15"]
    assert write_results.main(["--check"], sandbox) == 0


@pytest.mark.parametrize(
    "name, device, why",
    [
        ("other", "Some GPU", "other.json is no part of docs/speed_gpu.json"),
        ("fast", "Some CPU, 1 core", "measured on Some CPU, 1 core; expected a GPU"),
    ],
)
def test_what_is_no_part_of_the_gpus_is_refused(sandbox, capsys, name, device, why):
    (sandbox / f"{name}.json").write_text(json.dumps(dict(STEP, device=device)))
    before = (sandbox / "docs" / "speed_gpu.json").read_text()
    assert write_results.main(["--add-gpu", str(sandbox)], sandbox) == 1
    assert why in capsys.readouterr().err
    assert (sandbox / "docs" / "speed_gpu.json").read_text() == before
