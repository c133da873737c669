"""Category alignment, L_CA of PCKD."""

from typing import Optional

from torch import Tensor, cat, nn, stack

from pckd_mm.registry import MODELS
from pckd_mm.utils.processes import mean_over_processes

from .utils import full_precision, l2_normalize, require_group

_FORMS = ("entries", "gram")


@full_precision
def category_alignment(
    s_centers: Tensor,
    t_centers: Tensor,
    s_bias: Optional[Tensor] = None,
    t_bias: Optional[Tensor] = None,
) -> Tensor:
    """Mean squared difference of the category centers, biases as one more column.

    Args:
        s_centers (Tensor): Weight of the student's classifier, shape (C, D).
        t_centers (Tensor): Weight of the teacher's classifier, shape (C, D).
        s_bias (Tensor, optional): Bias of the student's classifier, shape (C,).
        t_bias (Tensor, optional): Bias of the teacher's classifier, shape (C,).

    Returns:
        Tensor: Scalar.

    Raises:
        ValueError: For unequal shapes, or a bias on one side only.
    """
    if s_centers.shape != t_centers.shape:
        raise ValueError(
            "CategoryAlignmentLoss found student centers of shape "
            f"{tuple(s_centers.shape)} and teacher centers of shape "
            f"{tuple(t_centers.shape)}; expected equal shapes: leave the loss out of "
            "distill_losses (set it to None) for this pair, or set form='gram'."
        )
    if (s_bias is None) != (t_bias is None):
        missing = "student" if s_bias is None else "teacher"
        raise ValueError(
            f"CategoryAlignmentLoss found no bias of the {missing} beside the other "
            "one's; expected both or neither: drop s_bias and t_bias from "
            "loss_forward_mappings."
        )
    if s_bias is not None and t_bias is not None:
        s_centers = cat([s_centers, s_bias[:, None]], dim=1)
        t_centers = cat([t_centers, t_bias[:, None]], dim=1)
    return (s_centers - t_centers.detach()).square().mean()


@full_precision
def center_gram_alignment(s_centers: Tensor, t_centers: Tensor) -> Tensor:
    """Mean squared difference of the cosines between category centers.

    Which categories are like each other, of features of any widths: of the C x C Gram
    matrices of both sides' centers, scaled to length one. It is an option of this
    project, akin to what Tung and Mori (ICCV 2019) compare the images of a batch by.

    Args:
        s_centers (Tensor): Weight of the student's classifier, shape (C, D_s).
        t_centers (Tensor): Weight of the teacher's classifier, shape (C, D_t); it gets
            no gradient.

    Returns:
        Tensor: Scalar in [0, 4], over all C^2 entries; the cosine with a center of
        zeros counts as 0.

    Raises:
        ValueError: For unequal numbers of categories.
    """
    if len(s_centers) != len(t_centers):
        raise ValueError(
            f"CategoryAlignmentLoss found {len(s_centers)} centers of the student and "
            f"{len(t_centers)} of the teacher; expected the same categories: leave the "
            "loss out of distill_losses (set it to None) for this pair."
        )
    s_unit, t_unit = l2_normalize(s_centers), l2_normalize(t_centers.detach())
    return (s_unit @ s_unit.T - t_unit @ t_unit.T).square().mean()


@MODELS.register_module()
class CategoryAlignmentLoss(nn.Module):
    """Pull the student's category centers to the teacher's (PCKD, L_CA).

    Of several sets of centers, such as a detector's for each of its anchors, it is the
    mean over the instances of the loss of each one's own set; 0 without instances.

    Args:
        loss_weight (float): Weight of the loss, alpha in the paper. Defaults to 1.0.
        form (str): What is compared: ``'entries'``, the paper's, of features of one
            width (:func:`category_alignment`), or ``'gram'``, the cosines between the
            centers, of any widths and without the biases
            (:func:`center_gram_alignment`). Defaults to ``'entries'``.

    Raises:
        ValueError: For another form.
    """

    def __init__(self, loss_weight: float = 1.0, form: str = "entries") -> None:
        super().__init__()
        if form not in _FORMS:
            raise ValueError(
                f"CategoryAlignmentLoss found form={form!r}; expected 'entries' for "
                "features of one width, or 'gram'."
            )
        self.form = form
        self.loss_weight = loss_weight

    def forward(
        self,
        s_centers: Tensor,
        t_centers: Tensor,
        s_bias: Optional[Tensor] = None,
        t_bias: Optional[Tensor] = None,
        group: Optional[Tensor] = None,
    ) -> Tensor:
        """Compute the loss; see the function of its form.

        Args:
            s_centers (Tensor): Weight of the student's classifier, shape (C, D_s) or,
                of several, (G, C, D_s).
            t_centers (Tensor): Weight of the teacher's classifier, shape (C, D_t) or
                (G, C, D_t).
            s_bias (Tensor, optional): Bias of the student's, shape (C,) or (G, C).
            t_bias (Tensor, optional): Bias of the teacher's, shape (C,) or (G, C).
            group (Tensor, optional): Which of several classifiers is each instance's,
                shape (N,). Defaults to None, for a single one.

        Returns:
            Tensor: Scalar.
        """
        if s_centers.ndim == 2:
            return self.loss_weight * self._of_one(s_centers, t_centers, s_bias, t_bias)
        require_group(group, s_centers, "CategoryAlignmentLoss")
        nothing = [None] * len(s_centers)
        sets = zip(
            s_centers,
            t_centers,
            nothing if s_bias is None else s_bias,
            nothing if t_bias is None else t_bias,
            strict=True,
        )
        of_sets = stack([self._of_one(*of_set) for of_set in sets])
        return self.loss_weight * mean_over_processes(of_sets[group])

    def _of_one(
        self,
        s_centers: Tensor,
        t_centers: Tensor,
        s_bias: Optional[Tensor],
        t_bias: Optional[Tensor],
    ) -> Tensor:
        if self.form == "gram":
            return center_gram_alignment(s_centers, t_centers)
        return category_alignment(s_centers, t_centers, s_bias, t_bias)
