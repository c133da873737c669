"""Batches that some data sets give whole."""

from typing import Any, Mapping, Sequence, Union

from mmengine.dataset import default_collate

from pckd_mm.registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_batches(data_batch: Union[Mapping, Sequence]) -> Any:
    """Make a batch of single items, and leave a whole one as it is.

    Named as ``collate_fn`` of a data loader over
    :class:`pckd_mm.datasets.InMemoryDataset`.

    Args:
        data_batch (Mapping | Sequence): A batch, or the items to make one of.

    Returns:
        Any: The batch; of single items what MMEngine's ``default_collate`` makes.
    """
    if isinstance(data_batch, Mapping):
        return data_batch
    return default_collate(data_batch)
