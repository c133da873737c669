"""Which networks the sweep tries: the smallest one of each kind."""

import importlib.util
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from .classifier_kinds import CLASSIFIERS, HUGGING_FACE, TIMM, TORCHVISION
from .detector_kinds import DETECTORS

# What has to be there for the kinds of a library.
PACKAGES = dict(
    mmpretrain="mmpretrain",
    mmdet="mmdet",
    timm="timm",
    transformers="transformers",
    torchvision="torchvision",
)

_RESNET = "self-supervised; its classifier is a ResNet"
_LANGUAGE = "images and language"
_HEADLESS = "no classifier"
# Folders of configs without a kind.
LEFT_OUT: Dict[str, Dict[str, str]] = dict(
    mmpretrain=dict(
        arcface="retrieval; its head is tried on a ResNet",
        barlowtwins=_RESNET,
        byol=_RESNET,
        densecl=_RESNET,
        mocov2=_RESNET,
        simclr=_RESNET,
        simsiam=_RESNET,
        swav=_RESNET,
        itpn="self-supervised",
        blip=_LANGUAGE,
        blip2=_LANGUAGE,
        chinese_clip=_LANGUAGE,
        flamingo=_LANGUAGE,
        llava=_LANGUAGE,
        minigpt4=_LANGUAGE,
        ofa=_LANGUAGE,
        otter=_LANGUAGE,
        dinov2=_HEADLESS,
        glip=_HEADLESS,
        sam=_HEADLESS,
    ),
    mmdet=dict(
        common="schedules and data",
        ld="distils by itself, from a teacher that it fetches",
        misc="a wrapper of detectron2",
        glip=_LANGUAGE,
        grounding_dino=_LANGUAGE,
        mm_grounding_dino=_LANGUAGE,
    ),
)


@dataclass
class Kind:
    """A network to try.

    Args:
        library (str): Where it is from, a key of ``PACKAGES``.
        name (str): Its name in the table, that of the family's folder of configs.
        source (str): Its config in the library, or its name there.
        size (int): Height and width of its images, the smallest that it takes.
        labels (str): What an image is labelled with: ``one`` class, ``several``
            classes, a class of each of several ``tasks``, or ``boxes``.
        settings (dict): What the sweep sets in the model, and in its config's
            ``data_preprocessor``, by dotted names.
    """

    library: str
    name: str
    source: str
    size: int
    labels: str = "one"
    settings: Dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """str: What it is called on the command line."""
        return f"{self.library}/{self.name}"

    @property
    def installed(self) -> bool:
        """bool: Whether its library is there."""
        return importlib.util.find_spec(PACKAGES[self.library]) is not None


def configs_of(library: str) -> Path:
    """Folder of the configs that an installed library brings."""
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        raise ImportError(f"{library} is not installed; expected it, with its configs.")
    return Path(spec.origin).parent / ".mim" / "configs"


def all_kinds() -> List[Kind]:
    """All kinds, library by library."""
    tables = dict(
        mmpretrain=CLASSIFIERS,
        timm=TIMM,
        transformers=HUGGING_FACE,
        torchvision=TORCHVISION,
        mmdet=DETECTORS,
    )
    return [
        Kind(library, name, **entry)
        for library, table in tables.items()
        for name, entry in table.items()
    ]


def choose(only: Optional[Sequence[str]] = None) -> List[Kind]:
    """The kinds that are asked for and whose library is there.

    Args:
        only (Sequence[str], optional): Names or patterns, such as ``mmdet/*``. Defaults
            to None, all.

    Returns:
        list[Kind]: The kinds, each once.

    Raises:
        ValueError: For a name that no kind has.
    """
    kinds = all_kinds()
    for pattern in only or ():
        if not any(fnmatch(kind.id, pattern) for kind in kinds):
            raise ValueError(
                f"There is no kind {pattern}; expected names such as {kinds[0].id} or "
                "patterns such as 'mmdet/*': --list names all."
            )
    return [
        kind
        for kind in kinds
        if kind.installed
        and (not only or any(fnmatch(kind.id, pattern) for pattern in only))
    ]
