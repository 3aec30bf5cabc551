"""`riftctl top` in a real terminal: what it shows at every width, its keys, and that the terminal is as before
whatever ends it."""
import json
import os
import re
import signal
import unittest

from client import Case, Server, job, step_id, A, B
from real import Daemon, rift_spec, skip_unless_built, wait_for
from terminal import Terminal, skip_without_tmux

RUNNING = {**job(A, "train", "running", label="größe"), "reason": "runs on cpu", "device": "cpu", "queue_position": None,
           "parent": None, "cancel_wanted": False,
           "progress": {"phase": "epoch 3/6", "done": 30, "total": 120, "images_per_s": 512.4, "eta_s": 75}}
DEVICE = {"id": "cpu", "state": "ok", "why": None, "job": A, "memory_for_jobs_bytes": 8 << 30, "memory_taken_bytes": 2 << 30}


def waiting(number):
    return {**job(f"01900000-0000-7000-8000-{number:012d}", "mrc", "queued", label="w%d" % number), "parent": None,
            "reason": f"waits for a device; {number} before it"}


def ended(state="failed", **more):
    return job(B, "rift", state, label="over", started_at="2026-01-02T03:04:06.1Z", ended_at="2026-01-02T03:05:07.2Z", **more)


class Scripted:
    """A riftd that has one job running and some waiting."""

    def __init__(self, waiting_count=2, recent=()):
        self.jobs, self.recent = [RUNNING, *(waiting(number) for number in range(waiting_count))], list(recent)
        self.cancelled = []

    def __call__(self, http, method, path, body):
        if path.startswith("/v1/queue"):
            http.reply(200, {"jobs": self.jobs, "more": False, "drained": False, "owners": []})
        elif path == "/v1/devices":
            http.reply(200, {"devices": [DEVICE]})
        elif method == "POST" and path.endswith("/cancel"):
            self.cancelled.append(path.split("/")[3])
            http.reply(202, job(A))
        else:
            http.reply(200, {"jobs": self.recent, "next": None})


class Once(Case):
    def test_one_picture_goes_into_a_pipe_and_more_is_refused_politely(self):
        with Server(Scripted(40, [ended(error={"code": "x", "message": "no disk"})])) as server:
            at = ["--server", server.url]
            out, _ = self.run_ctl(0, "top", "--once", *at, env={"LC_ALL": "C.UTF-8"})
            _, err = self.run_ctl(2, "top", *at)
            document = json.loads(self.run_ctl(0, "top", "--json", *at)[0])
        lines = out.splitlines()
        self.assertTrue(lines[0].startswith("1 running, 40 waiting"), out)
        self.assertRegex(out, r"(?m)^cpu +ok +2\.0 of 8\.0 GiB +train größe$")
        self.assertRegex(out, r"(?m)^01900000-0000  train +größe +\[##\.{8}\]  25 %  1:15  epoch 3/6")
        self.assertIn("waits for a device; 39 before it", out, "all rows, however many")
        self.assertRegex(out, r"(?m)^01900000-0000  rift +over +failed +in 1:01  no disk$")
        self.assertNotIn("\033", out)
        self.assertNotIn("q quit", out)
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertIn("--once", err)
        self.assertEqual(sorted(document), ["devices", "jobs", "queue"])

    def test_every_width_has_its_columns_and_no_line_is_wider(self):
        with Server(Scripted()) as server:
            for width in (20, 40, 60, 80, 124, 200):
                out, _ = self.run_ctl(0, "top", "--once", "--server", server.url,
                                      env={"LC_ALL": "C.UTF-8", "COLUMNS": str(width)})
                self.assertLessEqual(max(map(len, out.splitlines())), width, out)
                self.assertEqual(A in out, width >= 124, out)
                self.assertEqual("größe" in out.split("PROGRESS")[-1], width >= 80, out)
                self.assertIn("train", out)

    def test_where_there_is_room_the_ids_tell_the_steps_of_a_job_apart(self):
        with Server(Scripted(2)) as server:
            out, _ = self.run_ctl(0, "top", "--once", "--server", server.url, env={"LC_ALL": "C.UTF-8", "COLUMNS": "120"})
        self.assertRegex(out, rf"(?m)^{A[:18]}  train +größe")

    def test_where_letters_beyond_ascii_cannot_be_shown_there_are_none(self):
        with Server(Scripted()) as server:
            out, _ = self.run_ctl(0, "top", "--once", "--server", server.url, env={"LC_ALL": "C"})
        self.assertIn("gr??e ", out)
        self.assertTrue(out.isascii())

    def test_without_riftd_it_says_what_to_do_and_exits_4(self):
        self.assertIn("$RIFTD_URL", self.run_ctl(4, "top", "--server", "http://127.0.0.1:1")[1])


