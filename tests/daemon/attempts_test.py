"""Does a job say what became of each time that it was tried?"""

import os
import signal
import unittest

from daemon_test import Case
from riftd import until


class Attempts(Case):
    def history(self, riftd, job, *names):
        return [tuple(one[name] for name in names) for one in riftd.job(job)["history"]]

    def test_a_crash_and_the_attempt_that_went_through_say_how_they_ended_and_where(self):
        riftd = self.riftd()
        job = riftd.submit("to:25 1:kill to:30 finish")
        body = riftd.wait(job, "succeeded")
        first, second = body["history"]
        self.assertEqual((first["attempt"], first["device"], first["state"], first["how"], first["exit_code"], first["signal"]),
                         (1, "cpu", "queued", "crashed", None, 9))
        self.assertEqual(first["error"]["code"], "worker_crashed")
        self.assertIn("signal 9", first["error"]["message"])
        self.assertEqual((second["attempt"], second["state"], second["how"], second["exit_code"], second["signal"], second["error"]),
                         (2, "succeeded", "finished", 0, None, None))
        self.assertNotEqual(first["pid"], second["pid"])
        self.assertLessEqual(first["started_at"], first["ended_at"])
        self.assertLessEqual(first["ended_at"], second["started_at"])
        self.assertAlmostEqual(first["ran_s"] + second["ran_s"], body["ran_s"], 3)

    def test_the_attempt_that_runs_has_begun_and_nothing_else(self):
        riftd = self.riftd()
        job = riftd.submit("hold:go finish")
        pid = until("recorded", lambda: riftd.worker_pid(job))
        self.assertEqual(self.history(riftd, job, "attempt", "pid", "ended_at", "ran_s", "state", "how"),
                         [(1, pid, None, None, None, None)])
        riftd.release(job)
        riftd.wait(job, "succeeded")
        self.assertEqual(self.history(riftd, job, "attempt", "how"), [(1, "finished")])

    def test_who_asked_a_worker_to_stop_is_told(self):
        riftd = self.riftd("--preempt-margin", "10", "--preempt-min-run", "0")
        low = riftd.submit("to:20 hold:never")
        until("it has a checkpoint", lambda: [e for e in riftd.journal(low) if e["type"] == "checkpoint"])
        high = riftd.submit("hold:go finish", priority=10)
        riftd.wait(high, "running")
        self.assertEqual(self.history(riftd, low, "state", "how", "exit_code", "error"), [("queued", "preempted", 75, None)])
        riftd.release(high)
        until("it runs again", lambda: riftd.job(low)["attempts"] == 2)
        self.assertEqual(riftd.ask("PATCH", f"/v1/jobs/{low}", {"held": True})[0], 200)
        riftd.wait(low, "queued")
        self.assertEqual(riftd.ask("PATCH", f"/v1/jobs/{low}", {"held": False})[0], 200)
        until("it runs again", lambda: riftd.job(low)["attempts"] == 3)
        riftd.ask("POST", f"/v1/jobs/{low}/cancel")
        riftd.wait(low, "cancelled")
        self.assertEqual(self.history(riftd, low, "attempt", "state", "how"),
                         [(1, "queued", "preempted"), (2, "queued", "held"), (3, "cancelled", "cancelled")])

    def test_a_job_whose_time_is_up_and_one_that_failed_say_why(self):
        riftd = self.riftd()
        late, bad = riftd.submit("to:3 hold:never", time_limit_s=1), riftd.submit("fail:boom")
        riftd.wait(late, "failed")
        riftd.wait(bad, "failed")
        self.assertEqual([(one["how"], one["state"], one["error"]["code"]) for job in (late, bad) for one in riftd.job(job)["history"]],
                         [("time_limit", "failed", "time_limit"), ("failed", "failed", "boom")])

    def test_an_end_that_nobody_saw_is_dated_by_the_journal(self):
        riftd = self.riftd()
        job = riftd.submit("to:3 1:hold:never to:5 finish")
        until("it writes", lambda: riftd.journal(job)[3:])
        pid = until("recorded", lambda: riftd.worker_pid(job))
        riftd.kill()
        os.kill(pid, signal.SIGKILL)
        until("the worker is gone", lambda: not riftd.workers())
        riftd.start()
        body = riftd.wait(job, "succeeded")
        first, second = body["history"]
        self.assertEqual((first["pid"], first["how"], first["exit_code"], first["signal"], first["error"]["code"]),
                         (pid, "crashed", None, None, "worker_crashed"))
        self.assertLessEqual(first["ended_at"], second["started_at"])
        self.assertAlmostEqual(first["ran_s"] + second["ran_s"], body["ran_s"], 3)

    def test_a_process_that_is_found_again_is_the_same_attempt(self):
        riftd = self.riftd()
        job = riftd.submit("to:10 hold:go to:20 finish")
        until("worker at work", lambda: riftd.journal(job))
        pid = until("worker recorded", lambda: riftd.worker_pid(job))
        riftd.kill()
        riftd.change("UPDATE job SET pid = 0, pid_start = 0, boot_id = '' WHERE id = ?", job)
        riftd.start()
        riftd.release(job)
        riftd.wait(job, "succeeded")
        self.assertEqual(self.history(riftd, job, "pid", "state", "how"), [(pid, "succeeded", "finished")])

    def test_parents_have_none_of_their_own(self):
        riftd = self.riftd()
        job = riftd.submit("finish", kind="rift")
        self.assertEqual(riftd.job(job)["history"], [])


if __name__ == "__main__":
    unittest.main()
