"""Does riftd start, stop and keep jobs as docs/scheduling.md says?"""

import json
import os
import signal
import time
import unittest

from daemon_test import Case
from riftd import WORKER, until

HUGE = "8000000G"  # more than any disk of this world has


class Scheduling(Case):
    def queue_reason(self, riftd, job):
        return next(row["reason"] for row in riftd.ask("GET", "/v1/queue")[1]["jobs"] if row["id"] == job)

    def patch(self, riftd, job, change):
        status, body = riftd.ask("PATCH", f"/v1/jobs/{job}", change)
        self.assertEqual(status, 200, body)
        return body

    def log(self):
        return (self.folder / "riftd.log").read_text()

    def hup(self, riftd, text):
        """Other settings while it runs, once it has read them."""
        (self.folder / "riftd.conf").write_text(text)
        before = self.log().count("settings read again")
        riftd.process.send_signal(signal.SIGHUP)
        until("they are read", lambda: self.log().count("settings read again") > before)


class Limits(Scheduling):
    def limit(self, riftd, job, seconds):
        """Another time limit, which nobody can ask for."""
        riftd.stop()
        riftd.change("UPDATE job SET time_limit_ms = ? WHERE id = ?", seconds * 1000, job)
        riftd.start()

    def test_a_job_over_its_time_writes_a_checkpoint_fails_and_goes_on_when_it_is_retried(self):
        riftd = self.riftd()
        job = riftd.submit("to:3 1:hold:never to:5 finish", time_limit_s=600)
        until("it holds", lambda: len(riftd.journal(job)) == 4)  # which takes longer than a second, perhaps
        self.limit(riftd, job, 1)
        body = riftd.wait(job, "failed")
        self.assertEqual(body["error"]["code"], "time_limit")
        self.assertIn("1 s", body["error"]["message"])
        self.assertGreaterEqual(body["ran_s"], 1)
        self.assertEqual(riftd.journal(job)[-1]["type"], "interrupted")
        self.limit(riftd, job, 600)
        self.assertEqual(riftd.ask("POST", f"/v1/jobs/{job}/retry")[0], 202)
        body = riftd.wait(job, "succeeded")
        self.assert_story_whole(riftd, job, 5)

    def test_a_deaf_job_over_its_time_is_killed_and_has_failed_of_it(self):
        riftd = self.riftd("--grace-s", "0")
        job = riftd.submit("deaf hold:never", time_limit_s=1)
        self.assertEqual(riftd.wait(job, "failed")["error"]["code"], "time_limit")

    def test_time_in_which_nobody_worked_does_not_count(self):
        riftd = self.riftd()
        job = riftd.submit("to:1 1:hold:never to:2 finish", time_limit_s=600)
        until("it writes", lambda: riftd.journal(job)[1:])
        pid = until("recorded", lambda: riftd.worker_pid(job))
        riftd.kill()
        os.kill(pid, signal.SIGKILL)
        until("the worker is gone", lambda: not riftd.workers())
        path = riftd.dir(job) / "journal.ndjson"  # as if all had happened an hour ago
        hour = 3600 * 1000
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({**line, "time_ms": line["time_ms"] - hour}, separators=(",", ":")) + "\n"
                                for line in lines))
        riftd.change("UPDATE job SET attempt_ms = attempt_ms - ? WHERE id = ?", hour, job)
        riftd.change("UPDATE event SET time_ms = time_ms - ?", hour)
        riftd.change("DELETE FROM event WHERE seq > 0")
        riftd.change("UPDATE job SET journal_offset = 0, journal_seq = 0")
        riftd.start()
        body = riftd.wait(job, "succeeded")
        self.assertLess(body["ran_s"], 600)

    def test_the_longest_time_is_the_limit_of_jobs_that_say_none_and_longer_ones_are_refused(self):
        riftd = self.riftd("--time-limit-max", "1s")
        job = riftd.submit("hold:never")
        self.assertEqual(riftd.wait(job, "failed")["error"]["code"], "time_limit")
        spec = {"kind": "train", "dataset": {"format": "idx", "path": "/nowhere"}, "time_limit_s": 2}
        status, problem = riftd.ask("POST", "/v1/jobs", spec)
        self.assertEqual((status, problem["errors"][0]["pointer"]), (422, "/time_limit_s"))

    def test_an_owner_has_no_more_jobs_in_the_queue_than_allowed(self):
        riftd = self.riftd("--owner-queued-max", "1", "--owner-bytes-max", "1G")
        running = riftd.submit("hold:go finish")
        riftd.wait(running, "running")
        waiting = riftd.submit("finish")
        spec = {"kind": "train", "dataset": {"format": "idx", "path": "/nowhere"}}
        status, problem = riftd.ask("POST", "/v1/jobs", spec)
        self.assertEqual((status, problem["code"]), (429, "too-many-jobs"))
        riftd.release(running)
        riftd.wait(waiting, "succeeded")

    def test_what_waits_for_an_owners_limit_says_so(self):
        riftd = self.riftd("--slots", "cpu:2", "--owner-running-max", "1")
        first, second = riftd.submit("hold:go finish"), riftd.submit("finish")
        riftd.wait(first, "running")
        self.assertIn("as many as may at once", self.queue_reason(riftd, second))
        riftd.release(first)
        riftd.wait(second, "succeeded")


