"""Do workers that systemd starts do as well as those that riftd starts?

systemd-socket-activate stands where PID 1 stands with rift-worker.socket: it accepts and starts one
`PROGRAM serve` a connection."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from riftd import PATIENCE_S, WORKER, Riftd, accepts, alive, until

ACTIVATE = shutil.which("systemd-socket-activate")


@unittest.skipUnless(ACTIVATE, "systemd-socket-activate is not installed")
class Launched(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.jobs = self.folder / "state" / "jobs"
        self.jobs.mkdir(parents=True)
        self.launcher = None
        self.addCleanup(lambda: self.launcher and self.launcher_stop())

    def launcher_start(self, program=WORKER):
        path = self.folder / "worker.sock"
        with open(self.folder / "launcher.log", "ab") as log:
            self.launcher = subprocess.Popen(
                [ACTIVATE, "--accept", "--inetd", "--listen", str(path), program, "serve", "--jobs-dir", str(self.jobs)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until("launcher listens", lambda: accepts(path) or self.launcher.poll() is not None)
        return path

    def launcher_stop(self):
        self.launcher.kill()
        self.launcher.wait()
        self.launcher = None
        (self.folder / "worker.sock").unlink()

    def riftd(self, *options, worker=WORKER):
        riftd = Riftd(self.folder / "state", "--launcher", str(self.folder / "worker.sock"), "--worker", worker, *options)
        riftd.start()
        self.addCleanup(riftd.close)
        return riftd

    def held(self, riftd, script="to:3 hold:go to:6 finish", lines=4):
        """A job whose worker waits for the file `go`, with so many lines in its journal."""
        job = riftd.submit(script)
        riftd.wait(job, "running")
        pid = until("worker recorded", lambda: riftd.worker_pid(job))
        until("worker at work", lambda: len(riftd.journal(job)) >= lines)
        return job, pid

    def log(self):
        return (self.folder / "riftd.log").read_text()

    def test_a_job_runs_to_its_end_in_a_worker_that_riftd_did_not_start(self):
        self.launcher_start()
        riftd = self.riftd()
        job, pid = self.held(riftd)
        parent = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        self.assertEqual(parent, self.launcher.pid)
        self.assertEqual(riftd.ask("GET", "/v1/devices")[1]["devices"][0]["name"],
                         "a processor that follows a script, launched")
        riftd.release(job)
        self.assertEqual(riftd.wait(job, "succeeded")["result"]["steps"], 6)

    def test_a_launched_worker_looks_like_one_of_riftds_own(self):
        self.launcher_start()
        riftd = self.riftd("--sandbox", "require", "--worker-memory-limit", "1G")
        job, pid = self.held(riftd)
        proc = pathlib.Path(f"/proc/{pid}")
        self.assertEqual((proc / "cmdline").read_bytes().decode().split("\0")[1:-1],
                         ["run", "--sandbox", "require", "--memory-limit", str(1 << 30), str(riftd.dir(job))])
        files = {int(fd.name): os.readlink(fd) for fd in (proc / "fd").iterdir()}
        self.assertEqual(files[0], "/dev/null")
        self.assertEqual(files[1], str(riftd.dir(job) / "log.txt"))
        self.assertEqual(files[2], files[1])
        self.assertEqual([path for fd, path in files.items() if fd > 2], [str(riftd.dir(job) / "journal.ndjson")])
        self.assertEqual(os.readlink(proc / "cwd"), str(riftd.dir(job)))
        riftd.release(job)
        riftd.wait(job, "succeeded")

    def test_riftd_killed_and_started_again_finds_its_launched_worker(self):
        self.launcher_start()
        riftd = self.riftd()
        job, pid = self.held(riftd)
        riftd.kill()
        self.assertTrue(alive(pid))
        riftd.start()
        self.assertIn(f"worker {pid} found again", self.log())
        riftd.release(job)
        body = riftd.wait(job, "succeeded")
        self.assertEqual((body["attempts"], body["result"]["steps"]), (1, 6))

    def test_what_a_launched_worker_said_while_riftd_was_away_is_read(self):
        self.launcher_start()
        riftd = self.riftd()
        job, pid = self.held(riftd)
        riftd.kill()
        riftd.release(job)
        until("worker ended", lambda: not alive(pid))
        riftd.start()
        self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 1)

    def test_a_launched_worker_is_cancelled(self):
        self.launcher_start()
        riftd = self.riftd()
        job, pid = self.held(riftd)
        self.assertEqual(riftd.ask("POST", f"/v1/jobs/{job}/cancel")[0] // 100, 2)
        riftd.wait(job, "cancelled")
        until("worker gone", lambda: not alive(pid))
        self.assertEqual(riftd.journal(job)[-1]["type"], "interrupted")

    def test_a_launched_worker_that_does_not_listen_is_killed(self):
        self.launcher_start()
        riftd = self.riftd("--grace-s", "0")
        job, pid = self.held(riftd, "deaf to:3 hold:go finish")
        riftd.ask("POST", f"/v1/jobs/{job}/cancel")
        riftd.wait(job, "cancelled")
        until("worker gone", lambda: not alive(pid))

    def test_the_crash_of_a_launched_worker_is_noticed_and_the_job_goes_on(self):
        self.launcher_start()
        riftd = self.riftd()
        job, pid = self.held(riftd)
        os.kill(pid, signal.SIGKILL)
        until("a second worker", lambda: riftd.worker_pid(job) not in (None, 0, pid))
        self.assertIn("its worker died", self.log())
        riftd.release(job)
        self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 2)

    def test_a_launched_worker_that_refuses_its_job_fails_it_at_once(self):
        self.launcher_start()
        riftd = self.riftd("--max-attempts", "3")
        body = riftd.wait(riftd.submit("exit:65"), "failed")
        self.assertEqual((body["error"]["code"], body["attempts"]), ("bad_input", 1))

    def test_a_launched_worker_that_refused_its_job_while_riftd_was_away_has_failed_it(self):
        self.launcher_start()
        riftd = self.riftd("--max-attempts", "3")
        job, pid = self.held(riftd, "to:3 hold:go exit:65")
        riftd.kill()
        riftd.release(job)
        until("worker ended", lambda: not alive(pid))
        riftd.start()
        body = riftd.wait(job, "failed")
        self.assertEqual((body["error"]["code"], body["attempts"]), ("bad_input", 1))

    def test_a_damaged_journal_fails_a_launched_workers_job_with_the_damage(self):
        self.launcher_start()
        riftd = self.riftd("--max-attempts", "5")
        job, pid = self.held(riftd, "to:15 hold:never finish", lines=17)  # all that it says: nothing follows the rubbish
        with open(riftd.dir(job) / "journal.ndjson", "ab") as journal:
            journal.write(b"rubbish\nrubbish\n")
        os.kill(pid, signal.SIGKILL)
        body = riftd.wait(job, "failed")
        self.assertEqual((body["error"]["code"], body["attempts"]), ("journal_damaged", 2))

    def test_a_launched_worker_that_is_killed_again_and_again_fails_its_job(self):
        self.launcher_start()
        riftd = self.riftd("--max-attempts", "2")
        body = riftd.wait(riftd.submit("to:3 kill"), "failed")
        self.assertEqual((body["error"]["code"], body["attempts"]), ("worker_crashed", 2))

    def test_a_launched_worker_that_loses_its_device_makes_it_rest(self):
        self.launcher_start()
        riftd = self.riftd("--device-rest", "1s")
        job = riftd.submit("1:exit:69 finish")
        self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 2)
        self.assertIn("device cpu: a worker lost it; it gets no jobs for 1 s", self.log())

    def test_a_launched_workers_job_is_held_and_released(self):
        self.launcher_start()
        riftd = self.riftd()
        job, pid = self.held(riftd, "to:3 1:hold:never to:5 finish")
        riftd.ask("PATCH", f"/v1/jobs/{job}", {"held": True})
        riftd.wait(job, "queued")
        self.assertFalse(alive(pid))
        self.assertEqual(riftd.journal(job)[-1]["type"], "interrupted")
        riftd.ask("PATCH", f"/v1/jobs/{job}", {"held": False})
        self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 2)

    def test_a_launched_workers_slot_is_taken_and_given_back(self):
        self.launcher_start()
        riftd = self.riftd("--preempt-margin", "5", "--preempt-min-run", "0")
        job, pid = self.held(riftd, "to:3 1:hold:never to:5 finish")
        other = riftd.submit("hold:go finish", priority=5)
        riftd.wait(other, "running")
        self.assertEqual((alive(pid), riftd.job(job)["state"]), (False, "queued"))
        riftd.release(other)
        riftd.wait(other, "succeeded")
        self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 2)

    def test_a_deaf_launched_worker_over_its_time_is_killed_and_has_failed_of_it(self):
        self.launcher_start()
        riftd = self.riftd("--grace-s", "0")
        body = riftd.wait(riftd.submit("deaf hold:never", time_limit_s=1), "failed")
        self.assertEqual(body["error"]["code"], "time_limit")

    def test_jobs_wait_while_the_launcher_is_away(self):
        self.launcher_start()
        riftd = self.riftd()
        self.launcher_stop()
        job = riftd.submit("to:3 finish")
        until("a start has failed", lambda: "cannot be started now: launcher" in self.log())
        riftd.wait(job, "queued")
        self.launcher_start()
        self.assertEqual(riftd.wait(job, "succeeded")["attempts"], 1)

    def test_a_riftd_whose_launcher_is_away_says_so_and_ends(self):
        riftd = Riftd(self.folder / "state", "--launcher", str(self.folder / "worker.sock"))
        end = subprocess.run(riftd.command(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        self.assertEqual(end.returncode, 1)
        self.assertIn("worker.sock: No such file or directory", end.stderr)

    def test_a_program_that_is_not_the_worker_gets_no_job(self):
        self.launcher_start()
        other = self.folder / "other"
        shutil.copy(WORKER, other)
        riftd = self.riftd("--worker", str(other))
        job = riftd.submit("to:3 finish")
        until("it was refused", lambda: f"is not {other}" in self.log())
        riftd.wait(job, "queued")
        self.assertEqual(riftd.journal(job), [])


class Asked(unittest.TestCase):
    """The worker's side of the socket, without riftd."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.jobs = self.folder / "jobs"
        self.jobs.mkdir()

    def jobdir(self, path):
        (path / "checkpoint").mkdir(parents=True)
        (path / "spec.json").write_text(json.dumps({"kind": "train", "label": "to:3 finish"}))
        return path

    def serve(self, *lines):
        """Say the lines, hear an answer to each but a second one, hang up: (answers, exit code, stderr)."""
        ours, theirs = socket.socketpair()
        with ours, subprocess.Popen([WORKER, "serve", "--jobs-dir", str(self.jobs)], stdin=theirs,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
            theirs.close()
            ours.settimeout(PATIENCE_S)
            answers = []
            with ours.makefile("rb") as answer:
                for line in lines[:-1] or lines:
                    ours.sendall(line)
                    if not line:
                        ours.shutdown(socket.SHUT_WR)
                    answers.append(answer.readline())
                if len(lines) > 1:
                    ours.sendall(lines[-1])
            ours.close()
            _, words = worker.communicate(timeout=PATIENCE_S)
        return [json.loads(line) for line in answers if line], worker.returncode, words

    def test_a_worker_that_is_told_to_go_does_the_job(self):
        job = self.jobdir(self.jobs / "one")
        answers, code, _ = self.serve(f"run {job}\n".encode(), b"go\n")
        self.assertGreater(answers[0]["pid"], 0)
        self.assertEqual(code, 0)
        self.assertIn('"finished"', (job / "journal.ndjson").read_text())

    def test_a_worker_that_is_not_told_to_go_does_nothing(self):
        job = self.jobdir(self.jobs / "one")
        for last in (b"", b"stop\n", b"go"):
            answers, code, _ = self.serve(f"run {job}\n".encode(), last)
            self.assertEqual((list(answers[0]), code), (["pid"], 0))
        self.assertEqual((job / "log.txt").read_text(), "")
        self.assertFalse((job / "journal.ndjson").exists())

    def test_only_a_directory_directly_among_the_jobs_is_run(self):
        self.jobdir(self.folder / "outside")
        self.jobdir(self.jobs / "one" / "deeper")
        (self.jobs / "link").symlink_to(self.folder / "outside")
        (self.jobs / "file").touch()
        for name in ("../outside", "one/deeper", "one/../../outside", "link", "file", "none", ".", "..", "", "/one",
                     "one/", "." * 5000):
            with self.subTest(name=name[:20]):
                answers, code, _ = self.serve(f"run {self.jobs}/{name}\n".encode())
                self.assertEqual((list(answers[0]), code), (["error"], 65))
        for words in (f"run {self.folder}/outside", "run /etc", "run one", "run", "run ", "run " + str(self.jobs)):
            with self.subTest(words=words):
                answers, code, _ = self.serve(f"{words}\n".encode())
                self.assertEqual((list(answers[0]), code), (["error"], 65))
        self.assertFalse((self.folder / "outside" / "log.txt").exists())

    def test_a_log_that_leads_elsewhere_is_not_written(self):
        job = self.jobdir(self.jobs / "one")
        (job / "log.txt").symlink_to(self.folder / "elsewhere")
        answers, code, _ = self.serve(f"run {job}\n".encode())
        self.assertEqual((list(answers[0]), code), (["error"], 65))
        self.assertFalse((self.folder / "elsewhere").exists())

    @unittest.skipUnless(os.getuid() == 0, "only root can give a directory away")
    def test_another_users_directory_is_not_run(self):
        job = self.jobdir(self.jobs / "one")
        os.chown(job, 12345, 12345)
        answers, code, _ = self.serve(f"run {job}\n".encode())
        self.assertIn("belongs to another user", answers[0]["error"])
        self.assertEqual(code, 65)

    def test_words_that_are_no_request_are_refused(self):
        for words in (b"walk\n", b"\n", b"devices now\n", b"run\0 x\n", b"\xff\n"):
            with self.subTest(words=words):
                answers, code, _ = self.serve(words)
                self.assertEqual((list(answers[0]), code), (["error"], 65))

    def test_devices_are_told(self):
        answers, code, _ = self.serve(b"devices\n")
        self.assertEqual((answers[0][0]["id"], code), ("cpu", 0))

    def test_a_connection_without_a_word_is_no_failure(self):
        self.assertEqual(self.serve(b"")[1], 0)

    def test_stdin_that_is_no_socket_is_wrong_usage(self):
        end = subprocess.run([WORKER, "serve", "--jobs-dir", str(self.jobs)], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        self.assertEqual(end.returncode, 64)
        self.assertIn("not a unix socket", end.stderr)


if __name__ == "__main__":
    unittest.main()
