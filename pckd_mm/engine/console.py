"""What the console shows of a run's log; the log's file has all of it."""

import contextlib
import inspect
import logging
import re
import warnings
from typing import Any, Callable, Iterator, List, Optional, TextIO, Type, Union

from mmengine.logging import MMLogger
from mmengine.runner import Runner

__all__ = [
    "SUMMARY",
    "ConsoleFilter",
    "ConsoleRunner",
    "console_handlers",
    "end_of_start",
    "filters_of",
    "library_warnings_in_file",
]

# Attributes of a record: shown before the first step; not for the console.
SUMMARY, ONLY_IN_FILE = "is_summary", "is_only_in_file"

# Lines of this package that the summary repeats.
_IN_SUMMARY = re.compile(
    r"images of \w+ stay in memory"
    # All that --fast and the like turn on is off.
    r"|^Speed-ups: keep_memory: [^;]*;( \w+: off, not asked for;)+ precision"
)
# Lines of MMEngine that say again what is known.
_REPEATED = re.compile(r"^(Exp name: |Checkpoints will be saved to )")
# Lines of MMEngine that have a consequence for what is trained.
_OF_CONSEQUENCE = re.compile(r"^(resumed epoch: |Load checkpoint from |Auto resumed )")
# Warnings of libraries that nobody who trains can do anything about.
_IDLE = re.compile(
    r'^"FileClient" will be deprecated'
    r'|^"HardDiskBackend" is the alias'
    r"|^Please make sure that the mlflow server is running"
    r"|^Failed to search registry with scope"
    r"|^The prefix is not set in metric class"
    r"|'pin_memory' argument is set as true but no accelerator"
    r"|pkg_resources is deprecated as an API"
    r"|^Setting \w+ environment variable for each process to be 1 in default"
    r"|torch\.meshgrid: in an upcoming release"
)
_PACKAGE = __name__.partition(".")[0]


def _is_of_this_package() -> bool:
    """Whether the line that is being logged is one of this package.

    A record tells where its logger was called, and for MMEngine's ``print_log``, which
    most of this package goes by, that is MMEngine.
    """
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != __name__ and not name.startswith(("logging", "mmengine.logging")):
            return name.partition(".")[0] == _PACKAGE
        frame = frame.f_back
    return False


class ConsoleFilter(logging.Filter):
    """Lets through what a person needs to see.

    Before the first step: the summary, what this package says, and warnings, but for
    those of libraries that nobody can do anything about. After it: everything else as
    well, but for the lines of single steps where ``shows_steps`` is False.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_starting = True
        self.shows_steps = True

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the console shows a line.

        Args:
            record (LogRecord): The line.
        """
        if getattr(record, ONLY_IN_FILE, False):
            return False
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            return record.levelno > logging.WARNING or not _IDLE.search(message)
        if _REPEATED.search(message):
            return False
        if not self.shows_steps and _is_of_a_step(record):
            return False
        if not self.is_starting or getattr(record, SUMMARY, False):
            return True
        if _OF_CONSEQUENCE.search(message):
            return True
        return _is_of_this_package() and not _IN_SUMMARY.search(message)


def _is_of_a_step(record: logging.LogRecord) -> bool:
    """Whether MMEngine's LoggerHook says it within an epoch."""
    steps = ("after_train_iter", "after_val_iter")
    return record.module == "logger_hook" and record.funcName in steps


def console_handlers(logger: logging.Logger) -> List[logging.StreamHandler]:
    """What writes a logger's lines to the console.

    Args:
        logger (Logger): A run's.

    Returns:
        list[StreamHandler]: Its handlers, but for those of files.
    """
    return [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
    ]


def filters_of(logger: logging.Logger) -> Iterator[ConsoleFilter]:
    """The console's filters of a logger.

    Args:
        logger (Logger): A run's.

    Yields:
        ConsoleFilter: One of them; a run by ``--verbose`` has none.
    """
    for handler in logger.handlers:
        for each in handler.filters:
            if isinstance(each, ConsoleFilter):
                yield each


def end_of_start(logger: logging.Logger) -> None:
    """Let the console show the log as it comes.

    Args:
        logger (Logger): A run's.
    """
    for each in filters_of(logger):
        each.is_starting = False


class ConsoleRunner(Runner):
    """MMEngine's runner, whose console shows what a person needs to see."""

    def build_logger(
        self,
        log_level: Union[int, str] = "INFO",
        log_file: Optional[str] = None,
        **kwargs: Any,
    ) -> MMLogger:
        """MMEngine's logger, with a filter in front of the console.

        Args:
            log_level (int | str): Level of all lines. Defaults to 'INFO'.
            log_file (str, optional): Path of the log. Defaults to None, one in the work
                dir.
            **kwargs: Of ``MMLogger``.

        Returns:
            MMLogger: The logger.
        """
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in console_handlers(logger):
            if not any(isinstance(each, ConsoleFilter) for each in handler.filters):
                handler.addFilter(ConsoleFilter())
        return logger


@contextlib.contextmanager
def library_warnings_in_file() -> Iterator[Callable[[logging.Logger], None]]:
    """Keep Python warnings that nobody can do anything about for the log's file.

    Yields:
        callable: To be told the run's logger, as soon as there is one. Inside, all
        other warnings are shown as ever.
    """
    held: List[str] = []
    write = held.append

    def write_to(logger: logging.Logger) -> None:
        nonlocal write

        def write(text: str) -> None:
            logger.warning(text, extra={ONLY_IN_FILE: True})

        for text in held:
            write(text)

    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(
            message: Union[Warning, str],
            category: Type[Warning],
            filename: str,
            lineno: int,
            file: Optional[TextIO] = None,
            line: Optional[str] = None,
        ) -> None:
            if _is_idle(str(message), category, filename):
                text = warnings.formatwarning(message, category, filename, lineno, line)
                write(text.rstrip())
            else:
                shown(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield write_to


def _is_idle(message: str, category: type, filename: str) -> bool:
    """Whether a library's author alone can do anything about a warning."""
    is_for_authors = issubclass(
        category, (DeprecationWarning, FutureWarning, PendingDeprecationWarning)
    )
    of_library = "site-packages" in filename or "dist-packages" in filename
    return (is_for_authors and of_library) or bool(_IDLE.search(message))
