"""How riftctl behaves towards servers that are slow, broken, wrong or away.

The server here is a scripted one; test_real.py speaks to the real riftd."""
import hashlib
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import unittest

from client import Case, Server, event, job, program, step_id, A, B, DEADLINE_S, MODULES, STEPS

END = b'event: end\ndata: {"type":"end"}\n\n'  # what riftd says last


class Reading(Case):
    def test_a_unique_beginning_of_an_id_is_enough_and_an_ambiguous_one_is_not(self):
        def answer(http, method, path, body):
            if "cursor=page2" in path:
                http.reply(200, {"jobs": [job(B, "rift"), job(step_id("1"))], "next": None})
            elif path.startswith("/v1/jobs?"):
                http.reply(200, {"jobs": [job(A)], "next": "page2"})
            elif path.count("/") == 3:
                http.reply(200, job(path.split("/")[-1]))
            else:
                http.problem(404, "nothing here")

        with Server(answer) as server:
            at = ["--server", server.url, "--json"]
            self.assertEqual(json.loads(self.run_ctl(0, "show", B[:-1], *at)[0])["id"], B)
            self.assertEqual(json.loads(self.run_ctl(0, "show", step_id("1")[:30], *at)[0])["id"], step_id("1"))
            self.assertIn("more than one", self.run_ctl(2, "show", "0190", *at)[1])
            self.assertIn("no job", self.run_ctl(5, "show", "dead", *at)[1])

    def test_a_beginning_that_a_job_shares_with_its_steps_means_the_job(self):
        rift, steps = job(A, "rift", label="mine"), [job(step_id(digit), kind, parent=A) for kind, digit in STEPS]
        jobs = [rift, *steps]

        def answer(http, method, path, body):
            if path.startswith("/v1/jobs?"):
                http.reply(200, {"jobs": jobs, "next": None})
            else:
                http.reply(200, job(path.split("/")[-1]))

        with Server(answer) as server:
            at = ["--server", server.url, "--json"]
            self.assertEqual(json.loads(self.run_ctl(0, "show", "0190", *at)[0])["id"], A)
            jobs.insert(0, job(B, "evaluate", label="other"))
            out, err = self.run_ctl(2, "show", "0190", *at)
        self.assertEqual(out, "")
        self.assertEqual([line.split() for line in err.splitlines()[1:]],
                         [[B, "evaluate", "other"], [A, "rift", "mine"]] + [[step_id(digit), kind] for kind, digit in STEPS])

    def test_a_place_in_the_queue_beyond_what_the_server_counts_is_said_so(self):
        for position, words in ((7, "7"), (1000, "1000"), (1001, "behind 1000 or more")):
            with Server(lambda http, *_: http.reply(200, job(state="queued", priority=3, queue_position=position))) as server:
                out, _ = self.run_ctl(0, "show", A, "--server", server.url)
            self.assertRegex(out, rf"(?m)^priority +3$\nqueue_position +{words}$")

    def test_problem_documents_become_words_and_exit_codes(self):
        for status, code in ((400, 6), (404, 5), (409, 1), (413, 6), (415, 6), (422, 6), (500, 1), (503, 1)):
            with Server(lambda http, *_: http.problem(status, "because of that")) as server:
                _, err = self.run_ctl(code, "show", A, "--server", server.url)
                self.assertIn(f"because of that ({status})", err)

    def test_an_error_says_what_one_does_about_it(self):
        errors = [{"pointer": "/train/epochs", "message": "too many"}]
        for status, code, more, advice in ((401, 7, None, "riftctl admin token create"), (403, 7, None, "riftctl whoami"),
                                           (404, 5, None, "riftctl list"), (422, 6, errors, "riftctl fields")):
            with Server(lambda http, *_: http.problem(status, "no", more)) as server:
                self.assertIn(f"`{advice}", self.run_ctl(code, "show", A, "--server", server.url)[1])

        with Server(lambda http, *_: http.reply(200, {"jobs": [], "models": [], "next": None})) as server:
            self.assertIn("`riftctl list`", self.run_ctl(5, "show", "0190", "--server", server.url)[1])
            self.assertIn("`riftctl model ls`", self.run_ctl(5, "model", "show", "x", "--server", server.url)[1])
        with Server(lambda http, *_: http.problem(404, "no such token")) as server:
            self.assertIn("`riftctl admin token list`",
                          self.run_ctl(5, "admin", "token", "revoke", "x", "--server", server.url)[1])

    def test_states_have_colours_only_where_they_are_wanted(self):
        with Server(lambda http, *_: http.reply(200, {"jobs": [job(A, state="failed")], "next": None})) as server:
            at = ["list", "--server", server.url]
            for words, env, coloured in (([], {}, False), (["--color", "always"], {}, True), (["--color=never"], {}, False),
                                         (["--color=always"], {"NO_COLOR": "1"}, True)):
                out, _ = self.run_ctl(0, *at, *words, env=env)
                self.assertEqual("\033[31mfailed" in out, coloured, words)
                self.assertEqual("\033" in out, coloured, words)

    def test_a_refused_spec_prints_every_pointer(self):
        errors = [{"pointer": "/train/epochs", "message": "too many"}, {"pointer": "", "message": "no"}]
        with Server(lambda http, *_: http.problem(422, "2 things are wrong", errors)) as server:
            _, err = self.run_ctl(6, "submit", "--set", "kind=train", "--server", server.url)
        self.assertIn("  /train/epochs: too many\n", err)
        self.assertIn("  (whole document): no\n", err)

    def test_json_of_a_refused_request_is_the_problem_document(self):
        errors = [{"pointer": "/train/epochs", "message": "too many"}]
        with Server(lambda http, *_: http.problem(422, "1 thing is wrong", errors)) as server:
            at = ["submit", "--set", "kind=train", "--server", server.url]
            out, err = self.run_ctl(6, *at, "--json")
            self.assertEqual(self.run_ctl(6, *at)[0], "")
        self.assertEqual(json.loads(out), {"type": "/problems/x", "title": "title", "status": 422,
                                           "detail": "1 thing is wrong", "errors": errors})
        self.assertIn("1 thing is wrong", err)

    def test_a_server_that_is_not_riftd_is_no_crash(self):
        for body in (b"<html>", b"", b"[]", b"7", b"{}"):
            with Server(lambda http, *_: http.reply(200, body, "text/html")) as server:
                for command in (["show", A], ["list"], ["modules", A], ["table", A], ["artifacts", A], ["queue"],
                                ["metrics", A, "loss"], ["submit", "--set", "kind=train"]):
                    done = self.run_any(*command, "--server", server.url)
                    self.assertIn(done.returncode, (0, 1, 2), done)

    def run_any(self, *arguments):
        done = subprocess.run([program("riftctl"), *arguments], capture_output=True, text=True, timeout=DEADLINE_S,
                              check=False)
        self.assertNotIn("Sanitizer", done.stderr)
        return done

    def test_a_submit_sends_what_was_written_with_its_key_and_prints_the_id(self):
        with Server(lambda http, *_: http.reply(201, job(A))) as server:
            out, _ = self.run_ctl(0, "submit", "-", "--set", "seed=4", "--idempotency-key", "k1", "--server", server.url,
                                  stdin='{"kind":"train"}')
        self.assertEqual(out, A + "\n")
        method, path, headers, body = server.seen[0]
        self.assertEqual((method, path, headers["Idempotency-Key"]), ("POST", "/v1/jobs", "k1"))
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertEqual(json.loads(body), {"kind": "train", "seed": 4})

    def test_cancel_retry_and_delete_use_their_verbs(self):
        def answer(http, method, path, body):
            http.reply(200 if method != "DELETE" else 204, job(A, state="cancelled") if method != "DELETE" else b"")

        with Server(answer) as server:
            for command in ("cancel", "retry", "delete"):
                self.run_ctl(0, command, A, "--server", server.url)
        self.assertEqual([(method, path) for method, path, _, _ in server.seen if method != "GET"],
                         [("POST", f"/v1/jobs/{A}/cancel"), ("POST", f"/v1/jobs/{A}/retry"), ("DELETE", f"/v1/jobs/{A}")])

    def test_hold_release_priority_label_and_pin_change_one_member_each(self):
        with Server(lambda http, *_: http.reply(200, job(A))) as server:
            for words in (["hold", A], ["release", A], ["priority", A, "-5"], ["label", A, "näme"], ["label", A],
                          ["pin", A], ["pin", A, "--off"]):
                self.run_ctl(0, *words, "--server", server.url)
            self.run_ctl(2, "priority", A, "high", "--server", server.url)
        self.assertEqual([(path, json.loads(body)) for method, path, _, body in server.seen if method == "PATCH"],
                         [(f"/v1/jobs/{A}", change) for change in (
                             {"held": True}, {"held": False}, {"priority": -5}, {"label": "näme"}, {"label": None},
                             {"pinned": True}, {"pinned": False})])

    def test_what_is_done_to_several_jobs_is_done_to_each_whatever_becomes_of_the_others(self):
        def answer(http, method, path, body):
            if path.startswith(f"/v1/jobs/{B}") and method == "POST":
                http.problem(409, "it has ended")
            else:
                http.reply(200, job(path.split("/")[3], state="cancelled"))

        with Server(answer) as server:
            out, err = self.run_ctl(1, "cancel", A, B, step_id("1"), "--server", server.url)
        self.assertEqual(out, f"{A} asked to stop, now cancelled\n{step_id('1')} asked to stop, now cancelled\n")
        self.assertIn("it has ended (409)", err)

    def test_where_there_is_nothing_a_line_on_stderr_says_what_to_do(self):
        with Server(lambda http, *_: http.reply(200, {"jobs": [], "models": [], "datasets": [], "next": None})) as server:
            for words, said in ((["list"], "riftctl submit"), (["list", "--state", "failed"], "No job is like that"),
                                (["queue"], "Nothing runs"), (["datasets"], "--dataset"), (["model", "ls"], "model push")):
                out, err = self.run_ctl(0, *words, "--server", server.url)
                self.assertEqual(out, "", words)
                self.assertIn(said, err)
                self.assertEqual(self.run_ctl(0, *words, "--json", "--server", server.url)[1], "")

    def test_columns_are_as_wide_as_what_is_in_them_and_empty_ones_are_left_out(self):
        rows = [{"id": A, "kind": "train", "state": "running", "owner": None, "priority": 0, "reason": "runs on cpu"},
                {"id": B, "kind": "mrc", "state": "queued", "owner": None, "priority": -5, "reason": "waits"}]
        with Server(lambda http, *_: http.reply(200, {"jobs": rows})) as server:
            out, _ = self.run_ctl(0, "queue", "--server", server.url)
        self.assertEqual(out, f"{'id':36}  kind   state    priority  reason\n{A}  train  running  0         runs on cpu\n"
                              f"{B}  mrc    queued   -5        waits\n")

    def test_a_running_job_shows_how_far_it_is(self):
        progress = {"phase": "epoch 2/4", "done": 3, "total": 4, "eta_s": 61}
        with Server(lambda http, *_: http.reply(200, job(A, progress=progress))) as server:
            self.assertRegex(self.run_ctl(0, "show", A, "--server", server.url)[0], r"(?m)^progress +epoch 2/4  75 %  ETA 1:01$")

    def test_admin_drain_and_resume_ask_for_it(self):
        with Server(lambda http, *_: http.reply(200, {"drained": True})) as server:
            for words in (["admin", "drain"], ["admin", "resume"]):
                self.run_ctl(0, *words, "--server", server.url)
        self.assertEqual([(method, path) for method, path, _, _ in server.seen],
                         [("POST", "/v1/admin/drain"), ("POST", "/v1/admin/resume")])

    def test_list_filters_pages_and_says_that_there_is_more(self):
        def answer(http, method, path, body):
            last = "cursor=" in path
            http.reply(200, {"jobs": [job(B if last else A, label="a b")], "next": None if last else "n"})

        with Server(answer) as server:
            at = ["--server", server.url]
            out, _ = self.run_ctl(0, "list", "--state", "running", "--label", "a b&c", *at)
            self.assertIn("there are more", out)
            self.assertEqual(server.seen[0][1], "/v1/jobs?limit=20&parent=&state=running&label=a%20b%26c")
            out, _ = self.run_ctl(0, "list", "--all", "--json", *at)
            self.assertEqual([row["id"] for row in json.loads(out)["jobs"]], [A, B])

    def test_the_address_comes_from_a_state_directory(self):
        with Server(lambda http, *_: http.reply(200, {"jobs": [], "next": None})) as server:
            with tempfile.TemporaryDirectory() as state:
                with open(os.path.join(state, "riftd.address"), "w", encoding="utf-8") as file:
                    file.write(server.url + "\n")
                self.run_ctl(0, "list", "--state", "queued", env={"RIFTD_STATE": state})
                self.run_ctl(0, "--state", state, "list", "--state", "running")
                self.run_ctl(0, "devices", "--state", state)
        self.assertIn("state=queued", server.seen[0][1])
        self.assertIn("state=running", server.seen[1][1])


