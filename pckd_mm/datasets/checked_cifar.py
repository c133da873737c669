"""CIFAR-100 that unpickles no other files than the official ones."""

from typing import List
from urllib.error import URLError

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
        ConnectionError: Where they are missing and cannot be fetched.
    """

    def load_data_list(self) -> List[dict]:
        """Read the images and labels of one split.

        Returns:
            list[dict]: ``img``, an array of the shape (32, 32, 3), and ``gt_label``.

        Raises:
            ConnectionError, RuntimeError, ValueError: See the class.
        """
        try:
            return super().load_data_list()
        except URLError as error:
            root = self.data_prefix["root"]
            place = printable(join_path(root, self.base_folder))
            advice = f"fetch and unpack it elsewhere and put that folder into {root}"
            if exists(join_path(root, "train")):
                advice += (
                    f"; for the images of {join_path(root, 'train')} take the data set "
                    "of configs/_base_/datasets/cifar100_folder.py"
                )
            raise ConnectionError(
                f"{place} lacks files, and {self.url} cannot be fetched "
                f"({error.reason}); expected the official files of CIFAR-100: {advice}."
            ) from error

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
