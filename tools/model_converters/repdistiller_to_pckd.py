"""Turn a checkpoint of the CRD benchmark into one of ours.

python tools/model_converters/repdistiller_to_pckd.py CHECKPOINT OUT --arch resnet56

CHECKPOINT is one of RepDistiller or mdistiller: {'model': ...}, {'state_dict': ...} or
the tensors alone, with or without "module.". No code in it runs. Every tensor must be
one of the network, and none may lack; OUT then serves as teacher_ckpt and for
tools/test.py with configs/vanilla/cifar100_ARCH.py.
"""

import argparse
import os.path as osp
from typing import List, Optional

from mmengine.config import Config

from pckd_mm.utils.conversion import (
    Tensors,
    convert_checkpoint,
    published_state_dict,
)
from pckd_mm.utils.repdistiller import config_name, convert_state_dict

NETWORKS = osp.join(
    osp.dirname(__file__), "..", "..", "configs/_base_/networks/cifar100.py"
)


def main(argv: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="the benchmark's checkpoint, a file or URL")
    parser.add_argument("out", help="file to write")
    parser.add_argument(
        "--arch",
        required=True,
        help="its network: resnet56, ResNet50, wrn_40_2, ShuffleV1, ...",
    )
    args = parser.parse_args(argv)
    networks = Config.fromfile(NETWORKS)
    notes = []
    try:
        arch = config_name(args.arch, networks)

        def convert(checkpoint: dict, source: str) -> Tensors:
            state, found = published_state_dict(checkpoint, source)
            notes.extend(found)
            return convert_state_dict(state, arch, networks[arch], source)

        convert_checkpoint(args.checkpoint, args.out, convert, arch=arch)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    notes.insert(0, f"{arch}, for configs/vanilla/cifar100_{arch}.py")
    print(f"{args.out}: {'; '.join(notes)}")


if __name__ == "__main__":
    main()
