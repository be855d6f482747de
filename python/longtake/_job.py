"""The commands of the program as functions."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

from ._run import Event, LongtakeError, Progress, Value, Warn, events, one, option, options, program

PathLike = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Frame:
    """A frame of a take."""

    number: int
    file: Path
    #: ``made``, ``kept`` (the plate's own, untouched) or ``there`` (already).
    state: str


@dataclass(frozen=True)
class Take:
    """What ``generate`` left."""

    #: In the order of their numbers.
    frames: List[Frame]
    #: Names the pixels: equal hashes, equal pixels.
    hash: str
    #: Files beside the frames by what they are: ``report``, ``preview``,
    #: ``contact sheet``, ``page``, ``latents``.
    files: Dict[str, Path]
    made: int
    kept: int
    there: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What a take comes to, before any of it is made."""

    engine: str
    #: First and last output frame.
    frames: Tuple[int, int]
    #: Names of levels and of their blocks.
    levels: List[Tuple[str, List[str]]]
    #: All that the program tells, as it tells it.
    told: Dict[str, Any]


@dataclass(frozen=True)
class Submission:
    """What ``submit`` wrote."""

    files: List[Path]
    store: Path
    #: What to do with the files.
    next: str


def generate(
    job: Optional[PathLike] = None,
    *,
    progress: Optional[Progress] = None,
    warn: Optional[Warn] = None,
    **parameters: Optional[Value],
) -> Take:
    """Makes a take, or goes on with one. ``parameters`` override those of ``job``.

    :raises LongtakeError: with ``kind`` and ``code`` that say what kind of thing it is.
    """
    told = events(["generate", *_job(job), *options(parameters)], progress, warn)
    done = one(told, "done")
    frames = [
        Frame(e["frame"], Path(e["file"]), e["state"]) for e in told if e["event"] == "frame"
    ]
    return Take(
        frames=sorted(frames, key=lambda f: f.number),
        hash=one(told, "take")["take"],
        files={e["what"]: Path(e["file"]) for e in told if e["event"] == "file"},
        made=done["made"],
        kept=done["kept"],
        there=done["there"],
        seconds=done["seconds"],
    )


def plan(
    job: Optional[PathLike] = None,
    *,
    picture: Optional[PathLike] = None,
    warn: Optional[Warn] = None,
    **parameters: Optional[Value],
) -> Plan:
    """Tells what a take comes to; makes nothing. ``picture`` draws it as a PNG."""
    words = ["plan", *_job(job), *options(parameters)]
    if picture is not None:
        words += ["--picture", os.fspath(picture)]
    told: Event = one(events(words, warn=warn), "plan")["plan"]
    out = told["timeline"]["out"]
    return Plan(
        engine=told["engine"],
        frames=(out["first"], out["last"]),
        levels=[(x["name"], [b["id"] for b in x["blocks"]]) for x in told["levels"]],
        told=told,
    )


def report(
    sequence: PathLike,
    *,
    progress: Optional[Progress] = None,
    warn: Optional[Warn] = None,
    **parameters: Optional[Value],
) -> Dict[str, Any]:
    """Measures any sequence against its plate (``plate=``, where its frames do not tell it);
    gives the report, whose keys are in ``docs/report.md``."""
    words = ["report", os.fspath(sequence), *options(parameters)]
    found: Dict[str, Any] = one(events(words, progress, warn), "report")["report"]
    return found


def submit(
    to: str,
    out_dir: PathLike,
    job: Optional[PathLike] = None,
    *,
    program: Optional[str] = None,
    warn: Optional[Warn] = None,
    **parameters: Optional[Value],
) -> Submission:
    """Writes the job for a queue into ``out_dir``: ``openjd``, ``opencue``, ``deadline``,
    ``tractor`` or ``commands``. ``program`` is how the farm's machines call Longtake."""
    words = ["submit", "--to", to, *option("out-dir", os.fspath(out_dir))]
    if program is not None:
        words += ["--program", program]
    told = one(events([*words, *_job(job), *options(parameters)], warn=warn), "submission")
    return Submission(
        files=[Path(f) for f in told["files"]], store=Path(told["store"]), next=told["next"]
    )


def provenance(frame: PathLike) -> Dict[str, Any]:
    """Where a frame that Longtake wrote comes from."""
    told = events(["provenance", os.fspath(frame)])
    found: Dict[str, Any] = one(told, "provenance")["provenance"]
    return found


def schema() -> Dict[str, Any]:
    """The JSON schema of job files."""
    done = subprocess.run([program(), "schema"], stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode != 0:
        raise LongtakeError("longtake schema ended with code %d" % done.returncode)
    found: Dict[str, Any] = json.loads(done.stdout)
    return found


def _job(job: Optional[PathLike]) -> List[str]:
    return [] if job is None else ["--job", os.fspath(job)]
