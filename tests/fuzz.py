"""Feed mutated files to the readers, in a process that is watched.

python -m tests.fuzz FOLDER --files 2000 --seed 0

prints, as JSON, how many files of each reader were accepted and how many refused with
a clear error, and everything that must not be: other errors, and what the process did
besides reading. The newest file is in FOLDER, in case that the process dies of it.
"""

import argparse
import contextlib
import io
import json
import os
import pickletools
import random
import resource
import struct
import sys
import tarfile
import time
import warnings
import zipfile
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Tuple

# Memory that a reader may ask for beyond what the process has when it begins.
MEMORY = 4 * 2**30
# A pickle that puts an object on the stack, or takes one, is cut off from the next one.
_POP = b"0"
_NUMBERS = (0, 1, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)


def _text(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def payloads(canary: str) -> List[bytes]:
    """Opcodes that create a file, for an unpickler that does as it is told.

    Args:
        canary (str): Path of the file.
    """
    touch, write = _text(f"touch {canary}"), _text(f"open({canary!r}, 'w')")
    arguments = b"]" + b"(" + _text("touch") + _text(canary) + b"e"
    return [
        b"cposix\nsystem\n" + touch + b"\x85R",
        b"cos\nsystem\n" + touch + b"\x85R",
        b"cbuiltins\nexec\n" + write + b"\x85R",
        b"cbuiltins\neval\n" + write + b"\x85R",
        b"c__builtin__\neval\n" + write + b"\x85R",
        b"csubprocess\ncall\n" + arguments + b"\x85R",
        b"\x8c\x05posix\x8c\x06system\x93" + touch + b"\x85R",
        b"(" + touch + b"iposix\nsystem\n",
        b"(cposix\nsystem\n" + touch + b"o",
        b"cbuiltins\ngetattr\ncbuiltins\n__import__\n"
        + (_text("posix") + b"\x85R" + _text("system") + b"\x86R" + touch + b"\x85R"),
        b"cio\nopen\n" + _text(canary) + _text("w") + b"\x86R",
    ]


def _misuses() -> List[bytes]:
    """Opcodes that misuse what is allowed, or ask for memory."""
    buffer = b"cmmengine.logging.history_buffer\nHistoryBuffer\n"
    return [
        b"cbuiltins\ngetattr\n" + buffer + _text("__init__") + b"\x86R",
        b"cbuiltins\ngetattr\n" + buffer + _text("__subclasses__") + b"\x86R",
        b"cbuiltins\ngetattr\n" + buffer + _text("min") + b"\x86R",
        buffer + b")\x81}" + _text("_statistics_methods") + b"Nsb",
        b"ccollections\nOrderedDict\n)R}" + _text("__class__") + b"Nsb",
        b"ctorch\nload\n" + _text("/etc/passwd") + b"\x85R",
        b"ctorch.hub\nload_state_dict_from_url\n"
        + _text("http://0.0.0.0:9")
        + b"\x85R",
        b"ctorch.jit\nload\n" + _text("/etc/passwd") + b"\x85R",
        b"cnumpy\nload\n" + _text("/etc/passwd") + b"\x85R",
        b"cnumpy\ndtype\n("
        + _text("V16")
        + b"I00\nI01\ntR(K\x03"
        + _text("|")
        + b"NNNK\x10K\x01K\x00tb",
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + (b"\x8a\x05\x00\x00\x00\x00\x10\x85C\x01b\x87R"),
        b"cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x10\x85R",
        b"ctorch\nSize\n(K\x01K\x02ttR",
        b"r\xff\xff\xff\x7f" + b"N",
        b"X\xff\xff\xff\xff",
        b"\x8e\x00\x00\x00\x00\x10\x00\x00\x00",
        b"\x96\x00\x00\x00\x00\x10\x00\x00\x00",
        b"\x95\xff\xff\xff\xff\xff\x00\x00\x00N",
        # Torch takes seconds to word this error of 20,000.
        b"N" + b"\x85" * 5000,
        b"Vtext\n",
        b"\x82\x01",
    ]


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Change a file without regard to what it holds."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        place = rng.randrange(len(out) + 1)
        length = rng.choice((1, 2, 4, 8, 64, 512))
        kind = rng.randrange(9)
        if kind == 0 and out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[place:place] = rng.randbytes(length)
        elif kind == 2:
            del out[place : place + length]
        elif kind == 3:
            del out[place:]
        elif kind == 4:
            out[place:place] = out[place : place + length]
        elif kind == 5:
            out[place : place + length] = bytes(len(out[place : place + length]))
        elif kind == 6:
            size = rng.choice("HIQ")
            order, limit = rng.choice("<>"), 256 ** struct.calcsize(size) - 1
            number = struct.pack(order + size, min(rng.choice(_NUMBERS), limit))
            out[place : place + len(number)] = number
        elif kind == 7:
            other = rng.randrange(len(out) + 1)
            block = out[other : other + length]
            out[place : place + len(block)] = block
        else:
            end = min(place + length, len(out))
            out[place:end] = rng.randbytes(end - place)
    return bytes(out)


def mutate_text(data: bytes, rng: random.Random) -> bytes:
    """Change a text: its lines, words and numbers, or anything."""
    if rng.random() < 0.4:
        return mutate_bytes(data, rng)
    lines = data.split(b"\n")
    odd = (b"", b"-1", b"99999999999999999999", b"1.5", b"nan", b"\xff\xfe", b"\x00")
    odd += ("\u0663".encode(), b"../../etc/passwd", b"&lt;", b"<object>", b" ", b"\t")
    place = rng.randrange(len(lines))
    kind = rng.randrange(5)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(place, rng.choice(lines))
    elif kind == 2:
        lines.insert(place, rng.choice(odd))
    elif kind == 3:
        rng.shuffle(lines)
    else:
        words = lines[place].replace(b">", b"> ").replace(b"<", b" <").split(b" ")
        words[rng.randrange(len(words))] = rng.choice(odd)
        lines[place] = b" ".join(words)
    return b"\n".join(lines)


def mutate_pickle(data: bytes, rng: random.Random, canary: str) -> bytes:
    """Change the opcodes of a pickle, or add some that run code."""
    opcodes = list(pickletools.genops(data))
    kind = rng.randrange(4)
    if kind == 0:
        names = [
            (arg, place) for op, arg, place in opcodes if op.name == "GLOBAL"
        ] or None
        if names:
            name, place = rng.choice(names)
            end = place + 1 + len(name) + 1
            evil = rng.choice(
                (b"posix\nsystem", b"builtins\neval", b"os\npopen", b"torch\nload")
            )
            return data[:place] + b"c" + evil + b"\n" + data[end:]
    if kind == 1:
        numbers = [place for op, _, place in opcodes if op.name.startswith("BININT")]
        if numbers:
            place = rng.choice(numbers)
            length = {b"K": 2, b"M": 3, b"J": 5}[data[place : place + 1]]
            number = rng.choice((*_NUMBERS, -1, -(2**31), 2**34))
            content = number.to_bytes(9, "little", signed=True)
            return data[:place] + b"\x8a\x09" + content + data[place + length :]
    boundaries = [place for op, _, place in opcodes if op.name != "PROTO"]
    place = rng.choice(boundaries)
    inserted = rng.choice(payloads(canary) + _misuses())
    rest = _POP if rng.random() < 0.8 else b""
    return data[:place] + inserted + rest + data[place:]


def _split_pickles(data: bytes) -> Tuple[bytes, bytes, bytes]:
    """What comes before the fourth pickle of torch's old format, it, and the rest."""
    file, places = io.BytesIO(data), []
    for _ in range(4):
        places.append(file.tell())
        for _ in pickletools.genops(file):
            pass
    start, end = places[3], file.tell()
    return data[:start], data[start:end], data[end:]


def mutate_old_checkpoint(data: bytes, rng: random.Random, canary: str) -> bytes:
    """Change a file of torch's format before version 1.6."""
    if rng.random() < 0.4:
        return mutate_bytes(data, rng)
    before, pickled, after = _split_pickles(data)
    return before + mutate_pickle(pickled, rng, canary) + after


def mutate_archive(data: bytes, rng: random.Random, canary: str) -> bytes:
    """Change a zip archive: its bytes, its pickle, its entries, or its directory."""
    kind = rng.randrange(10)
    if kind < 3:
        return mutate_bytes(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    place = rng.randrange(len(entries))
    name, content = entries[place]
    compression = zipfile.ZIP_STORED
    if kind in (3, 4, 5):
        entries = [
            (each, mutate_pickle(inner, rng, canary))
            if each.endswith("data.pkl")
            else (each, inner)
            for each, inner in entries
        ]
    elif kind == 6:
        folder = name.split("/")[0]
        others = ("../../x", "/x", "x", f"{folder}/constants.pkl", f"{name}x", folder)
        entries[place] = (rng.choice(others), content)
    elif kind == 7:
        compression = zipfile.ZIP_DEFLATED
        entries[place] = (name, bytes(rng.choice((0, 2**10, 2**24))))
    elif kind == 8:
        half = content[: len(content) // 2]
        entries[place] = (name, rng.choice((data, half, mutate_bytes(data, rng))))
        if rng.random() < 0.3:
            entries.append((name, content))
    else:
        return _change_sizes(data, rng) if rng.random() < 0.8 else _as_tar(entries)
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for each, inner in entries:
            archive.writestr(each, inner)
    return out.getvalue()


def _change_sizes(data: bytes, rng: random.Random) -> bytes:
    """Wrong sizes or places in the central directory of a zip archive."""
    out, places, start = bytearray(data), [], 0
    while (start := data.find(b"PK\x01\x02", start)) >= 0:
        places.append(start)
        start += 4
    place = rng.choice(places) + rng.choice((20, 24, 42))
    out[place : place + 4] = struct.pack("<I", min(rng.choice(_NUMBERS), 2**32 - 1))
    return bytes(out)


def _as_tar(entries: List[Tuple[str, bytes]]) -> bytes:
    """The oldest format of torch was a tar file with these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(member)
            info.size = len(entries[0][1])
            archive.addfile(info, io.BytesIO(entries[0][1]))
    return out.getvalue()


class Reader(NamedTuple):
    """A reader and the file that is mutated for it.

    Attributes:
        path (Path): The file.
        content (bytes): What it holds, unharmed.
        mutate (Callable): Makes other bytes of them and of a random generator.
        read (Callable): Reads the file, and whatever it belongs to.
    """

    path: Path
    content: bytes
    mutate: Callable[[bytes, random.Random], bytes]
    read: Callable[[], object]


def make_readers(folder: Path, canary: str) -> Dict[str, Reader]:
    """Write small unharmed files of all kinds, and what reads them.

    Args:
        folder (Path): Where to write them.
        canary (str): File that the code in mutated pickles would create.
    """
    import cv2
    import numpy as np
    import torch
    from mmengine.config import Config
    from mmengine.logging import HistoryBuffer
    from mmengine.registry import DefaultScope
    from torch import nn

    from pckd_mm.datasets import (
        STL10,
        CheckedCIFAR100,
        CheckedCustomDataset,
        TinyImageNet,
    )
    from pckd_mm.registry import MODELS
    from pckd_mm.utils import zoo_names
    from pckd_mm.utils.checkpoint import (
        load_fitting,
        read_checkpoint,
        require_whole,
    )
    from pckd_mm.utils.conversion import build_classifier, published_state_dict
    from pckd_mm.utils.repdistiller import convert_state_dict, published_name
    from tests.builders import CONFIGS, ROOT
    from tests.zoo import TORCHVISION

    readers: Dict[str, Reader] = {}

    def add(name, path, mutate, read):
        readers[name] = Reader(path, path.read_bytes(), mutate, read)

    def with_canary(mutate):
        return lambda data, rng: mutate(data, rng, canary)

    def saved(name, content, **options):
        path = folder / name
        torch.save(content, path, **options)
        return path

    # Checkpoints.
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    state = {"meta": {"epoch": 3}, "state_dict": network.state_dict()}

    def fit(path):
        load_fitting(network, read_checkpoint(str(path)), str(path))

    path = saved("zip.pth", state)
    add("checkpoint", path, with_canary(mutate_archive), lambda p=path: fit(p))
    path = saved("old.pth", state, _use_new_zipfile_serialization=False)
    add(
        "checkpoint, old format",
        path,
        with_canary(mutate_old_checkpoint),
        lambda p=path: fit(p),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    buffer = HistoryBuffer([1.0, 0.5, np.float64(0.25)], [1, 1, 1])
    path = saved(
        "resume.pth",
        {
            "meta": {"epoch": 3, "iter": 9, "seed": 0},
            "state_dict": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "message_hub": {"log_scalars": {"train/loss": buffer}},
        },
    )
    add(
        "checkpoint to resume",
        path,
        with_canary(mutate_archive),
        lambda p=path: require_whole(str(p)),
    )
    config = Config.fromfile(CONFIGS / "_base_/networks/cifar100.py").resnet8
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        classifier = MODELS.build(config)
    published = {
        published_name(name, "CIFARResNet"): tensor
        for name, tensor in classifier.state_dict().items()
    }
    path = saved("crd.pth", {"model": published}, _use_new_zipfile_serialization=False)
    add(
        "checkpoint of the CRD benchmark",
        path,
        with_canary(mutate_old_checkpoint),
        lambda p=path: convert_state_dict(
            published_state_dict(read_checkpoint(str(p)), str(p)).tensors,
            "resnet8",
            config,
            str(p),
        ),
    )

    case = TORCHVISION["vit"]
    path = saved(
        "vit.pth", case.build().state_dict(), _use_new_zipfile_serialization=False
    )
    vit = build_classifier(case.config())
    add(
        "checkpoint of torchvision",
        path,
        with_canary(mutate_old_checkpoint),
        lambda p=path: zoo_names.convert_state_dict(
            published_state_dict(read_checkpoint(str(p)), str(p)).tensors, vit, str(p)
        ),
    )

    # Images in folders, and lists of them.
    rng = np.random.RandomState(0)
    image = cv2.GaussianBlur(
        rng.randint(0, 255, (24, 32, 3)).astype(np.uint8), (5, 5), 2
    )
    load = [dict(type="mmpretrain.LoadImageFromFile")]
    for ending in ("png", "jpg", "bmp", "ppm", "tif"):
        root = folder / ending
        for name in ("cat", "dog"):
            (root / name).mkdir(parents=True)
            cv2.imwrite(str(root / name / f"1.{ending}"), image)
        dataset = CheckedCustomDataset(str(root), pipeline=load)
        path = root / "cat" / f"1.{ending}"
        add(f"image *.{ending}", path, mutate_bytes, lambda d=dataset: d[0])
    path = folder / "list.txt"
    path.write_text("".join(f"cat/{k}.png {k % 3}\n" for k in range(9)))
    listed = dict(ann_file=str(path), data_prefix=str(folder / "png"))
    add(
        "list of images",
        path,
        mutate_text,
        lambda: CheckedCustomDataset(metainfo=dict(classes=("a", "b", "c")), **listed),
    )

    # STL-10, TinyImageNet and CIFAR-100 as distributed.
    root = folder / "stl10_binary"
    root.mkdir()
    (root / "train_X.bin").write_bytes(rng.bytes(2 * 3 * 96 * 96))
    (root / "train_y.bin").write_bytes(bytes([1, 10]))
    (root / "class_names.txt").write_text("\n".join(STL10.METAINFO["classes"]))
    for name in ("train_X.bin", "train_y.bin", "class_names.txt"):
        add(f"STL-10 {name}", root / name, mutate_bytes, lambda: STL10(str(folder)))
    root = folder / "tiny-imagenet-200"
    for name in ("n01", "n02"):
        (root / "train" / name / "images").mkdir(parents=True)
        cv2.imwrite(str(root / "train" / name / "images" / "0.JPEG"), image)
    (root / "val" / "images").mkdir(parents=True)
    for name in ("v0", "v1"):
        cv2.imwrite(str(root / "val" / "images" / f"{name}.JPEG"), image)
    (root / "wnids.txt").write_text("n01\nn02\n")
    (root / "words.txt").write_text("n01\tcat\nn02\tdog\n")
    (root / "val" / "val_annotations.txt").write_text(
        "v0.JPEG\tn01\t0\t0\t9\t9\nv1.JPEG\tn02\t0\t0\t9\t9\n"
    )
    for name in ("wnids.txt", "words.txt", "val/val_annotations.txt"):
        add(
            f"TinyImageNet {name}",
            root / name,
            mutate_text,
            lambda: TinyImageNet(str(folder / "tiny-imagenet-200"), split="val"),
        )
    add_cifar(add, folder, CheckedCIFAR100, with_canary)
    with contextlib.suppress(ImportError):
        add_voc(add, folder, image)
    sys.path.insert(0, str(ROOT / "tools" / "dataset_converters"))
    from voc_to_crops import read_boxes, read_split

    year = folder / "converter"
    (year / "ImageSets" / "Main").mkdir(parents=True)
    path = year / "a.xml"
    path.write_text(_annotation())
    add("voc_to_crops.py, *.xml", path, mutate_text, lambda: read_boxes(year / "a.xml"))
    path = year / "ImageSets" / "Main" / "train.txt"
    path.write_text("a\nb 1\n")
    add("voc_to_crops.py, split", path, mutate_text, lambda: read_split(year, "train"))
    return readers


def add_cifar(add, folder, kind, with_canary) -> None:
    """The official format with few images, under a sum of its own."""
    import hashlib
    import pickle

    import numpy as np

    root = folder / "cifar-100-python"
    root.mkdir()
    sums = {}
    for split in ("train", "test"):
        rows = np.zeros((2, 3072), np.uint8)
        content = pickle.dumps({"data": rows, "fine_labels": [99, 0]}, protocol=2)
        (root / split).write_bytes(content)
        sums[split] = hashlib.md5(content).hexdigest()

    class Small(kind):
        train_list, test_list = [["train", sums["train"]]], [["test", sums["test"]]]

    def read():
        return Small(data_root=str(folder), split="train", download=False)

    def mutate(data, rng, canary):
        if rng.random() < 0.3:
            return mutate_bytes(data, rng)
        return mutate_pickle(data, rng, canary)

    add("CIFAR-100 train", root / "train", with_canary(mutate), read)


def _annotation() -> str:
    things = "".join(
        f"<object>\n<name>{name}</name>\n<difficult>0</difficult>\n<bndbox>\n"
        "<xmin>2</xmin>\n<ymin>3</ymin>\n<xmax>20</xmax>\n<ymax>19</ymax>\n"
        "</bndbox>\n</object>\n"
        for name in ("cat", "dog")
    )
    size = "<size>\n<width>32</width>\n<height>24</height>\n<depth>3</depth>\n</size>\n"
    return f"<annotation>\n{size}{things}</annotation>\n"


def add_voc(add, folder, image) -> None:
    """A devkit of Pascal VOC."""
    import cv2

    from pckd_mm.datasets.checked_voc import CheckedVOCDataset

    year = folder / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (year / name).mkdir(parents=True)
    for stem in ("a", "b", "c"):
        cv2.imwrite(str(year / "JPEGImages" / f"{stem}.jpg"), image)
        (year / "Annotations" / f"{stem}.xml").write_text(_annotation())
    split = year / "ImageSets" / "Main" / "train.txt"
    split.write_text("a\nb\nc\n")

    def build():
        return CheckedVOCDataset(
            data_root=str(folder),
            ann_file="VOC2007/ImageSets/Main/train.txt",
            data_prefix=dict(sub_data_root="VOC2007/"),
            pipeline=[dict(type="mmdet.LoadImageFromFile")],
        )

    dataset = build()
    add("VOC *.xml", year / "Annotations" / "b.xml", mutate_text, build)
    add("VOC split", split, mutate_text, build)
    add("VOC *.jpg", year / "JPEGImages" / "a.jpg", mutate_bytes, lambda: dataset[0])


def watch(folder: Path) -> List[str]:
    """Note what the process does besides reading, from now on.

    Args:
        folder (Path): Where it may write.

    Returns:
        list[str]: Grows with what is done.
    """
    seen: List[str] = []
    allowed = (str(folder), "/dev/null", "/proc/")
    events = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen")
    events += ("socket.connect", "socket.bind", "socket.getaddrinfo", "pty.spawn")
    events += ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.link")
    events += ("os.symlink", "shutil.rmtree", "ctypes.dlopen", "os.kill", "os.putenv")

    def hook(event, arguments):
        if event == "open":
            path, mode, flags = arguments
            writes = flags and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not writes or str(path).startswith(allowed):
                return
        elif event not in events:
            return
        elif event == "os.putenv" and arguments[0].startswith(b"TORCH_"):
            return  # what weights-only loading sets
        seen.append(f"{event}{arguments}"[:300])

    sys.addaudithook(hook)
    return seen


def _memory(name: str) -> int:
    """Bytes of memory, by its name in /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def run(folder: Path, files: int, seed: int) -> dict:
    """Feed mutated files to all readers.

    Args:
        folder (Path): A new folder to work in.
        files (int): How many, shared out to the readers.
        seed (int): Seed of all mutations.

    Returns:
        dict: ``readers`` (accepted, refused, and by reader), ``other`` (errors that are
        not clear), ``events`` (what was done besides reading), ``canary`` (whether code
        has run), ``memory`` (growth in bytes) and ``slowest`` (seconds of CPU time).
    """
    work = folder / "work"
    work.mkdir(parents=True)
    canary = folder.parent / f"{folder.name}.canary"
    readers = make_readers(work, str(canary))
    for reader in readers.values():
        reader.read()  # unharmed, each is accepted; and all that is lazy is imported
    limit = _memory("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    begin, seen = _memory("VmHWM"), watch(work)
    counts = {name: dict(accepted=0, refused=0, same=0) for name in readers}
    other, slowest = [], (0.0, "")
    for index in range(files):
        name = list(readers)[index % len(readers)]
        reader = readers[name]
        data = reader.mutate(reader.content, random.Random(f"{seed} {index}"))
        if data == reader.content:
            counts[name]["same"] += 1
            continue
        reader.path.write_bytes(data)
        start, before = time.process_time(), len(seen)
        outcome = "accepted"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader.read()
        except (ValueError, FileNotFoundError) as error:
            outcome = "refused"
            message = str(error)
            if str(work) not in message or "\n" in message or not message.isprintable():
                outcome = f"{type(error).__name__}: {message!r}"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error!r}"
        slowest = max(slowest, (time.process_time() - start, f"{name}, file {index}"))
        if outcome in counts[name]:
            counts[name][outcome] += 1
        else:
            other.append(f"{name}, file {index}: {outcome[:600]}")
        if len(seen) > before:
            seen[before:] = [f"{name}, file {index}: {e}" for e in seen[before:]]
        reader.path.write_bytes(reader.content)
    return dict(
        readers=counts,
        other=other,
        events=seen,
        canary=canary.exists(),
        memory=_memory("VmHWM") - begin,
        slowest=slowest,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    import pckd_mm.models  # noqa: F401

    print(json.dumps(run(args.folder, args.files, args.seed)))


if __name__ == "__main__":
    main()
