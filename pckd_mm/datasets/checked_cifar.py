"""CIFAR-100 that unpickles no other files than the official ones."""

from mmengine.fileio import exists, join_path
from mmpretrain.datasets import CIFAR100
from mmpretrain.datasets.utils import check_md5

from pckd_mm.registry import DATASETS
from pckd_mm.utils.printable import printable


@DATASETS.register_module()
class CheckedCIFAR100(CIFAR100):
    """CIFAR-100 from the official files, which are refused where they are not those.

    The files are pickles, and a pickle can run any code. They are read only if their
    MD5 sums are those of the official ones, of which no other file is known or can be
    made. The items are those of :class:`mmpretrain.datasets.CIFAR100`, which checks
    too, but by an assertion and after fetching the archive anew.

    Args:
        **kwargs: Arguments of :class:`mmpretrain.datasets.CIFAR100`, such as
            ``data_root``, ``split`` and ``download``.

    Raises:
        ValueError: For a file that is not the official one.
        RuntimeError: Where files are missing and ``download`` is False.
    """

    def _check_integrity(self) -> bool:
        """Whether all files are there.

        Raises:
            ValueError: See the class.
        """
        root = self.data_prefix["root"]
        for name, md5 in (*self.train_list, *self.test_list):
            path = join_path(root, self.base_folder, name)
            if not exists(path):
                return False
            if not check_md5(path, md5):
                raise ValueError(
                    f"{printable(path)} is not the official file of CIFAR-100, whose "
                    f"MD5 sum is {md5}, and is not read, since it could run code; "
                    "expected that very file: remove it to have it fetched again."
                )
        return True
