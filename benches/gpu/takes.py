#!/usr/bin/env python3
"""Takes of the plate engine with a real driver: the command line's and the node's, on the
GPU and on the CPU, to the byte; two processes on one GPU; a GPU that is full.

    python3 benches/gpu/takes.py [--json FILE]

Needs what `benches/gpu/carry.sh` lays into benches/gpu/carried, and nothing else. Ends with 1 where a frame differs or something is not told.
"""

import argparse
import datetime
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CARRIED = HERE / "carried"
# The plate has frames 1001 to 1024, large enough for a GPU to be asked of its own accord.
TAKE = ["--frames", "1001-1080"]
COUNT = 80
# Kept, made and asked for twice.
FRAMES = "1005,1070,1071,1046,1070,1030"


def command_line(folder, name, device, seed=0):
    """The words of a take, into a folder of its own."""
    return [
        str(CARRIED / "longtake"), "generate", "--plate", str(CARRIED / "plate" / "p.####.png"),
        *TAKE, "--seed", str(seed), "--device", device, "--out", str(folder / name / "o.####.exr"),
        "--store", str(folder / f"store-{name}"), "--json",
    ]  # fmt: skip


def take(folder, name, device, seed=0):
    """Makes a take; its exit code, seconds and events."""
    begun = time.perf_counter()
    done = subprocess.run(command_line(folder, name, device, seed), capture_output=True, text=True)
    return done.returncode, time.perf_counter() - begun, events(done.stdout)


def events(text):
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append({"event": "line", "text": line})
    return found


def told(found):
    """What an artist reads."""
    return [e.get("message") or e.get("text") for e in found if e.get("event") in ("warning", "notice", "error", "line")]


def differing(folder, one, other):
    """How many frames there are, and how many differ."""
    names = sorted(p.name for p in (folder / one).glob("*.exr"))
    same, _, _ = filecmp.cmpfiles(folder / one, folder / other, names, shallow=False)
    return len(names), len(names) - len(same)


def node(folder, like, device, *more):
    """Frames of the node in a host, by number, and what was told."""
    libraries = ":".join([str(CARRIED / "lib"), os.environ.get("LD_LIBRARY_PATH", "")])
    environment = os.environ | {
        "LD_LIBRARY_PATH": libraries.rstrip(":"),
        "LONGTAKE_STORE": str(folder / f"store-{like}-{'-'.join(more)}"),
    }
    words = [
        str(CARRIED / "longtake-host"), "--like", like, *more, "--path", str(CARRIED),
        "--no-identity", "--clip", f"Source={CARRIED / 'plate' / 'p.####.png'}@1001-1024",
        "--set", "frames=1001,1080", "--set", f"device={device}", "--render", FRAMES,
    ]  # fmt: skip
    begun = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    found = events(done.stdout)
    frames = {}
    for event in found:
        if event.get("event") == "frame":
            frames.setdefault(str(event["frame"]), []).append((event.get("hash"), event.get("status"), event.get("cuda_waits")))
    odd = [e for e in found if e.get("event") in ("fault", "error", "message")]
    return {
        "code": done.returncode,
        "seconds": time.perf_counter() - begun,
        "frames": frames,
        "told": odd,
        "stderr": done.stderr[-400:],
    }


def hashes(run):
    return {n: [h for h, _, _ in found] for n, found in run["frames"].items()}


# Takes all but a little of the memory of the first GPU, and keeps it.
HOLD = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
def call(name, *arguments):
    code = getattr(cuda, name)(*arguments)
    if code:
        sys.exit(f"{name} gave {code}")
