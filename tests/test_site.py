"""The documentation as a site: nothing to warn of, nothing asked of other sites."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.builders import ROOT

pytest.importorskip("sphinx")  # which needs Python 3.11
OPTIONS = ("-b", "html", "-E", "-W", "--keep-going", "-q")


def build(source, target):
    """Make the site as ``make docs`` does."""
    command = [sys.executable, "-m", "sphinx", *OPTIONS, str(source), str(target)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_make_docs_builds_it_so():
    assert " ".join(OPTIONS) + " docs build/site" in (ROOT / "Makefile").read_text()


def test_every_page_is_there(site):
    docs = ROOT / "docs"
    for page in (*docs.glob("**/*.md"), *docs.glob("**/*.ipynb")):
        name = page.relative_to(docs).with_suffix(".html")
        assert (site / name).is_file(), name


def test_formulas_are_drawn_by_the_browser(site):
    page = (site / "method.html").read_text()
    source = (ROOT / "docs" / "method.md").read_text()
    formulas = re.findall(r"^\$\$$.*?^\$\$$", source, re.DOTALL | re.MULTILINE)
    assert len(formulas) == len(re.findall("<math [^>]*display=", page)) > 5
    assert "$" not in re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)


def test_it_loads_nothing_from_elsewhere(site):
    for page in site.glob("**/*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"([^\"]+)", text)
        assert not [x for x in loaded if re.match("https?:|//", x)], page
        pictures = re.findall("<img[^>]*>", text)
        assert all(" alt=" in picture for picture in pictures), page


def test_the_reference_has_the_docstrings(site):
    page = (site / "reference.html").read_text()
    for name in ("pckd_mm.distill", "PreviewKLDivergence", "WholeCheckpointHook"):
        assert name in page


def test_a_formula_that_cannot_be_read_fails(tmp_path):
    for name in ("conf.py", "style"):
        copy = shutil.copytree if (ROOT / "docs" / name).is_dir() else shutil.copy
        copy(ROOT / "docs" / name, tmp_path / name)
    conf = (ROOT / "docs" / "conf.py").read_text()
    conf = conf.replace("Path(__file__).resolve().parents[1]", f"Path({str(ROOT)!r})")
    (tmp_path / "conf.py").write_text(conf)
    (tmp_path / "index.md").write_text("# Title\n\n$\\nosuchcommand{x}$\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0 and "nosuchcommand" in done.stderr