class Memory(Scheduling):
    def test_jobs_share_a_device_as_long_as_its_memory_is_enough(self):
        riftd = self.riftd("--slots", "cpu:3", "--device-memory-reserve", "0",
                           environment={"SCRIPTED_MEMORY": str(100 << 20)})
        big = riftd.submit("hold:go finish", memory="60MiB")
        riftd.wait(big, "running")
        other = riftd.submit("hold:go finish", memory="50MiB")
        small = riftd.submit("finish", memory="1MiB")  # would fit, and doesn't overtake
        self.assertIn("memory of cpu", self.queue_reason(riftd, other))
        slots = riftd.ask("GET", "/v1/devices")[1]["devices"]
        self.assertEqual({(slot["memory_for_jobs_bytes"], slot["memory_taken_bytes"]) for slot in slots},
                         {(100 << 20, 60 << 20)})
        self.assertEqual(riftd.job(small)["state"], "queued")
        riftd.release(big)
        riftd.wait(other, "running")
        riftd.wait(small, "succeeded")
        riftd.release(other)
        status, problem = riftd.ask("POST", "/v1/jobs", {"kind": "train", "memory": "101MiB",
                                                         "dataset": {"format": "idx", "path": "/nowhere"}})
        self.assertEqual((status, problem["errors"][0]["pointer"]), (422, "/memory"))


class Failures(Scheduling):
    def test_a_killed_workers_job_waits_longer_each_time_and_says_why(self):
        riftd = self.riftd("--retry-delay", "1h")
        job = riftd.submit("1:kill finish")
        until("it waits", lambda: riftd.job(job)["not_before"])
        body = riftd.job(job)
        self.assertEqual((body["state"], body["last_failure"]["code"]), ("queued", "worker_crashed"))
        self.assertIn("after failure 1: its worker was killed by signal 9", self.queue_reason(riftd, job))
        riftd.stop()
        riftd.change("UPDATE job SET not_before_ms = ? WHERE id = ?", int(time.time() * 1000) + 1000, job)
        riftd.start()
        body = riftd.wait(job, "succeeded")
        self.assertEqual((body["not_before"], body["last_failure"]), (None, None))

    def test_a_full_disk_is_the_machines_fault_and_bad_data_the_jobs(self):
        riftd = self.riftd()
        full = riftd.submit("1:fail:no_space finish")
        bad = riftd.submit("1:fail:not_finite finish")
        riftd.wait(full, "succeeded")
        self.assertEqual(riftd.wait(bad, "failed")["error"]["code"], "not_finite")

    def test_a_lost_device_rests_and_says_so(self):
        riftd = self.riftd("--device-rest", "1h")
        job = riftd.submit("1:exit:69 finish")
        slot = until("the device rests", lambda: [one for one in riftd.ask("GET", "/v1/devices")[1]["devices"]
                                                  if one["state"] == "drained"])[0]
        self.assertIn("lost", slot["why"])
        riftd.wait(job, "queued")  # it had the device until then
        other = riftd.submit("finish")
        self.assertIn("its device rests", self.queue_reason(riftd, other))
        riftd.stop()
        riftd.options = ("--device-rest", "1s")  # and then it works again
        riftd.start()
        for one in (job, other, riftd.submit("1:exit:69 finish")):
            riftd.wait(one, "succeeded")
        self.assertEqual({one["state"] for one in riftd.ask("GET", "/v1/devices")[1]["devices"]}, {"ok"})


