"""Files of a data set that are broken: what is said about them, and skipping them."""

import os.path as osp
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, List, Optional, Type

from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import BaseDataset
from mmengine.structures import BaseDataElement

from pckd_mm.utils.printable import printable

from .image_checks import load_whole

__all__ = [
    "BrokenFileError",
    "CheckedImages",
    "MissingFileError",
    "is_local",
    "read_lines",
    "shortened",
]


class BrokenFileError(ValueError):
    """A file of a data set that cannot be used.

    Args:
        message (str): What is wrong with it, in one sentence that names it.
        path (str): The file. Empty where another process has met the error, of which
            torch hands on the message alone.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class MissingFileError(BrokenFileError, FileNotFoundError):
    """A file of a data set that is not there."""


def shortened(items: Iterable[str], most: int) -> str:
    """The first of some names, and how many more there are.

    Args:
        items (Iterable[str]): The names.
        most (int): How many to list.
    """
    items = list(items)
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(printable, items[:most])) + rest


def is_local(path: str, backend_args: Optional[dict] = None) -> bool:
    """Whether MMEngine reads a path from the file system.

    Args:
        path (str): The path.
        backend_args (dict, optional): MMEngine's settings of the storage.
    """
    backend = (backend_args or {}).get("backend")
    return backend == "local" if backend else "://" not in path


def read_lines(path: str) -> List[str]:
    """Lines of a text file that somebody else wrote.

    Args:
        path (str): The file.

    Returns:
        list[str]: Its lines without their ends.

    Raises:
        ValueError: For a file that is no text in UTF-8.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return [line.rstrip("\n") for line in file]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{printable(str(path))} is no text in UTF-8 ({error.reason} at byte "
            f"{error.start}); expected lines of text: save it in UTF-8 or fetch it "
            "again."
        ) from error


def _reason(error: Exception) -> str:
    return printable(" ".join(f"{type(error).__name__}: {error}".split()))


