"""`riftctl plot` and `riftctl diff`: charts at every width, with and without colours and letters beyond ASCII, and what
they tell programs."""
import json
import re
import unittest

from client import Case, Server, job, A, B, MODULES
from real import skip_unless_built
from terminal import Terminal, skip_without_tmux

BRAILLE = re.compile("[\u2801-\u28ff]")


def curve(name, *values):
    return [{"step": 10 * i, "epoch": float(i), "value": value, "time_ms": 0} for i, value in enumerate(values, 1)]


CURVES = {"train_loss": curve("train_loss", 2.0, 1.0, 0.5, 0.25, 0.2), "clean_loss": curve("clean_loss", 2.5, 1.5, 1.0, None, 1.25),
          "clean_accuracy": curve("clean_accuracy", 0.25, 0.5, 0.75, 0.8, 0.8),
          "robust_accuracy": curve("robust_accuracy", 0.2, 0.3, 0.4, 0.4, 0.35)}
POINTS = [{"alpha": alpha / 10, "clean_accuracy": 0.8 + alpha / 100, "robust_accuracy": 0.5 - alpha * alpha / 1000}
          for alpha in range(11)]


class Plot(Case):
    def serve(self, kind="rift", curves=None, points=POINTS, modules=MODULES):
        def answer(http, method, path, body):
            name = re.search(r"name=([a-z_]+)", path)
            if "/metrics" in path and name:
                http.reply(200, {"points": (CURVES if curves is None else curves).get(name.group(1), [])})
            elif path.endswith("/modules"):
                http.reply(200, {"modules": modules, "lowest": "layer1.0.conv1"})
            elif path.endswith("/interpolation"):
                http.reply(200, {"points": points, "chosen_alpha": 0.7})
            else:
                id = path.split("/")[3]
                http.reply(200, job(id, kind, "succeeded", label="first" if id == A else "second"))

        return Server(answer)

    def plot(self, *words, columns=80, letters="C.UTF-8", code=0, kind="rift", **what):
        with self.serve(kind, **what) as server:
            return self.run_ctl(code, "plot", A, *words, "--server", server.url,
                                env={"COLUMNS": str(columns), "LC_ALL": letters})[0 if code == 0 else 1]

    def test_a_rift_job_is_its_training_its_criticality_and_its_walk(self):
        out = self.plot()
        titles = [line for line in out.splitlines() if line in ("loss", "accuracy", "Module Robust Criticality",
                                                                "Interpolation: accuracy")]
        self.assertEqual(titles, ["loss", "accuracy", "Module Robust Criticality", "Interpolation: accuracy"])
        self.assertIn("* train_loss 0.2", out)
        self.assertIn("o clean_loss 1.25", out)
        self.assertIn("* clean_accuracy 80.00 %   o robust_accuracy 35.00 %", out)
        self.assertIn("┊ chosen alpha 0.7: clean 87.00 %, robust 45.10 %", out)
        self.assertRegex(out, r"(?m)^conv1 +0\.5000 █+$")
        self.assertRegex(out, r"(?m)^layer1\.0\.conv1 +0\.001235 ▏? <- lowest$")

    def test_other_kinds_are_what_they_are_about(self):
        self.assertNotIn("Criticality", self.plot(kind="train"))
        self.assertNotIn("loss", self.plot(kind="mrc"))
        self.assertNotIn("loss", self.plot(kind="interpolate"))
        with self.serve("evaluate") as server:
            out, err = self.run_ctl(0, "plot", A, "--server", server.url)
        self.assertEqual(out, "")
        self.assertIn("nothing there", err)

    def test_every_width_is_filled_and_none_is_exceeded(self):
        for columns in (40, 80, 120):
            for letters in ("C.UTF-8", "C"):
                for words in ([], ["--log"], ["--name", "train_loss"], ["--rows", "5"]):
                    lines = self.plot(*words, columns=columns, letters=letters).splitlines()
                    with self.subTest((columns, letters, words)):
                        self.assertEqual(max(map(len, lines)), columns)
                        self.assertEqual("".join(lines).isascii(), letters == "C")

    def test_one_curve_is_braille_and_starts_and_ends_where_it_should(self):
        lines = self.plot("--name", "train_loss").splitlines()
        self.assertEqual(lines[0], "train_loss")
        self.assertRegex(lines[1], f"^       2┤{BRAILLE.pattern}")
        self.assertTrue(any(re.search(f"{BRAILLE.pattern}$", line) for line in lines[9:13]))
        self.assertEqual(lines[14].split(), ["1", "2", "3", "4", "5"])

    def test_several_curves_without_colour_have_letters_with_it_braille(self):
        self.assertFalse(BRAILLE.search(self.plot(kind="train")))
        coloured = self.plot("--color", "always", kind="train")
        self.assertTrue(BRAILLE.search(coloured))
        self.assertIn("\033[36m", coloured)
        self.assertIn("\033[35m", coloured)

    def test_a_logarithmic_axis_has_decades(self):
        curves = {"train_loss": curve("train_loss", 100, 10, 1, 0.1, 0)}
        out = self.plot("--name", "train_loss", "--log", curves=curves)
        self.assertIn("(logarithmic)", out)
        ticks = re.findall(r"(?m)^ *([0-9.]+)┤", out)
        self.assertEqual(ticks, ["100", "10", "1", "0.1"])

    def test_what_cannot_be_drawn_is_no_crash(self):
        for values in ((), (None,), (None, None), (1.0,), (1.0, 1.0), (0.0, 0.0), (1e300, -1e300), (1e-300, 1e300), (-1.0, -2.0)):
            for words in ([], ["--log"]):
                with self.serve("train", curves={"train_loss": curve("train_loss", *values)}) as server:
                    for name in ([], ["--name", "train_loss"]):
                        done = self.run_ctl(5 if not values and name else 0, "plot", A, *words, *name, "--server", server.url)
                        self.assertNotIn("nan", done[0])
        self.assertIn("(no points above 0)", self.plot("--name", "train_loss", "--log", curves={"train_loss": curve("x", -1.0)}))

    def test_an_unknown_curve_exits_5_and_says_where_the_names_are(self):
        self.assertIn("`riftctl metrics", self.plot("--name", "nonsense", code=5))
        self.assertIn("5 to 40", self.plot("--rows", "100", code=2))

    def test_two_jobs_are_drawn_over_each_other(self):
        out = self.plot(B, "--name", "clean_accuracy")
        self.assertIn("* first 80.00 %   o second 80.00 %", out)

    def test_json_has_the_points(self):
        charts = json.loads(self.plot("--json"))["charts"]
        self.assertEqual([chart["title"] for chart in charts], ["loss", "accuracy", "Module Robust Criticality",
                                                                "Interpolation: accuracy"])
        self.assertEqual(charts[0]["curves"][1]["points"][2:4], [[3.0, 1.0], [4.0, None]])
        self.assertEqual(charts[3]["curves"][0]["points"][-1], [1.0, 0.9])
        self.assertEqual(charts[2]["modules"], MODULES)

    def test_in_a_terminal_it_is_as_wide_as_that(self):
        with self.serve("train") as server:
            for columns in (40, 80, 120):
                with Terminal(columns, 24, {"RIFTD_URL": server.url}) as terminal:
                    terminal.run(f"clear; riftctl plot {A} --name train_loss; echo end")
                    lines = terminal.wait(r"(?m)^end$").splitlines()
                    self.assertEqual(max(map(len, lines)), columns)
                    self.assertTrue(BRAILLE.search("".join(lines)))