class TakingSlots(Scheduling):
    def test_a_much_more_important_job_takes_the_slot_and_gives_it_back(self):
        riftd = self.riftd("--preempt-margin", "10", "--preempt-min-run", "0")
        low = riftd.submit("to:20 1:hold:never to:25 finish", priority=0)
        until("it has a checkpoint", lambda: [e for e in riftd.journal(low) if e["type"] == "checkpoint"])
        near = riftd.submit("finish", priority=9)
        high = riftd.submit("hold:go finish", priority=10)
        riftd.wait(high, "running")
        self.assertEqual([riftd.job(job)["state"] for job in (low, near)], ["queued", "queued"])
        riftd.release(high)
        riftd.wait(low, "succeeded")
        self.assert_story_whole(riftd, low, 25)
        self.assertEqual(self.states(riftd, low), ["queued", "running", "queued", "running", "succeeded"])
        riftd.wait(near, "succeeded")

    def test_nobody_is_stopped_before_his_time(self):
        riftd = self.riftd("--preempt-margin", "1", "--preempt-min-run", "1h")
        low = riftd.submit("hold:go finish")
        riftd.wait(low, "running")
        high = riftd.submit("finish", priority=100)
        self.assertIn("is next", self.queue_reason(riftd, high))
        until("the queue was looked at", lambda: riftd.journal(low))
        riftd.release(low)
        riftd.wait(high, "succeeded")
        self.assertEqual(self.states(riftd, low), ["queued", "running", "succeeded"])

    def test_a_deaf_victim_is_killed_and_that_is_no_failure_of_its_own(self):
        riftd = self.riftd("--preempt-margin", "1", "--preempt-min-run", "0", "--grace-s", "0", "--max-attempts", "1")
        low = riftd.submit("1:deaf 1:hold:never finish")
        until("it is deaf", lambda: [e for e in riftd.journal(low) if e["type"] == "progress"])
        high = riftd.submit("finish", priority=1)
        riftd.wait(high, "succeeded")
        riftd.wait(low, "succeeded")

    def test_memory_that_was_made_free_for_a_job_is_not_taken_by_another_that_stands_before_it(self):
        riftd = self.riftd("--slots", "cpu:2", "--device-memory-reserve", "0", "--preempt-margin", "2",
                           "--preempt-min-run", "0", "--ageing", "1s", "--grace-s", "2",
                           environment={"SCRIPTED_MEMORY": str(100 << 20)})
        victim = riftd.submit("1:deaf 1:hold:never hold:go finish", memory="40MiB")
        until("it is deaf", lambda: [e for e in riftd.journal(victim) if e["type"] == "progress"])
        neighbour = riftd.submit("hold:go finish", memory="40MiB", priority=1)
        riftd.wait(neighbour, "running")
        older, born = riftd.submit("hold:go finish", memory="50MiB", priority=1), time.monotonic()
        until("it is older than a point of priority is worth", lambda: time.monotonic() > born + 1.2)
        urgent = riftd.submit("hold:go finish", memory="60MiB", priority=2)  # 20 are free, the victim has 40
        until("the victim is asked", lambda: f"takes the slot of job {victim}" in self.log())
        riftd.release(neighbour)
        riftd.wait(neighbour, "succeeded")
        riftd.wait(urgent, "running")
        self.assertEqual(riftd.job(older)["state"], "queued")
        for job in (urgent, older, victim):
            riftd.release(job)
            riftd.wait(job, "succeeded")
        self.assertEqual(self.log().count("takes the slot of job"), 1)

    def test_a_running_job_that_is_held_goes_back_to_the_queue_until_it_is_released(self):
        riftd = self.riftd()
        job = riftd.submit("to:3 1:hold:never to:5 finish")
        until("it writes", lambda: riftd.journal(job)[3:])
        self.patch(riftd, job, {"held": True})
        riftd.wait(job, "queued")
        self.assertIn("is held", self.queue_reason(riftd, job))
        riftd.stop()
        riftd.start()
        other = riftd.submit("finish")
        riftd.wait(other, "succeeded")
        self.assertEqual(riftd.job(job)["state"], "queued")
        self.patch(riftd, job, {"held": False})
        riftd.wait(job, "succeeded")
        self.assert_story_whole(riftd, job, 5)

    def test_a_job_that_is_held_before_its_worker_can_listen_has_not_failed(self):
        sleepy = self.folder / "sleepy"
        sleepy.write_text(f"#!/bin/sh\n[ $1 = devices ] && exec {WORKER} devices\n"
                          f"while [ ! -e awake ]; do sleep 0.01; done\nexec {WORKER} \"$@\"\n")
        sleepy.chmod(0o755)
        riftd = self.riftd("--worker", str(sleepy), "--max-attempts", "1")
        job = riftd.submit("to:3 finish")
        until("recorded", lambda: riftd.worker_pid(job))
        self.patch(riftd, job, {"held": True})
        self.assertIsNone(riftd.wait(job, "queued")["last_failure"])
        riftd.release(job, "awake")
        self.patch(riftd, job, {"held": False})
        self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 2)

    def test_a_hold_while_riftd_is_down_is_done_after_its_start(self):
        riftd = self.riftd()
        job = riftd.submit("to:1 hold:never")
        until("it writes", lambda: riftd.journal(job)[1:])
        riftd.stop()
        riftd.change("UPDATE job SET held = 1 WHERE id = ?", job)
        riftd.start()
        riftd.wait(job, "queued")


