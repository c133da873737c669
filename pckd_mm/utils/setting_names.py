"""Short names of settings, as users say them: ``loss_kd`` for a loss's weight."""

from typing import Collection

from .nearest import nearest

__all__ = ["setting_name"]


def setting_name(option: str, losses: Collection[str]) -> str:
    """Name of a setting in the config of a model.

    Args:
        option (str): ``loss_kd`` for the weight of a distillation loss, ``loss_kd.tau``
            for another setting of it, else the name itself.
        losses (Collection[str]): Names of the distillation losses.

    Returns:
        str: The name, with dots: ``distiller.distill_losses.loss_kd.tau``.

    Raises:
        ValueError: For a loss that is not there.
    """
    loss, _, setting = option.partition(".")
    if not loss.startswith("loss_"):
        return option
    if loss not in losses:
        likely = nearest(loss, losses, 0)
        meant = f": did you mean {likely}?" if likely else "."
        raise ValueError(
            f"has no {loss}; expected one of its losses, "
            f"{', '.join(losses) or 'none'}{meant}"
        )
    return f"distiller.distill_losses.{loss}.{setting or 'loss_weight'}"
