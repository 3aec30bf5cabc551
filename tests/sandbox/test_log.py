"""Does what a worker says on stderr stand in its job's log.txt, started by whom it may?"""
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

WORKER = os.environ["RIFT_WORKER"]
TRAIN = {"kind": "train", "device": "cpu", "batch_size": 8, "protocol": "paper", "augment": "none",
         "model": {"arch": "resnet18", "width": 1, "num_classes": 2, "input": [1, 32, 32]},
         "dataset": {"format": "tensors", "path": "data.safetensors"}, "attack": None,
         "train": {"method": "standard", "epochs": 1, "evaluate_every": 0}}
PATIENCE_S = 60


def tensors(path, count=8):
    pixels, labels = bytes(count * 1024), struct.pack(f"<{count}q", *(i % 2 for i in range(count)))
    header = json.dumps({"x": {"dtype": "U8", "shape": [count, 1, 32, 32], "data_offsets": [0, len(pixels)]},
                         "y": {"dtype": "I64", "shape": [count], "data_offsets": [len(pixels), len(pixels) + len(labels)]}})
    header += " " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + pixels + labels)


class Log(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.job = self.folder / "job"
        self.job.mkdir()
        self.log = self.job / "log.txt"
        self.spec(TRAIN)
        tensors(self.job / "data.safetensors")

    def spec(self, spec):
        (self.job / "spec.json").write_text(json.dumps(spec))

    def work(self, job=None, **how):
        how = {"stderr": subprocess.PIPE, **how}
        return subprocess.run([WORKER, "run", str(job or self.job)], text=True, timeout=300, **how)

    def test_stderr_and_the_log_say_the_same(self):
        done = self.work()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"type":"finished"', done.stderr)
        self.assertEqual(self.log.read_text(), done.stderr)
        again = self.work()  # there is nothing left to do, and so nothing to say
        self.assertEqual((again.returncode, again.stderr), (0, ""))
        self.assertEqual(self.log.read_text(), done.stderr)

    def test_a_spec_that_cannot_be_read_is_in_the_log_and_the_next_run_comes_below_it(self):
        self.spec({**TRAIN, "batch_sise": 8, "sheed": 1})
        first = self.work()
        self.assertEqual(first.returncode, 65)
        self.assertIn("/sheed", first.stderr)
        self.assertEqual(self.log.read_text(), first.stderr)
        self.spec(TRAIN)
        second = self.work()
        self.assertEqual(second.returncode, 0, second.stderr)
        self.assertEqual(self.log.read_text(), first.stderr + second.stderr)

    def test_a_directory_may_be_named_from_where_one_stands(self):
        done = self.work("job", cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.log.read_text(), done.stderr)
        self.assertFalse((self.folder / "log.txt").exists())

    def test_stderr_that_is_the_log_already_is_not_written_twice(self):
        for mode in ("a", "w"):
            shutil.rmtree(self.job / "artifacts", ignore_errors=True)
            (self.job / "journal.ndjson").unlink(missing_ok=True)
            with open(self.log, mode, encoding="utf-8") as log:
                self.assertEqual(self.work(stderr=log).returncode, 0)
        said = self.log.read_text().splitlines()
        self.assertEqual(len(said), len(set(said)))
        self.assertEqual(sum('"type":"finished"' in line for line in said), 1)

    def test_a_second_worker_leaves_the_log_of_the_first_alone(self):
        self.spec({**TRAIN, "train": {**TRAIN["train"], "epochs": 100000}})
        for how in ("by hand", "by riftd"):
            with open(self.log, "a", encoding="utf-8") as log:
                to = subprocess.DEVNULL if how == "by hand" else log
                first = subprocess.Popen([WORKER, "run", str(self.job)], stderr=to)
            self.addCleanup(first.kill)
            end = time.monotonic() + PATIENCE_S
            while '"type":"started"' not in self.log.read_text() and time.monotonic() < end:
                time.sleep(0.02)
            second = self.work()
            self.assertEqual(second.returncode, 75)
            self.assertIn("another worker is running this job", second.stderr)
            first.send_signal(signal.SIGTERM)
            self.assertEqual(first.wait(PATIENCE_S), 75)
            self.assertNotIn("another worker", self.log.read_text(), how)
            self.assertIn('"type":"interrupted"', self.log.read_text(), how)
            self.log.unlink()

    def test_a_log_that_cannot_be_written_ends_no_job(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.write_text("mine\n")
        for make in (lambda: self.log.symlink_to(elsewhere), lambda: os.mkfifo(self.log), self.log.mkdir):
            shutil.rmtree(self.job / "artifacts", ignore_errors=True)
            (self.job / "journal.ndjson").unlink(missing_ok=True)
            make()
            done = self.work()
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn('"type":"finished"', done.stderr)
            self.log.rmdir() if self.log.is_dir() else self.log.unlink()
        self.assertEqual(elsewhere.read_text(), "mine\n")

    def test_a_job_that_is_not_there_gets_no_log(self):
        done = self.work(self.folder / "nowhere")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nowhere", done.stderr)
        self.assertFalse((self.folder / "nowhere").exists())


if __name__ == "__main__":
    unittest.main()