class Diff(Case):
    def serve(self, a, b, differences=(), modules=()):
        def answer(http, method, path, body):
            if path.startswith("/v1/compare"):
                http.reply(200, {"jobs": [], "differences": list(differences), "modules": list(modules)})
            else:
                http.reply(200, a if path.endswith(A) else b)

        return Server(answer)

    def diff(self, *words, **what):
        left = {"module": "conv1", "before": {"clean_accuracy": 0.8}, "same": 1, "points": [1],
                "attacks": [{"name": "pgd-10", "accuracy": 0.5}]}
        right = {"module": "linear", "before": {"clean_accuracy": 0.825}, "same": 1, "points": [2], "more": 7,
                 "attacks": [{"name": "pgd-10", "accuracy": 0.4}]}
        with self.serve(job(A, "rift", "succeeded", result=left), job(B, "rift", "failed", result=right),
                        [{"pointer": "/train/epochs", "values": [5, None]}, {"pointer": "/label", "values": ["ä" * 60, "b"]}],
                        [{"module": "conv1", "mrc": [0.5, 0.25]}, {"module": "linear", "mrc": [1, 1]}]) as server:
            return self.run_ctl(0, "diff", A, B, *words, "--server", server.url, **what)[0]

    def test_only_what_differs_is_shown_with_the_change_in_points(self):
        out = self.diff()
        self.assertRegex(out, r"(?m)^/train/epochs +5 +-$")
        self.assertRegex(out, r"(?m)^module +conv1 +linear$")
        self.assertRegex(out, r"(?m)^before/clean_accuracy +80\.00 % +82\.50 % +\+2\.50$")
        self.assertRegex(out, r"(?m)^attacks/pgd-10/accuracy +50\.00 % +40\.00 % +-10\.00$")
        self.assertRegex(out, r"(?m)^more +- +7$")
        self.assertRegex(out, r"(?m)^conv1 +0\.5 +0\.25 +-0\.25$")
        for same in ("same", "points"):
            self.assertNotIn(same, out)
        self.assertNotIn("\033", out)
        self.assertIn("\033[36m", self.diff("--color", "always"))

    def test_no_line_is_wider_than_the_terminal(self):
        for columns in (40, 80, 120):
            lines = self.diff(env={"COLUMNS": str(columns), "LC_ALL": "C.UTF-8"}).splitlines()[2:]
            self.assertLessEqual(max(map(len, lines)), columns)

    def test_json_has_the_same_rows(self):
        document = json.loads(self.diff("--json"))
        self.assertEqual([row["id"] for row in document["jobs"]], [A, B])
        self.assertEqual(document["settings"][0], {"name": "/train/epochs", "values": [5, None]})
        self.assertIn({"name": "before/clean_accuracy", "values": [0.8, 0.825]}, document["results"])
        self.assertEqual(document["criticality"], [{"name": "conv1", "values": [0.5, 0.25]}])

    def test_the_same_twice_is_said(self):
        with self.serve(job(A), job(B)) as server:
            self.assertIn("told the same", self.run_ctl(0, "diff", A, B, "--server", server.url)[0])


if __name__ == "__main__":
    skip_unless_built("riftctl")
    skip_without_tmux()
    unittest.main()