class Keys(Case):
    def open(self, server, columns=80, rows=24, **env):
        return Terminal(columns, rows, {"RIFTD_URL": server.url, **env})

    def given_back(self, terminal, settings):
        """The shell is there again, and everything is as it was."""
        terminal.run("")
        text = terminal.wait(r"\$ *\n+\Z")
        self.assertEqual(terminal.ask("alternate_on"), "0", text)
        self.assertEqual(terminal.ask("cursor_flag"), "1", text)
        terminal.run("clear; stty -g; echo end")
        self.assertIn(settings, terminal.wait(r"(?m)^end$"))

    def settings(self, terminal):
        terminal.run("stty -g; echo end")
        return re.search(r"(?m)^([0-9a-f]+:[0-9a-f:]+)$", terminal.wait(r"(?m)^end$")).group(1)

    def test_it_fills_the_terminal_at_every_size_and_follows_a_change(self):
        with Server(Scripted(60)) as server, self.open(server) as terminal:
            terminal.run("riftctl top")
            text = terminal.wait("q quit")
            self.assertEqual(terminal.ask("alternate_on"), "1")
            self.assertEqual(terminal.ask("cursor_flag"), "0")
            lines = text.splitlines()
            self.assertEqual(len(lines), 24)
            self.assertTrue(lines[-1].startswith("q quit"), text)
            self.assertIn("größe", text)
            self.assertIn("waits for a device; 17 before it", text)
            self.assertNotIn("waits for a device; 18 before it", text, "no room for more")
            terminal.resize(40, 12)
            text = terminal.wait(r"(?m)^KIND +PROGRESS")
            wait_for("the last row", lambda: terminal.screen().splitlines()[-1].startswith("q quit"))
            self.assertEqual(len(terminal.screen().splitlines()), 12)
            self.assertNotIn("01900000", terminal.screen())
            terminal.resize(130, 30)
            terminal.wait(A)
            terminal.resize(80, 24)
            wait_for("the first picture", lambda: terminal.screen().splitlines()[1:] == lines[1:])
            terminal.keys("q")
            terminal.wait(r"\$ *\n+\Z")

    def test_a_terminal_of_a_few_rows_is_enough(self):
        with Server(Scripted(60)) as server, self.open(server, 30, 5) as terminal:
            terminal.run("riftctl top")
            terminal.wait(r"1 running")
            terminal.wait(r"q quit")
            terminal.keys("q")
            terminal.calm()

    def test_arrows_choose_and_c_cancels_after_asking(self):
        riftd = Scripted(60)
        with Server(riftd) as server, self.open(server, NO_COLOR="1") as terminal:
            terminal.run("riftctl top")
            terminal.wait("q quit")
            terminal.keys("c")
            terminal.wait("First choose a job")
            terminal.keys("Down")
            terminal.wait(r"(?m)^01900000-0000  train.*>")
            terminal.keys("End")
            terminal.wait(r"mrc .*w59 *> *waits for a device; 59")
            terminal.keys("Home", "Down", "Down", "Up")
            terminal.wait(r"(?m)^01900000-0000  mrc .*w0 *>")
            terminal.keys("c")
            terminal.wait(r"Cancel this mrc job \(01900000-0000-7000\)\? y/n")
            terminal.keys("n")
            terminal.wait("q quit")
            self.assertEqual(riftd.cancelled, [])
            terminal.keys("c")
            terminal.wait("y/n")
            terminal.keys("y")
            terminal.wait("Asked to stop: " + waiting(0)["id"])
            self.assertEqual(riftd.cancelled, [waiting(0)["id"]])
            riftd.jobs[1] = {**riftd.jobs[1], "parent": B}
            terminal.wait("waits for")
            terminal.keys("c")
            terminal.wait(r"Cancel the whole job that this is the mrc step of|Cancel this mrc job")
            terminal.keys("q")  # is no yes
            terminal.wait("q quit")
            self.assertEqual(len(riftd.cancelled), 1)
            terminal.keys("q")
            terminal.calm()

    def test_colours_are_there_unless_somebody_said_no(self):
        with Server(Scripted()) as server:
            for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
                with self.open(server, **env) as terminal:
                    terminal.run("riftctl top")
                    terminal.wait("q quit")
                    self.assertEqual(bool(re.search("\033\\[[0-9;]*3[0-9]", terminal.screen(colours=True))), coloured)
                    terminal.keys("q")
                    terminal.calm()

    def test_the_terminal_is_given_back_whatever_ends_it(self):
        with Server(Scripted()) as server, self.open(server) as terminal:
            settings = self.settings(terminal)
            for how in ("q", "C-c", "C-\\", signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT):
                with self.subTest(how):
                    terminal.run("clear; exec 3>&2; riftctl top; exec 3>&-")
                    terminal.wait("q quit")
                    if isinstance(how, str):
                        terminal.keys(how)
                    else:
                        self.signal(terminal, how)
                    wait_for("the shell's screen", lambda: terminal.ask("alternate_on") == "0")
                    self.given_back(terminal, settings)

    def signal(self, terminal, number):
        """To the riftctl that is the shell's child."""
        shell = int(terminal.ask("pane_pid"))
        with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as file:
            for child in file.read().split():
                os.kill(int(child), number)

    def test_it_can_be_stopped_and_taken_up_again(self):
        with Server(Scripted()) as server, self.open(server) as terminal:
            settings = self.settings(terminal)
            terminal.run("clear; riftctl top")
            terminal.wait("q quit")
            terminal.keys("C-z")
            terminal.wait("Stopped")
            self.given_back(terminal, settings)
            terminal.run("fg")
            terminal.wait("q quit")
            self.assertEqual(terminal.ask("cursor_flag"), "0")
            terminal.keys("q")
            terminal.calm()
            self.given_back(terminal, settings)

    def test_a_dumb_terminal_is_refused(self):
        with Server(Scripted()) as server, self.open(server, TERM="dumb") as terminal:
            terminal.run("riftctl top")
            terminal.wait("top --once")


