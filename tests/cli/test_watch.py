"""`riftctl watch`: several jobs at once, and what it draws in a real terminal (tmux): bars, other sizes, ^C, a riftd
that comes back."""
import json
import re
import threading
import unittest

from client import Case, Server, event, job, step_id, A, B, STEPS
from real import Daemon, rift_spec, skip_unless_built, wait_for
from terminal import Terminal, skip_without_tmux

C = "01900000-0000-7000-8000-000000000ccc"


class Several(Case):
    """A train, an mrc and a finetune job, told of by the stream of all jobs."""

    def serve(self, streams, ends):
        """streams: what each connection gets; ends: id -> its state after the last stream."""
        kinds = {A: "train", B: "mrc", C: "finetune"}

        def answer(http, method, path, body):
            if path.startswith("/v1/events?wait=0"):
                http.reply(200, {"events": [], "last": 41})
            elif path == "/v1/events":
                opened.append(http.headers.get("Last-Event-ID"))
                http.start_stream()
                http.wfile.write(streams[min(len(opened), len(streams)) - 1])
            elif path.endswith("/modules"):
                http.reply(200, {"modules": [], "lowest": None})
            else:
                id = path.split("/")[3]
                state = ends[id] if len(opened) >= len(streams) else "running"
                http.reply(200, job(id, kinds[id], state, label="job " + kinds[id], result={"epochs": 1},
                                    error={"code": "x", "message": "no disk"} if state == "failed" else None))

        server, opened = Server(answer), []
        server.opened = opened
        return server

    def states(self, **ends):
        return b"".join(event(number, "state", job=id, state=state)
                        for number, (id, state) in enumerate(ends.items(), 50))

    def test_they_are_followed_by_one_stream_from_now_on_until_the_last_has_ended(self):
        metric = event(42, "metric", job=A, name="clean_accuracy", epoch=1, step=1, value=0.25)
        other = event(43, "metric", job=step_id("9"), name="clean_accuracy", epoch=7, step=1, value=0.5)
        ends = {A: "succeeded", B: "succeeded"}
        with self.serve([metric + other, self.states(**ends)], ends) as server:
            out, _ = self.run_ctl(0, "watch", A, B, A, "--server", server.url)
        self.assertEqual(server.opened, ["41", "43"], "the second goes on where the first broke")
        self.assertIn(f"{A[:18]}  train        epoch 1  clean_accuracy 25.00 %\n", out)
        self.assertNotIn("epoch 7", out, "another job's")
        self.assertEqual(out.count(f"{A[:18]}  train        succeeded\n"), 1)
        self.assertEqual(out.count(f"{B[:18]}  mrc          succeeded\n"), 1)
        self.assertRegex(out, rf"(?m)^train {A}  job train$")
        self.assertRegex(out, rf"(?m)^mrc {B}  job mrc$")
        self.assertNotIn("\033", out)

    def test_the_exit_code_is_that_of_the_worst(self):
        for states, code in ((("succeeded", "succeeded", "succeeded"), 0), (("cancelled", "failed", "succeeded"), 1),
                             (("succeeded", "succeeded", "failed"), 1), (("succeeded", "cancelled", "succeeded"), 3)):
            ends = dict(zip((A, B, C), states))
            with self.serve([self.states(**ends)], ends) as server:
                self.run_ctl(code, "watch", A, B, C, "--server", server.url)

    def test_json_gives_their_events_one_a_line_and_then_each_job(self):
        ends = {A: "succeeded", B: "failed"}
        other = event(43, "state", job=C, state="running")
        with self.serve([other + self.states(**ends)], ends) as server:
            out, _ = self.run_ctl(1, "watch", A, B, "--json", "--server", server.url)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([(line.get("job"), line.get("id")) for line in lines], [(A, None), (B, None), (None, A), (None, B)])

    def test_a_job_among_them_that_is_not_there_exits_5(self):
        with Server(lambda http, *_: http.problem(404, "nothing")) as server:
            self.assertIn("`riftctl list`", self.run_ctl(5, "watch", A, B, "--server", server.url)[1])


class Scripted:
    """A rift job in the middle of its second step; its stream stays open until `over`."""

    def __init__(self, note="conv1"):
        self.over, self.note = threading.Event(), note

    def __call__(self, http, method, path, body):
        states = {"train": "succeeded", "mrc": "running"}
        if path.endswith("/events"):
            http.start_stream()
            http.wfile.write(event(1, "progress", job=step_id("2"), phase="modules", done=8, total=16, images_per_s=99.6,
                                   eta_s=75) + event(2, "module", job=step_id("2"), module=self.note, mrc=0.5))
            http.wfile.flush()
            self.over.wait(60)
        else:
            ended = self.over.is_set()
            steps = [{"id": step_id(digit), "kind": kind, "progress": None,
                      "state": "cancelled" if ended and kind == "mrc" else states.get(kind, "blocked")} for kind, digit in STEPS]
            http.reply(200, job(A, "rift", "cancelled" if ended else "running", label="größe", steps=steps))