class Nothing(Case):
    """A job that has just been handed in."""

    def serve(self, kind="rift"):
        def answer(http, method, path, body):
            what = path.split("/")[4].split("?")[0] if path.count("/") > 3 else ""
            if what == "log":
                http.reply(200, b"", "text/plain")
            elif what:
                http.reply(200, {{"modules": "modules", "interpolation": "points", "artifacts": "artifacts",
                                  "metrics": "points" if "name=" in path else "series"}[what]: []})
            else:
                http.reply(200, job(A, kind, "queued"))

        return Server(answer)

    def test_a_job_that_has_nothing_to_show_yet_says_so(self):
        with self.serve() as server:
            for command in (["modules"], ["interpolation"], ["metrics"], ["table"], ["log"], ["artifacts"], ["fetch"]):
                out, err = self.run_ctl(0, command[0], A, *command[1:], "--server", server.url)
                self.assertEqual(err, f"riftctl: {command[0]}: nothing there; the rift job is queued\n")
                self.assertEqual(out != "", command == ["table"], out)
            self.assertEqual(self.run_ctl(0, "modules", A, "--json", "--server", server.url)[1], "")

    def test_who_asks_a_sweep_for_what_its_rift_jobs_have_is_told_where_it_is(self):
        with self.serve("sweep") as server:
            err = self.run_ctl(0, "modules", A, "--server", server.url)[1]
        self.assertIn("nothing there; the sweep job is queued\n  Its rift jobs have it: `riftctl show " + A[:18], err)

    def test_a_curve_that_is_not_there_exits_5_and_names_those_there_are(self):
        def answer(http, method, path, body):
            if "name=" in path:
                http.reply(200, {"points": []})
            elif "/metrics" in path:
                http.reply(200, {"series": [{"name": "train_loss", "count": 1}, {"name": "lr", "count": 1}]})
            else:
                http.reply(200, job(A))

        with Server(answer) as server:
            at = ["--server", server.url]
            out, err = self.run_ctl(5, "metrics", A, "nonsense", *at)
            self.assertEqual(out, "")
            self.assertIn('"nonsense"', err)
            self.assertTrue(err.endswith("\n  train_loss\n  lr\n"), err)
            _, err = self.run_ctl(0, "metrics", A, "lr", "--since", "7", *at)
            self.assertEqual(err, "")


