"""Creates the Longtake node in Nuke, sets it from a shot file, and renders it:

    nuke -t examples/nuke_shot.py examples/shot.json render.####.exr

The shot file is a job file of the command line (`longtake schema`). Its plate is read by a
Read node; parameters that only the command line has (report, threads, ...) are left alone.
"""

import json
import os
import sys

import nuke

# An OpenFX node's class: its identifier and the major version of the plug-in.
CLASS = "OFXorg.longtake.Longtake_v0"


def frames(value):
    """First and last frame of a range, as the shot file writes it."""
    if isinstance(value, str):
        at = value.index("-", 1)
        return int(value[:at]), int(value[at + 1:])
    return int(value[0]), int(value[1])


def create(shot, folder):
    """The Longtake node of a shot, with its plate connected."""
    plate = os.path.join(folder, shot["plate"])
    read = nuke.nodes.Read(file=plate.replace(os.sep, "/"))
    first, last = frames(shot.get("plateRange", shot["frames"]))
    read["first"].setValue(first)
    read["last"].setValue(last)
    node = nuke.createNode(CLASS, inpanel=False)
    node.setInput(0, read)
    for name, value in shot.items():
        knob = node.knob(name)
        if name in ("plate", "out") or knob is None:
            continue
        if name in ("frames", "plateRange"):
            for index, end in enumerate(frames(value)):
                knob.setValue(end, index)
        else:
            knob.setValue(value)
    return node


def main():
    shot_file, out = sys.argv[1:3]
    with open(shot_file, encoding="utf-8") as file:
        shot = json.load(file)
    node = create(shot, os.path.dirname(os.path.abspath(shot_file)))
    first, last = frames(shot["frames"])
    nuke.root()["first_frame"].setValue(first)
    nuke.root()["last_frame"].setValue(last)
    write = nuke.nodes.Write(file=out.replace(os.sep, "/"), file_type="exr")
    write.setInput(0, node)
    # Studies the plate and decides the take, so that frames come quickly.
    node["generate"].execute()
    nuke.execute(write, first, last)


if __name__ == "__main__":
    main()
