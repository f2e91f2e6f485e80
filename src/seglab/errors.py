"""Errors that a user caused and can mend. Anything else that is raised is our own mistake."""

from __future__ import annotations

import difflib
import errno
import os
import re
import select
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from seglab.gc_pause import rest_at_exit
from seglab.safety.secrets import redacted
from seglab.safety.shown_text import in_line, shown

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
# Of an error of a component of your own that gives none.
UNREGISTERED = "unregistered"
# Characters of a word that is shown whole.
_LONGEST, _LONGEST_LIST = 500, 4000
_WORD = re.compile(r"\S+")


class SeglabError(Exception):
    """One message for the user: what was wrong, where, found, expected, what to do.

    Args:
        what: the title, which may be worded anew at any time.
        code: of the kind of mistake, one of `seglab.error_codes`, which stays: what scripts and searches go by.
        where, found, expected, remedy: each a line, where it is not empty.

    Entry points print it without a traceback and leave with exit code 2. Its texts may come from anywhere: the
    message holds no password of an address and nothing that a terminal obeys.
    """

    def __init__(
        self,
        what: str,
        *,
        code: str = UNREGISTERED,
        where: str = "",
        found: object = None,
        expected: str = "",
        remedy: str = "",
    ):
        lines = [what]
        if where:
            lines.append(f"  where:    {in_line(where)}")
        if found is not None:
            lines.append(f"  found:    {found}")
        if expected:
            lines.append(f"  expected: {expected}")
        if remedy:
            lines.append(f"  remedy:   {remedy}")
        super().__init__(shown(cut(redacted("\n".join(lines)))))
        self.what, self.where, self.found, self.expected, self.remedy = what, where, found, expected, remedy
        self.code = code

    def for_terminal(self) -> str:
        """The message with its code at the end of the first line."""
        title, newline, rest = f"error: {self}".partition("\n")
        return f"{title} [{self.code}]{newline}{rest}"


class ConfigError(SeglabError):
    """A setting that cannot work; raised before TensorFlow or MLflow is imported."""


class DataError(SeglabError):
    """A file, image or mask that cannot be used; names the file.

    Args:
        finding: what the data check lists it as, one of `seglab.data.check.findings.KINDS`.
        paste: what belongs to the remedy: in words, and as settings for the command line.
    """

    def __init__(
        self,
        what: str,
        *,
        finding: str = "unusable-case",
        remedy: str = "",
        paste: Sequence[tuple[str, str]] = (),
        **rest: Any,
    ):
        lines = "".join(f"\n    {words}:\n      {settings}" for words, settings in paste)
        super().__init__(what, remedy=remedy + lines, **rest)
        self.finding, self.remedy, self.paste = finding, remedy, tuple(paste)


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NO_ROOM_TEXTS = ("no space left", "disk is full", "disk quota exceeded", "errno = 28")


def no_room(error: BaseException) -> bool:
    """Whether an error says that a disk, its inodes or a quota are used up; databases and HDF5 only say so in words."""
    text = str(error).lower()
    return getattr(error, "errno", None) in _NO_ROOM or any(words in text for words in _NO_ROOM_TEXTS)


@contextmanager
def naming(where: str) -> Iterator[None]:
    """A `DataError` from within that does not name `where`, the files that are at work, does so afterwards."""
    try:
        yield
    except DataError as error:
        if where in str(error):
            raise
        raise DataError(
            error.what,
            code=error.code,
            where=where,
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
            finding=error.finding,
            paste=error.paste,
        ) from error


class TrackingError(SeglabError):
    """Tracking that was asked for and cannot work."""


class TrainingError(SeglabError):
    """Training that cannot go on, such as a loss that is not finite."""


def run_script(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and leave with its code: 2 and one message for a user's mistake, 130 after Ctrl-C."""
    rest_at_exit()
    try:
        try:
            code = main()
        finally:
            sys.stdout.flush()  # here a reader that has ended is known; later it is a traceback
    except SeglabError as error:
        print(error.for_terminal(), file=sys.stderr)
        code = EXIT_MISTAKE
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            sys.exit(EXIT_PIPE)
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(_too_long(error).for_terminal(), file=sys.stderr)
        code = EXIT_MISTAKE
    except KeyboardInterrupt as stop:
        code = getattr(stop, "exit_code", EXIT_INTERRUPTED)
    sys.exit(code)


def _nobody_reads() -> bool:
    """Whether what is printed goes to a program that has ended, as `| head` does; what is left to print is dropped."""
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in pipe.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _too_long(error: OSError) -> DataError:
    """What a word says that was taken for a path and is none: no file system takes names of such a length."""
    name = os.fspath(error.filename) if error.filename is not None else ""
    name = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    return DataError(
        "a name that is longer than a file's can be",
        code="name-too-long",
        where=f"{name[:60]}…",
        found=f"{len(name)} characters",
        expected="at most 255 bytes between two slashes, 4,096 in a whole path",
        remedy="check what the command was given, or choose a shorter name",
    )


def cut(text: str) -> str:
    """The text with the middle of every word left out that is longer than anybody reads, and how many characters it
    had; a list that is there to be pasted may be longer than a name or a path."""

    def shorter(found: re.Match[str]) -> str:
        word = found[0]
        longest = _LONGEST_LIST if "=[" in word else _LONGEST
        return word if len(word) <= longest else f"{word[:60]}…({len(word):,} characters)…{word[-20:]}"

    return _WORD.sub(shorter, text)


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the known word closest to `word` in whatever case, or an empty string when none is."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.5)
    return f"did you mean '{by_lower[found[0]]}'?" if found else ""
