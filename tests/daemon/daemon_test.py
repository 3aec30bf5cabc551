"""Does riftd lose nothing and double nothing, whoever dies when?"""

import json
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from riftd import PATIENCE_S, RIFTD, WORKER, Riftd, alive, strike, until


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def riftd(self, *options, **more):
        riftd = Riftd(self.folder / "state", *options, **more)
        riftd.start()
        self.addCleanup(riftd.close)
        return riftd

    def assert_story_whole(self, riftd, job, last_step):
        """Every journal line is one event, no point is missing or doubled."""
        journal = [(event["seq"], event["type"]) for event in riftd.journal(job)]
        events = riftd.rows("SELECT seq, type FROM event WHERE seq > 0 AND job = (SELECT number FROM job WHERE id = ?)"
                            " ORDER BY id", job)
        self.assertEqual(events, journal)
        self.assertEqual([seq for seq, _ in events], list(range(1, len(events) + 1)))
        steps = riftd.rows("SELECT step FROM point JOIN series ON series.id = point.series"
                           " WHERE series.job = (SELECT number FROM job WHERE id = ?) ORDER BY step", job)
        self.assertEqual([step for step, in steps], list(range(1, last_step + 1)))

    def states(self, riftd, job):
        """The states the job went through, as its events tell."""
        return [json.loads(fields)["state"] for fields, in riftd.rows(
            "SELECT fields FROM event WHERE type = 'state' AND job = (SELECT number FROM job WHERE id = ?) ORDER BY id", job)]


