"""Longtake from Python: takes of a plate, plans, reports and farm jobs.

Pure Python over the JSON lines of the ``longtake`` command line, without anything else
to install, so that it imports in the interpreters of Nuke and Natron too (3.9 and up)::

    import longtake

    take = longtake.generate(
        plate="plate.####.exr", frames=(1001, 1240), out="out.####.exr",
        progress=lambda stage, fraction: print(stage, fraction))
    print(len(take.frames), take.seconds)

Parameters are those of job files (``longtake schema``): ``plateRange`` may be written
``plate_range``. A job file goes first: ``generate(job="shot.json", seed=7)``. The program
is the one on ``PATH``, or that of the variable ``LONGTAKE``.
"""

from ._job import (
    Frame,
    Plan,
    Submission,
    Take,
    generate,
    plan,
    provenance,
    report,
    schema,
    submit,
)
from ._run import (
    CancelledError,
    LongtakeError,
    MissingError,
    Progress,
    UsageError,
    Warn,
    program,
)

__all__ = [
    "CancelledError",
    "Frame",
    "LongtakeError",
    "MissingError",
    "Plan",
    "Progress",
    "Submission",
    "Take",
    "UsageError",
    "Warn",
    "generate",
    "plan",
    "program",
    "provenance",
    "report",
    "schema",
    "submit",
]
