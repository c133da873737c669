"""The pictures of a report, each with what it shows in words."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Callable, Iterator, List, Sequence, Tuple

from pckd_mm.utils.loss_terms import STUDENT

from .figures import losses_of, plot_curves, plot_losses, plot_preview
from .inspection import Inspected
from .methods import Method, Table
from .network_figures import plot_centers, plot_confusion, plot_features
from .tables import capital

if TYPE_CHECKING:
    from .detections import Scene

__all__ = ["Picture", "detections_picture", "draw_pictures"]


Draw = Callable[[Path], None]


@dataclass
class Picture:
    """A picture with its headline.

    Args:
        headline (str): What it is of.
        file (str): Name of its file in the report's folder.
        alt (str): What it shows, in words and numbers.
        text (str): A paragraph in front of it; empty for none.
        kind (str): What it shows, where the page has more of it: 'preview', 'losses',
            'centers', 'features', 'confusion'.
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
    pictures = list(_pictures(table))
    for picture, draw in pictures:
        path = folder / picture.file
        if anew or not path.is_file():
            draw(path)
    return [picture for picture, _ in pictures]


def _pictures(table: Table) -> Iterator[Tuple[Picture, Draw]]:
    """What a table has pictures of, each with what draws it."""
    if any(method.curves for method in table.methods):
        yield (
            _curves(table),
            lambda path: plot_curves(
                path,
                table.methods,
                table.teachers,
                table.metric,
                table.step,
                table.of_seeds,
            ),
        )
    losing = [method for method in table.methods if _has_losses(method)]
    if losing:
        yield _losses(table, losing), lambda path: plot_losses(path, losing)
    previewing = [method for method in table.methods if any(method.previews.values())]
    if previewing:
        yield _preview(table, previewing), lambda path: plot_preview(path, previewing)
    if table.inspected is not None:
        yield from _pictures_of_networks(table, table.inspected)


def _pictures_of_networks(
    table: Table, found: Inspected
) -> Iterator[Tuple[Picture, Draw]]:
    # One correlation is no pattern.
    if found.centers and min(len(rows) for rows in found.centers.values()) > 2:
        yield (
            _centers(table, found),
            lambda path: plot_centers(
                path, found.correlations(), found.likeness_to_teacher()
            ),
        )
    if found.maps:
        yield (
            _features(table, found),
            lambda path: plot_features(path, found.maps, found.categories),
        )
    if found.matrices:
        yield (
            _confusion(table, found),
            lambda path: plot_confusion(path, found.matrices, found.categories),
        )


def _has_losses(method: Method) -> bool:
    return any(losses.values for losses in method.losses.values())


def _curves(table: Table) -> Picture:
    metric = table.metric
    curves = [c for m in table.everything for c in m.curves.values()]
    validated = "validated " if any(len(c) < max(c) for c in curves) else ""
    headline = f"{capital(metric.kind)} after each {validated}{table.step}"
    ends = [f"{m.name} {m.score().mean:.2f}" for m in table.methods if m.curves]
    over = ", mean over seeds" if table.of_seeds else ""
    unit = f" {metric.unit}" if metric.unit else ""
    alt = f"{headline}{over}. After the last {table.step}: {', '.join(ends)}{unit}"
    for teacher in table.teachers:
        if teacher.curves:
            alt += f"; {teacher.name} {teacher.score().mean:.2f} percent"
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


def _centers(table: Table, found: Inspected) -> Picture:
    likeness = found.likeness_to_teacher()
    alt = f"Correlations between the category centers of {', '.join(found.centers)}."
    for teacher in dict.fromkeys(found.teachers[name] for name in likeness):
        said = [
            f"{name} {value:.3f}"
            for name, value in likeness.items()
            if found.teachers[name] == teacher
        ]
        alt += f" Correlation with those of {teacher}: {', '.join(said)}."
    return Picture(
        "Category centers of teacher and student",
        table.picture("centers"),
        alt,
        "The rows of a classifier's weights are its category centers. Each square "
        "shows how they correlate with each other, row and column a category: red "
        "alike, blue opposed. A student that has learnt which categories are akin "
        f"looks like the teacher.{_of_first_seed(table)}",
        "centers",
    )


