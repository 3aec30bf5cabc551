"""What may a job that was sent read, and how is its worker shut in?"""
import pathlib
import shutil
import tempfile
import unittest

from riftd import Riftd, until


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ("data", "elsewhere"):
            (self.folder / name).mkdir()

    def riftd(self, *options):
        riftd = Riftd(self.folder / "state", *options)
        riftd.start()
        self.addCleanup(riftd.close)
        return riftd

    def refused(self, riftd, **members):
        """The pointers that a spec is refused for."""
        status, body = riftd.ask("POST", "/v1/jobs", {"kind": "evaluate", "model": {"weights": "/nowhere/w"},
                                                      "dataset": {"format": "idx", "path": "/nowhere"}, **members})
        self.assertIn(status, (201, 422), body)
        return [error["pointer"] for error in body["errors"]] if status == 422 else []


class Places(Case):
    def test_riftds_state_is_no_place_for_data(self):
        riftd = self.riftd()
        (self.folder / "data" / "way-in").symlink_to("../state/jobs")
        self.assertEqual(self.refused(riftd), [])
        state = str(riftd.state)
        self.assertEqual(self.refused(riftd, model={"weights": f"{state}/jobs/x/artifacts/last.safetensors"}),
                         ["/model/weights"])
        self.assertEqual(self.refused(riftd, dataset={"format": "idx", "path": f"{self.folder}/data/way-in/x"}),
                         ["/dataset/path"])
        self.assertEqual(self.refused(riftd, dataset={"format": "idx", "path": f"{self.folder}/data/../state"}),
                         ["/dataset/path"])
        self.assertEqual(self.refused(riftd, evaluate={"baseline": f"{state}/riftd.db",
                                                       "corruptions": {"path": f"{state}/jobs"}}),
                         ["/evaluate/baseline", "/evaluate/corruptions/path"])

    def test_data_roots_bound_what_specs_name(self):
        riftd = self.riftd("--data-root", str(self.folder / "data"), "--data-root", "/srv/not/there",
                           "--dataset", f"outside=idx:{self.folder / 'elsewhere'}")
        weights = {"weights": "/srv/not/there/w"}
        inside = {"format": "idx", "path": f"{self.folder}/data/later"}
        self.assertEqual(self.refused(riftd, model=weights, dataset=inside), [])
        self.assertEqual(self.refused(riftd, model=weights, dataset={**inside, "test_path": "/etc"}),
                         ["/dataset/test_path"])
        self.assertEqual(self.refused(riftd), ["/model/weights", "/dataset/path"])
        # What riftd was told to have is nobody's choice.
        self.assertEqual(self.refused(riftd, model=weights, dataset={"name": "outside"}), [])
        status, body = riftd.ask("POST", "/v1/jobs?dry_run=1", {"kind": "train", "dataset": {"format": "idx", "path": "/etc"}})
        self.assertEqual(status, 422)
        self.assertIn("data-root", body["errors"][0]["message"])

    def test_a_link_that_was_turned_since_is_judged_again_at_the_start(self):
        riftd = self.riftd("--slots", "cpu:1")
        blocker = riftd.submit("hold:go finish")
        riftd.wait(blocker, "running")
        link = self.folder / "data" / "set"
        link.symlink_to("../elsewhere")
        job = riftd.submit("finish", dataset={"format": "idx", "path": str(link)})
        link.unlink()
        link.symlink_to("../state/jobs")
        riftd.release(blocker)
        body = riftd.wait(job, "failed")
        self.assertEqual(body["error"]["code"], "not_startable")
        self.assertIn("/dataset/path", body["error"]["message"])
        self.assertFalse(riftd.dir(job).exists())


class ShutIn(Case):
    def words(self, riftd):
        job = riftd.submit("hold:go finish")
        riftd.wait(job, "running")
        pid = until("worker recorded", lambda: riftd.worker_pid(job))
        until("worker at work", lambda: riftd.journal(job))  # a process that is just becoming one has no words yet
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[1:-1]
        self.assertEqual(words.pop(), str(riftd.dir(job)))
        return words

    def test_workers_are_told_how_to_shut_themselves_in(self):
        self.assertEqual(self.words(self.riftd()), ["run", "--sandbox", "try"])

    def test_settings_say_how(self):
        riftd = self.riftd("--sandbox", "require", "--worker-memory-limit", "2G")
        self.assertEqual(self.words(riftd), ["run", "--sandbox", "require", "--memory-limit", str(2 << 30)])

    def test_a_log_that_has_become_a_link_is_not_followed(self):
        riftd = self.riftd("--slots", "cpu:1")
        victim = self.folder / "elsewhere" / "precious"
        victim.write_text("mine")
        job = riftd.submit("exit:75")
        until("ran once", lambda: riftd.job(job)["attempts"] >= 1)
        log = riftd.dir(job) / "log.txt"
        riftd.ask("POST", f"/v1/jobs/{job}/cancel")
        until("ended", lambda: riftd.job(job)["state"] in ("failed", "cancelled"))
        log.unlink()
        log.symlink_to(victim)
        riftd.ask("POST", f"/v1/jobs/{job}/retry")
        until("refused to start", lambda: "cannot be started" in (self.folder / "riftd.log").read_text())
        self.assertEqual(victim.read_text(), "mine")
        log.unlink()


if __name__ == "__main__":
    unittest.main()
