"""The machine and the package's files."""

import re

from pckd_mm.diagnosis import check_configs, check_machine
from pckd_mm.utils.shipped import CONFIGS, config_names


def test_cores_and_memory():
    (finding,) = check_machine()
    assert re.fullmatch(r"\d+ cores?, \d+ GiB of memory", finding.found)


def test_configs(tmp_path):
    (finding,) = check_configs()
    assert finding.found == f"{len(config_names())} in {CONFIGS}"
    assert not finding.advice
    (finding,) = check_configs(tmp_path / "none")
    assert "install pckd_mm again" in finding.advice
