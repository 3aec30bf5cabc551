"""Is docs/python.md true? Its blocks are run in order, as they stand, by a Python that has requests and pandas."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cli"))

from client import ROOT  # noqa: E402
from pages import read  # noqa: E402
from real import Daemon, skip_unless_built  # noqa: E402

DEADLINE_S = 800


def python_with(*modules):
    """The first interpreter that has them: the one we run in, or Debian's, for which apt installs."""
    for python in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([python, "-c", "import " + ", ".join(modules)], capture_output=True, check=False)
        if done.returncode == 0:
            return python
    return None


class Python(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        work = tempfile.mkdtemp(prefix="rift-python-")
        cls.addClassCleanup(shutil.rmtree, work)
        os.symlink(os.path.join(ROOT, "docs"), os.path.join(work, "docs"))
        with Daemon() as riftd:
            os.symlink(riftd.state, os.path.join(work, "quickstart.d"))
            export, = re.findall(r"(?m)^    (export RIFTD_URL=\S+(?: \S+)?\))", read("docs/python.md"))
            cls.told = subprocess.run(["bash", "-c", export + ' && echo "$RIFTD_URL"'], cwd=work, text=True, capture_output=True,
                                      timeout=DEADLINE_S, check=True).stdout.strip()
            cls.listens = riftd.url
            clean = {name: value for name, value in os.environ.items() if not name.startswith(("RIFTD_", "RIFT_"))}
            done = subprocess.run([PYTHON, "-B", os.path.join(HERE, "run_python.py"), "docs/python.md"], cwd=work, text=True,
                                  env={**clean, "RIFTD_URL": cls.told, "OMP_NUM_THREADS": "1"}, capture_output=True,
                                  timeout=DEADLINE_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        cls.output = done.stdout
        cls.done = json.loads(done.stdout.splitlines()[-1])

    def test_the_address_that_it_says_to_export_is_the_one_that_quickstart_left(self):
        self.assertEqual(self.told, self.listens)

    def test_every_block_runs_as_it_stands(self):
        self.assertIsNone(self.done["failed"], self.output)
        self.assertEqual(self.done["plain"], read("docs/python.md").count("```python\n"))

    def test_what_it_prints_is_what_the_words_around_it_say(self):
        for words in ("succeeded layer", "isn't a known field", "robust_accuracy", "tensors, the first is conv1.weight"):
            self.assertIn(words, self.output)

    def test_weights_go_into_pytorch_and_back_and_mean_the_same(self):
        if self.done["left_out"]:
            print(f"skipped: {PYTHON} has no torch: {self.done['left_out']} blocks of docs/python.md were not run", file=sys.stderr)
            self.skipTest("no torch")
        self.assertEqual(self.done["torch"], read("docs/python.md").count("```python torch\n"), self.done["failed"])
        self.assertRegex(self.output, r"PyTorch 0\.\d+, riftd 0\.\d+")


if __name__ == "__main__":
    PYTHON = python_with("requests", "pandas", "numpy", "torch") or python_with("requests", "pandas", "numpy")
    if not PYTHON:
        print("skipped: no Python here has requests and pandas (python3-requests, python3-pandas)")
        sys.exit(77)
    if not os.path.isdir("/usr/share/datasets/fashion-mnist"):
        print("skipped: /usr/share/datasets/fashion-mnist is not there (dataset-fashion-mnist)")
        sys.exit(77)
    skip_unless_built("riftd", "rift-worker")
    unittest.main()