class Running(Case):
    def test_a_job_runs_to_its_end(self):
        riftd = self.riftd()
        job = riftd.submit("to:25 finish")
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["result"]["steps"], 25)
        self.assert_story_whole(riftd, job, 25)
        self.assertEqual(self.states(riftd, job), ["queued", "running", "succeeded"])
        status, metrics = riftd.ask("GET", f"/v1/jobs/{job}/metrics?name=loss")
        self.assertEqual(status, 200)
        self.assertIn("25", str(metrics))

    def test_a_worker_has_its_own_session_and_none_of_our_files(self):
        riftd = self.riftd()
        job = riftd.submit("hold:go finish")
        riftd.wait(job, "running")
        pid = until("worker recorded", lambda: riftd.worker_pid(job))
        until("worker set up", lambda: riftd.journal(job))
        self.assertEqual(os.getsid(pid), pid)
        files = {int(fd.name): os.readlink(fd) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
        self.assertEqual(files[0], "/dev/null")
        self.assertEqual(files[1], str(riftd.dir(job) / "log.txt"))
        self.assertEqual(files[2], files[1])
        self.assertEqual([path for fd, path in files.items() if fd > 2], [str(riftd.dir(job) / "journal.ndjson")])
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), str(riftd.dir(job)))
        riftd.release(job)
        riftd.wait(job, "succeeded")

    def test_slots_bound_how_many_run_and_priority_says_who(self):
        riftd = self.riftd("--slots", "cpu:2")
        first = [riftd.submit("hold:go finish") for _ in range(2)]
        for job in first:
            riftd.wait(job, "running")
        low = riftd.submit("finish", priority=-1)
        high = riftd.submit("hold:go finish", priority=5)
        self.assertEqual(riftd.job(low)["state"], "queued")
        riftd.release(first[0])
        riftd.wait(high, "running")
        self.assertEqual(riftd.job(low)["state"], "queued")
        status, devices = riftd.ask("GET", "/v1/devices")
        self.assertEqual(status, 200)
        self.assertEqual(sorted(slot["job"] for slot in devices["devices"]), sorted([first[1], high]))
        for job in (first[1], high):
            riftd.release(job)
        riftd.wait(low, "succeeded")

    def test_a_failure_shows_its_code_and_words(self):
        riftd = self.riftd()
        job = riftd.submit("to:3 fail:data_broken")
        body = riftd.wait(job, "failed")
        self.assertEqual(body["error"], {"code": "data_broken", "message": "the script says so"})
        self.assertEqual(riftd.ask("POST", f"/v1/jobs/{job}/retry")[0] // 100, 2)
        until("failed again", lambda: self.states(riftd, job).count("failed") == 2)

    def test_a_worker_that_refuses_its_input_without_a_word_has_failed(self):
        riftd = self.riftd()
        body = riftd.wait(riftd.submit("exit:65"), "failed")
        self.assertEqual(body["error"]["code"], "bad_input")

    def test_a_job_whose_data_set_is_gone_cannot_be_started(self):
        folder = self.folder / "set"
        folder.mkdir()
        riftd = self.riftd("--dataset", f"mine=idx:{folder}", "--slots", "cpu:1")
        blocker = riftd.submit("hold:go finish")
        riftd.wait(blocker, "running")
        job = riftd.submit("to:1 finish", dataset={"name": "mine"})
        riftd.stop()
        riftd.options = ("--slots", "cpu:1")
        riftd.start()
        riftd.release(blocker)
        body = riftd.wait(job, "failed")
        self.assertEqual(body["error"]["code"], "not_startable")
        self.assertIn("mine", body["error"]["message"])

    def test_jobs_wait_while_the_worker_program_is_away(self):
        program, away = self.folder / "worker", self.folder / "away"
        shutil.copy(WORKER, program)
        riftd = self.riftd("--worker", str(program))
        blocker = riftd.submit("hold:go finish")
        riftd.wait(blocker, "running")
        until("worker at work", lambda: riftd.journal(blocker))
        jobs = [riftd.submit("finish") for _ in range(3)]
        program.rename(away)
        riftd.release(blocker)
        until("a start has failed", lambda: "cannot be started now" in (self.folder / "riftd.log").read_text())
        for job in jobs:  # a later start is tried already, perhaps
            self.assertIn(riftd.job(job)["state"], ("queued", "running"))
        away.rename(program)
        for job in jobs:
            self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 1)

    def test_a_rift_job_runs_its_steps_in_order_and_makes_a_table(self):
        folder = self.folder / "set"
        folder.mkdir()
        riftd = self.riftd("--dataset", f"mine=idx:{folder}")
        job = riftd.submit("to:3 finish", kind="rift", dataset={"name": "mine"})
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["result"]["module"], "layer1.0.conv1")
        self.assertEqual(body["result"]["alpha"], 0.5)
        self.assertEqual({name: body["result"]["after"][name] for name in ("clean_accuracy", "robust_accuracy")},
                         {"clean_accuracy": 0.75, "robust_accuracy": 0.5})
        steps = [(step["id"], step["kind"]) for step in body["steps"]]
        self.assertEqual([kind for _, kind in steps], ["train", "mrc", "finetune", "interpolate", "evaluate"])
        order = [id for id, in riftd.rows("SELECT id FROM job WHERE kind <> 'rift' ORDER BY started_ms, number")]
        self.assertEqual(order, [id for id, _ in steps])
        specs = [json.loads((riftd.dir(id) / "spec.json").read_text()) for id, _ in steps]
        train, mrc, finetune, interpolate, _ = [id for id, _ in steps]
        self.assertEqual(specs[1]["model"]["weights"], f"../{train}/artifacts/best.safetensors")
        self.assertEqual(specs[2]["finetune"]["mrc_job"], f"../{mrc}")
        self.assertEqual(specs[3]["interpolate"]["to"], f"../{finetune}/artifacts/best.safetensors")
        self.assertEqual(specs[4]["model"]["weights"], f"../{interpolate}/artifacts/interpolated.safetensors")
        for spec in specs:
            self.assertEqual(spec["dataset"]["path"], str(folder))
            self.assertIsNone(spec["dataset"]["name"])
            self.assertEqual(spec["device"], "cpu")

    def test_a_corrupt_job_becomes_the_path_of_its_copies(self):
        riftd = self.riftd()
        copies = riftd.submit("finish", kind="corrupt")
        riftd.wait(copies, "succeeded")
        job = riftd.submit("finish", kind="evaluate", model={"weights": "/nowhere"},
                           evaluate={"corruptions": {"job": copies}})
        riftd.wait(job, "succeeded")
        corruptions = json.loads((riftd.dir(job) / "spec.json").read_text())["evaluate"]["corruptions"]
        self.assertEqual(corruptions["path"], f"../{copies}/artifacts")
        self.assertIsNone(corruptions["job"])

    def test_a_rift_job_fails_with_its_step(self):
        riftd = self.riftd()
        job = riftd.submit("fail:nan", kind="rift")
        body = riftd.wait(job, "failed")
        self.assertEqual(body["error"]["code"], "nan")
        self.assertEqual([step["state"] for step in body["steps"]], ["failed"] + ["cancelled"] * 4)


