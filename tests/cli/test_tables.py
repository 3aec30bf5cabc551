"""Do the tables of riftctl say what was measured, all of it and in columns?

The server here is a scripted one."""
import re
import unittest

from client import Case, Server, event, job, step_id, A, MODULES, STEPS


class Tables(Case):
    def serve(self, what, document, kind="mrc", **more):
        def answer(http, method, path, body):
            http.reply(200, document if path.endswith(what) else job(A, kind, "succeeded", **more))

        return Server(answer)

    def test_modules_keep_the_models_order_and_mark_the_lowest(self):
        with self.serve("/modules", {"modules": MODULES, "lowest": "layer1.0.conv1"}) as server:
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
        self.assertEqual(len(lines), 4, "an older result doesn't say of how many images")

    def test_tables_say_of_how_many_images(self):
        point = {"alpha": 0, "clean_loss": 1, "clean_accuracy": 0.5, "robust_loss": 2, "robust_accuracy": 0.25}
        walk = {"points": [point], "chosen_alpha": None, "images": 80, "split": "validation"}
        with self.serve("/interpolation", walk, "interpolate") as server:
            self.assertEqual(self.run_ctl(0, "interpolation", A, "--server", server.url)[0].splitlines()[-1],
                             "on 80 validation images")
        found = {"job": A, "modules": [{"module": "conv1", "mrc": 1, "parameters": 3}], "lowest": "conv1", "images": 1,
                 "split": "train"}
        with self.serve("/modules", found, "mrc") as server:
            self.assertEqual(self.run_ctl(0, "modules", A, "--server", server.url)[0].splitlines()[-1], "on 1 train image")
        result = {"module": "conv1", "alpha": 1, "protocol": "paper", "images": 200, "split": "test",
                  "before": {"clean_accuracy": 0.8}, "after": {"clean_accuracy": 0.9}}
        with self.serve("/none", {}, "rift", result=result) as server:
            self.assertIn("chosen under the paper protocol; measured on 200 test images\n",
                          self.run_ctl(0, "table", A, "--server", server.url)[0])

    def test_a_change_is_what_the_numbers_beside_it_differ_by(self):
        result = {"module": "conv1", "alpha": 1, "protocol": "paper", "before": {"clean_accuracy": 0.57937},
                  "after": {"clean_accuracy": 0.55573}}
        with self.serve("/none", {}, "rift", result=result) as server:
            out, _ = self.run_ctl(0, "table", A, "--server", server.url)
        self.assertIn("clean accuracy          57.94 %     55.57 %     -2.37", out)

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
        rows = MODULES + [{"module": "+".join(names), "modules": names, "mrc": 0.25, "parameters": 1} for names in sets]
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


if __name__ == "__main__":
    unittest.main()
