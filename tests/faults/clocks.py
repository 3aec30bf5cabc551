#!/usr/bin/env python3
"""What do riftd and its workers make of a clock that is set forward or back?

No job is stuck, no time is negative, ids and events keep their order."""

import datetime
import os
import signal
import unittest

import outside
from outside import alive, until

HOUR_MS = 3600 * 1000
JUMPS_MS = [6 * HOUR_MS, -6 * HOUR_MS, 3 * 365 * 24 * HOUR_MS, -20 * HOUR_MS]


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Clocks(outside.Case):
    def setUp(self):
        super().setUp()
        self.shift = self.folder / "shift"
        self.set_clock(0)

    def set_clock(self, ms):
        other = self.folder / "shift.new"
        other.write_text(str(ms))
        other.rename(self.shift)

    def riftd(self, *options, **more):
        preload = {"LD_PRELOAD": os.environ["CLOCK_SHIFT_LIBRARY"], "CLOCK_SHIFT": str(self.shift)}
        return super().riftd(*options, environment=preload, **more)

    def times_check(self, riftd, job):
        body = riftd.job(job)
        for name in ("created_at", "started_at", "ended_at"):
            self.assertIsNotNone(body[name], f"{name} of {job}")
            when(body[name])
        self.numbers_check(body, job)

    def numbers_check(self, value, where):
        """Nothing that is counted or measured is negative."""
        if isinstance(value, dict):
            for name, member in value.items():
                if name not in ("priority", "label", "spec"):
                    self.numbers_check(member, f"{where}.{name}")
        elif isinstance(value, list):
            for index, member in enumerate(value):
                self.numbers_check(member, f"{where}[{index}]")
        elif isinstance(value, (int, float)):
            self.assertGreaterEqual(value, 0, where)

    def events_check(self, riftd):
        status, body = riftd.ask("GET", "/v1/events?wait=0&limit=1000")
        self.assertEqual(status, 200)
        ids = [event["id"] for event in body["events"]]
        self.assertEqual(ids, sorted(set(ids)))
        for event in body["events"]:
            self.assertGreater(event["time_ms"], 0)

    def test_jobs_run_on_whatever_the_clock_does(self):
        riftd = self.riftd("--slots", "cpu:2")
        jobs = []
        for jump in JUMPS_MS:
            held = riftd.submit("to:5 hold:go to:10 finish")
            riftd.wait(held, "running")
            self.set_clock(jump)
            other = riftd.submit("to:5 finish")  # one that begins after the jump
            riftd.wait(other, "succeeded")
            riftd.release(held)
            riftd.wait(held, "succeeded")
            self.story_check(riftd, held)
            jobs += [held, other]
            self.assertEqual(riftd.ask("GET", "/healthz")[0], 200)
        for job in jobs:
            self.times_check(riftd, job)
        self.events_check(riftd)
        listed = [job["id"] for job in riftd.ask("GET", "/v1/jobs?limit=100")[1]["jobs"]]
        self.assertEqual(listed, list(reversed(jobs)))  # in order of submission, whatever ids and times say

    def test_a_cancelled_worker_is_killed_after_its_grace_though_the_clock_went_back(self):
        riftd = self.riftd("--grace-s", "1")
        job = riftd.submit("deaf to:3 hold:never finish")
        riftd.wait(job, "running")
        until("it works", lambda: riftd.journal(job))
        riftd.ask("POST", f"/v1/jobs/{job}/cancel", {})
        self.set_clock(-48 * HOUR_MS)
        riftd.wait(job, "cancelled")

    def test_a_start_that_failed_is_tried_again_though_the_clock_went_back(self):
        riftd = self.riftd()
        first = riftd.submit("1:kill to:3 finish")  # dies at once in its first attempt
        self.set_clock(-10 * 24 * HOUR_MS)
        self.assertEqual(riftd.wait(first, "succeeded")["attempts"], 2)

    def test_a_job_that_was_stopped_has_not_run_out_of_time_because_the_clock_was_set_forward(self):
        riftd = self.riftd("--preempt-margin", "5", "--preempt-min-run", "0")
        job = riftd.submit("to:5 1:hold:go 2:hold:again to:10 finish", time_limit_s=600)
        until("it works", lambda: riftd.journal(job)[5:])
        self.set_clock(6 * HOUR_MS)
        other = riftd.submit("to:3 finish", priority=50)  # takes its slot
        riftd.wait(other, "succeeded")
        riftd.wait(job, "running")
        self.assertEqual(riftd.ask("PATCH", f"/v1/jobs/{job}", {"held": True})[0], 200)
        body = riftd.wait(job, "queued")
        self.assertIsNone(body["error"])
        self.assertLess(body["ran_s"], 600)
        riftd.ask("PATCH", f"/v1/jobs/{job}", {"held": False})
        until("it is at its second attempt", lambda: riftd.job(job)["attempts"] >= 2)
        (riftd.dir(job) / "again").touch()
        riftd.wait(job, "succeeded")

    def test_a_worker_that_outlives_riftd_has_its_time_though_the_clock_was_set_meanwhile(self):
        riftd = self.riftd()
        job = riftd.submit("to:5 hold:go to:10 finish", time_limit_s=600)
        until("it works", lambda: riftd.journal(job)[5:])
        riftd.kill()
        self.set_clock(6 * HOUR_MS)
        riftd.start()
        riftd.ask("PATCH", f"/v1/jobs/{job}", {"held": True})
        self.assertLess(riftd.wait(job, "queued")["ran_s"], 600)

    def test_a_worker_that_died_while_nobody_looked_has_not_run_out_of_time_by_a_set_clock(self):
        riftd = self.riftd()
        job = riftd.submit("to:5 1:hold:go to:7 1:hold:never finish", time_limit_s=600)
        until("it works", lambda: riftd.journal(job)[5:])
        pid = riftd.worker_pid(job)
        riftd.kill()
        self.set_clock(6 * HOUR_MS)
        riftd.release(job)  # its next words bear the new time
        until("it says more", lambda: riftd.journal(job)[7:])
        os.kill(pid, signal.SIGKILL)
        until("it is gone", lambda: not alive(pid))
        riftd.start()
        self.assertLess(riftd.wait(job, "succeeded")["ran_s"], 600)

    def test_a_job_that_waits_after_a_failure_waits_no_longer_because_the_clock_went_back(self):
        riftd = self.riftd("--retry-delay", "2s")
        job = riftd.submit("1:kill to:3 finish")
        until("it waits, or has waited before a slow machine looks",
              lambda: riftd.job(job)["not_before"] or riftd.job(job)["attempts"] > 1)
        self.set_clock(-10 * 24 * HOUR_MS)
        self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 2)

    def test_a_restart_with_another_clock_finds_everything(self):
        riftd = self.riftd()
        job = riftd.submit("to:5 hold:go to:10 finish")
        riftd.wait(job, "running")
        until("it works", lambda: riftd.journal(job))
        riftd.kill()
        self.set_clock(-400 * 24 * HOUR_MS)
        riftd.start()
        riftd.release(job)
        self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 1)
        self.story_check(riftd, job)
        self.events_check(riftd)


if __name__ == "__main__":
    unittest.main()
