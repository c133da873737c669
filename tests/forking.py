"""A Python whose imports are done: a process that has them forks one for each command.

The server listens at a socket. The shim is an executable that takes the command line of
``python``, asks the server for a process with its own environment, folder and open
files, and ends as that process does. Nothing but the standard library is imported here,
since the shim starts often.
"""

import array
import contextlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from typing import Callable, Dict, List, Optional, Tuple

SHIM = """#!{python} -IS
import sys

sys.path.insert(0, {folder!r})
import forking

sys.exit(forking.main({address!r}, {python!r}, {ours!r}))
"""
# Before anything is imported that could change it; the first is the program's folder.
_PATH = sys.path[1:]
# What is sent on to the process that was forked.
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def write_shim(path: str, address: str, *ours: str) -> None:
    """Write the executable.

    Args:
        path (str): Where to.
        address (str): The server's socket.
        *ours (str): Folders whose programs are forked; others, Ray's say, start anew.
    """
    folder = os.path.dirname(os.path.abspath(__file__))
    text = SHIM.format(
        python=sys.executable, folder=folder, address=address, ours=list(ours)
    )
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o755)


def send(connection: socket.socket, order: dict, files: List[int]) -> None:
    """Send an order and open files."""
    content = json.dumps(order).encode()
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files).tobytes())
    connection.sendmsg([struct.pack("!I", len(content))], [rights] if files else [])
    connection.sendall(content)


def receive(connection: socket.socket) -> Tuple[dict, List[int]]:
    """What ``send`` sent."""
    head, files, _, _ = socket.recv_fds(connection, 4, 64)
    (left,) = struct.unpack("!I", head)
    content = b""
    while len(content) < left:
        part = connection.recv(left - len(content))
        if not part:
            raise EOFError
        content += part
    return json.loads(content), files


class Asked:
    """A process that the server was asked for.

    Args:
        address (str): The server's socket.
        order (dict): ``args``, the command line after ``python``; ``cwd``, ``env``;
            ``faults`` for the server's own use.
        files (dict[int, int]): Open files by the number that they have in the process.
    """

    def __init__(self, address: str, order: dict, files: Dict[int, int]) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.connect(address)
        send(self.connection, {**order, "files": list(files)}, list(files.values()))
        self._answers = self.connection.makefile("rb", buffering=0)
        self.pid = int(self._answers.readline())

    def ended(self, timeout: Optional[float] = None) -> Optional[int]:
        """Exit status, negative for a signal, or None if it still runs."""
        if not select.select([self.connection], [], [], timeout)[0]:
            return None
        status = int(self._answers.readline())
        self.connection.close()
        return status


def is_forked(args: List[str], ours: List[str]) -> bool:
    """Whether a command line is one that the server takes."""
    if args[:1] == ["-m"]:
        return args[1] in ("pckd_mm", "torch.distributed.run")
    if not args or args[0].startswith("-"):
        return False
    return os.path.abspath(args[0]).startswith(tuple(f"{path}/" for path in ours))


def main(address: str, python: str, ours: List[str]) -> int:
    """The shim: ask, pass signals on, and end as the process ends."""
    args = sys.argv[1:]
    rest = args[1:] if args[:1] == ["-u"] else args
    if not is_forked(rest, ours):
        os.execv(python, [python, *args])
    files = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself is closed
            if int(name) <= 2 or os.get_inheritable(int(name)):
                files[int(name)] = int(name)
    order = dict(args=rest, cwd=os.getcwd(), env=dict(os.environ))
    asked = Asked(address, order, files)
    for number in FORWARDED:
        signal.signal(number, lambda number, frame: _signal(asked.pid, number))
    status = None
    while status is None:
        status = asked.ended()
    if status < 0:
        with contextlib.suppress(OSError, ValueError):  # SIGKILL has no handler
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def serve(listener: socket.socket, executable: str, begin: Callable[..., None]) -> None:
    """Fork a process for each order, until this one's stdin ends.

    Args:
        listener (socket.socket): Where orders come.
        executable (str): What the processes take for Python.
        begin (Callable): Called in the process with the order's faults.
    """
    running: Dict[int, socket.socket] = {}
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken)
    while True:
        ready = select.select([0, listener, wake, *running.values()], [], [])[0]
        if wake in ready:
            os.read(wake, 4096)
        for pid, status in _ended():
            with running.pop(pid) as connection, contextlib.suppress(OSError):
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        if listener in ready:
            connection = listener.accept()[0]
            try:
                order, files = receive(connection)
            except (EOFError, struct.error):  # killed while it asked
                connection.close()
                continue
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for end in (listener, connection, *running.values()):
                    end.close()
                _become(order, files, executable, begin)
            for file in files:
                os.close(file)
            running[pid] = connection
            with contextlib.suppress(OSError):
                connection.sendall(b"%d\n" % pid)
        for pid, connection in list(running.items()):
            # Nothing is said after an order: who asked is gone.
            if connection in ready:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
        if 0 in ready:
            break


def _ended() -> List[Tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):  # there is none
        while not found or found[-1][0]:
            found.append(os.waitpid(-1, os.WNOHANG))
    return [ended for ended in found if ended[0]]


def _python_path() -> List[str]:
    return [x for x in os.environ.get("PYTHONPATH", "").split(os.pathsep) if x]


def _become(
    order: dict, files: List[int], executable: str, begin: Callable[..., None]
) -> None:
    """Turn the process that was just forked into the one that was asked for."""
    os.setsid()
    highest = max([*order["files"], *files]) + 1
    for number, file in enumerate(files):  # none may be where another is to come
        os.dup2(file, highest + number)
        os.close(file)
    for number, target in enumerate(order["files"]):
        os.dup2(highest + number, target)
        os.close(highest + number)
    os.chdir(order["cwd"])
    own = _python_path()
    os.environ.clear()
    os.environ.update(order["env"])
    sys.executable = executable
    args = order["args"]
    first = (
        os.getcwd() if args[0] == "-m" else os.path.dirname(os.path.abspath(args[0]))
    )
    sys.path[:] = [first, *_python_path(), *_PATH[len(own) :]]
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(threads))
    begin(**order.get("faults", {}))
    # An error ends this process as it would end the script.
    if args[0] == "-m":
        sys.argv = args[1:]
        runpy.run_module(args[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = args
        runpy.run_path(args[0], run_name="__main__")
    sys.exit()