class Pauses(Scheduling):
    def test_a_drained_riftd_starts_nothing_until_it_is_resumed_over_restarts_too(self):
        riftd = self.riftd()
        running = riftd.submit("hold:go finish")
        riftd.wait(running, "running")
        self.assertEqual(riftd.ask("POST", "/v1/admin/drain"), (200, {"drained": True}))
        job = riftd.submit("finish")
        riftd.release(running)
        riftd.wait(running, "succeeded")
        riftd.stop()
        riftd.start()
        self.assertEqual(riftd.ask("GET", "/readyz")[0], 503)
        until("devices say so", lambda: {one["state"] for one in riftd.ask("GET", "/v1/devices")[1]["devices"]}
              == {"drained"})
        self.assertIn("drained", self.queue_reason(riftd, job))
        self.assertEqual(riftd.job(job)["state"], "queued")
        riftd.ask("POST", "/v1/admin/resume")
        riftd.wait(job, "succeeded")
        self.assertEqual(riftd.ask("GET", "/readyz")[0], 200)

    def test_a_nearly_full_disk_takes_nothing_new_and_recovers_by_itself(self):
        (self.folder / "riftd.conf").write_text("min-free-space = 0\n")
        riftd = self.riftd("--config", str(self.folder / "riftd.conf"))
        running, waiting = riftd.submit("hold:go finish"), riftd.submit("finish")
        riftd.wait(running, "running")
        self.hup(riftd, f"min-free-space = {HUGE}\n")
        until("not ready", lambda: riftd.ask("GET", "/readyz")[0] == 503)
        spec = {"kind": "train", "dataset": {"format": "idx", "path": "/nowhere"}}
        status, problem = riftd.ask("POST", "/v1/jobs", spec)
        self.assertEqual((status, problem["code"]), (507, "no-space"))
        self.assertEqual(riftd.ask("POST", "/v1/jobs?dry_run=1", spec)[0], 200)
        riftd.release(running)
        riftd.wait(running, "succeeded")  # running work goes on
        self.assertIn("nearly full", self.queue_reason(riftd, waiting))
        self.hup(riftd, "min-free-space = 0\n")
        riftd.wait(waiting, "succeeded")
        self.assertEqual(riftd.ask("GET", "/readyz")[0], 200)


