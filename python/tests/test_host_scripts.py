"""The example scripts for Nuke and Natron, with stand-ins for those hosts that know
the calls that the scripts make and the node's parameters. (The hosts themselves are
not here: their own interpreters have the last word.)"""

import importlib.util
import json
import os
import re
import sys
import tempfile
import types
import unittest
from pathlib import Path
from typing import Any, Dict, List, Tuple

PROJECT = Path(__file__).resolve().parent.parent.parent
MANIFEST = (PROJECT / "plugin_manifest" / "node.toml").read_text(encoding="utf-8")
PARAMS = re.findall(r'\[\[param\]\]\nname = "(\w+)"', MANIFEST)
IDENTIFIER = re.search(r'identifier = "(.+)"', MANIFEST).group(1)
MAJOR = re.search(r"version = \[(\d+)", MANIFEST).group(1)

Calls = List[Tuple[Any, ...]]


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, PROJECT / "examples" / (name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shot(folder: str) -> str:
    path = os.path.join(folder, "shot.json")
    values = {"plate": "p.####.exr", "plateRange": [1001, 1048], "frames": "1001-1240",
              "mode": "loop", "seed": 7, "out": "o.####.exr", "threads": 3}
    Path(path).write_text(json.dumps(values), encoding="utf-8")
    return path


class Knob:
    def __init__(self, calls: Calls, name: str) -> None:
        self.calls, self.name = calls, name

    def setValue(self, value: Any, index: int = 0) -> None:
        self.calls.append((self.name, value, index))

    def set(self, *values: Any) -> None:
        self.calls.append((self.name, *values))

    def execute(self) -> None:
        self.calls.append((self.name, "pressed"))


class Node:
    def __init__(self, calls: Calls, names: List[str]) -> None:
        self.calls, self.names = calls, names
        self.knobs: Dict[str, Knob] = {}

    def knob(self, name: str) -> Any:
        return Knob(self.calls, name) if name in self.names else None

    getParam = knob

    def __getitem__(self, name: str) -> Knob:
        return Knob(self.calls, name)

    def setInput(self, index: int, node: "Node") -> None:
        self.calls.append(("input", index))

    connectInput = setInput


class Scripts(unittest.TestCase):
    def test_nuke(self) -> None:
        calls: Calls = []
        nuke = types.ModuleType("nuke")
        made: List[str] = []

        def create(name: str, inpanel: bool = True) -> Node:
            made.append(name)
            return Node(calls, PARAMS)

        other = lambda **knobs: Node([], [])  # noqa: E731
        nuke.createNode = create
        nuke.nodes = types.SimpleNamespace(Read=other, Write=other)
        nuke.root = lambda: Node([], [])
        nuke.execute = lambda node, first, last: calls.append(("render", first, last))
        sys.modules["nuke"] = nuke
        with tempfile.TemporaryDirectory() as folder:
            sys.argv = ["nuke_shot.py", shot(folder), "r.####.exr"]
            load("nuke_shot").main()
        self.assertEqual(made, ["OFX%s_v%s" % (IDENTIFIER, MAJOR)])
        for call in [("seed", 7, 0), ("mode", "loop", 0), ("frames", 1001, 0),
                     ("frames", 1240, 1), ("plateRange", 1048, 1),
                     ("generate", "pressed"), ("render", 1001, 1240)]:
            self.assertIn(call, calls)
        self.assertNotIn("threads", [c[0] for c in calls])

    def test_natron(self) -> None:
        calls: Calls = []
        made: List[str] = []

        def create(name: str) -> Node:
            made.append(name)
            return Node(calls, PARAMS)

        app = types.SimpleNamespace(
            createNode=create,
            createReader=lambda file: Node([], []),
            createWriter=lambda file: Node([], []),
            render=lambda node, first, last: calls.append(("render", first, last)))
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SHOT"], os.environ["OUT"] = shot(folder), "r.####.exr"
            load("natron_shot").createInstance(app, None)
        self.assertEqual(made, [IDENTIFIER])
        for call in [("seed", 7), ("mode", "loop"), ("frames", 1001, 1240),
                     ("plateRange", 1001, 1048), ("render", 1001, 1240)]:
            self.assertIn(call, calls)


if __name__ == "__main__":
    unittest.main()
