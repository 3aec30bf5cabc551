"""Does ./quickstart leave behind only what it says? The real programs run; installing and building are stand-ins."""
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cli"))

from client import program, riftctl, DEADLINE_S, ROOT  # noqa: E402
from real import rift_spec, skip_unless_built, write_examples  # noqa: E402

NOTHING = "#!/bin/sh\nexit 0\n"


class Quickstart(unittest.TestCase):
    def setUp(self):
        """A checkout that is built already, on a machine that has everything."""
        self.root = tempfile.mkdtemp(prefix="rift-quickstart-")
        self.addCleanup(shutil.rmtree, self.root)
        shutil.copy(os.path.join(ROOT, "quickstart"), self.root)
        os.symlink(os.path.join(ROOT, "openapi.yaml"), os.path.join(self.root, "openapi.yaml"))
        os.mkdir(os.path.join(self.root, "build"))
        for name in ("riftd", "riftctl", "rift-worker", "web"):
            os.symlink(program(name), os.path.join(self.root, "build", name))
        os.mkdir(os.path.join(self.root, "tools"))
        for name in ("setup", "tools/cmake"):
            self.write(name, NOTHING)
            os.chmod(os.path.join(self.root, name), 0o755)
        self.state = os.path.join(self.root, "quickstart.d")
        self.addCleanup(self.stop)

    def write(self, name, text):
        path = os.path.join(self.root, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def quickstart(self, *words):
        env = {**os.environ, "PATH": os.path.join(self.root, "tools") + ":" + os.environ["PATH"]}
        return subprocess.run([os.path.join(self.root, "quickstart"), *words], env=env, capture_output=True, text=True,
                              timeout=3 * DEADLINE_S, check=False)

    def daemons(self):
        """Pids of the riftds that use our state directory."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"riftd") and self.state.encode() in words:
                found.append(int(pid))
        return found

    def stop(self):
        for pid in self.daemons():
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                process = os.pidfd_open(pid)
                self.addCleanup(os.close, process)
                os.kill(pid, signal.SIGKILL)
                select.select([process], [], [], DEADLINE_S)  # it writes no more into what is removed next

    def test_a_refused_spec_leaves_no_riftd_behind(self):
        for words in ([], ["--keep"]):
            done = self.quickstart("--spec", self.write("bad.json", json.dumps({"kind": "bake"})), *words)
            self.assertEqual(done.returncode, 6, done.stdout + done.stderr)
            self.assertIn("/kind", done.stderr)
            self.assertEqual(self.daemons(), [])

    def test_a_spec_that_is_not_there_is_missed_before_anything_is_built(self):
        for words, said in ((["--spec", "nope.json"], "nope.json can't be read"), (["--spec"], "usage:")):
            done = self.quickstart(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
            self.assertIn(said, done.stderr)
        self.assertEqual(self.daemons(), [])

    def test_the_whole_method_runs_and_only_keep_leaves_riftd_running(self):
        data = os.path.join(self.root, "tiny.safetensors")
        write_examples(data)
        spec = self.write("tiny.json", json.dumps(rift_spec(data)))
        done = self.quickstart("--spec", spec)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("riftd was stopped", done.stdout)
        self.assertEqual(self.daemons(), [])
        done = self.quickstart("--spec", spec, "--keep")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(len(self.daemons()), 1)
        self.assertIn("./quickstart --stop", done.stdout)
        self.assertEqual(riftctl("--state", self.state, "list").returncode, 0)
        done = self.quickstart("--stop")
        self.assertEqual((done.returncode, self.daemons()), (0, []), done.stdout + done.stderr)
        self.assertIn("riftd was stopped", done.stdout)

    def test_stop_ends_no_process_but_the_riftd_that_keep_left(self):
        os.mkdir(self.state)
        bystander = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(bystander.wait, DEADLINE_S)
        self.addCleanup(bystander.kill)
        for number in (bystander.pid, 2 ** 22 + 1, "", "no number"):
            self.write("quickstart.d/riftd.pid", f"{number}\n")
            done = self.quickstart("--stop")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("no riftd that --keep left is running", done.stdout)
            self.assertIsNone(bystander.poll())


if __name__ == "__main__":
    skip_unless_built("riftctl", "riftd", "rift-worker")
    unittest.main()
