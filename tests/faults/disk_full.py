#!/usr/bin/env python3
"""Does a disk that is really full cost anything but time?

The state directory lies on a small file system of its own, which is filled to
the last byte while a real worker trains. The job waits, riftd refuses what it
can't store with 507 and says so in /healthz; when there is room again all goes
on, with the weights that an undisturbed run makes. Needs to be allowed to mount
a tmpfs (root); skipped where that can't be."""

import os
import subprocess
import sys
import time
import unittest

import outside
from outside import REAL_WORKER, alive, until

SIZE = "24m"
ENDED = ("succeeded", "failed", "cancelled")


class DiskFull(outside.Case):
    def setUp(self):
        super().setUp()
        self.mount = self.folder / "disk"
        self.mount.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(self.mount)],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"skipped: no tmpfs can be mounted here: {done.stderr.strip()}")
            sys.exit(77)
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.mount)], check=True)
        self.filler = self.mount / "filler"

    def fill(self):
        """Not a byte is left. Somebody may free some in between, so it is done again and again."""
        with open(self.filler, "ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

    def empty(self):
        os.truncate(self.filler, 0)

    def submit(self, riftd, **more):
        status, job = riftd.ask("POST", "/v1/jobs", self.train_spec(**more))
        self.assertEqual(status, 201, job)
        return job["id"]

    def stuck(self, riftd):
        """A job whose worker waits for room on the full disk, and that worker."""
        def silent(job, pid):
            """The worker writes nothing any more and lives."""
            self.fill()
            journal = riftd.dir(job) / "journal.ndjson"
            before, deadline = journal.stat().st_size, time.monotonic() + 0.5
            while time.monotonic() < deadline:
                if journal.stat().st_size != before:
                    return False
                time.sleep(0.05)
            return alive(pid)

        def caught():
            job = self.submit(riftd)
            pid = until("a worker", lambda: riftd.worker_pid(job) or riftd.job(job)["state"] in ENDED)
            until("a checkpoint", lambda: any(event["type"] == "checkpoint" for event in riftd.journal(job)))
            self.fill()
            until("the worker waits, or had ended when the disk was full", lambda: silent(job, pid) or not alive(pid))
            if alive(pid):
                return job, pid
            self.empty()
            riftd.wait(job, "succeeded")
            return None
        return until("a job that is under way when the disk is full", caught)

    def weights(self, riftd, job):
        files = riftd.ask("GET", f"/v1/jobs/{job}/artifacts")[1]["artifacts"]
        return {file["name"]: file["sha256"] for file in files}

    def test_a_running_job_waits_for_room_and_riftd_refuses_what_it_cannot_store(self):
        riftd = self.riftd("--worker", REAL_WORKER, state=self.mount / "state")
        undisturbed = self.submit(riftd)
        riftd.wait(undisturbed, "succeeded")

        job, pid = self.stuck(riftd)
        spec, codes = self.train_spec(label="another"), []

        def refused():
            self.fill()
            status, answer = riftd.ask("POST", "/v1/jobs", spec)
            codes.append(status)
            self.assertIn(status, (201, 507), answer)  # 201: there was room in what the database has taken already
            return answer if status == 507 else None
        answer = until("a refusal", refused)
        self.assertEqual(answer["code"], "no-space")
        self.assertEqual(riftd.ask("GET", f"/v1/jobs/{job}")[0], 200)  # reading goes on
        self.assertTrue(alive(pid))
        self.assertEqual(riftd.job(job)["state"], "running")
        self.assertEqual(riftd.ask("GET", "/healthz")[0], 503)

        self.empty()
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["attempts"], 1)
        self.assertEqual(self.weights(riftd, job), self.weights(riftd, undisturbed))
        self.story_check(riftd, job)
        self.assertEqual(riftd.ask("GET", "/healthz")[0], 200)
        for later in riftd.ask("GET", "/v1/jobs?label=another")[1]["jobs"]:
            riftd.ask("POST", f"/v1/jobs/{later['id']}/cancel", {})
        self.assertEqual(riftd.ask("POST", "/v1/jobs", spec)[0], 201)
        self.assertEqual(len(riftd.ask("GET", "/v1/jobs?label=another")[1]["jobs"]), codes.count(201) + 1)

    def test_a_copy_of_the_database_that_would_leave_no_room_isnt_begun(self):
        riftd = self.riftd(state=self.mount / "state")
        status, answer = riftd.ask("POST", "/v1/admin/backups", {})  # all of this disk is less than what is to stay free
        self.assertEqual((status, answer["code"]), (507, "no-space"))
        self.assertEqual(list((self.mount / "state/backups").iterdir()), [])

    def test_a_job_that_waits_for_room_can_be_cancelled(self):
        riftd = self.riftd("--worker", REAL_WORKER, state=self.mount / "state")
        job, pid = self.stuck(riftd)

        def cancelled():
            self.fill()
            return riftd.ask("POST", f"/v1/jobs/{job}/cancel", {})[0] == 507
        until("a refusal to cancel", cancelled)  # it can't be written down
        self.empty()
        self.assertIn(riftd.ask("POST", f"/v1/jobs/{job}/cancel", {})[0], (202, 409))
        until("the worker is gone", lambda: not alive(pid))
        until("the job has ended", lambda: riftd.job(job)["state"] in ("cancelled", "succeeded"))


if __name__ == "__main__":
    unittest.main()
