"""Runs the program and reads the lines that it writes."""

import json
import os
import shutil
import subprocess
import tempfile
import warnings
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

Event = Dict[str, Any]
#: Told how far a stage is: its name, and a fraction in 0 to 1. May raise to stop.
Progress = Callable[[str, float], None]
#: Told a warning, one sentence.
Warn = Callable[[str], None]
Value = Union[str, int, float, bool, Sequence[int], "os.PathLike[str]"]


class LongtakeError(Exception):
    """What the program says it could not do, and what to do about it.

    ``kind`` and ``code`` are of the table of exit codes in ``longtake generate --help``.
    """

    def __init__(self, message: str, kind: str = "internal", code: int = 11) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


class UsageError(LongtakeError):
    """A parameter or the job file is wrong."""


class MissingError(LongtakeError):
    """Frames or files of the plate or the matte are missing."""


class CancelledError(LongtakeError):
    """It was stopped; run again, it goes on where it was."""


_ERRORS = {"usage": UsageError, "missing": MissingError, "cancelled": CancelledError}


def program() -> str:
    """The program: that of the variable LONGTAKE, else the one on PATH."""
    named = os.environ.get("LONGTAKE", "longtake")
    found = shutil.which(named)
    if found is None:
        raise LongtakeError(
            "the program '%s' is not there: install longtake, or name it in the variable "
            "LONGTAKE" % named,
            "tool",
            10,
        )
    return found


def option(name: str, value: Value) -> List[str]:
    """A parameter as the command line takes it: ``plate_range=(1, 48)`` as
    ``--plate-range 1-48``."""
    text = "".join("-" + c.lower() if c.isupper() else c for c in name)
    if isinstance(value, bool):
        said = "on" if value else "off"
    elif isinstance(value, (str, int, float)):
        said = str(value)
    elif isinstance(value, os.PathLike):
        said = os.fspath(value)
    else:
        said = "-".join(str(int(end)) for end in value)
    return ["--" + text.replace("_", "-"), said]


def options(parameters: Mapping[str, Optional[Value]]) -> List[str]:
    """Parameters as options; those that are None are left out."""
    words: List[str] = []
    for name, value in parameters.items():
        if value is not None:
            words += option(name, value)
    return words


def events(
    words: Sequence[str],
    progress: Optional[Progress] = None,
    warn: Optional[Warn] = None,
) -> List[Event]:
    """Runs the program with ``words`` and gives what it told, progress and warnings
    aside. Where ``progress`` raises, the program is stopped and the exception goes on.

    :raises LongtakeError: where the program could not do it.
    """
    told: List[Event] = []
    command = [program(), *words, "--json"]
    # A host without a console must not get one.
    hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    with tempfile.TemporaryFile() as errors, subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
        creationflags=hidden,
    ) as run:
        assert run.stdout is not None
        try:
            for line in run.stdout:
                event = json.loads(line)
                kind = event.get("event")
                if kind == "progress":
                    if progress is not None:
                        progress(event["stage"], event["fraction"])
                elif kind == "warning":
                    _warn(warn, event["message"])
                elif kind == "suitability":
                    if event.get("concerns"):
                        _warn(warn, event["summary"])
                    told.append(event)
                else:
                    told.append(event)
        except BaseException:
            # It leaves what is finished; the next run goes on from there.
            run.terminate()
            raise
        code = run.wait()
        if code != 0:
            errors.seek(0)
            raise _error(code, told, errors.read().decode("utf-8", "replace"))
    return told


def one(told: Sequence[Event], name: str) -> Event:
    """The last event called ``name``."""
    for event in reversed(told):
        if event.get("event") == name:
            return event
    raise LongtakeError("the program told no '%s': is it of this version?" % name)


def _warn(warn: Optional[Warn], message: str) -> None:
    if warn is None:
        warnings.warn(message, stacklevel=4)
    else:
        warn(message)


def _error(code: int, told: Sequence[Event], said: str) -> LongtakeError:
    for event in told:
        if event.get("event") == "error":
            error = _ERRORS.get(event["kind"], LongtakeError)
            return error(event["message"], event["kind"], event["code"])
    kind = "memory" if code == 12 else "internal"
    return LongtakeError(said.strip() or "longtake ended with code %d" % code, kind, code)