context, address = ctypes.c_void_p(), ctypes.c_uint64()
free, total = ctypes.c_size_t(), ctypes.c_size_t()
call("cuInit", 0)
call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
call("cuCtxSetCurrent", context)
call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(free.value - (48 << 20)))
print("held", flush=True)
sys.stdin.read()
"""


def full(folder):
    """With nearly all of the GPU's memory taken by another program."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if holder.stdout.readline().strip() != "held":
            return {"not run": "the memory could not be taken"}
        asked = take(folder, "full-gpu", "gpu")
        auto = take(folder, "full-auto", "auto")
    finally:
        holder.stdin.close()
        holder.wait()
    after = take(folder, "after", "gpu")
    return {
        "asked for": {"code": asked[0], "told": told(asked[2])},
        "left to us": {"code": auto[0], "told": told(auto[2]), "differing": differing(folder, "full-auto", "cpu")},
        "afterwards": {"code": after[0], "differing": differing(folder, "after", "cpu")},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--without-gpu", action="store_true", help="a trial: the CPU in its place")
    args = parser.parse_args()
    on = "auto" if args.without_gpu else "gpu"
    folder = Path(tempfile.mkdtemp(prefix="longtake-takes-"))
    right = {}
    found = {"date": datetime.date.today().isoformat(), "command": "benches/gpu/takes.py", "right": right, "command_line": {}}

    def write():
        """What is known so far: what follows may fail."""
        if args.json:
            Path(args.json).write_text(json.dumps(found, indent=2) + "\n")

    try:
        for name, device in (("cpu", "cpu"), ("gpu", on)):
            code, seconds, said = take(folder, name, device)
            found["command_line"][name] = {"code": code, "seconds": seconds, "told": told(said)}
        frames, differ = differing(folder, "cpu", "gpu")
        found["command_line"] |= {"frames": frames, "differing": differ}
        right["the command line's frames"] = frames == COUNT and differ == 0
        print(json.dumps(found["command_line"]), flush=True)
        write()

        both = [subprocess.Popen(command_line(folder, f"both-{s}", on, s), stdout=subprocess.PIPE, text=True) for s in (0, 1)]
        codes = [(p.communicate(), p.returncode)[1] for p in both]
        alone = take(folder, "alone-1", "cpu", 1)[0]
        pairs = [differing(folder, "both-0", "cpu"), differing(folder, "both-1", "alone-1")]
        found["two_at_once"] = {"codes": codes, "differing": pairs}
        right["two processes"] = codes == [0, 0] and alone == 0 and pairs == [(COUNT, 0)] * 2
        print(json.dumps(found["two_at_once"]), flush=True)
        write()

        reference = node(folder, "resolve", "CPU")
        found["node"] = {"on the CPU": reference}
        ways = [] if args.without_gpu else [("--cuda", "primary"), ("--cuda", "own"), ("--cuda", "own", "--no-cuda-stream")]
        right["the node on the CPU"] = reference["code"] == 0 and len(reference["frames"]) == 5
        for more in ways:
            for device in ("GPU", "CPU"):
                run = node(folder, "resolve-cuda", device, *more)
                name = " ".join(more) + ", made on the " + device
                found["node"][name] = run
                right[f"the node, {name}"] = run["code"] == 0 and hashes(run) == hashes(reference)
                print(name, run["seconds"], run["told"], run["stderr"], flush=True)
                write()

        if not args.without_gpu:
            found["full"] = full(folder)
            print(json.dumps(found["full"]), flush=True)
            asked, left, after = (found["full"].get(k, {}) for k in ("asked for", "left to us", "afterwards"))
            right["a full GPU is told"] = asked.get("code", 0) != 0 and "memory" in " ".join(map(str, asked.get("told", [])))
            right["and left to the CPU"] = left.get("code") == 0 and left.get("differing") == (COUNT, 0)
            right["which is told"] = "made on the CPU instead" in " ".join(map(str, left.get("told", [])))
            right["and used again"] = after.get("code") == 0 and after.get("differing") == (COUNT, 0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, good in right.items():
        print("PASS" if good else "FAIL", name)
    write()
    sys.exit(0 if all(right.values()) else 1)


main()