class CheckedImages(BaseDataset):
    """What data sets of image files share: clear errors, and skipping broken files.

    Comes before one of MMEngine's data sets among the bases of a class.

    A broken file is replaced by the next one of the data set, the same one each time,
    whose own ``sample_idx`` stands in the item. Meta information of the item's data
    sample, ``broken_files``, and the attribute :attr:`broken_files` of the object in
    this process tell which were replaced; :class:`pckd_mm.engine.BrokenFilesHook`
    collects them.

    Args:
        skip_broken (bool): Whether to replace broken files, in training only. Defaults
            to False: they raise an error.
        leave_out_broken (bool): Whether the data set is made without broken files, for
            which each is loaded once. For parts of one data set, of which one is to
            validate on: all of them are to be made of the same files. Defaults to
            False.
        **kwargs: Arguments of the data set.

    Attributes:
        broken_files (dict[str, str]): The files that this object has found to be
            broken, and what is wrong with each of them.
        examined (int): The files that were loaded for ``leave_out_broken``.

    Raises:
        ValueError: For ``skip_broken`` in testing.
    """

    # What the files should be, for messages.
    _expected = "an image"

    def __init__(
        self,
        *args: Any,
        skip_broken: bool = False,
        leave_out_broken: bool = False,
        **kwargs: Any,
    ) -> None:
        if skip_broken and kwargs.get("test_mode"):
            raise ValueError(
                f"{type(self).__name__} found skip_broken=True with test_mode=True; "
                "expected it for training only, since a test of other images is "
                "another test: leave skip_broken out, and mend the broken files."
            )
        self.skip_broken = skip_broken
        self.leave_out_broken = leave_out_broken
        self.examined = 0
        self.broken_files: Dict[str, str] = {}
        super().__init__(*args, **kwargs)

    def describe_image(self, info: dict) -> str:
        """A file and what it is, for messages.

        Args:
            info (dict): What the data set knows of the image.
        """
        path, label = printable(info["img_path"]), info.get("gt_label")
        classes = self.metainfo.get("classes")
        if classes is None or not isinstance(label, int) or label >= len(classes):
            return f"{path}, an image of {type(self).__name__},"
        return f"{path}, an image of the class {printable(str(classes[label]))},"

    def remedy(self, info: dict) -> str:
        """What can be done about a broken file, for messages.

        Args:
            info (dict): What the data set knows of the image.
        """
        return "fetch it again or remove it" + self._or_skip()

    def _or_skip(self) -> str:
        useless = self.test_mode or self.skip_broken or self.leave_out_broken
        return "" if useless else ", or train with --skip-broken"

    def filter_data(self) -> List[dict]:
        """Filter the images, and leave out broken ones where that is asked for.

        Returns:
            list[dict]: Those that are left.

        Raises:
            BrokenFileError: Where all are broken.
        """
        kept: List[dict] = super().filter_data()
        if not self.leave_out_broken:
            return kept
        with ThreadPoolExecutor() as pool:
            errors = list(pool.map(self._defect_of, kept))
        broken = [error for error in errors if error is not None]
        if broken and len(broken) == len(kept):
            raise broken[0]
        self.examined = len(kept) + len(self.broken_files)
        self.broken_files.update((error.path, str(error)) for error in broken)
        return [info for info, error in zip(kept, errors, strict=True) if error is None]

    def _defect_of(self, info: dict) -> Optional[BrokenFileError]:
        """What is wrong with an image, if anything is."""
        try:
            for transform in self.pipeline.transforms:
                if isinstance(transform, LoadImageFromFile):
                    self.load_image(transform, dict(info))
        except BrokenFileError as error:
            return error
        return None

    def prepare_data(self, idx: int) -> Optional[dict]:
        """Run the pipeline, with the loading of the image checked.

        Args:
            idx (int): Index of the image.

        Returns:
            Outcome of the pipeline; None where a transform gives None.

        Raises:
            BrokenFileError: For an image that cannot be loaded. Errors of other
                transforms pass unchanged.
        """
        data = self.get_data_info(idx)
        # The loop of Compose: an exception out of the whole of it would not tell
        # whether the file or a later transform is to blame.
        for transform in self.pipeline.transforms:
            if isinstance(transform, LoadImageFromFile):
                data = self.load_image(transform, data)
            else:
                data = transform(data)
            if data is None:
                return None
        return data

    def load_image(self, load: LoadImageFromFile, info: dict) -> Optional[dict]:
        """Load an image, or say what is wrong with its file.

        Args:
            load (LoadImageFromFile): The transform that loads it.
            info (dict): What the data set knows of the image.

        Returns:
            dict, optional: What the transform makes of ``info``; None where it may
            leave out images (``ignore_empty``) and does.

        Raises:
            MissingFileError: Where there is no such file.
            BrokenFileError: For a file that is empty, cut off or no image, or declares
                more than 178,956,970 pixels. Where single bytes of a JPEG file are
                wrong, decoders do not notice.
        """
        path = info["img_path"]
        local = is_local(path, load.backend_args) and load.file_client_args is None
        checks = local and not load.ignore_empty
        kind: Type[BrokenFileError] = BrokenFileError
        cause: Exception
        try:
            return load_whole(path, lambda: load(info)) if checks else load(info)
        except MemoryError:
            raise
        except FileNotFoundError as error:
            kind, found, cause = MissingFileError, "is missing", error
        except Exception as error:
            empty = local and osp.isfile(path) and osp.getsize(path) == 0
            found = f"{'is empty' if empty else 'does not decode'} ({_reason(error)})"
            cause = error
        raise kind(
            f"{self.describe_image(info)} {found}; expected {self._expected}: "
            f"{self.remedy(info)}.",
            path,
        ) from cause

    def __getitem__(self, idx: int) -> dict:
        """An item, of the next image where one is broken and broken ones are skipped.

        Args:
            idx (int): Index of the image.

        Raises:
            BrokenFileError: See the class.
            ValueError: Where all images are broken, or items have no data sample.
        """
        if not self.skip_broken:
            return super().__getitem__(idx)
        broken: Dict[str, str] = {}
        for step in range(len(self)):
            try:
                item = super().__getitem__((idx + step) % len(self))
            except BrokenFileError as error:
                broken[error.path] = str(error)
                continue
            if broken:
                self._tell(item, broken)
            return item
        raise ValueError(
            f"skip_broken=True finds no good one among the {len(self)} images of "
            f"{type(self).__name__}; expected a few broken ones: mend the data set. "
            f"{next(iter(broken.values()))}"
        )

    def _tell(self, item: Any, broken: Dict[str, str]) -> None:
        sample = item.get("data_samples") if isinstance(item, dict) else None
        if not isinstance(sample, BaseDataElement):
            raise ValueError(
                f"skip_broken=True found a pipeline of {type(self).__name__} that "
                "makes no data sample, in which a skipped file could be told; expected "
                "one that ends in PackInputs or PackDetInputs: add it."
            )
        self.broken_files.update(broken)
        sample.set_metainfo(dict(broken_files=broken))
