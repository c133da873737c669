"""How a trial ended: in a process of its own, that may raise, die or hang."""

import dis
import faulthandler
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, Optional, Tuple

import pckd_mm

Trial = Callable[[], Dict[str, Any]]

WORKS = "works"
WRONG = "wrong logits"
REFUSED = "refused"
RAW = "raw"
ALONE = "fails alone"  # without distillation too
SIGNAL = "signal"
TIME = "time"
RESULTS = (WORKS, REFUSED, ALONE, WRONG, RAW, SIGNAL, TIME)

_OURS = os.path.dirname(os.path.abspath(pckd_mm.__file__)) + os.sep


def refusal(error: Optional[BaseException]) -> Optional[str]:
    """The sentence by which this package refused something, if that is what it is.

    Args:
        error (BaseException, optional): What was raised; registries raise again what a
            constructor raised, in words of their own.

    Returns:
        str, optional: The message of the error that a ``raise`` of ours has raised.
    """
    while error is not None:
        if isinstance(error, Exception) and _raised_by_us(error):
            return str(error)
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)
    return None


def _raised_by_us(error: Exception) -> bool:
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    is_raise = code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return os.path.abspath(code.co_filename).startswith(_OURS) and is_raise


def in_words(error: BaseException) -> str:
    """Type and first line of the error at the root."""
    while error.__cause__ is not None:
        error = error.__cause__
    while isinstance(error, Exception) and not str(error) and error.__context__:
        error = error.__context__
    lines = [" ".join(line.split()) for line in str(error).strip().splitlines()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")


def classify(error: BaseException) -> Dict[str, str]:
    """What a raised error is: a refusal of ours, or raw."""
    sentence = refusal(error)
    if sentence is not None:
        return dict(result=REFUSED, detail=sentence)
    return dict(result=RAW, detail=in_words(error))


def run(
    trials: Iterable[Tuple[Any, Trial]], limit: float, jobs: int = 1
) -> Iterator[Tuple[Any, Dict[str, Any]]]:
    """Run each trial in a process that is forked off this one.

    Args:
        trials (Iterable): Pairs of a name and a function that gives a result, with
            ``result`` and ``detail``, or raises.
        limit (float): Seconds that one may take.
        jobs (int): Processes at a time. Defaults to 1.

    Yields:
        tuple: The name and the result, with ``seconds``, as they end.
    """
    waiting = iter(trials)
    running: Dict[int, Tuple[Any, _Forked]] = {}
    while True:
        while len(running) < jobs:
            named = next(waiting, None)
            if named is None:
                break
            name, trial = named
            forked = _Forked(trial, limit)
            running[forked.process.sentinel] = (name, forked)
        if not running:
            return
        left = min(forked.ends - time.monotonic() for _, forked in running.values())
        ended = set(wait(list(running), timeout=max(left, 0)))
        for sentinel, (name, forked) in list(running.items()):
            if sentinel in ended or time.monotonic() >= forked.ends:
                del running[sentinel]
                yield name, forked.result(sentinel in ended)


class _Forked:
    """A trial in its process."""

    def __init__(self, trial: Trial, limit: float) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="sweep-")
        self.log = Path(self.folder.name) / "log"
        self.began = time.monotonic()
        self.ends = self.began + limit
        self.limit = limit
        context = multiprocessing.get_context("fork")
        self.answer, told = context.Pipe(duplex=False)
        self.process = context.Process(target=_child, args=(trial, told, self.log))
        self.process.start()
        told.close()

    def result(self, ended: bool) -> Dict[str, Any]:
        seconds = round(time.monotonic() - self.began, 1)
        if not ended:
            self.process.kill()
        self.process.join()
        result: Dict[str, Any] = dict(result=RAW, detail="ended without a word")
        if self.answer.poll():
            try:
                result = self.answer.recv()
            except EOFError:
                pass
        status = self.process.exitcode or 0
        if not ended:
            result = dict(result=TIME, detail=f"did not end in {self.limit:.0f} s")
        elif status < 0:
            name = signal.Signals(-status).name
            result = dict(result=SIGNAL, detail=f"{name}{self._last_words()}")
        self.answer.close()
        self.process.close()
        self.folder.cleanup()
        return dict(result, seconds=seconds)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        words = [line for line in lines if " - mmengine - " not in line]
        return f" ({words[-1]})" if words else ""


def _child(trial: Trial, told: Any, log: Path) -> None:
    with open(log, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    faulthandler.disable()
    tempfile.tempdir = str(log.parent)  # what a trial leaves there goes with it
    # What the C library says of damaged memory goes to stderr, not to the terminal.
    os.environ["LIBC_FATAL_STDERR_"] = "1"
    sys.stdout = open(os.devnull, "w")
    sys.stderr = sys.stdout
    gc.freeze()  # what was imported need not be looked through, and so copied
    try:
        result = trial()
    except Exception as error:
        result = classify(error)
    gc.collect()  # damaged memory shows when it is freed
    told.send(result)
    told.close()