class RealRiftd(Case):
    def test_it_shows_a_real_job_cancels_it_and_outlives_a_restart_of_riftd(self):
        spec = rift_spec("", train={"epochs": 100000}, checkpoint_every_s=1, label="long")
        with Daemon() as riftd, Terminal(100, 24, {"RIFTD_STATE": riftd.state}) as terminal:
            spec["dataset"]["path"] = riftd.data
            self.run_ctl(0, "--state", riftd.state, "submit", "-", stdin=json.dumps(spec))
            terminal.run("riftctl top")
            terminal.wait(r"(?m)^[0-9a-f-]{18}  train +long +\[")
            terminal.wait(r"(?m)^cpu +ok .*train long")
            terminal.wait("1 running, 4 waiting")
            riftd.kill()
            terminal.wait("riftd is away since")
            self.assertIn("train", terminal.screen(), "what was known stays")
            riftd.start()
            wait_for("riftd is found again, at its new address", lambda: "is away" not in terminal.screen())
            terminal.wait(r"(?m)^[0-9a-f-]{18}  train +long +\[")
            terminal.keys("Down", "c")
            terminal.wait("Cancel the whole job that this is the train step of")
            terminal.keys("y")
            terminal.wait("Asked to stop")
            terminal.wait(r"(?m)LATELY ENDED *\n[0-9a-f-]{18}  rift +long +cancelled")
            terminal.wait("Nothing runs and nothing waits")
            terminal.keys("q")
            terminal.calm()


if __name__ == "__main__":
    skip_unless_built("riftctl", "riftd", "rift-worker")
    skip_without_tmux()
    unittest.main()
