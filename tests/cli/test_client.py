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

from client import Case, Server, program, DEADLINE_S

A = "01900000-0000-7000-8000-00000000000a"
B = "01900000-0000-7000-8000-0000000000bb"
STEPS = [("train", "1"), ("mrc", "2"), ("finetune", "3"), ("interpolate", "4"), ("evaluate", "5")]


def step_id(digit):
    return f"01900000-0000-7000-8000-{digit * 12}"


def job(id=A, kind="train", state="running", **more):
    return {"id": id, "kind": kind, "state": state, "label": None, "steps": [], "progress": None, "result": None,
            "error": None, "created_at": "2026-01-02T03:04:05.678Z", "ended_at": None, "spec": {"kind": kind}, **more}


def event(number, type, **fields):
    data = json.dumps({"type": type, **fields})
    return f"id: {number}\nevent: {type}\ndata: {data}\n\n".encode()


END = b'event: end\ndata: {"type":"end"}\n\n'  # what riftd says last


class Reading(Case):
    def test_a_unique_beginning_of_an_id_is_enough_and_an_ambiguous_one_is_not(self):
        def answer(http, method, path, body):
            if path.startswith("/v1/jobs?parent="):
                http.reply(200, {"jobs": [job(step_id("1"))], "next": None})
            elif "cursor=page2" in path:
                http.reply(200, {"jobs": [job(B, "rift")], "next": None})
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
                http.reply(200, {"jobs": steps if "parent=" in path else jobs, "next": None})
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

    def test_problem_documents_become_words_and_exit_codes(self):
        for status, code in ((400, 6), (404, 5), (409, 1), (413, 6), (415, 6), (422, 6), (500, 1), (503, 1)):
            with Server(lambda http, *_: http.problem(status, "because of that")) as server:
                _, err = self.run_ctl(code, "show", A, "--server", server.url)
                self.assertIn(f"because of that ({status})", err)

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


