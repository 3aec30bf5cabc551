"""Does the real worker do its work shut in, and say so?"""
import json
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import unittest

WORKER = os.environ["RIFT_WORKER"]
DRIVER = os.environ["RIFT_TEST_DRIVER"]  # a module for cards that says what it could do
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
TRAIN = {"kind": "train", "device": "cpu", "batch_size": 32, "model": {"arch": "resnet18", "width": 4, "num_classes": 10,
         "input": [1, 32, 32]}, "dataset": {"format": "idx", "path": str(FASHION), "train_limit": 64, "test_limit": 32},
         "attack": None, "train": {"method": "standard", "epochs": 1}}
LANDLOCK_VERSION = 444, 0, 0, 1  # landlock_create_ruleset(NULL, 0, VERSION)


def landlock_abi():
    import ctypes
    return ctypes.CDLL(None).syscall(*LANDLOCK_VERSION)


class Worker(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def job(self, spec, name="job"):
        job = self.folder / name
        job.mkdir()
        (job / "spec.json").write_text(json.dumps(spec))
        return job

    def run_worker(self, *words, **environment):
        return subprocess.run([WORKER, "run", "--quiet", *map(str, words)], capture_output=True, text=True, timeout=300,
                              env={**os.environ, **environment})

    def events(self, job, kind):
        lines = (job / "journal.ndjson").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["type"] == kind]

    def require(self):
        if landlock_abi() < 1:
            self.skipTest("NOT SHUT IN: this kernel has no Landlock, or it is switched off (lsm=)")

    @unittest.skipUnless(FASHION.exists(), "dataset-fashion-mnist isn't installed")
    def test_a_whole_job_runs_shut_in_and_says_so(self):
        self.require()
        job = self.job(TRAIN)
        done = self.run_worker("--sandbox", "require", job)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([event["sandbox"] for event in self.events(job, "started")],
                         [{"landlock": landlock_abi(), "seccomp": True}])
        self.assertEqual(len(self.events(job, "finished")), 1)
        self.assertEqual((job / "artifacts" / "best.safetensors").stat().st_mode & 0o777, 0o600)

    @unittest.skipUnless(FASHION.exists(), "dataset-fashion-mnist isn't installed")
    def test_weights_come_out_the_same_bits_with_and_without_walls(self):
        shut, open_ = self.job(TRAIN, "shut"), self.job(TRAIN, "open")
        self.assertEqual(self.run_worker(shut).returncode, 0)
        self.assertEqual(self.run_worker("--sandbox", "off", open_).returncode, 0)
        self.assertEqual(self.events(open_, "started")[0]["sandbox"], {"landlock": 0, "seccomp": False})
        self.assertEqual(*[self.events(job, "artifact")[-1]["sha256"] for job in (shut, open_)])

    def test_data_behind_a_link_out_of_the_data_set_stay_unread(self):
        self.require()
        for place in ("data", "elsewhere"):
            (self.folder / place).mkdir()
        (self.folder / "elsewhere" / "train-images-idx3-ubyte").write_bytes(b"\0" * 64)
        (self.folder / "data" / "train-images-idx3-ubyte").symlink_to("../elsewhere/train-images-idx3-ubyte")
        job = self.job({**TRAIN, "dataset": {"format": "idx", "path": str(self.folder / "data")}})
        self.assertEqual(self.run_worker("--sandbox", "require", job).returncode, 65)
        self.assertIn("Permission denied", self.events(job, "failed")[0]["message"])

    def test_what_cannot_be_shut_in_fails_when_it_must_be(self):
        # Under a filter that knows no Landlock: systemd, or a container, may have set one.
        self.require()
        job = self.job(TRAIN)
        lines = ["import ctypes, os, struct, sys",
                 "code = b''.join(struct.pack('HBBI', *line) for line in",
                 "    [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7fff0000)])",
                 "keep = ctypes.create_string_buffer(code)",
                 "libc = ctypes.CDLL(None)",
                 "assert libc.prctl(38, 1, 0, 0, 0) == 0",
                 "assert libc.prctl(22, 2, struct.pack('HxxxxxxQ', 4, ctypes.addressof(keep))) == 0",
                 "os.execv(sys.argv[1], sys.argv[1:])"]
        words = ["python3", "-c", "\n".join(lines), WORKER, "run", "--quiet"]
        done = subprocess.run([*words, "--sandbox", "require", str(job)], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 70, done.stderr)
        failed = self.events(job, "failed")
        self.assertEqual([event["code"] for event in failed], ["unconfined"])
        self.assertIn("Landlock", failed[0]["message"])
        self.assertIn("/sys/kernel/security/lsm", failed[0]["message"])  # where to look
        self.assertIn("`sandbox = try`", failed[0]["message"])  # and what else there is
        self.assertEqual(self.events(job, "started"), [])
        # Where it need not be, the job goes as far as its data, and log.txt says what is missing.
        done = subprocess.run([*words, str(job)], capture_output=True, text=True, timeout=300)
        self.assertIn("not fully shut in", done.stderr)
        if FASHION.exists():
            self.assertEqual(self.events(job, "started")[0]["sandbox"], {"landlock": 0, "seccomp": True})

    @unittest.skipIf(os.environ.get("RIFT_SANITIZED"), "sanitizers reserve more than any limit")
    @unittest.skipUnless(FASHION.exists(), "dataset-fashion-mnist isn't installed")
    def test_a_memory_limit_fails_the_job_that_wants_more(self):
        job = self.job({**TRAIN, "model": {**TRAIN["model"], "width": 64}, "batch_size": 512})
        self.assertEqual(self.run_worker("--memory-limit", 400 << 20, job).returncode, 70)
        self.assertEqual(self.events(job, "failed")[0]["code"], "out_of_memory")

    def test_a_cards_driver_can_name_its_threads_and_map_what_it_likes(self):
        said = f"a thread's name: written; data: {resource.getrlimit(resource.RLIMIT_DATA)[0]}"
        for words in ([], ["--memory-limit", 400 << 20], ["--sandbox", "off"]):
            job = self.job({**TRAIN, "device": "cuda"}, f"job{len(words)}{words[:1]}")
            done = self.run_worker(*words, job, RIFT_CUDA_MODULE=DRIVER)
            self.assertEqual(done.returncode, 69, done.stderr)
            self.assertIn(said, self.events(job, "failed")[0]["message"], words)
        done = subprocess.run([WORKER, "check", job], capture_output=True, text=True, timeout=300,
                              env={**os.environ, "RIFT_CUDA_MODULE": DRIVER})
        self.assertIn(said, done.stderr)

    def test_a_library_from_a_wheel_can_open_those_of_the_wheels_beside_it(self):
        self.require()
        wheels = self.folder / "nvidia"
        for name in ("cudnn", "cuda_nvrtc", "cublas", "cu13", "other"):
            (wheels / name / "lib").mkdir(parents=True)
            (wheels / name / "lib" / "library").write_bytes(b"")
        module = shutil.copy(DRIVER, wheels / "cudnn" / "lib" / "libcudnn.so.9")
        for name in ("cuda_nvrtc", "cublas", "cu13", "other"):
            outcome = "Permission denied" if name == "other" else "opened"
            job = self.job({**TRAIN, "device": "cuda"}, name)
            self.run_worker("--sandbox", "require", job, RIFT_CUDA_MODULE=str(module),
                            RIFT_TEST_LIBRARY=str(wheels / name / "lib" / "library"))
            self.assertIn(f"a library: {outcome}", self.events(job, "failed")[0]["message"], name)

    def test_wrong_words_are_refused(self):
        job = self.job(TRAIN)
        for words in (["--sandbox", "maybe", job], ["--sandbox"], [job, "--sandbox"], ["--memory-limit", "-1", job],
                      ["--memory-limit", "0", job], ["--memory-limit", "1x", job], ["--nothing", job], [job, job], []):
            self.assertEqual(self.run_worker(*words).returncode, 64, words)
        self.assertFalse((job / "journal.ndjson").exists())


if __name__ == "__main__":
    unittest.main()