def _losses(table: Table, losing: Sequence[Method]) -> Picture:
    said = []
    for method in losing:
        losses = next(iter(method.losses.values()))
        ends = []
        shares = losses.shares()
        for name in losses_of([method]):
            share = shares[name]
            words = f"{name} {100 * share[max(share)]:.0f}" if share else f"{name} -"
            gradient = losses.gradient.get(name)
            if gradient:
                words += f" and {100 * gradient[max(gradient)]:.0f}"
            cosine = losses.cosines.get(name)
            if cosine and name != STUDENT:
                words += f" (cosine {cosine[max(cosine)]:+.2f})"
            ends.append(words)
        said.append(f"{method.name}: {', '.join(ends)}")
    return Picture(
        "Which loss moves the student",
        table.picture("losses"),
        "Shares of the losses over the steps. In percent at the end, in the sum and, "
        f"where it was measured, in the gradient: {'; '.join(said)}.",
        "Left what each loss is of the sum of all. In the middle what it is of the "
        "student's gradient, which is what counts: the norm of its gradient over the "
        "sum of all norms, at some steps. A loss can be large and hardly move the "
        "student. Right whether it moves the student as the labels do: the cosine with "
        "the gradient of 'student', the student's own loss. 1 is the same direction, 0 "
        "is across.",
        "losses",
    )


def _features(table: Table, found: Inspected) -> Picture:
    first = next(iter(found.maps.values()))
    shown = sorted(set(first.labels.tolist()))
    names = ", ".join(found.categories[category] for category in shown)
    said = ", ".join(f"{n} {m.silhouette:.3f}" for n, m in found.maps.items())
    return Picture(
        "How the networks see the images",
        table.picture("features"),
        f"Features of {len(first.labels)} test images of {names} in a plane. "
        f"Silhouettes: {said}.",
        "A point is a test image; near points have features of like directions (t-SNE, "
        "so that distances between groups say little). The categories are those that "
        "are confused most. The silhouette is of the features themselves: 1 where each "
        "image is far nearer to its own category than to the next, 0 where both are as "
        "near.",
        "features",
    )


def _confusion(table: Table, found: Inspected) -> Picture:
    wrong = ", ".join(f"{name} {count}" for name, count in found.wrong.items())
    return Picture(
        "What is taken for what",
        table.picture("confusion"),
        f"Confusion matrices over {len(found.categories)} categories. Wrong of "
        f"{found.test_images} test images: {wrong}.",
        "A row is a category, a column what its test images are taken for. What is "
        "right lies on the diagonal.",
        "confusion",
    )


def detections_picture(
    file: str, scenes: Sequence["Scene"], threshold: float, images: str
) -> Picture:
    """What :func:`~pckd_mm.analysis.detections.plot_detections` drew, in words.

    Args:
        file (str): The picture.
        scenes (Sequence[Scene]): What is in it.
        threshold (float): Boxes of a higher score are drawn.
        images (str): What the images are called.

    Returns:
        Picture: The picture.
    """
    boxes = {name: sum(len(s.boxes[name]) for s in scenes) for name in scenes[0].boxes}
    said = ", ".join(f"{name} {count}" for name, count in boxes.items())
    return Picture(
        "Detections",
        file,
        f"Boxes in {len(scenes)} {images}: {said}.",
        f"The first {len(scenes)} {images}: what is there, difficult objects with a "
        "dashed line, and the boxes that the detectors give a score above "
        f"{threshold}, with the score in percent.",
    )


def _of_first_seed(table: Table) -> str:
    """Which networks are looked into, where there are more."""
    return " The networks are those of the first seed." if table.of_seeds else ""
