"""The pictures of a report, each with what it shows in words."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import List, Optional, Sequence

from .figures import plot_centers, plot_curves, plot_preview
from .methods import Method, Table
from .tables import capital

__all__ = ["Picture", "draw_pictures"]


@dataclass
class Picture:
    """A picture with its headline.

    Args:
        headline (str): What it is of.
        file (str): Name of its file in the report's folder.
        alt (str): What it shows, in words and numbers.
        text (str): A paragraph in front of it; empty for none.
        kind (str): What the page shows behind it: 'preview' for the images that were
            previewed, 'centers' for how alike they are.
    """

    headline: str
    file: str
    alt: str
    text: str = ""
    kind: str = ""

    def markdown(self, level: int = 2) -> List[str]:
        """The parts of a page in Markdown that show it.

        Args:
            level (int): Level of the headline. Defaults to 2.

        Returns:
            list[str]: The parts.
        """
        text = [self.text] if self.text else []
        return [f"{'#' * level} {self.headline}", *text, f"![{self.alt}]({self.file})"]


def draw_pictures(folder: Path, table: Table, anew: bool = True) -> List[Picture]:
    """Draw what a table has pictures of.

    Args:
        folder (Path): The report's folder.
        table (Table): The table.
        anew (bool): Whether to draw those that are there too. Defaults to True.

    Returns:
        list[Picture]: The pictures; none before a run is finished.
    """
    if not any(method.curves for method in table.methods):
        return []
    pictures = [_curves(table)]
    previewing = [method for method in table.methods if any(method.previews.values())]
    if previewing:
        pictures.append(_preview(table, previewing))
    centers = _centers(table)
    if centers is not None:
        pictures.append(centers)
    for picture in pictures:
        path = folder / picture.file
        if not anew and path.is_file():
            continue
        if picture.kind == "preview":
            plot_preview(path, previewing)
        elif picture.kind == "centers":
            found = table.inspected
            plot_centers(path, found.correlations(), found.likeness_to_teacher())
        else:
            plot_curves(path, table.methods, table.teacher, table.metric)
    return pictures


def _curves(table: Table) -> Picture:
    metric = table.metric
    curves = [c for m in table.everything for c in m.curves.values()]
    validated = "validated " if any(len(c) < max(c) for c in curves) else ""
    headline = f"{capital(metric.kind)} after each {validated}epoch"
    ends = [f"{m.name} {m.score().mean:.2f}" for m in table.methods if m.curves]
    alt = (
        f"{headline}, mean over seeds. After the last epoch: {', '.join(ends)} percent"
    )
    if table.teacher is not None and table.teacher.curves:
        alt += f"; {table.teacher.name} {table.teacher.score().mean:.2f} percent"
    return Picture(headline, table.picture(metric.slug), f"{alt}.")


def _preview(table: Table, previewing: Sequence[Method]) -> Picture:
    said = []
    for method in previewing:
        runs = [records for records in method.previews.values() if records]
        values = [
            mean(factor * records[place][key] for records in runs)
            for key, factor in (("threshold", 1), ("share", 100))
            for place in (0, -1)
        ]
        said.append(
            "{}: the threshold goes from {:.2f} in the first epoch to {:.2f} in the "
            "last, the share of previewed images from {:.1f} to {:.1f} percent".format(
                method.name, *values
            )
        )
    return Picture(
        "What the preview did",
        table.picture("preview"),
        f"Threshold, share of previewed images, weights. {'; '.join(said)}.",
        "Images up to the threshold, the loss relative to the mean of the batch, count "
        "in full. Harder ones are previewed, with a weight below 1; the threshold "
        "grows, and ever fewer are.",
        "preview",
    )


def _centers(table: Table) -> Optional[Picture]:
    found = table.inspected
    if found is None or not found.centers:
        return None
    if min(len(rows) for rows in found.centers.values()) < 3:
        return None  # one correlation is no pattern
    likeness = found.likeness_to_teacher()
    alt = f"Correlations between the category centers of {', '.join(found.centers)}."
    if likeness:
        said = ", ".join(f"{name} {value:.3f}" for name, value in likeness.items())
        alt += f" Correlation with those of {found.teacher}: {said}."
    return Picture(
        "Category centers of teacher and student",
        table.picture("centers"),
        alt,
        "The rows of a classifier's weights are its category centers. Each square "
        "shows how they correlate with each other, row and column a category: red "
        "alike, blue opposed. A student that has learnt which categories are akin "
        "looks like the teacher. The networks are those of the first seed.",
        "centers",
    )
