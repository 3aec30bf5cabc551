"""riftctl, riftd and rift-worker together, the way a person uses them."""
import hashlib
import json
import os
import subprocess
import tempfile
import unittest

from client import Case, program, DEADLINE_S
from real import Daemon, IMAGES, SIDE, rift_spec, skip_unless_built, wait_for

LONG = {"train": {"epochs": 100000}, "checkpoint_every_s": 1}


class Real(Case):
    @classmethod
    def setUpClass(cls):
        cls.riftd = Daemon()
        cls.riftd.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.riftd.__exit__(None)

    def ctl(self, code, *arguments, **options):
        return self.run_ctl(code, "--state", self.riftd.state, *arguments, **options)[0]

    def submit(self, *arguments, spec):
        return self.ctl(0, "submit", "-", *arguments, stdin=json.dumps(spec)).strip()

    def train_spec(self, **more):
        spec = rift_spec(self.riftd.data)
        for step in ("mrc", "finetune", "interpolate"):
            del spec[step]
        return {**spec, "kind": "train", **more}

    def state(self, job):
        return json.loads(self.ctl(0, "show", job, "--json"))["state"]

    def test_1_the_whole_method_from_submit_to_files(self):
        out = self.ctl(0, "submit", "-", "--watch", stdin=json.dumps(rift_spec(self.riftd.data)))
        job = out.splitlines()[0]
        for kind in ("train", "mrc", "finetune", "interpolate", "evaluate"):
            self.assertRegex(out, rf"(?m)^{kind} +succeeded$")
        self.assertIn("Module Robust Criticality", out)
        self.assertIn("AT+RiFT", out)

        document = json.loads(self.ctl(0, "show", job, "--json"))
        self.assertEqual((document["state"], document["label"]), ("succeeded", "tiny"))
        self.assertNotIn("attempts ", self.ctl(0, "show", job))  # its steps have them
        modules = json.loads(self.ctl(0, "modules", job, "--json"))
        self.assertEqual(len(modules["modules"]), 21)
        self.assertEqual(modules["lowest"], document["result"]["module"])
        self.assertEqual(self.ctl(0, "modules", job).count("<- lowest"), 1)
        points = json.loads(self.ctl(0, "interpolation", job, "--json"))
        self.assertEqual([point["alpha"] for point in points["points"]], [0, 0.5, 1])
        self.assertEqual(points["chosen_alpha"], document["result"]["alpha"])
        self.assertIn("clean accuracy", self.ctl(0, "table", job))
        self.assertIn(job, self.ctl(0, "list", "--kind", "rift", "--state", "succeeded", "--label", "tiny"))
        self.assertNotIn(job, self.ctl(0, "list", "--state", "failed"))

        names = [series["name"] for series in json.loads(self.ctl(0, "metrics", job, "--json"))["series"]]
        self.assertTrue(names)
        self.assertGreater(len(self.ctl(0, "metrics", job, names[0]).splitlines()), 1)
        self.ctl(0, "log", job)
        self.check_files(job)

        self.ctl(0, "delete", job)
        self.ctl(5, "show", job)

    def check_files(self, job):
        artifacts = json.loads(self.ctl(0, "artifacts", job, "--json"))["artifacts"]
        self.assertIn("train/best.safetensors", [artifact["name"] for artifact in artifacts])
        with tempfile.TemporaryDirectory() as directory:
            self.ctl(0, "fetch", job, "--dir", directory)
            for artifact in artifacts:
                with open(os.path.join(directory, artifact["name"]), "rb") as file:
                    self.assertEqual(hashlib.sha256(file.read()).hexdigest(), artifact["sha256"], artifact["name"])

    def test_1b_weights_go_into_the_registry_and_a_job_starts_from_them(self):
        job = self.submit(spec=self.train_spec(label="for the registry", **{"train": {"epochs": 1}}))
        self.ctl(0, "watch", job)
        model = self.ctl(0, "model", "push", "--job", job, "--name", "made/here").strip()
        with tempfile.TemporaryDirectory() as directory:
            there = os.path.join(directory, "weights.safetensors")
            self.ctl(0, "model", "pull", "made/here", "--to", there)
            self.assertEqual(self.ctl(0, "model", "pull", model, "--to", there), f"{there} (was there)\n")
            with open(there, "rb") as file:
                sha256 = hashlib.sha256(file.read()).hexdigest()
            pushed = self.ctl(0, "model", "push", there).strip()
            self.assertEqual(self.ctl(0, "model", "push", there).strip(), pushed)
        shown = json.loads(self.ctl(0, "model", "show", "weights", "--json"))
        self.assertEqual((shown["id"], shown["sha256"], shown["job"]), (pushed, sha256, None))
        self.assertIn(model, self.ctl(0, "model", "ls", "--job", job))
        spec = self.train_spec(**{"train": {"epochs": 1}})
        again = self.submit(spec={**spec, "model": {**spec["model"], "weights": {"model": model}}})
        self.ctl(0, "watch", again)
        self.assertEqual(json.loads(self.ctl(0, "model", "show", model, "--json"))["used_by"], [again])
        self.ctl(0, "model", "rm", model)
        self.ctl(5, "model", "show", model)
        self.ctl(5, "model", "pull", "made/here")

    def test_2_a_bad_spec_is_refused_with_every_pointer(self):
        _, err = self.run_ctl(6, "--state", self.riftd.state, "submit", "--set", "kind=train", "--set", "train.epochs=0",
                              "--set", "colour=red")
        for pointer in ("/train/epochs: ", "/colour: ", "/dataset: "):
            self.assertIn(pointer, err)

    def test_3_a_job_that_cannot_work_fails_and_says_why(self):
        job = self.submit(spec=self.train_spec(dataset={"format": "tensors", "path": "/nowhere.safetensors"}))
        out, err = self.run_ctl(1, "--state", self.riftd.state, "watch", job)
        self.assertIn("/nowhere.safetensors", err, out)
        self.assertIn("`riftctl dataset fetch NAME", err)
        self.assertRegex(self.ctl(0, "show", job), r"attempts +1\nerror")
        self.ctl(0, "retry", job)
        self.run_ctl(1, "--state", self.riftd.state, "watch", job)
        attempt = r" +%d  20[-0-9T:]{17}  cpu +0:[0-9]{2}  failed: .*/nowhere.safetensors"
        self.assertRegex(self.ctl(0, "show", job), "attempts +2\n" + attempt % 1 + ".*\n" + attempt % 2)

    def test_4_a_cancelled_job_ends_the_watch_with_3_and_can_be_tried_again(self):
        job = self.submit(spec=self.train_spec(**LONG))
        wait_for("the job runs", lambda: self.state(job) == "running")
        watch = subprocess.Popen([program("riftctl"), "watch", job, "--server", self.riftd.url], stdout=subprocess.PIPE)
        self.ctl(0, "cancel", job)
        watch.communicate(timeout=DEADLINE_S)
        self.assertEqual(watch.returncode, 3)
        self.ctl(1, "cancel", job)
        self.ctl(0, "retry", job)
        self.assertIn(self.state(job), ("queued", "running"))
        self.ctl(1, "delete", job)
        self.ctl(0, "cancel", job)
        wait_for("the job ends", lambda: self.state(job) == "cancelled")

    def test_5_the_same_key_is_the_same_job(self):
        spec = self.train_spec(train={"epochs": 1})
        first = self.submit("--idempotency-key", "once", spec=spec)
        self.assertEqual(self.submit("--idempotency-key", "once", spec=spec), first)
        self.ctl(6, "submit", "-", "--idempotency-key", "once", stdin=json.dumps({**spec, "seed": 9}))
        self.ctl(0, "watch", first)

    def test_6_a_watch_survives_riftd_being_killed_and_started_again(self):
        job = self.submit(spec=self.train_spec(train={"epochs": 12}))
        watch = subprocess.Popen([program("riftctl"), "watch", job, "--json", "--state", self.riftd.state],
                                 stdout=subprocess.PIPE, text=True)
        with watch.stdout:
            lines = [watch.stdout.readline()]
            self.riftd.kill()
            self.riftd.start()
            lines += watch.stdout  # communicate() would miss what has been read ahead
        self.assertEqual(watch.wait(DEADLINE_S), 0)
        lines = [json.loads(line) for line in lines]
        ids = [line["id"] for line in lines[:-1] if isinstance(line.get("id"), int)]
        self.assertEqual(ids, sorted(set(ids)), "no event twice, none out of order")
        seqs = [line["seq"] for line in lines[:-1] if line.get("seq")]
        self.assertEqual(seqs, list(range(1, len(seqs) + 1)), "no event of the worker's journal is missing")

    def test_7_what_riftd_has_is_listed(self):
        self.assertIn("tiny", self.ctl(0, "datasets"))
        self.assertIn("cpu", self.ctl(0, "devices"))
        self.ctl(0, "queue")
        self.assertRegex(self.ctl(0, "version"), r"\nriftd   \S+( [0-9a-f]{10})? at http")
        self.assertEqual(json.loads(self.ctl(0, "queue", "--json"))["jobs"], [])

    def test_7b_the_database_is_copied_and_everything_checked(self):
        with tempfile.TemporaryDirectory() as directory:
            there = os.path.join(directory, "copy.db")
            self.assertEqual(self.ctl(0, "admin", "backup", "--to", there), f"{there}\n")
            with open(there, "rb") as file:
                self.assertEqual(file.read(16), b"SQLite format 3\0")
            self.assertEqual(os.listdir(directory), ["copy.db"])
        name = self.ctl(0, "admin", "backup").strip()
        self.assertIn(name, self.ctl(0, "admin", "backups"))
        self.assertIn(" 0 findings\n", self.ctl(0, "admin", "check"))
        stray = os.path.join(self.riftd.state, "jobs", "stray")
        os.mkdir(stray)
        self.assertIn("directory stray: belongs to no job", self.ctl(1, "admin", "check"))
        os.rmdir(stray)

    def test_8_the_beginning_of_an_id_is_enough(self):
        job = self.submit(spec=self.train_spec(dataset={"name": "tiny"}, train={"epochs": 1}))
        other = self.submit(spec=self.train_spec(dataset={"name": "tiny"}, train={"epochs": 1}))
        self.assertIn(job, self.ctl(0, "show", job[:-1]))
        self.assertIn(job, self.ctl(0, "show", job[:-1].upper()))
        for length in (1, 7):  # so little of one riftd doesn't look for
            _, err = self.run_ctl(2, "--state", self.riftd.state, "show", job[:length])
            self.assertIn(f"more than one job's id begins with {job[:length]}", err)
        self.ctl(0, "watch", job, other)

    def test_9_a_data_set_gets_its_corrupted_copy(self):
        self.assertIn("tiny", self.ctl(0, "dataset", "ls"))
        out = self.ctl(0, "dataset", "corrupt", "tiny", "--names", "fog,frost", "--severities", "1,5", "--watch")
        job = out.splitlines()[0]
        result = json.loads(self.ctl(0, "show", job, "--json"))["result"]
        self.assertIn(f"2 corruptions in 2 severities of {IMAGES} images (npy) lie in\n  {result['path']}\n", out)
        self.assertIn("not comparable", out)
        self.assertEqual(sorted(os.listdir(result["path"])),
                         ["contact-sheet.png", "corruptions.json", "fog.npy", "frost.npy", "labels.npy"])
        with tempfile.TemporaryDirectory() as directory:
            self.ctl(0, "fetch", job, "--dir", directory)
            with open(os.path.join(directory, "fog.npy"), "rb") as file:
                self.assertIn(f"'shape': ({2 * IMAGES}, {SIDE}, {SIDE}, 1)".encode(), file.read(128))
        _, err = self.run_ctl(6, "--state", self.riftd.state, "dataset", "corrupt", "tiny", "--names", "snwo")
        self.assertIn('did you mean "snow"?', err)


if __name__ == "__main__":
    skip_unless_built("riftctl", "riftd", "rift-worker")
    unittest.main()
