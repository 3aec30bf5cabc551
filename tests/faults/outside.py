"""What the tests of a failing world share: a real riftd with the real or the scripted worker, and jobs for both."""

import os
import pathlib
import shutil
import sys
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("RIFT_BUILD", "build")).resolve()
HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("RIFTD", str(BUILD / "riftd"))
os.environ.setdefault("SCRIPTED_WORKER", str(BUILD / "tests" / "daemon" / "scripted_worker"))
sys.path[:0] = [str(HERE.parent / "daemon"), str(HERE.parent / "cli")]

from real import rift_spec, write_examples  # noqa: E402
from riftd import Riftd, alive, until  # noqa: E402,F401

REAL_WORKER = str(BUILD / "rift-worker")


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def riftd(self, *options, state=None, **more):
        riftd = Riftd(state or self.folder / "state", *options, **more)
        riftd.start()
        self.addCleanup(riftd.close)
        return riftd

    def data(self):
        path = self.folder / "examples.safetensors"
        if not path.exists():
            write_examples(path)
        return str(path)

    def train_spec(self, **more):
        """A training of a few seconds by the real worker."""
        spec = rift_spec(self.data(), kind="train", checkpoint_every_s=0.2, train={"epochs": 4})
        for name in ("mrc", "finetune", "interpolate"):
            spec.pop(name)
        spec.update(more)
        return spec

    def story_check(self, riftd, job):
        """Every line of the journal is stored once, in order, whatever happened."""
        journal = [(event["seq"], event["type"]) for event in riftd.journal(job)]
        events = riftd.rows("SELECT seq, type FROM event WHERE seq > 0 AND job = (SELECT number FROM job WHERE id = ?)"
                            " ORDER BY id", job)
        self.assertEqual(events, journal)
        self.assertEqual([seq for seq, _ in events], list(range(1, len(events) + 1)))
