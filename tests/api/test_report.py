#!/usr/bin/env python3
"""The report of a job in every format: what it says, and that nobody's words become marks in it."""
import base64
import csv
import hashlib
import html.parser
import io
import re
import unittest

import server
from server import DATASET, RIFT

NOBODY = "01a20937-f9c1-7b10-b840-187126c7c986"
EVIL = """<script>alert("1")</script> & 'q' 100% $x_1$ \\end{document} | `b` #~^{}"""
PARTS = ["run", "steps", "accuracy", "corruptions", "modules", "interpolation", "curves", "settings", "files"]


def side(clean, robust, corrupted):
    """One set of weights as an evaluate job measures it."""
    return {"clean": {"accuracy": clean, "loss": 1.0}, "attacks": [{"name": "pgd-10", "accuracy": robust, "loss": 2.0}],
            "corruptions": {"corruption_accuracy": corrupted, "corruptions": [
                {"name": name, "group": "noise", "accuracy": corrupted, "loss": 1.0,
                 "severities": [{"severity": s, "accuracy": corrupted + (3 - s) / 100, "loss": 1.0, "images": 10} for s in (1, 5)]}
                for name in ("gaussian_noise", "shot_noise")]}}


class Page(html.parser.HTMLParser):
    """Elements, attributes and words of a page; open elements must be closed in order."""
    VOID = {"meta", "path", "rect", "circle", "line"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.names, self.attributes, self.words = [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


class Reports(server.Case):
    def setUp(self):
        self.drain()

    def rift(self, after=None, before=None, **spec):
        """A rift job whose steps have all said something, and ended."""
        job = self.expect(self.server.ask("POST", "/v1/jobs", {**RIFT, "seed": 3, **spec}), 201).json
        train, mrc, finetune, interpolate, evaluate = [step["id"] for step in job["steps"]]
        event = self.server.event
        self.server.start(train)
        for step, (loss, clean) in enumerate([(2.0, 0.3), (1.5, 0.5), (1.2, 0.8)], 1):
            event(train, "metric", name="train_loss", step=step, epoch=step, value=loss)
            event(train, "metric", name="clean_accuracy", step=step, epoch=step, value=clean)
        event(train, "artifact", name="best.safetensors", size=12, sha256="ab" * 32)
        self.server.do("move", job=train, state="succeeded", result={"epochs": 3, "best_epoch": 3, "clean_accuracy": 0.8})
        self.server.start(mrc)
        for module, value, drop in (("conv1", 1.25, 0.3), ("layer1.0.conv1", 0.0625, 0.0286), ("linear", 0.5, 0.1)):
            event(mrc, "module", module=module, mrc=value, robust_accuracy_drop=drop, parameters=10, non_finite=False, loss=1.0,
                  accuracy=0.5, relative_norm=0.1, **{"pass": 1})
        self.server.do("move", job=mrc, state="succeeded", result={"lowest": "layer1.0.conv1", "modules": []})
        self.server.run(finetune, result={"modules": ["layer1.0.conv1"], "epochs": 1, "best_epoch": 1})
        self.server.start(interpolate)
        for alpha, clean, robust in ((0, 0.80, 0.5), (0.5, 0.82, 0.4995), (1, 0.83, 0.4)):
            event(interpolate, "alpha", alpha=alpha, clean_accuracy=clean, robust_accuracy=robust, clean_loss=1.0, robust_loss=1.0)
        self.server.do("move", job=interpolate, state="succeeded", result={"chosen_alpha": 0.5, "points": []})
        self.server.run(evaluate, result={**(after or side(0.82, 0.505, 0.7)), "images": 1500, "split": "test",
                                           "baseline": before or side(0.8, 0.5, 0.68)})
        return job["id"]

    def report(self, job, **query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        return self.server.get(f"/v1/jobs/{job}/report" + (f"?{text}" if text else ""))

    def words(self, job, **query):
        return self.expect(self.report(job, **query), 200).body.decode()

    def rows(self, job, part):
        text = self.words(job, format="csv", part=part)
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def test_a_rift_jobs_page_has_every_part_and_needs_nothing_else(self):
        job = self.rift(label="CIFAR-10, first try")
        answer = self.expect(self.report(job), 200)
        text = answer.body.decode()
        page = Page(text)
        self.assertEqual(answer.headers["Content-Type"], "text/html; charset=utf-8")
        self.assertEqual([value for name, value in page.attributes if name == "id"], PARTS)
        for said in ("CIFAR-10, first try", "seed 3", "protocol validation", "layer1.0.conv1", "82.00", "+2.00 from 80.00",
                     "gaussian_noise", "PGD-AT+RiFT", "ab" * 32, "1.25", "2.86"):
            self.assertIn(said, page.text)
        self.assertFalse({"script", "img", "link", "iframe", "object", "a"} & set(page.names))
        self.assertEqual([name for name, _ in page.attributes if name in ("style", "src", "href") or name.startswith("on")], [])
        self.assertNotIn("url(", text)
        self.assertEqual(page.names.count("svg"), 4)

    def test_its_policy_lets_in_its_own_style_and_nothing_else(self):
        job = self.rift()
        answer = self.report(job)
        text = answer.body.decode()
        style = re.search(r"<style>(.*?)</style>", text, re.S).group(1)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = answer.headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertIn(f"style-src 'sha256-{digest}'", policy)
        self.assertIn("sandbox", policy)
        self.assertNotIn("unsafe", policy)
        meta = re.search(r'Policy" content="([^"]*)"', text).group(1)
        self.assertIn(f"sha256-{digest}", meta)
        for format in ("markdown", "latex", "csv"):
            policy = self.report(job, format=format).headers["Content-Security-Policy"]
            self.assertNotIn("style-src", policy)

    def test_what_others_wrote_is_never_markup(self):
        job = self.rift(label=EVIL[:100])
        page = Page(self.words(job))
        self.assertNotIn("script", page.names)
        self.assertIn('<script>alert("1")</script>', page.text)
        markdown = self.words(job, format="markdown")
        self.assertIn(r"\<script\>alert", markdown)
        self.assertIn(r"\| \`b\`", markdown)
        latex = self.words(job, format="latex", part="settings")
        self.assertIn(r"100\% \$x\_1\$ \textbackslash{}end\{document\} \textbar{}", latex)
        self.assertIn(r"\#\textasciitilde{}\textasciicircum{}\{\}", latex)
        self.assertIn(r"\textless{}script\textgreater{}", latex)
        for line in latex.splitlines():
            self.assertRegex(line, r"^(%|\\|  |$)")

    def test_a_row_of_latex_that_begins_with_a_bracket_or_a_star_is_no_argument_of_the_row_before(self):
        measured = side(0.8, 0.5, 0.6)
        for row, name in zip(measured["corruptions"]["corruptions"], ("[9cm]", "*")):
            row["name"] = name
        latex = self.words(self.rift(after=measured, before=measured), format="latex", part="corruptions")
        for name in ("{[}9cm]", "{*}"):
            self.assertRegex(latex, rf"(?m)^  {re.escape(name)} & noise")

    def test_a_text_that_a_spreadsheet_would_compute_gets_an_apostrophe_and_numbers_do_not(self):
        for evil in ("=1+2", "+1", "-1", "@SUM(A1)", '=HYPERLINK("x","y")'):
            job = self.submit(label=evil)["id"]
            settings = {row["setting"]: row["value"] for row in self.rows(job, "settings")}
            self.assertEqual(settings["label"], "'" + evil)
            self.assertEqual(settings["priority"], "0")
            self.drain()
        change = self.rows(self.rift(), "interpolation")[1]["change"]
        self.assertAlmostEqual(float(change), -0.0005)

    def test_tables_for_people_and_programs_say_the_same(self):
        job = self.rift()
        rows = self.rows(job, "accuracy")
        self.assertEqual([row["weights"] for row in rows], ["PGD-AT", "PGD-AT+RiFT", "change"])
        self.assertAlmostEqual(float(rows[1]["clean"]), 0.82)
        self.assertAlmostEqual(float(rows[2]["ood"]), 0.02)
        self.assertAlmostEqual(float(rows[0]["robust_1"]), 0.5)
        markdown = self.words(job, format="markdown", part="accuracy")
        self.assertIn("| **PGD-AT+RiFT** | 82.00 | 70.00 | 50.50 |", markdown)
        self.assertIn("| change | +2.00 | +2.00 | +0.50 |", markdown)
        latex = self.words(job, format="latex", part="accuracy")
        for said in (r"\begin{tabular}{lrrr}", r"\toprule", r"\midrule", r"\bottomrule", r"$82.00$ & $70.00$ & $50.50$ \\"):
            self.assertIn(said, latex)
        modules = self.rows(job, "modules")
        self.assertEqual([(row["module"], float(row["mrc"]), row["note"]) for row in modules],
                         [("conv1", 1.25, ""), ("layer1.0.conv1", 0.0625, "fine-tuned"), ("linear", 0.5, "")])
        walk = self.rows(job, "interpolation")
        self.assertEqual([row["note"] for row in walk], ["", "chosen", "not allowed"])
        corruptions = self.rows(job, "corruptions")
        self.assertEqual([row["severity"] for row in corruptions], ["1", "5", "mean"] * 2)
        self.assertEqual([row["step"] for row in self.rows(job, "files")], ["train"])

    def test_a_change_is_what_the_numbers_beside_it_differ_by_and_in_csv_what_was_measured(self):
        job = self.rift(after=side(0.55573, 0.55573, 0.55573), before=side(0.57937, 0.57937, 0.57937))
        self.assertIn("| change | -2.37 | -2.37 | -2.37 |", self.words(job, format="markdown", part="accuracy"))
        self.assertIn("$-2.37$ & $-2.37$ & $-2.37$", self.words(job, format="latex", part="accuracy"))
        self.assertIn("-2.37 from 57.94", Page(self.words(job)).text)
        self.assertAlmostEqual(float(self.rows(job, "accuracy")[2]["clean"]), -0.02364)
        self.assertIn("| 57.94 | 55.57 | -2.37 |", self.words(job, format="markdown", part="corruptions"))

    def test_it_says_on_how_many_images_it_was_measured(self):
        self.assertIn("Measured on 1500 test images.", self.words(self.rift(), format="markdown", part="accuracy"))

    def test_all_parts_together_are_one_long_table_of_cells(self):
        job = self.rift()
        cells = list(csv.reader(io.StringIO(self.words(job, format="csv"), newline="")))
        self.assertEqual(cells[0], ["table", "row", "column", "value"])
        self.assertEqual({len(row) for row in cells}, {4})
        self.assertEqual(list(dict.fromkeys(row[0] for row in cells[1:])), PARTS)
        self.assertIn(["modules", "2", "mrc", "0.0625"], cells)

    def test_settings_say_which_of_them_are_defaults(self):
        job = self.submit(seed=7, train={"epochs": 110}, attack={"steps": 10})["id"]
        rows = {row["setting"]: row for row in self.rows(job, "settings")}
        self.assertEqual((rows["seed"]["value"], rows["seed"]["default"], rows["seed"]["differs"]), ("7", "0", "differs"))
        for default in ("train/epochs", "batch_size", "attack/steps", "attack/epsilon", "optimizer/schedule/milestones",
                        "train/awp/gamma", "attack/name"):
            self.assertEqual(rows[default]["differs"], "", default)
        self.assertEqual(rows["attack/epsilon"]["value"], "8/255")

    def test_a_job_that_has_not_begun_says_what_is_missing(self):
        job = self.expect(self.server.ask("POST", "/v1/jobs", RIFT), 201).json["id"]
        page = Page(self.words(job))
        for said in ("hasn't ended yet", "Nothing was measured yet.", "made no files yet", "queued", "blocked"):
            self.assertIn(said, page.text)
        for format in ("markdown", "latex", "csv"):
            self.words(job, format=format)

    def test_every_kind_has_a_report(self):
        parts = {"train": ["run", "accuracy", "curves", "settings", "files"], "mrc": ["run", "modules", "settings", "files"],
                 "finetune": ["run", "accuracy", "curves", "settings", "files"],
                 "interpolate": ["run", "interpolation", "settings", "files"], "evaluate": ["run", "accuracy", "settings", "files"],
                 "corrupt": ["run", "settings", "files"], "sweep": ["run", "steps", "accuracy", "settings", "files"]}
        weights = "/data/w.safetensors"
        specs = {"mrc": {"model": {"weights": weights}}, "evaluate": {"model": {"weights": weights}},
                 "finetune": {"model": {"weights": weights}, "finetune": {"modules": "last"}},
                 "interpolate": {"interpolate": {"from": weights, "to": weights}}, "sweep": {"sweep": {"seeds": [1, 2]}}}
        for kind, expected in parts.items():
            with self.subTest(kind):
                job = self.expect(self.server.ask("POST", "/v1/jobs", {"kind": kind, "dataset": DATASET, **specs.get(kind, {})}), 201).json
                text = self.words(job["id"])
                self.assertEqual([value for name, value in Page(text).attributes if name == "id"], expected)
                for format in ("markdown", "latex", "csv"):
                    self.words(job["id"], format=format)

    def test_a_sweeps_report_has_the_averaged_table(self):
        job = self.expect(self.server.ask("POST", "/v1/jobs", {"kind": "sweep", "dataset": DATASET, "sweep": {"seeds": [1, 2]}}), 201).json
        for run, clean in zip(job["steps"], (0.80, 0.82)):
            self.server.do("result", job=run["id"], result={
                "module": "conv1", "modules": ["conv1", "fc"], "alpha": 0.5, "protocol": "validation", "attack": "pgd-10",
                "images": 500, "split": "test", "before": {"clean_accuracy": clean, "robust_accuracy": 0.5}, "after": {"clean_accuracy": clean, "robust_accuracy": 0.5}})
        row = self.rows(job["id"], "accuracy")[0]
        self.assertEqual((row["method"], row["modules"], row["weights"], row["n"]), ("PGD-AT", "lowest", "before", "2"))
        self.assertAlmostEqual(float(row["clean"]), 0.81)
        markdown = self.words(job["id"], format="markdown", part="accuracy")
        self.assertIn("| PGD-AT | lowest | gain | 2 | +0.00 | +0.00 |", markdown)
        self.assertIn("protocol validation; Adv: pgd-10. Measured on 500 test images.\n", markdown)
        self.assertEqual([(row["seed"], row["module"], float(row["alpha"]), row["id"]) for row in self.rows(job["id"], "chosen")],
                         [(seed, "conv1, fc", 0.5, run["id"]) for seed, run in zip("12", job["steps"])])

    def test_a_sweeps_report_names_all_its_methods_and_seeds(self):
        job = self.expect(self.server.ask("POST", "/v1/jobs", {"kind": "sweep", "dataset": DATASET, "sweep": {
            "seeds": [1, 2], "methods": ["pgd-at", "trades"]}}), 201).json
        run = self.words(job["id"], format="markdown", part="run")
        self.assertIn("| Training | PGD-AT, TRADES |", run)
        self.assertIn("| Seeds | 1, 2 |", run)
        self.assertEqual(list(self.rows(job["id"], "steps")[0]), ["step", "run", "state", "time", "id", "error"])
        self.assertIn("4 of 4 runs are missing.", self.words(job["id"], format="markdown", part="accuracy"))

    def test_a_sweeps_report_knows_the_attack_as_soon_as_any_method_has_a_run(self):
        job = self.expect(self.server.ask("POST", "/v1/jobs", {"kind": "sweep", "dataset": DATASET, "sweep": {
            "seeds": [1], "methods": ["pgd-at", "trades"]}}), 201).json
        self.server.do("result", job=job["steps"][1]["id"], result={
            "modules": ["conv1"], "alpha": 0.5, "protocol": "validation", "attack": "pgd-10", "images": 500, "split": "test",
            "before": {"clean_accuracy": 0.8, "robust_accuracy": 0.5}, "after": {"clean_accuracy": 0.8, "robust_accuracy": 0.5}})
        self.assertIn("protocol validation; Adv: pgd-10. Measured on 500 test images. 1 of 2 runs are missing.",
                      self.words(job["id"], format="markdown", part="accuracy"))

    def test_questions_that_cannot_be_answered_are_refused(self):
        job = self.submit()["id"]
        self.expect(self.report(NOBODY), 404, "no-such-job")
        self.expect(self.server.get("/v1/jobs/nonsense/report"), 404, "no-such-job")
        self.assertIn("html, markdown", self.expect(self.report(job, format="pdf"), 400, "bad-query").json["detail"])
        self.assertIn("accuracy, curves", self.expect(self.report(job, part="modules"), 400, "bad-query").json["detail"])
        self.expect(self.report(job, colour="red"), 400, "bad-query")

    def test_a_name_is_proposed_to_those_who_save_it(self):
        job = self.submit()["id"]
        self.assertEqual(self.report(job).headers["Content-Disposition"], f'inline; filename="train-{job[-8:]}.html"')
        self.assertEqual(self.report(job, format="latex", part="settings").headers["Content-Disposition"],
                         f'inline; filename="train-{job[-8:]}-settings.tex"')


if __name__ == "__main__":
    unittest.main()
