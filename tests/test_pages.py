"""How-to pages: options of each command are there, and so is what it names.

Commands of README and tutorials run in test_readme.py; these would take a cluster, a
GPU or hours.
"""

import re
import shlex
from pathlib import Path
from typing import List

import pytest

from pckd_mm.commands import parse
from pckd_mm.utils.shipped import find_config
from tests.builders import CONFIGS, ROOT
from tests.test_readme import PAGES, shell_commands

ELSEWHERE = ("pip ", "ray ", "tensorboard ", "git ", "cd ", "wandb ", "mlflow ")


def commands(page: str) -> List[str]:
    """Commands of a page, of blocks that are indented too, without comments."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    start = r"(?:pckd|python|tools/|pip|ray|make|[A-Z_]+=\S+ )"
    lines += re.findall(rf"^    ({start}.*)$", text, re.MULTILINE)
    return [" ".join(line.split("  #")[0].split()) for line in lines if line]


FOUND = [
    (page, line)
    for path in sorted(ROOT.glob("docs/*.md"))
    for page in [path.relative_to(ROOT).as_posix()]
    for line in commands(page)
    if page not in PAGES or line not in shell_commands()
]


def command_line(words: List[str]) -> List[str]:
    """What a tool of tools/ hands to ``pckd``."""
    text = (ROOT / words[0]).read_text()
    (named,) = re.findall(r"main\(\[(.*), \*sys", text)
    return [*re.findall(r'"(\w+)"', named), *words[1:]]


def check_names(words: List[str]) -> None:
    """Files of the project, and configs by their names, are there."""
    for word in words:
        if re.match(r"(configs|tools|tests|zoo)/\S+$", word):
            assert (ROOT / word).is_file(), word
        elif (CONFIGS / word.split("/")[0]).is_dir() and "/" in word:
            assert Path(find_config(word)).is_file(), word


def test_there_are_some():
    assert len(FOUND) >= 20
    assert {page for page, _ in FOUND} >= {"docs/scale.md", "docs/teachers.md"}


@pytest.mark.parametrize("page, line", FOUND, ids=[line[:60] for _, line in FOUND])
def test_it_can_be_called(page, line):
    words = [word for word in shlex.split(line) if word != "..."]
    while "=" in words[0]:  # settings of the environment
        words.pop(0)
    check_names([word for word in words if not re.search("NAME|CONFIG|TEACHER", word)])
    if line.startswith(ELSEWHERE):
        return
    if words[0] == "pckd":
        assert parse(words[1:]).run_command
    elif words[:2] == ["python", "-m"]:
        assert words[2] == "pytest"
    elif words[0] == "python":
        text = (ROOT / words[1]).read_text()
        if "pckd_mm.commands import main" in text:
            assert parse(command_line(words[1:])).run_command
        else:  # of parsers of their own
            for option in (word for word in words if word.startswith("--")):
                assert f'"{option.partition("=")[0]}"' in text, option
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M)
    else:
        assert words[0].startswith("tools/") and words[0].endswith(".sh"), line
        text = (ROOT / words[0]).read_text()
        assert all(word in text for word in words[1:]), line
