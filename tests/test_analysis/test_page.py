"""The report in one HTML file: what is in it, and that it needs nothing else."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from pckd_mm.analysis import MAP50, Method, Picture, Table, write_report
from tests.test_analysis.finished import ALONE, PCKD, PNG, TEACHER, inspected

VOID = {"img", "meta", "link", "br"}


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), " ".join(data.split())))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag):
        return [text for place, text in self.texts if place and place[-1] == tag]


@pytest.fixture
def folder(tmp_path):
    """A report with everything in it."""
    (tmp_path / "more.png").write_bytes(PNG)
    write_report(
        tmp_path,
        "A & B",
        [Table([ALONE, PCKD], [TEACHER], inspected=inspected())],
        notes=["A note with a <tag>."],
        facts={"command": "python x.py --run 'a<b'"},
        appendix=[Picture("More", "more.png", 'a "dot"')],
    )
    return tmp_path


def page_of(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_structure(folder):
    page = page_of(folder)
    assert not page.open
    assert page.all("html") == [{"lang": "en"}] and page.text("title") == ["A & B"]
    headings = [tag for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == "h1" and set(headings[1:]) == {"h2"}
    assert page.text("h2") == [
        "What was compared",
        "Results",
        "Accuracy after each epoch",
        "What the preview did",
        "Images that were previewed longest",
        "Images that were previewed, and learned later",
        "Category centers of teacher and student",
        "How the networks see the images",
        "What is taken for what",
        "What the student still confuses",
        "More",
        "Made by",
    ]
    assert "A note with a <tag>." in page.text("p")


def test_pictures_are_inside_and_said_in_words(folder):
    images = page_of(folder).all("img")
    assert len(images) == 5 + 2 + 2 + 1
    for image in images:
        assert image["src"].startswith("data:image/png;base64,")
        assert len(image["alt"]) > 4
    alts = [image["alt"] for image in images]
    assert alts[0].endswith("alone 92.00, PCKD 96.00 percent; teacher 97.50 percent.")
    # 3 epochs with a share of 0.3 and thresholds of 1.1 to 1.3.
    assert (
        "the threshold goes from 1.10 in the first epoch to 1.30 in the last"
        in (alts[1])
    )
    assert "images from 30.0 to 30.0 percent" in alts[1]
    assert alts[2] == (
        "A training image of d, previewed in 2 of 3 epochs, mean weight 0.25, now "
        "taken for <b>"
    )
    assert alts[3].endswith("in 1 of 3 epochs, mean weight 0.50, now taken for d")
    assert alts[4].endswith(
        "Correlation with those of teacher: alone 1.000, PCKD 1.000."
    )
    assert alts[5] == (
        "Features of 3 test images of a, <b>, d in a plane. Silhouettes: PCKD 0.500."
    )
    assert alts[6] == (
        "Confusion matrices over 3 categories. Wrong of 40 test images: teacher 4, "
        "alone 12, PCKD 9."
    )
    assert alts[7:9] == [
        "A test image of <b> that is taken for d",
        "A test image of d",
    ]
    # Its size is known before it is there.
    assert (images[-1]["width"], images[-1]["height"]) == ("1", "1")


def test_tables_have_captions_and_scopes(folder):
    page = page_of(folder)
    tables = len(page.all("table"))
    assert tables == len(page.all("caption")) == 3
    assert all(cell["scope"] in ("col", "row") for cell in page.all("th"))
    cells = [text for text in page.text("td") if text]
    # A spread of one seed is none.
    assert cells[:4] == ["97.50", "98.50", "1", "+5.50"]
    assert cells[4:8] == ["92.00 ± 2.00", "93.00", "3", "-"]
    assert cells[-5:] == ["d", "1", "7", "3", "20"]


def test_nothing_outside_is_asked_for(folder):
    page = page_of(folder)
    assert not page.all("script") and not page.all("iframe")
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(name, "data:").startswith("data:")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "url(" not in text and "@import" not in text
    (policy,) = [m for m in page.all("meta") if m.get("http-equiv")]
    assert "default-src 'none'" in policy["content"]


def test_several_tables_have_their_headings_in_order(tmp_path):
    tables = [Table([ALONE, PCKD], name="one"), Table([Method("a", {})], name="two")]
    write_report(tmp_path, "Title", tables)
    tags = [tag for tag, _ in page_of(tmp_path).tags if re.fullmatch(r"h\d", tag)]
    assert tags == ["h1", "h2", "h3", "h3", "h3", "h2", "h3"]


def test_without_a_look_into_the_networks_it_has_the_rest(tmp_path):
    detector = Method("alone", {0: {8: 40.0}}, command="python <x>.py")
    write_report(tmp_path, "Title", [Table([detector], metric=MAP50)])
    page = page_of(tmp_path)
    assert page.text("h2") == [
        "Results",
        "Average precision after each validated epoch",
    ]
    assert page.text("code") == ["python <x>.py"]


def opened(page, folder):
    """What a browser says of a page, and what the page asks for."""
    folder.mkdir()
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu"),
            *("--no-first-run", "--disable-background-networking"),
            *("--disable-component-update", "--disable-sync"),
            *("--enable-logging=stderr", f"--user-data-dir={folder / 'user'}"),
            # What the browser asks for on its own account goes nowhere either.
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=400,800"),
            *(f"--log-net-log={folder / 'net.json'}",),
            *(f"--screenshot={folder / 'page.png'}", f"file://{page}"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (folder / "page.png").is_file(), done.stderr
    log = (folder / "net.json").read_text().rstrip().rstrip(",")
    log = json.loads(log if log.endswith("}") and log.count("]}") else f"{log}]}}")
    asked = [
        params["url"]
        for params in (event.get("params", {}) for event in log["events"])
        if "url" in params and "file:" in params.get("network_isolation_key", "")
    ]
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line], asked


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_opens_it_and_asks_for_nothing(folder, tmp_path):
    moved = tmp_path / "moved.html"
    shutil.move(folder / "report.html", moved)
    assert opened(moved, tmp_path / "of_report") == ([], [])
    # A page that does ask, and has an error, is found out.
    other = tmp_path / "other.html"
    other.write_text('<img src="http://example.invalid/x.png"><script>oops()</script>')
    said, asked = opened(other, tmp_path / "of_other")
    assert "oops is not defined" in said[0]
    assert asked == ["http://example.invalid/x.png"]
