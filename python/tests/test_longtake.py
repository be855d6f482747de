"""The package at work with the real program on real footage.

Run by tests/farm/python.rs, or by hand with LONGTAKE set to the program:

    LONGTAKE=target/debug/longtake python -m unittest discover -s python/tests
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import longtake  # noqa: E402

PROJECT = HERE.parent.parent
FOOTAGE = PROJECT / "examples" / "plates" / "stream-of-water.mp4"


class Takes(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        os.environ["LONGTAKE_STORE"] = str(self.folder / "store")
        self.plate = self.folder / "plate.####.png"
        subprocess.run(
            ["ffmpeg", "-v", "error", "-i", str(FOOTAGE), "-vf", "scale=120:90",
             "-frames:v", "48", "-start_number", "1001", str(self.folder / "plate.%04d.png")],
            check=True)

    def take(self, **more: longtake._run.Value) -> longtake.Take:
        return longtake.generate(
            plate=self.plate, frames=(1001, 1060), plans=1, warp=False,
            out=self.folder / "o" / "o.####.exr", warn=lambda text: None, **more)

    def test_a_take_is_made_and_gone_on_with(self) -> None:
        stages = []
        take = self.take(progress=lambda stage, fraction: stages.append((stage, fraction)))
        self.assertEqual([f.number for f in take.frames], list(range(1001, 1061)))
        self.assertEqual((take.made, take.kept, take.there), (28, 32, 0))
        self.assertTrue(all(f.file.is_file() for f in take.frames))
        self.assertIn("Making frames", [s for s, _ in stages])
        self.assertTrue(all(0 <= f <= 1 for _, f in stages))
        again = self.take()
        self.assertEqual((again.there, again.hash), (60, take.hash))
        told = longtake.provenance(take.frames[-1].file)
        self.assertTrue(told["generated"])
        self.assertIs(told["parameters"]["warp"], False)

    def test_raising_from_progress_stops_the_program(self) -> None:
        class Enough(Exception):
            pass

        def stop(stage: str, fraction: float) -> None:
            if stage == "Making frames":
                raise Enough

        with self.assertRaises(Enough):
            self.take(progress=stop, threads=1)
        self.assertLess(len(list((self.folder / "o").glob("*.exr"))), 60)
        self.assertEqual(len(self.take().frames), 60)

    def test_plans_and_jobs_for_queues(self) -> None:
        parameters = {"plate": self.plate, "frames": (1001, 1060), "block_frames": 16}
        out = self.folder / "o.####.exr"
        plan = longtake.plan(picture=self.folder / "plan.png", out=out, **parameters)
        self.assertEqual([(n, len(b)) for n, b in plan.levels],
                         [("analysis", 1), ("edit list", 1), ("frames", 4)])
        self.assertEqual(plan.frames, (1001, 1060))
        self.assertTrue((self.folder / "plan.png").is_file())
        made = longtake.submit("openjd", self.folder / "b", out=out, **parameters)
        self.assertEqual([f.name for f in made.files],
                         ["template.yaml", "parameter_values.yaml", "asset_references.yaml"])
        self.assertIn("openjd check", made.next)

    def test_a_sequence_is_measured(self) -> None:
        self.take()
        found = longtake.report(self.folder / "o" / "o.####.exr", plate=self.plate)
        self.assertIn("verdicts", found)

    def test_errors_have_kinds(self) -> None:
        with self.assertRaises(longtake.MissingError) as caught:
            longtake.generate(plate="no.####.png", frames=(1, 9), out="o.####.exr")
        self.assertEqual((caught.exception.kind, caught.exception.code), ("missing", 3))
        with self.assertRaises(longtake.UsageError) as used:
            longtake.generate(plate=self.plate, out="o.####.exr", novelty=7)
        self.assertIn("novelty", str(used.exception))
        old = os.environ["LONGTAKE"]
        os.environ["LONGTAKE"] = "no-such-program"
        try:
            with self.assertRaises(longtake.LongtakeError) as gone:
                longtake.schema()
        finally:
            os.environ["LONGTAKE"] = old
        self.assertEqual(gone.exception.kind, "tool")

    def test_it_works_from_a_thread_as_hosts_call_it(self) -> None:
        made = []
        thread = threading.Thread(target=lambda: made.append(self.take()))
        thread.start()
        thread.join()
        self.assertEqual(len(made[0].frames), 60)


class Schema(unittest.TestCase):
    def test_the_example_jobs_are_valid_and_slips_are_not(self) -> None:
        import jsonschema

        check = jsonschema.Draft202012Validator(longtake.schema())
        jobs = sorted((PROJECT / "examples").glob("*.json"))
        self.assertTrue(jobs)
        for job in jobs:
            with self.subTest(job.name):
                check.validate(json.loads(job.read_text(encoding="utf-8")))
        for slip in ({"plate": "p", "out": "o", "sede": 1},
                     {"plate": "p", "out": "o", "novelty": 2},
                     {"plate": "p", "out": "o", "mode": "fade"},
                     {"plate": "p", "out": "o", "frames": "1001"},
                     {"plate": "p"}):
            with self.subTest(str(slip)):
                self.assertFalse(check.is_valid(slip))


if __name__ == "__main__":
    unittest.main()
