"""What the site needs beside Sphinx: formulas as MathML, the project's address."""

from typing import Any, Dict, List

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def write_inline(writer: nodes.NodeVisitor, node: nodes.math) -> None:
    """Write a formula of a line, as docutils converts it.

    Args:
        writer (NodeVisitor): The writer of the page.
        node (math): The formula.
    """
    write(writer, node, as_block=False)


def write_block(writer: nodes.NodeVisitor, node: nodes.math_block) -> None:
    """Write a formula that stands alone.

    Args:
        writer (NodeVisitor): The writer of the page.
        node (math_block): The formula.
    """
    write(writer, node, as_block=True)


def write(writer: nodes.NodeVisitor, node: nodes.Element, as_block: bool) -> None:
    """Write a formula; one that cannot be converted fails the build.

    Args:
        writer (NodeVisitor): The writer of the page.
        node (Element): The formula.
        as_block (bool): Whether it stands alone.

    Raises:
        docutils.nodes.SkipNode: Always, since nothing is left to write.
    """
    try:
        writer.body.append(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        logger.warning("%s: %s", node.astext(), error, location=node)
    raise nodes.SkipNode


def name_the_project(app: Sphinx, docname: str, source: List[str]) -> None:
    """Put the address of ``docs/conf.py`` where a page says REPOSITORY.

    Args:
        app (Sphinx): The build.
        docname (str): The page.
        source (list[str]): Its text, alone in a list, which is changed.
    """
    source[0] = source[0].replace("REPOSITORY", app.config.repository)


def setup(app: Sphinx) -> Dict[str, Any]:
    """Register all of it with Sphinx.

    Args:
        app (Sphinx): The build.

    Returns:
        dict: What Sphinx wants to know of an extension.
    """
    app.add_config_value("repository", "REPOSITORY", "env", types=(str,))
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    app.connect("source-read", name_the_project)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