class Tables(Case):
    MODULES = [{"module": "conv1", "mrc": 0.5, "robust_accuracy_drop": 0.123456, "parameters": 144},
               {"module": "layer1.0.conv1", "mrc": 0.001234567, "robust_accuracy_drop": 0.0, "parameters": 2304},
               {"module": "linear", "mrc": 0.25, "robust_accuracy_drop": None, "parameters": 650}]

    def serve(self, what, document, kind="mrc", **more):
        def answer(http, method, path, body):
            http.reply(200, document if path.endswith(what) else job(A, kind, "succeeded", **more))

        return Server(answer)

    def test_modules_keep_the_models_order_and_mark_the_lowest(self):
        with self.serve("/modules", {"modules": self.MODULES, "lowest": "layer1.0.conv1"}) as server:
            lines = self.run_ctl(0, "modules", A, "--server", server.url)[0].splitlines()
        self.assertEqual([line.split()[0] for line in lines[1:]], ["conv1", "layer1.0.conv1", "linear"])
        self.assertEqual(lines[1].split()[1:5], ["0.5000", "12.35", "%", "144"])
        self.assertEqual(lines[2].split()[1], "0.001235")
        self.assertEqual(lines[3].split()[2], "-")
        self.assertEqual(lines[1].count("#"), 24)
        self.assertEqual(lines[3].count("#"), 12)
        self.assertEqual([("<- lowest" in line) for line in lines[1:]], [False, True, False])

    def test_an_evaluation_shows_both_robust_accuracies_stages_and_warnings(self):
        stages = [{"name": name, "accuracy": left, "loss": 1.0} for name, left in (("clean", .9), ("apgd-ce", .5))]
        result = {"clean": {"loss": 0.5, "accuracy": 0.9},
                  "attacks": [{"name": "pgd-10", "loss": 1.5, "accuracy": 0.52, "worst_case_accuracy": 0.51},
                              {"name": "apgd-ce", "loss": 1, "accuracy": .5, "worst_case_accuracy": .5, "stages": stages},
                              {"name": "autoattack", "loss": 1.25, "accuracy": 0.4875, "worst_case_accuracy": 0.4875,
                               "stages": stages + [{"name": "square", "accuracy": 0.4875, "loss": 1.25}],
                               "warnings": ["square: took 0.0125"]}]}

        def answer(http, method, path, body):
            if path.endswith("/events"):
                http.start_stream()
                http.wfile.write(event(1, "state", job=A, state="succeeded") + b"event: end\r\ndata: {}\r\n\r\n")
            else:
                http.reply(200, job(A, "evaluate", "succeeded", result=result))

        with Server(answer) as server:
            out = self.run_ctl(0, "watch", A, "--server", server.url)[0]
        lines = out[out.index("examples"):].splitlines()
        rows = [line.split() for line in lines]
        self.assertEqual(rows[1], ["clean", "90.00", "%", "0.5000"])
        self.assertEqual(rows[2], ["pgd-10", "52.00", "%", "51.00", "%", "1.500"])
        self.assertEqual([row[0] for row in rows[3:]], ["apgd-ce", "autoattack", "clean", "apgd-ce", "square", "warning:"])

    def test_interpolation_marks_the_chosen_alpha(self):
        points = [{"alpha": alpha, "clean_loss": 1.0, "clean_accuracy": 0.5 + alpha, "robust_loss": 2.0,
                   "robust_accuracy": 0.25} for alpha in (0, 0.1, 0.2)]
        with self.serve("/interpolation", {"points": points, "chosen_alpha": 0.1}, "interpolate") as server:
            lines = self.run_ctl(0, "interpolation", A, "--server", server.url)[0].splitlines()
        self.assertEqual(lines[2].split(), ["0.1", "60.00", "%", "25.00", "%", "1.000", "2.000", "<-", "chosen"])
        self.assertNotIn("chosen", lines[1] + lines[3])

    def test_the_before_after_table_names_the_attack_and_the_change(self):
        result = {"module": "layer4.1.conv2", "alpha": 0.7, "protocol": "validation",
                  "before": {"clean_accuracy": 0.81, "robust_accuracy": 0.5}, "after": {"clean_accuracy": 0.83125,
                                                                                       "robust_accuracy": 0.499}}
        spec = {"kind": "rift", "attack": {"steps": 10}, "evaluate": {"attacks": [{"steps": 20, "restarts": 5}]}}
        with self.serve("/none", {}, "rift", result=result, spec=spec) as server:
            out, _ = self.run_ctl(0, "table", A, "--server", server.url)
        self.assertIn("clean accuracy          81.00 %     83.12 %     +2.12", out)
        self.assertIn("PGD-20 x5 accuracy      50.00 %     49.90 %     -0.10", out)
        self.assertNotIn("corruption", out)
        self.assertIn("module layer4.1.conv2, alpha 0.7, chosen under the validation protocol", out)

    def test_the_table_has_the_corruption_accuracy_where_it_was_measured(self):
        result = {"module": "conv1", "alpha": 1, "protocol": "paper",
                  "before": {"clean_accuracy": 0.8, "corruption_accuracy": 0.61, "robust_accuracy": 0.5},
                  "after": {"clean_accuracy": 0.9, "corruption_accuracy": 0.635, "robust_accuracy": 0.5}}
        with self.serve("/none", {}, "rift", result=result) as server:
            out, _ = self.run_ctl(0, "table", A, "--server", server.url)
        self.assertIn("corruption accuracy     61.00 %     63.50 %     +2.50", out)

    def test_an_evaluation_shows_every_corruption_its_severities_groups_and_the_mean(self):
        def row(name, group, *accuracies):
            return {"name": name, "group": group, "loss": 1, "accuracy": sum(accuracies) / len(accuracies),
                    "severities": [{"severity": 2 * i + 1, "images": 9, "loss": 1, "accuracy": one}
                                   for i, one in enumerate(accuracies)]}

        result = {"clean": {"loss": 1, "accuracy": 0.9}, "attacks": [],
                  "corruptions": {"corruption_accuracy": 0.4, "groups": {"weather": 0.55, "digital": 0.25},
                                  "corruptions": [row("fog", "weather", 0.7, 0.4), row("contrast", "digital", 0.3, 0.2)]}}

        def answer(http, method, path, body):
            http.reply(200, job(A, "evaluate", "succeeded", result=result))

        with Server(answer) as server:
            out, _ = self.run_ctl(0, "watch", A, "--server", server.url)
        self.assertRegex(out, r"(?m)^fog +55\.00 % +70\.00 +40\.00$")
        self.assertRegex(out, r"(?m)^contrast +25\.00 % +30\.00 +20\.00$")
        self.assertRegex(out, r"(?m)^weather +55\.00 %$")
        self.assertRegex(out, r"(?m)^mean +40\.00 %$")

    def test_the_table_says_what_an_alpha_of_0_means(self):
        kept = "No point of the line is better on clean data within the tolerance, so AT's own weights are kept."
        for alpha, says in ((0, True), (0.0, True), (0.1, False), (None, False)):
            with self.serve("/none", {}, "rift", result={"module": "conv1", "alpha": alpha}) as server:
                out, _ = self.run_ctl(0, "table", A, "--server", server.url)
            self.assertEqual(kept in out, says, out)
        for tolerance, says in ((0.001, "of 0.1 points of"), (1, "of 100 points of")):
            with self.serve("/none", {}, "rift", result={"alpha": 0}, spec={"interpolate": {"tolerance": tolerance}}) as server:
                self.assertIn(f"within the tolerance {says} robust accuracy, so", self.run_ctl(0, "table", A, "--server", server.url)[0])

    def measured(self, clean, pgd, auto, fog, fog_severe):
        """One set of weights, as an evaluate job says it."""
        stages = [{"name": "clean", "accuracy": clean}, {"name": "apgd-ce", "accuracy": auto + 0.01},
                  {"name": "square", "accuracy": auto}]
        return {"clean": {"accuracy": clean, "loss": 1},
                "attacks": [{"name": "pgd-20", "accuracy": pgd, "worst_case_accuracy": pgd - 0.01, "loss": 1},
                            {"name": "pgd-20-2", "accuracy": pgd + 0.1, "worst_case_accuracy": pgd + 0.1, "loss": 1},
                            {"name": "autoattack", "accuracy": auto, "loss": 1, "stages": stages}],
                "corruptions": {"corruption_accuracy": (fog + fog_severe) / 2, "groups": {"weather": fog},
                                "corruptions": [{"name": "fog", "group": "weather", "accuracy": (fog + fog_severe) / 2,
                                                 "severities": [{"accuracy": fog}, {"accuracy": fog_severe}]}]}}

    ATTACKS = {"evaluate": {"attacks": [{"type": "pgd", "name": "pgd-20", "steps": 20, "restarts": 3},
                                        {"type": "pgd", "name": "pgd-20-2", "steps": 20, "restarts": 3},
                                        {"type": "autoattack", "name": "autoattack", "steps": 100}]}}

    def check_both(self, out, left, right):
        self.assertRegex(out, rf"(?m)^ +{left} +{re.escape(right)} +change$")
        for row in (r"clean accuracy +80\.00 % +85\.00 % +\+5\.00", r"corruption accuracy +50\.00 % +45\.00 % +-5\.00",
                    r"PGD-20 x3 accuracy +50\.00 % +49\.00 % +-1\.00", r"  worst case +49\.00 % +48\.00 % +-1\.00",
                    r"pgd-20-2 accuracy +60\.00 % +59\.00 % +-1\.00", r"autoattack accuracy +40\.00 % +38\.00 % +-2\.00",
                    r"  apgd-ce +41\.00 % +39\.00 % +-2\.00", r"  square +40\.00 % +38\.00 % +-2\.00",
                    r"fog +50\.00 % +45\.00 % +-5\.00 +60\.00 +30\.00", r"weather +60\.00 % +60\.00 % +\+0\.00",
                    r"mean +50\.00 % +45\.00 % +-5\.00", r" +alpha +clean +corruption +PGD-20 x3 +pgd-20-2 +autoattack",
                    r" +0\.5 +81\.00 % +48\.00 % +50\.00 % +60\.00 % +40\.00 %", r" +1 +85\.00 % +45\.00 % +49\.00 % +59\.00 % +38\.00 %"):
            self.assertRegex(out, rf"(?m)^{row}$")

    def everything(self):
        after = self.measured(0.85, 0.49, 0.38, 0.6, 0.3)
        return {**after, "baseline": self.measured(0.8, 0.5, 0.4, 0.6, 0.4),
                "alphas": [{"alpha": 0.5, **self.measured(0.81, 0.5, 0.4, 0.6, 0.36)}, {"alpha": 1, **after}]}

    def test_the_table_has_every_attack_every_corruption_and_every_point_of_the_evaluate_step(self):
        rift = job(A, "rift", "succeeded", result={"module": "conv1", "alpha": 1, "protocol": "paper"}, spec=self.ATTACKS,
                   steps=[{"id": step_id(digit), "kind": kind, "state": "succeeded"} for kind, digit in STEPS])

        def answer(http, method, path, body):
            http.reply(200, job(step_id("5"), "evaluate", "succeeded", result=self.everything())
                       if path.endswith(step_id("5")) else rift)

        with Server(answer) as server:
            self.check_both(self.run_ctl(0, "table", A, "--server", server.url)[0], "AT", "AT+RiFT")

    def test_an_evaluation_stands_beside_its_baseline(self):
        with self.serve("/none", {}, "evaluate", result=self.everything(), spec=self.ATTACKS) as server:
            self.check_both(self.run_ctl(0, "watch", A, "--server", server.url)[0], "baseline", "model")
            self.check_both(self.run_ctl(0, "table", A, "--server", server.url)[0], "baseline", "model")

    def test_sets_of_modules_stand_apart_with_the_search_s_winners_marked_in_columns_as_wide_as_their_names(self):
        sets = [["conv1", "linear"], ["layer1.0.conv1", "linear"], ["block2.layer.0.convShortcut", "layer1.0.conv1", "linear"]]
        rows = self.MODULES + [{"module": "+".join(names), "modules": names, "mrc": 0.25, "parameters": 1} for names in sets]
        found = {"greedy": [rows[4], rows[5]]}
        with self.serve("/modules", {"job": A, "modules": rows, "lowest": "layer1.0.conv1"}, result=found) as server:
            lines = self.run_ctl(0, "modules", A, "--server", server.url)[0].splitlines()
        self.assertEqual([line.split(" ")[0] for line in lines], ["module", "conv1", "layer1.0.conv1", "linear", "", "set",
                                                                  *("+".join(names) for names in sets)])
        self.assertEqual([line[line.index("<-"):] if "<-" in line else "" for line in lines],
                         ["", "", "<- lowest", "", "", "", "", "<- lowest of 2 (greedy)", "<- lowest of 3 (greedy)"])
        ends = {line.index("MRC") + 3 for line in lines if "MRC" in line}
        ends |= {re.search(r" (0\.\d+)", line).end() for line in lines if "0." in line[16:]}
        self.assertEqual(len(ends), 1, "\n".join(lines))

    def test_a_table_of_a_job_that_has_not_succeeded_says_so(self):
        for state, error, says in (("failed", {"message": "no disk"}, "the rift job failed: no disk"),
                                   ("cancelled", None, "the rift job was cancelled"),
                                   ("running", None, "the rift job isn't finished (running)")):
            def answer(http, method, path, body):
                http.reply(200, job(A, "rift", state, error=error, result={"before": None}))

            with Server(answer) as server:
                self.assertIn(says, self.run_ctl(0, "table", A, "--server", server.url)[1])

    def test_one_is_told_as_one(self):
        with self.serve("/none", {}, "corrupt", result={"corruptions": ["fog"], "severities": [1], "images": 1}) as server:
            self.assertIn("\n1 corruption in 1 severity of 1 image ", self.run_ctl(0, "watch", A, "--server", server.url)[0])
        with self.serve("/none", {}, "train", result={"epochs": 1, "best_epoch": 1}) as server:
            self.assertIn("\n1 epoch, best after 1:", self.run_ctl(0, "watch", A, "--server", server.url)[0])
        for kind, words in (("mrc", "an mrc job"), ("interpolate", "an interpolate job"), ("train", "a train job")):
            with self.serve("/none", {}, kind) as server:
                self.assertIn(words, self.run_ctl(2, "table", A, "--server", server.url)[1])

    def test_an_unfinished_table_has_dashes_and_another_kind_has_none(self):
        with self.serve("/none", {}, "rift", result=None) as server:
            self.assertIn("-           -", self.run_ctl(0, "table", A, "--server", server.url)[0])
        with self.serve("/none", {}, "mrc") as server:
            self.run_ctl(2, "table", A, "--server", server.url)


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
                http.reply(200, {"modules": Tables.MODULES, "lowest": "layer1.0.conv1"})
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
            child = subprocess.Popen([program("riftctl"), "watch", A, "--server", server.url], stdout=slave)
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
        drawn = [line.replace("\r", "").replace("\033[2K", "").replace("\033[3A", "") for line in text.split("\n")]
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