class Dying(Case):
    def test_kill_9_of_riftd_loses_and_doubles_nothing(self):
        riftd = self.riftd()
        job = riftd.submit("slow:2 to:200 hold:go to:400 finish")
        until("some events are in", lambda: riftd.rows("SELECT COUNT(*) FROM point")[0][0] > 10)
        pid = riftd.worker_pid(job)
        riftd.kill()
        self.assertTrue(alive(pid))
        until("the worker wrote on alone", lambda: len(riftd.journal(job)) >= 220)
        riftd.start()
        self.assertEqual(riftd.worker_pid(job), pid)
        riftd.release(job)
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["attempts"], 1)
        self.assert_story_whole(riftd, job, 400)
        self.assertEqual(self.states(riftd, job), ["queued", "running", "succeeded"])

    def test_sigterm_of_riftd_leaves_workers_running(self):
        riftd = self.riftd()
        job = riftd.submit("to:20 hold:go to:40 finish")
        riftd.wait(job, "running")
        pid = until("worker recorded", lambda: riftd.worker_pid(job))
        self.assertEqual(riftd.stop(), 0)
        self.assertFalse((riftd.state / "riftd.address").exists())
        self.assertTrue(alive(pid))
        riftd.start()
        self.assertEqual(riftd.worker_pid(job), pid)
        riftd.release(job)
        riftd.wait(job, "succeeded")
        self.assert_story_whole(riftd, job, 40)

    def test_a_worker_that_finishes_alone_is_believed(self):
        riftd = self.riftd()
        job = riftd.submit("to:5 hold:go to:30 finish")
        riftd.wait(job, "running")
        until("worker at work", lambda: riftd.journal(job))
        riftd.kill()
        riftd.release(job)
        until("worker gone", lambda: not riftd.workers())
        riftd.start()
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["result"]["steps"], 30)
        self.assert_story_whole(riftd, job, 30)

    def test_both_die_and_the_job_goes_on_from_its_checkpoint(self):
        riftd = self.riftd()
        job = riftd.submit("to:25 1:torn hold:go to:40 finish")
        until("25 steps", lambda: len(riftd.journal(job)) >= 28)
        pid = until("worker recorded", lambda: riftd.worker_pid(job))
        riftd.kill()
        os.kill(pid, signal.SIGKILL)
        until("worker gone", lambda: not alive(pid))
        riftd.release(job)
        riftd.start()
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["attempts"], 2)
        self.assert_story_whole(riftd, job, 40)

    def test_a_worker_killed_with_9_goes_on_from_its_checkpoint(self):
        riftd = self.riftd()
        job = riftd.submit("to:25 1:torn 1:kill 2:to:37 2:kill to:60 finish")
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["attempts"], 3)
        self.assert_story_whole(riftd, job, 60)
        repeated = [event["step"] for event in riftd.journal(job) if event["type"] == "metric"]
        self.assertEqual(repeated.count(25), 2)  # its checkpoint was step 20
        self.assertEqual(self.states(riftd, job), ["queued", "running", "queued", "running", "queued", "running", "succeeded"])

    def test_a_worker_that_always_dies_fails_its_job(self):
        riftd = self.riftd("--max-attempts", "3")
        job = riftd.submit("to:5 kill")
        body = riftd.wait(job, "failed")
        self.assertEqual(body["error"]["code"], "worker_crashed")
        self.assertIn("3 times", body["error"]["message"])
        self.assertIn("signal 9", body["error"]["message"])
        self.assertEqual(body["attempts"], 3)

    def test_an_interrupted_worker_is_queued_again(self):
        riftd = self.riftd()
        job = riftd.submit("to:15 1:hold:never to:30 finish")
        until("15 steps", lambda: len(riftd.journal(job)) >= 17)
        os.kill(until("worker recorded", lambda: riftd.worker_pid(job)), signal.SIGTERM)
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["attempts"], 2)
        self.assert_story_whole(riftd, job, 30)

    def test_a_worker_that_was_never_recorded_is_found(self):
        riftd = self.riftd()
        job = riftd.submit("to:10 hold:go to:20 finish")
        until("worker at work", lambda: riftd.journal(job))
        pid = until("worker recorded", lambda: riftd.worker_pid(job))
        riftd.kill()
        # As if riftd had died between the start and the record.
        riftd.change("UPDATE job SET pid = 0, pid_start = 0, boot_id = '', attempts = 0 WHERE id = ?", job)
        riftd.start()
        self.assertEqual(riftd.worker_pid(job), pid)
        riftd.release(job)
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["attempts"], 1)
        self.assert_story_whole(riftd, job, 20)

    def test_a_word_of_an_earlier_attempt_does_not_decide_the_next(self):
        mute = self.folder / "mute"
        mute.write_text("#!/bin/sh\n[ $1 = devices ] && echo '[{\"id\": \"cpu\"}]' && exit\nkill -9 $$\n")
        mute.chmod(0o755)
        riftd = self.riftd()
        job = riftd.submit("fail:boom")
        riftd.wait(job, "failed")
        riftd.stop()
        riftd.options = ("--worker", str(mute), "--max-attempts", "2")
        riftd.start()
        riftd.ask("POST", f"/v1/jobs/{job}/retry")
        body = until("failed again", lambda: riftd.job(job)["state"] == "failed" and riftd.job(job))
        self.assertEqual(body["error"]["code"], "worker_crashed")

    def test_a_stranger_with_the_workers_number_is_left_alone(self):
        riftd = self.riftd()
        job = riftd.submit("to:15 1:hold:never to:30 finish")
        until("15 steps", lambda: len(riftd.journal(job)) >= 17)
        pid = until("worker recorded", lambda: riftd.worker_pid(job))
        riftd.kill()
        os.kill(pid, signal.SIGKILL)
        until("worker gone", lambda: not alive(pid))
        stranger = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self.addCleanup(stranger.communicate)
        # The number came back: another process, started later, of the same boot.
        riftd.change("UPDATE job SET pid = ?, cancel_wanted = 0 WHERE id = ?", stranger.pid, job)
        riftd.start()
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["attempts"], 2)
        self.assertIsNone(stranger.poll())
        self.assert_story_whole(riftd, job, 30)

    def test_a_journal_that_lost_its_end_is_followed_from_the_checkpoint(self):
        def cut_lines(path):
            path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:-2]))
        cuts = [("two whole lines", cut_lines), ("all but 100 bytes", lambda path: os.truncate(path, 100)),
                ("everything", os.unlink)]
        riftd = self.riftd()
        for what, cut in cuts:
            with self.subTest(cut=what):
                job = riftd.submit("to:25 1:hold:never to:40 finish")
                until("25 steps are in", lambda: riftd.rows(
                    "SELECT MAX(step) FROM point JOIN series ON series.id = series WHERE job ="
                    " (SELECT number FROM job WHERE id = ?)", job)[0][0] == 25)
                pid = riftd.worker_pid(job)
                riftd.kill()
                os.kill(pid, signal.SIGKILL)
                until("worker gone", lambda: not alive(pid))
                cut(riftd.dir(job) / "journal.ndjson")
                riftd.start()
                body = riftd.wait(job, "succeeded")
                self.assertEqual(body["attempts"], 2)
                self.assert_story_whole(riftd, job, 40)

    def test_a_damaged_journal_fails_its_job_with_the_damage(self):
        riftd = self.riftd("--max-attempts", "3")
        job = riftd.submit("to:15 hold:never finish")
        until("15 steps are in", lambda: riftd.rows("SELECT COUNT(*) FROM point")[0][0] == 15)
        with open(riftd.dir(job) / "journal.ndjson", "ab") as journal:
            journal.write(b"rubbish\nrubbish\n")
        os.kill(riftd.worker_pid(job), signal.SIGKILL)
        body = riftd.wait(job, "failed")
        self.assertEqual(body["error"]["code"], "journal_damaged")
        self.assertRegex(body["error"]["message"], r"the line at byte \d+ isn't an event")
        self.assertEqual(body["attempts"], 2)  # the second worker refused it too
        self.assertEqual(riftd.ask("GET", "/healthz")[0], 200)

    def test_a_damaged_last_line_costs_nothing(self):
        riftd = self.riftd()
        job = riftd.submit("to:15 1:hold:never to:30 finish")
        until("15 steps are in", lambda: riftd.rows("SELECT COUNT(*) FROM point")[0][0] == 15)
        with open(riftd.dir(job) / "journal.ndjson", "ab") as journal:
            journal.write(b"rubbish\n")
        os.kill(riftd.worker_pid(job), signal.SIGKILL)
        riftd.wait(job, "succeeded")
        self.assert_story_whole(riftd, job, 30)

    def test_a_worker_that_ends_while_the_disk_is_full_is_believed_later(self):
        riftd = self.riftd()
        job = riftd.submit("to:5 hold:go to:20 finish", kind="train")
        until("5 steps are in", lambda: riftd.rows("SELECT COUNT(*) FROM point")[0][0] == 5)
        pid = riftd.worker_pid(job)
        resource.prlimit(riftd.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        self.assertEqual(riftd.ask("GET", "/healthz")[0], 503)
        riftd.release(job)
        until("riftd has seen its end", lambda: not os.path.exists(f"/proc/{pid}"))
        self.assertEqual(riftd.job(job)["state"], "running")
        resource.prlimit(riftd.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["attempts"], 1)
        self.assert_story_whole(riftd, job, 20)
        self.assertEqual(riftd.ask("GET", "/healthz")[0], 200)
        riftd.wait(riftd.submit("finish"), "succeeded")  # its slot is free again

    def impostor(self, job, riftd):
        """Some process with a worker's words on its command line."""
        (self.folder / "run").write_text("read word\n")
        impostor = subprocess.Popen(["/bin/sh", "run", str(riftd.dir(job))], cwd=self.folder, stdin=subprocess.PIPE)
        self.addCleanup(impostor.communicate)
        return impostor

    def test_an_impostor_with_a_workers_command_line_is_left_alone(self):
        riftd = self.riftd()
        job = riftd.submit("to:15 1:hold:never to:30 finish")
        until("15 steps", lambda: len(riftd.journal(job)) >= 17)
        impostor = self.impostor(job, riftd)
        os.kill(until("worker recorded", lambda: riftd.worker_pid(job)), signal.SIGKILL)
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["attempts"], 2)
        self.assertIsNone(impostor.poll())
        self.assert_story_whole(riftd, job, 30)

    def test_an_unrecorded_worker_is_found_although_its_program_was_replaced(self):
        program = self.folder / "worker"
        shutil.copy(WORKER, program)
        riftd = self.riftd("--worker", str(program))
        job = riftd.submit("to:10 hold:go to:20 finish")
        until("worker at work", lambda: riftd.journal(job))
        pid = until("worker recorded", lambda: riftd.worker_pid(job))
        riftd.kill()
        riftd.change("UPDATE job SET pid = 0, pid_start = 0, boot_id = '', attempts = 0 WHERE id = ?", job)
        program.unlink()
        shutil.copy(WORKER, program)
        riftd.start()
        self.assertEqual(riftd.worker_pid(job), pid)
        riftd.release(job)
        riftd.wait(job, "succeeded")

    def test_a_claim_without_a_worker_is_queued_again(self):
        riftd = self.riftd()
        job = riftd.submit("to:10 finish")
        riftd.wait(job, "succeeded")
        riftd.stop()
        other = "00000000-0000-7000-8000-000000000001"
        riftd.change("INSERT INTO job(id, kind, state, priority, step, family, created_ms, spec, wants) SELECT ?, kind,"
                     " 'running', 0, -1, 99, 1, spec, 'auto' FROM job WHERE id = ?", other, job)
        riftd.start()
        riftd.wait(other, "succeeded")
        self.assert_story_whole(riftd, other, 10)

    def test_a_second_worker_turned_away_means_the_first_is_watched(self):
        riftd = self.riftd()
        blocker = riftd.submit("hold:go finish")
        riftd.wait(blocker, "running")
        job = riftd.submit("to:10 hold:go to:20 finish")
        riftd.stop()
        # Somebody runs the directory by hand before riftd's turn comes.
        folder = riftd.dir(job)
        (folder / "checkpoint").mkdir(parents=True)
        (folder / "artifacts").mkdir()
        spec = riftd.rows("SELECT spec FROM job WHERE id = ?", job)[0][0]
        (folder / "spec.json").write_text(spec)
        with open(folder / "log.txt", "ab") as log:
            by_hand = subprocess.Popen([WORKER, "run", str(folder)], stdout=log, stderr=log)
        self.addCleanup(by_hand.wait)
        self.addCleanup(by_hand.kill)
        until("at work by hand", lambda: riftd.journal(job))
        riftd.start()
        riftd.release(blocker)
        until("the one by hand is watched", lambda: riftd.worker_pid(job) == by_hand.pid)
        (folder / "go").touch()
        riftd.wait(job, "succeeded")
        self.assert_story_whole(riftd, job, 20)

    def test_random_deaths_of_both_change_nothing(self):
        dice = random.Random(20240607)
        riftd = self.riftd("--max-attempts", "100")
        job = riftd.submit("slow:3 to:300 finish")
        for _ in range(10):
            target = len(riftd.journal(job)) + dice.randint(1, 40)
            until("it moves on", lambda: len(riftd.journal(job)) >= target or riftd.job(job)["state"] == "succeeded")
            who = dice.choice(["worker", "riftd", "both"])
            if who != "riftd":
                strike(riftd.workers())
            if who != "worker":
                riftd.kill()
                riftd.start()
        body = riftd.wait(job, "succeeded")
        self.assertEqual(body["result"]["steps"], 300)
        self.assert_story_whole(riftd, job, 300)