class Formats(Case):
    def test_points_come_in_the_format_asked_for_as_riftd_wrote_them(self):
        asked = []

        def answer(http, method, path, body):
            if "/metrics" not in path:
                http.reply(200, job(A))
                return
            asked.append(path.split("/")[-1])
            if "format=" in path:
                http.reply(200, b"name,step,epoch,time,value\nloss,1,0.5,,2\n", "text/csv")
            else:
                http.reply(200, {"series": []})

        with Server(answer) as server:
            at = ["--server", server.url]
            out, _ = self.run_ctl(0, "metrics", A, "--format", "csv", "--max-points", "7", *at)
            self.assertEqual(out, "name,step,epoch,time,value\nloss,1,0.5,,2\n")
            self.run_ctl(0, "metrics", A, "loss", "--format", "ndjson", "--since", "3", "--step", "2", *at)
            out, _ = self.run_ctl(0, "metrics", A, "--format", "json", *at)
            self.assertEqual(json.loads(out), {"series": []})
            _, err = self.run_ctl(2, "metrics", A, "--format", "xml", *at)
            self.assertIn("text, json, csv or ndjson", err)
        self.assertEqual(asked, ["metrics?format=csv&max_points=7", "metrics?name=loss&format=ndjson&since=3&step=2",
                                 "metrics"])


