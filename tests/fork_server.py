"""The process that has imported everything and forks runs, with faults in files.

It imports nothing that takes long until it has said what it does without.
"""

import errno
import importlib
import os
import signal
import socket
import sys
from typing import Optional

from tests.forking import serve


def _watch_files(
    record: Optional[str] = None,
    die_at: Optional[int] = None,
    full_at: Optional[str] = None,
    die_of_limit: bool = False,
) -> None:
    if die_of_limit:  # which python turns into an error by default
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    notes = record and os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    steps = 0

    def watch(event: str, args: tuple) -> None:
        nonlocal steps
        if event not in ("open", "os.rename", "os.remove"):
            return
        path = str(args[0])
        begins = event == "open" and path.endswith(".unfinished")
        if begins and full_at and path.endswith(full_at + ".unfinished"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        removes = event == "os.remove" and path.endswith(".pth")
        if not (begins or event == "os.rename" or removes):
            return
        steps += 1
        if notes:
            os.write(notes, f"{event} {os.path.basename(path)}\n".encode())
        if steps == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


if __name__ == "__main__":
    # torch 2.1 imports it beside its compiler, and its threads do not outlive a fork.
    sys.modules["onnxruntime"] = None
    importlib.import_module("tests.imports")
    del sys.modules["onnxruntime"]
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], _watch_files)
