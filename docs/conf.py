"""How Sphinx makes the site: ``make docs`` writes it to build/site."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tools" / "dev"))

from pckd_mm import __version__  # noqa: E402

# The address of the project. The pages say REPOSITORY, and the site what stands here.
repository = "REPOSITORY"

project = "pckd_mm"
author = "The pckd_mm authors"
copyright = author
version = release = __version__
extensions = [
    "myst_nb",  # MyST, and notebooks
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "site_parts",  # of tools/dev
]

source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
# Notebooks are shown as they were run; tests/test_notebook.py runs them.
nb_execution_mode = "off"
exclude_patterns = ["pictures"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings have them, with shapes and units
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "pckd_mm"
# Formulas are MathML, which browsers draw by themselves: the site asks for nothing.
html_math_renderer = "mathml"
html_static_path = ["style"]
html_css_files = ["formulas.css"]
html_show_sphinx = False
html_copy_source = False