class Watching(Case):
    """A job of one step whose server lets go of the stream as a test wants."""

    def serve(self, streams, states, kind="train", **more):
        """streams: what each connection to /events sends; states: what GET says after that many streams."""
        opened = []

        def answer(http, method, path, body):
            if path.endswith("/events"):
                opened.append(http.headers.get("Last-Event-ID"))
                http.start_stream()
                http.wfile.write(streams[min(len(opened), len(streams)) - 1])
            else:
                state = states[min(len(opened), len(states) - 1)]
                ended = state in ("succeeded", "failed", "cancelled")
                http.reply(200, job(A, kind, state, ended_at="2026-01-02T03:04:06Z" if ended else None, **more))

        server = Server(answer)
        server.opened = opened
        return server

    def test_the_exit_code_is_the_jobs(self):
        for state, code in (("succeeded", 0), ("failed", 1), ("cancelled", 3)):
            with self.serve([event(1, "state", job=A, state=state) + END], ["running", state],
                            error={"code": "x", "message": "no such file"} if state == "failed" else None) as server:
                _, err = self.run_ctl(code, "watch", A, "--server", server.url)
            self.assertIn({"succeeded": "", "failed": "the job failed: no such file",
                           "cancelled": "the job was cancelled"}[state], err)

    def test_a_job_that_ended_long_ago_is_not_waited_for(self):
        with self.serve([b""], ["succeeded"]) as server:
            self.run_ctl(0, "watch", A, "--server", server.url)
        self.assertEqual(server.opened, [])

    def test_every_state_is_said_once_in_the_order_of_the_events(self):
        queued, running, succeeded = (event(number, "state", job=A, state=state)
                                      for number, state in enumerate(("queued", "running", "succeeded"), 1))
        for streams, states in (([queued + running + succeeded + END], ["running", "succeeded"]),
                                ([queued, running + succeeded + END], ["running", "succeeded", "succeeded"]),
                                ([b"", queued + running + END], ["running", "running", "succeeded"])):
            with self.serve(streams, states) as server:
                out, _ = self.run_ctl(0, "watch", A, "--server", server.url)
            self.assertEqual([line.split()[1] for line in out.splitlines() if line.startswith("train ")],
                             ["queued", "running", "succeeded"])

    def test_a_broken_stream_goes_on_after_the_last_whole_event(self):
        first = event(7, "metric", job=A, name="clean_accuracy", step=1, epoch=1, value=0.25)
        torn = event(8, "metric", job=A, name="clean_accuracy", step=2, epoch=2, value=0.5)
        with self.serve([first + torn[:-20], torn + event(9, "state", job=A, state="succeeded") + END],
                        ["running", "running", "succeeded"]) as server:
            out, _ = self.run_ctl(0, "watch", A, "--server", server.url)
        self.assertEqual(server.opened, [None, "7"])
        self.assertEqual(out.count("25.00 %"), 1)
        self.assertEqual(out.count("50.00 %"), 1)

    def test_what_was_said_before_the_end_is_shown_even_when_the_stream_broke_after_it(self):
        metric = event(3, "metric", job=A, name="clean_accuracy", step=1, epoch=1, value=0.25)
        with self.serve([b"", metric + END], ["running", "succeeded"]) as server:
            self.assertIn("25.00 %", self.run_ctl(0, "watch", A, "--server", server.url)[0])

    def test_events_may_come_byte_by_byte_with_crlf_and_comments(self):
        text = (b": heartbeat\r\n\r\nretry: 2000\r\n\r\nid: 3\r\nevent: alpha\r\ndata: {\"alpha\": 0.3,\r\n"
                b"data: \"clean_accuracy\": 0.5, \"robust_accuracy\": 0.25}\r\n\r\n" + b"event: end\r\ndata: {}\r\n\r\n")

        def answer(http, method, path, body):
            if path.endswith("/events"):
                http.start_stream()
                for i in range(len(text)):
                    http.wfile.write(text[i:i + 1])
                    http.wfile.flush()
                ended.set()
            else:
                http.reply(200, job(A, "interpolate", "succeeded" if ended.is_set() else "running"))

        ended = threading.Event()
        with Server(answer) as server:
            out, _ = self.run_ctl(0, "watch", A, "--server", server.url)
        self.assertIn("alpha 0.3  clean 50.00 %  robust 25.00 %", out)

    def test_a_restarted_riftd_is_found_again_at_its_new_address(self):
        with tempfile.TemporaryDirectory() as state:
            address = os.path.join(state, "riftd.address")

            def write(url):
                with open(address + ".new", "w", encoding="utf-8") as file:
                    file.write(url + "\n")
                os.rename(address + ".new", address)

            second = self.serve([event(6, "state", job=A, state="succeeded") + END], ["running", "succeeded"])

            def first_answer(http, method, path, body):
                if path.endswith("/events"):
                    http.start_stream()
                    http.wfile.write(event(5, "progress", job=A, phase="epoch 1", done=1, total=2))
                    write(second.url)
                else:
                    http.reply(200, job(A))

            with second, Server(first_answer) as first:
                write(first.url)
                self.run_ctl(0, "watch", A, "--state", state)
            self.assertEqual(second.opened, ["5"])

    def test_a_deleted_job_ends_the_watch(self):
        def answer(http, method, path, body):
            if path.endswith("/events"):
                gone.set()
                http.problem(404, "gone")
            elif gone.is_set():
                http.problem(404, "gone")
            else:
                http.reply(200, job(A))

        gone = threading.Event()
        with Server(answer) as server:
            self.run_ctl(5, "watch", A, "--server", server.url)

    def test_a_rift_job_shows_its_five_steps_and_ends_with_the_tables(self):
        result = {"module": "conv1", "alpha": 1, "protocol": "paper", "before": {"clean_accuracy": 0.5, "robust_accuracy": 0.25},
                  "after": {"clean_accuracy": 0.75, "robust_accuracy": 0.25}}

        def answer(http, method, path, body):
            ended = len([1 for seen in server.seen if seen[1].endswith("/events")])
            state = "succeeded" if ended else "running"
            if path.endswith("/events"):
                http.start_stream()
                http.wfile.write(event(1, "progress", job=step_id("1"), phase="epoch 1/2", done=30, total=120,
                                       images_per_s=512.4, eta_s=75) + event(2, "state", job=step_id("1"), state="succeeded") + END)
            elif path.endswith("/modules"):
                http.reply(200, {"modules": MODULES, "lowest": "layer1.0.conv1"})
            elif path.endswith("/interpolation"):
                http.reply(200, {"points": [], "chosen_alpha": 1})
            else:
                steps = [{"id": step_id(digit), "kind": kind, "state": state, "progress": None} for kind, digit in STEPS]
                http.reply(200, job(A, "rift", state, steps=steps, result=result))

        with Server(answer) as server:
            out, _ = self.run_ctl(0, "watch", A, "--server", server.url)
            self.assertIn("train        epoch 1/2   25 %  512 images/s  ETA 1:15", out)
            for kind, _ in STEPS:
                self.assertRegex(out, rf"(?m)^{kind} +succeeded$")
            self.assertIn("Module Robust Criticality", out)
            self.assertIn("AT+RiFT", out)
            self.assertNotIn("\033", out, "no terminal, no control sequences")

    def test_json_gives_one_event_a_line_and_then_the_job(self):
        with self.serve([event(1, "metric", job=A, name="loss", value=1.5) + event(2, "state", job=A, state="succeeded")
                         + END],
                        ["running", "succeeded"]) as server:
            out, _ = self.run_ctl(0, "watch", A, "--json", "--server", server.url)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([line.get("type") for line in lines], ["metric", "state", None])
        self.assertEqual(lines[-1]["state"], "succeeded")

    def test_on_a_terminal_the_lines_are_redrawn_and_never_wider_than_it(self):
        import fcntl
        import pty
        import struct
        import termios
        with self.serve([event(1, "progress", job=A, phase="p" * 300, done=1, total=2)
                         + event(2, "state", job=A, state="succeeded") + END], ["running", "succeeded"]) as server:
            master, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
            child = subprocess.Popen([program("riftctl"), "watch", A, "--server", server.url], stdout=slave,
                                     env={**os.environ, "TERM": "xterm"})
            os.close(slave)
            output = b""
            while True:
                try:
                    block = os.read(master, 65536)
                except OSError:
                    break
                output += block
            self.assertEqual(child.wait(DEADLINE_S), 0)
            os.close(master)
        text = output.decode()
        self.assertIn("\033[3A", text)
        drawn = [re.sub("\r|\033\\[[0-9]*[AJKm]", "", line) for line in text.split("\n")]
        self.assertLess(max(map(len, drawn[:9])), 60)