class OnATerminal(Case):
    def open(self, server, columns=80, rows=24, **env):
        return Terminal(columns, rows, {"RIFTD_URL": server.url, **env})

    def test_each_step_has_a_bar_and_every_line_fits_at_every_size(self):
        riftd = Scripted()
        with Server(riftd) as server, self.open(server) as terminal:
            terminal.run(f"clear; riftctl watch {A}")
            text = terminal.wait(r"conv1  MRC 0\.5000")
            self.assertIn(f"rift {A}  running  größe", text)
            self.assertRegex(text, r"(?m)^  1 train +\[#{22}\] 100 %  succeeded$")
            self.assertRegex(text, r"(?m)^  2 mrc +\[#{11}\.{11}\]  50 %  modules  100 images/s  ETA 1:15$")
            self.assertRegex(text, r"(?m)^  5 evaluate +\[\.{22}\]   0 %  blocked$")
            for columns, rows, line in ((40, 24, r"(?m)^  2 mrc +\[####\.{4}\]  50 %  modul"), (20, 24, r"(?m)^rift 01900000-0000-$"),
                                        (80, 24, r"100 images/s"), (80, 4, r"(?m)^rift +größe +2/5 mrc +\[#{11}\.")):
                terminal.resize(columns, rows)
                wait_for("the new size", lambda: re.search(line, terminal.screen()))
                if rows == 24:  # nothing is left of what was drawn before
                    self.assertEqual([text.split()[0] for text in wait_for("seven lines", lambda: self.picture(terminal))],
                                     ["rift", "1", "2", "3", "4", "5", "conv1"])
            riftd.over.set()
            terminal.wait(r"\$ *\n*\Z")

    def picture(self, terminal):
        lines = [line for line in terminal.screen().splitlines() if line.strip() and "riftctl" not in line]
        return lines if len(lines) == 7 else None

    def test_ctrl_c_ends_the_watch_and_not_the_job_and_leaves_the_terminal_as_it_was(self):
        riftd = Scripted()
        with Server(riftd) as server, self.open(server) as terminal:
            terminal.run("stty -g; echo end")
            settings = re.search(r"(?m)^([0-9a-f]+:[0-9a-f:]+)$", terminal.wait(r"(?m)^end$")).group(1)
            terminal.run(f"clear; riftctl watch {A}")
            terminal.wait("conv1")
            terminal.keys("C-c")
            terminal.wait("No longer watched; the job goes on")
            terminal.run("echo code $?; stty -g; echo end")
            text = terminal.wait(r"(?m)^end$")
            self.assertIn("code 130", text)
            self.assertIn(settings, text)
            self.assertEqual((terminal.ask("cursor_flag"), terminal.ask("alternate_on")), ("1", "0"))
            riftd.over.set()
            self.assertFalse([seen for seen in server.seen if seen[0] != "GET"])

    def test_colours_and_letters_are_what_the_terminal_wants(self):
        for env, colour, letters in (({}, True, "größe"), ({"NO_COLOR": "1"}, False, "größe"), ({"LC_ALL": "C"}, True, "gr??e")):
            riftd = Scripted()
            with Server(riftd) as server, self.open(server, **env) as terminal:
                terminal.run(f"clear; riftctl watch {A}")
                terminal.wait("conv1")
                self.assertIn(letters, terminal.screen())
                self.assertEqual("\033[34m" in terminal.screen(colours=True), colour)
                terminal.keys("C-c")
                terminal.calm()
                riftd.over.set()

    def test_in_a_pipe_it_is_lines(self):
        riftd = Scripted()
        with Server(riftd) as server, self.open(server) as terminal:
            terminal.run(f"clear; riftctl watch {A} 2>&1 | cat; echo code ${{PIPESTATUS[0]}}")
            terminal.wait(r"mrc +modules +50 %  100 images/s  ETA 1:15")
            riftd.over.set()
            text = terminal.wait("code 3")
        self.assertIn("the job was cancelled", text)
        self.assertNotIn("[###", text)


class RealRiftd(Case):
    def test_two_real_jobs_have_a_bar_each_over_a_restart_of_riftd(self):
        with Daemon() as riftd, Terminal(100, 30, {"RIFTD_STATE": riftd.state}) as terminal:
            self.run_ctl(0, "--state", riftd.state, "admin", "drain")
            train = {**rift_spec(riftd.data), "kind": "train", "train": {"epochs": 4}}
            for step in ("mrc", "finetune", "interpolate"):
                del train[step]
            ids = [self.run_ctl(0, "--state", riftd.state, "submit", "-", stdin=json.dumps({**train, "label": label}))[0].strip()
                   for label in ("one", "two")]
            self.run_ctl(0, "--state", riftd.state, "hold", ids[1])  # there is something to watch until riftd is back
            self.run_ctl(0, "--state", riftd.state, "admin", "resume")
            terminal.run(f"clear; riftctl watch {' '.join(ids)}; echo code $?")
            terminal.wait(r"(?m)^train +one +\[")
            riftd.kill()
            terminal.wait("riftd is away; waiting for it to come back")
            riftd.start()
            self.run_ctl(0, "--state", riftd.state, "release", ids[1])
            text = terminal.wait(r"code \d", history=True)
        self.assertNotIn("riftd is away", text)
        self.assertIn("code 0", text)
        for label, id in zip(("one", "two"), ids):
            self.assertRegex(text, rf"(?m)^train +{label} +\[#{{22}}\] 100 %  succeeded")
            self.assertRegex(text, rf"(?m)^train {id}  {label}$")
        self.assertEqual(text.count("epochs, best after"), 2)


if __name__ == "__main__":
    skip_unless_built("riftctl", "riftd", "rift-worker")
    skip_without_tmux()
    unittest.main()
