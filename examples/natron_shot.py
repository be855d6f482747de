"""Creates the Longtake node in Natron, sets it from a shot file, and renders it:

    SHOT=examples/shot.json OUT=render.####.exr NatronRenderer examples/natron_shot.py

The shot file is a job file of the command line (`longtake schema`). Its plate is read by a
Read node; parameters that only the command line has (report, threads, ...) are left alone.
"""

import json
import os

IDENTIFIER = "org.longtake.Longtake"


def frames(value):
    """First and last frame of a range, as the shot file writes it."""
    if isinstance(value, str):
        at = value.index("-", 1)
        return int(value[:at]), int(value[at + 1:])
    return int(value[0]), int(value[1])


def create(app, shot, folder):
    """The Longtake node of a shot, with its plate connected."""
    read = app.createReader(os.path.join(folder, shot["plate"]))
    node = app.createNode(IDENTIFIER)
    node.connectInput(0, read)
    for name, value in shot.items():
        param = node.getParam(name)
        if name in ("plate", "out") or param is None:
            continue
        if name in ("frames", "plateRange"):
            param.set(*frames(value))
        else:
            param.set(value)
    return node


def createInstance(app, group):
    """Called by Natron with the project."""
    shot_file = os.environ["SHOT"]
    with open(shot_file, encoding="utf-8") as file:
        shot = json.load(file)
    node = create(app, shot, os.path.dirname(os.path.abspath(shot_file)))
    first, last = frames(shot["frames"])
    write = app.createWriter(os.environ["OUT"])
    write.connectInput(0, node)
    app.render(write, first, last)