class Fetching(Case):
    DATA = bytes(range(256)) * 4096

    def serve(self, name="best.safetensors", break_at=None, wrong=False, ranges=True):
        data = self.DATA
        requests = []

        def answer(http, method, path, body):
            if path.endswith("/artifacts"):
                http.reply(200, {"artifacts": [{"name": name, "size": len(data),
                                                "sha256": hashlib.sha256(data).hexdigest()}]})
            elif "/artifacts/" not in path:
                http.reply(200, job(A, "train", "succeeded"))
            else:
                asked = http.headers.get("Range") if ranges else None
                requests.append(asked)
                start = int(asked.split("=")[1].rstrip("-")) if asked else 0
                rest = bytes(len(data) - start) if wrong else data[start:]
                http.send_response(206 if asked else 200)
                http.send_header("Content-Length", str(len(rest)))
                http.end_headers()
                if break_at and len(requests) == 1:
                    http.wfile.write(rest[:break_at])
                    http.wfile.flush()
                    http.connection.shutdown(socket.SHUT_RDWR)
                    http.close_connection = True
                else:
                    http.wfile.write(rest)

        server = Server(answer)
        server.requests = requests
        return server

    def fetch(self, server, directory, code=0, names=()):
        return self.run_ctl(code, "fetch", A, *names, "--dir", directory, "--server", server.url)

    def read(self, *path):
        with open(os.path.join(*path), "rb") as file:
            return file.read()

    def test_a_file_appears_whole_under_its_name_and_is_not_fetched_twice(self):
        with tempfile.TemporaryDirectory() as directory, self.serve("train/best.safetensors") as server:
            self.fetch(server, directory)
            self.assertEqual(self.read(directory, "train", "best.safetensors"), self.DATA)
            self.assertIn("was there", self.fetch(server, directory)[0])
            self.assertEqual(server.requests, [None])
            self.assertEqual(os.listdir(os.path.join(directory, "train")), ["best.safetensors"])

    def test_programs_are_told_of_each_file_in_a_line_of_json(self):
        with tempfile.TemporaryDirectory() as directory, self.serve() as server:
            for was_there in (False, True):
                out, _ = self.run_ctl(0, "fetch", A, "--dir", directory, "--json", "--server", server.url)
                self.assertEqual(json.loads(out), {"path": f"{directory}/best.safetensors", "was_there": was_there,
                                                   "sha256": hashlib.sha256(self.DATA).hexdigest()})

    def test_a_broken_download_goes_on_where_it_ended(self):
        with tempfile.TemporaryDirectory() as directory, self.serve(break_at=300000) as server:
            self.fetch(server, directory)
            self.assertEqual(self.read(directory, "best.safetensors"), self.DATA)
            self.assertEqual(len(server.requests), 2)
            self.assertRegex(server.requests[1], r"^bytes=\d+-$")

    def test_what_an_earlier_call_left_is_used(self):
        for ranges in (True, False):
            with tempfile.TemporaryDirectory() as directory, self.serve(ranges=ranges) as server:
                with open(os.path.join(directory, "best.safetensors.part"), "wb") as file:
                    file.write(self.DATA[:1000])
                self.fetch(server, directory)
                self.assertEqual(self.read(directory, "best.safetensors"), self.DATA)
                self.assertEqual(server.requests, ["bytes=1000-" if ranges else None])

    def test_a_wrong_hash_keeps_nothing(self):
        with tempfile.TemporaryDirectory() as directory, self.serve(wrong=True) as server:
            self.assertIn("SHA-256", self.fetch(server, directory, code=1)[1])
            self.assertEqual(os.listdir(directory), [])

    def test_names_that_lead_elsewhere_are_refused(self):
        for name in ("../evil", "/etc/evil", "a/../../evil", ".hidden", "a//b", ""):
            with tempfile.TemporaryDirectory() as directory, self.serve(name) as server:
                self.assertIn("no artifact's name", self.fetch(server, directory, code=1)[1])
                self.assertEqual(os.listdir(directory), [])

    def test_an_unknown_name_exits_5(self):
        with tempfile.TemporaryDirectory() as directory, self.serve() as server:
            self.assertIn("nope", self.fetch(server, directory, code=5, names=["nope"])[1])

    def test_a_followed_log_is_printed_once_and_to_its_end(self):
        text = b"first\nsecond\nthird\n"
        shown = [6, 13, 13, len(text)]

        def answer(http, method, path, body):
            if path.endswith("/log"):
                size = shown[min(len(logs), len(shown) - 1)]
                logs.append(http.headers.get("Range"))
                start = int((logs[-1] or "bytes=0-").split("=")[1].rstrip("-"))
                if start >= size:
                    http.problem(416, "nothing there")
                else:
                    http.reply(206 if start else 200, text[start:size], "text/plain")
            else:
                http.reply(200, job(A, ended_at="2026-01-02T03:04:06Z" if len(logs) >= 3 else None))

        logs = []
        with Server(answer) as server:
            out, _ = self.run_ctl(0, "log", A, "--follow", "--server", server.url)
        self.assertEqual(out.encode(), text)
        self.assertEqual(logs, [None, "bytes=6-", "bytes=13-", "bytes=13-"])


if __name__ == "__main__":
    unittest.main()