class Keeping(Scheduling):
    def artifacts(self, riftd, job):
        """Give an ended job a file of its own, as a worker would have."""
        (riftd.dir(job) / "artifacts" / "weights").write_bytes(b"w" * 1000)

    def test_checkpoints_and_artifacts_of_ended_jobs_go_in_time_and_pinned_ones_stay(self):
        (self.folder / "riftd.conf").write_text("")
        riftd = self.riftd("--config", str(self.folder / "riftd.conf"))
        plain, pinned = riftd.submit("to:10 finish"), riftd.submit("to:10 finish")
        idle = riftd.submit("finish", after=[{"job": plain, "on": "failure"}])  # it never runs
        riftd.wait(idle, "cancelled")
        for job in (plain, pinned):
            riftd.wait(job, "succeeded")
            self.artifacts(riftd, job)
        self.patch(riftd, pinned, {"pinned": True})
        self.hup(riftd, "retain-checkpoints = 1s\nretain-artifacts = 1s\nretain-events = 1s\n")
        until("all is purged", lambda: riftd.job(plain)["purged"] == ["checkpoint", "artifacts", "events"])
        until("the files are gone", lambda: not (riftd.dir(plain) / "checkpoint").exists()
              and not (riftd.dir(plain) / "artifacts").exists())
        until("the trash is empty", lambda: not list((riftd.state / "trash").iterdir()))
        until("its events are purged", lambda: riftd.job(idle)["purged"])
        self.assertEqual(riftd.job(idle)["purged"], ["events"])
        self.assertTrue((riftd.dir(plain) / "journal.ndjson").exists())
        self.assertTrue((riftd.dir(pinned) / "checkpoint" / "step").exists())
        self.assertEqual(riftd.job(pinned)["purged"], [])
        events = riftd.ask("GET", f"/v1/jobs/{plain}/events?wait=0")[1]["events"]
        self.assertEqual([one["what"] for one in events if one["type"] == "purged"], ["events"])

    def test_of_journals_the_last_line_stays_with_which_a_retry_goes_on(self):
        (self.folder / "riftd.conf").write_text("")
        riftd = self.riftd("--config", str(self.folder / "riftd.conf"))
        failed, needed = riftd.submit("to:10 fail:65"), riftd.submit("to:10 finish")
        waits = riftd.submit("hold:go finish", after=[{"job": needed}])
        riftd.wait(failed, "failed")
        riftd.wait(waits, "running")
        journal = riftd.dir(failed) / "journal.ndjson"
        lines = journal.read_bytes().splitlines(keepends=True)
        events = riftd.ask("GET", f"/v1/jobs/{failed}/events?wait=0")[1]["events"]
        self.assertGreater(len(lines), 10)
        self.hup(riftd, "retain-journals = 1s\n")
        until("it is cut", lambda: journal.read_bytes() == lines[-1])
        until("the log is gone", lambda: not (riftd.dir(failed) / "log.txt").exists())
        until("it is said", lambda: riftd.job(failed)["purged"] == ["journal"])
        status, problem = riftd.ask("GET", f"/v1/jobs/{failed}/log")
        self.assertEqual((status, problem["code"]), (404, "no-such-file"), problem)
        self.assertIn("retain-journals", problem["detail"])
        self.assertGreater(len((riftd.dir(needed) / "journal.ndjson").read_bytes().splitlines()), 10)  # one waits for it
        self.hup(riftd, "")
        riftd.release(waits)
        riftd.wait(waits, "succeeded")
        until("a retry may begin", lambda: riftd.ask("POST", f"/v1/jobs/{failed}/retry")[0] == 202)
        riftd.wait(failed, "failed")
        again = journal.read_bytes().splitlines(keepends=True)
        self.assertEqual(again[0], lines[-1])
        self.assertEqual([json.loads(line)["seq"] for line in again],
                         list(range(len(lines), len(lines) + len(again))))
        now = riftd.ask("GET", f"/v1/jobs/{failed}/events?wait=0")[1]["events"]
        self.assertEqual(now[:len(events)], events)  # what was recorded is there still, and the new beside it
        self.assertEqual(len([one for one in now if one["type"] == "failed"]), 2)
        self.assertEqual(riftd.job(failed)["purged"], [])

    def test_what_stands_in_a_journals_place_and_is_none_goes_as_a_whole(self):
        (self.folder / "riftd.conf").write_text("")
        riftd = self.riftd("--config", str(self.folder / "riftd.conf"))
        jobs = [riftd.submit("to:10 fail:65") for _ in range(3)]
        directory, link, rubbish = (riftd.dir(job) / "journal.ndjson" for job in jobs)
        for job in jobs:
            riftd.wait(job, "failed")
        directory.unlink()
        directory.mkdir()
        link.unlink()
        link.symlink_to(directory)
        rubbish.write_text("rubbish\nrubbish\n")
        self.hup(riftd, "retain-journals = 1s\n")
        for job in jobs:
            until("it is said", lambda: riftd.job(job)["purged"] == ["journal"])
        self.hup(riftd, "")
        for job, journal in zip(jobs, (directory, link, rubbish)):
            until("a retry may begin", lambda: riftd.ask("POST", f"/v1/jobs/{job}/retry")[0] == 202)
            riftd.wait(job, "failed")
            self.assertEqual(riftd.journal(job)[0]["seq"], 1)
            self.assertFalse(journal.is_symlink())

    def test_who_wants_files_that_are_not_kept_any_more_is_told_which(self):
        (self.folder / "riftd.conf").write_text("")
        riftd = self.riftd("--config", str(self.folder / "riftd.conf"))
        source = riftd.submit("to:10 finish")
        riftd.wait(source, "succeeded")
        self.artifacts(riftd, source)
        spec = {"kind": "mrc", "label": "exit:65", "dataset": {"format": "idx", "path": "/nowhere"},
                "model": {"weights": {"job": source}}}
        status, body = riftd.ask("POST", "/v1/jobs", spec)
        self.assertEqual(status, 201, body)
        riftd.wait(body["id"], "failed")
        self.hup(riftd, "retain-artifacts = 1s\n")
        until("they are gone", lambda: "artifacts" in riftd.job(source)["purged"])
        status, problem = riftd.ask("POST", f"/v1/jobs/{body['id']}/retry")
        self.assertEqual((status, problem["code"]), (409, "wrong-state"), problem)
        for text in ("/model/weights", "best.safetensors", source):
            self.assertIn(text, problem["detail"])
        status, problem = riftd.ask("POST", "/v1/jobs", spec)
        self.assertEqual((status, problem["errors"][0]["pointer"]), (422, "/model/weights"), problem)
        self.assertIn("is not kept any more", problem["errors"][0]["message"])

    def test_whole_jobs_go_in_time_but_not_what_others_need(self):
        riftd = self.riftd("--retain-jobs", "1s")
        needed = riftd.submit("hold:go finish")
        waits = riftd.submit("hold:go finish", after=[{"job": needed}])
        gone = riftd.submit("finish", priority=-1)
        riftd.release(needed)
        riftd.wait(waits, "running")
        riftd.release(waits)
        for job in (gone, needed, waits):
            until(f"{job} is gone", lambda: riftd.ask("GET", f"/v1/jobs/{job}")[0] == 404)
        until("the files are gone", lambda: not list((riftd.state / "jobs").iterdir()))

    def test_what_was_doomed_before_a_crash_is_removed_after_the_next_start(self):
        riftd = self.riftd()
        job = riftd.submit("finish")
        riftd.wait(job, "succeeded")
        riftd.kill()
        (riftd.state / "trash" / "left").mkdir()
        (riftd.state / "trash" / "left" / "file").write_text("x")
        riftd.change("INSERT INTO doomed(path) VALUES(?)", f"{job}/checkpoint")
        riftd.start()
        until("both are gone", lambda: not (riftd.dir(job) / "checkpoint").exists()
              and not list((riftd.state / "trash").iterdir()))
        until("it is forgotten", lambda: not riftd.rows("SELECT path FROM doomed"))

    def test_a_deleted_job_is_out_of_the_way_at_once_and_links_in_it_lead_nowhere(self):
        riftd = self.riftd()
        job = riftd.submit("finish")
        riftd.wait(job, "succeeded")
        outside = self.folder / "outside"
        outside.mkdir()
        (outside / "kept").write_text("x")
        (riftd.dir(job) / "artifacts" / "link").symlink_to(outside)
        self.assertEqual(riftd.ask("DELETE", f"/v1/jobs/{job}")[0], 204)
        self.assertFalse(riftd.dir(job).exists())
        until("the trash is empty", lambda: not list((riftd.state / "trash").iterdir()))
        self.assertTrue((outside / "kept").exists())


if __name__ == "__main__":
    unittest.main()