class Cancelling(Case):
    def test_a_cancelled_worker_writes_its_checkpoint_first(self):
        riftd = self.riftd()
        job = riftd.submit("to:15 hold:never finish")
        until("15 steps", lambda: len(riftd.journal(job)) >= 17)
        self.assertEqual(riftd.ask("POST", f"/v1/jobs/{job}/cancel")[0] // 100, 2)
        riftd.wait(job, "cancelled")
        self.assertEqual(riftd.journal(job)[-1]["type"], "interrupted")
        self.assert_story_whole(riftd, job, 15)

    def test_a_deaf_worker_is_killed_after_its_grace(self):
        riftd = self.riftd("--grace-s", "0")
        job = riftd.submit("deaf hold:never finish")
        until("it is deaf", lambda: len(riftd.journal(job)) == 2)
        riftd.ask("POST", f"/v1/jobs/{job}/cancel")
        riftd.wait(job, "cancelled")
        until("worker gone", lambda: not riftd.workers())

    def test_a_cancelled_worker_that_dies_without_a_word_is_no_failure(self):
        riftd = self.riftd("--grace-s", "0", "--max-attempts", "1")
        job = riftd.submit("deaf hold:never finish")
        until("it is deaf", lambda: len(riftd.journal(job)) == 2)
        riftd.ask("POST", f"/v1/jobs/{job}/cancel")
        riftd.wait(job, "cancelled")

    def test_a_cancel_while_riftd_is_down_is_done_after_its_start(self):
        riftd = self.riftd()
        job = riftd.submit("to:5 hold:never finish")
        until("worker at work", lambda: len(riftd.journal(job)) >= 6)
        until("worker recorded", lambda: riftd.worker_pid(job))
        riftd.kill()
        riftd.change("UPDATE job SET cancel_wanted = 1 WHERE id = ?", job)
        riftd.start()
        riftd.wait(job, "cancelled")

    def test_a_cancelled_job_that_is_retried_goes_on(self):
        riftd = self.riftd()
        job = riftd.submit("to:15 1:hold:never to:30 finish")
        until("15 steps", lambda: len(riftd.journal(job)) >= 17)
        riftd.ask("POST", f"/v1/jobs/{job}/cancel")
        riftd.wait(job, "cancelled")
        self.assertEqual(riftd.ask("POST", f"/v1/jobs/{job}/retry")[0] // 100, 2)
        until("succeeded", lambda: riftd.job(job)["state"] == "succeeded")
        self.assert_story_whole(riftd, job, 30)


class Starting(Case):
    def refused(self, *arguments):
        """riftd must not start; what it says."""
        done = subprocess.run([RIFTD, *arguments], capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done

    def test_a_second_instance_is_refused(self):
        riftd = self.riftd()
        done = subprocess.run(riftd.command(), capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("another riftd is running", done.stderr)
        self.assertEqual(riftd.ask("GET", "/healthz")[0], 200)  # the first is unharmed

    def test_the_address_file_names_the_port(self):
        riftd = self.riftd()
        self.assertEqual((riftd.state / "riftd.address").read_text(), f"http://127.0.0.1:{riftd.port}\n")

    def test_systemd_is_told_when_it_is_ready_and_when_it_stops(self):
        path = str(self.folder / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(PATIENCE_S)
            riftd = self.riftd(environment={"NOTIFY_SOCKET": path})
            self.assertIn(b"READY=1", notify.recv(4096).splitlines())
            riftd.stop()
            self.assertEqual(notify.recv(4096), b"STOPPING=1")

    def test_bad_options_are_refused_with_a_reason(self):
        state = str(self.folder / "s")
        worker = ("--state", state, "--port", "0", "--worker", WORKER)
        cases = [
            (("--port", "0"), "--state"),
            (("--state", state, "--port", "99999"), "--port 99999"),
            (("--state", state, "--listen", "nonsense"), "--listen nonsense"),
            (("--state", state, "--grace-s", "soon"), "--grace-s soon"),
            (("--state", state, "what"), "what"),
            (("--state", state, "--worker", "/no/such/worker"), "/no/such/worker"),
            (("--state", "/dev/null"), "cannot be used as a directory"),
            ((*worker, "--slots", "cpu:0"), "--slots"),
            ((*worker, "--slots", "c\"pu"), "is no device"),
            ((*worker, "--slots", "cpu,foo"), "\"foo\" is no device"),
            ((*worker, "--slots", "cuda:0"), "\"cuda:0\" is no device"),  # this worker has none
            ((*worker, "--slots", "cpu:2x"), "DEVICE[:COUNT]"),
            ((*worker, "--slots", "cpu:"), "DEVICE[:COUNT]"),
            ((*worker, "--slots", "cpu:257"), "at most 256"),
            ((*worker, "--dataset", "x=idx"), "NAME=FORMAT:PATH"),
            ((*worker, "--dataset", "x=zip:/tmp"), "zip"),
            ((*worker, "--dataset", "x=idx:/no/such"), "/no/such"),
        ]
        for arguments, words in cases:
            with self.subTest(arguments=arguments):
                self.assertIn(words, self.refused(*arguments).stderr)

    def test_a_damaged_or_newer_database_is_refused(self):
        riftd = self.riftd()
        riftd.stop()
        riftd.change("PRAGMA user_version = 4711")
        done = self.refused(*riftd.command()[1:])
        self.assertIn("newer riftd", done.stderr)

    def test_served_files_that_are_not_there_are_said_so_at_the_start_and_when_asked_for(self):
        riftd = self.riftd("--web", "/no/such/web", "--openapi", "/no/such/file.yaml")
        log = riftd.log_path.read_text()
        self.assertIn("there is no dashboard: /no/such/web/index.html: No such file", log)
        self.assertIn("/no/such/file.yaml: No such file", log)
        riftd.stop()
        riftd.options = ()
        riftd.start()
        self.assertNotIn("there is no dashboard", riftd.log_path.read_text()[len(log):])
        for path, setting in (("/", "--web DIR"), ("/v1/openapi.yaml", "openapi")):
            status, problem = riftd.ask("GET", path)
            self.assertEqual(status, 404)
            self.assertIn(setting, problem["detail"])

    def test_help_names_every_option_and_version_is_one_line(self):
        text = subprocess.run([RIFTD, "--help"], capture_output=True, text=True, check=True).stdout
        for option in ("state", "listen", "socket", "slots", "worker", "launcher", "web", "openapi", "dataset", "grace-s"):
            self.assertIn(f"--{option} ", text)
        self.assertRegex(subprocess.run([RIFTD, "--version"], capture_output=True, text=True, check=True).stdout,
                         r"^riftd \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    unittest.main()
