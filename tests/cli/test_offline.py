"""What riftctl does before any server is asked: help, --set, --dry-run, exit codes."""
import glob
import json
import os
import re
import subprocess
import tempfile
import unittest

from client import Case, program, riftctl, ROOT

RIFT = ["--set", "kind=rift", "--set", "dataset.format=idx", "--set", "dataset.path=/data"]
NOBODY = ["--server", "http://127.0.0.1:1"]  # port 1: nobody listens there


def commands():
    overview = riftctl("--help").stdout
    return re.findall(r"^  ([a-z]+(?: [a-z]+)*) ", overview.split("Everywhere")[0], re.M)


class Help(Case):
    def test_the_overview_lists_every_command_and_each_has_its_own_help(self):
        names = commands()
        self.assertGreaterEqual(len(names), 19)
        for name in names:
            out, _ = self.run_ctl(0, *name.split(), "--help")
            self.assertTrue(out.startswith(f"usage: riftctl {name} "), out)
            self.assertIn("--json", out)
            self.assertLessEqual(max(map(len, out.splitlines())), 110, out)
            self.assertEqual(self.run_ctl(0, "--help", *name.split())[0], out, "help may be asked before the command too")

    def test_help_and_version_are_asked_for_in_every_usual_way(self):
        out, _ = self.run_ctl(0, "watch", "--help")
        self.assertEqual(self.run_ctl(0, "help", "watch")[0], out)
        self.assertEqual(self.run_ctl(0, "watch", "-h")[0], out)
        self.assertEqual(self.run_ctl(0, "help")[0], self.run_ctl(0, "--help")[0])
        self.assertTrue(self.run_ctl(0, "--version", *NOBODY)[0].startswith("riftctl "))

    def test_the_overview_has_every_command_below_the_title_of_a_part(self):
        parts = [line for line in self.run_ctl(0, "--help")[0].split("Everywhere:")[0].splitlines() if line.endswith(":")]
        self.assertEqual(parts, ["Jobs:", "What they found out:", "Data sets and models:", "The server, and yourself:",
                                 "For administrators:"])
        self.assertNotIn("For administrators:", self.run_ctl(0, "model", "--help")[0])

    def test_no_command_is_a_usage_error_and_shows_what_there_is(self):
        out, err = self.run_ctl(2)
        self.assertEqual(out, "")
        self.assertIn("submit", err)

    def test_the_first_of_two_words_shows_the_second_ones(self):
        _, err = self.run_ctl(2, "dataset")
        self.assertIn("dataset corrupt NAME|PATH", err)
        self.assertNotIn("submit", err)
        self.assertIn("dataset ls", self.run_ctl(0, "dataset", "--help")[0])
        self.assertIn('"dataset fly"', self.run_ctl(2, "dataset", "fly")[1])

    def test_more_words_than_it_takes_are_a_usage_error(self):
        self.run_ctl(2, *["-h"] * 100)
        self.run_ctl(2, "submit", *["--set", "seed=1"] * 100)
        self.run_ctl(2, "fetch", *["a"] * 100)

    def test_unknown_words_are_usage_errors_that_name_the_word(self):
        for arguments, word in ((["sumbit"], "sumbit"), (["list", "--colour"], "--colour"), (["show"], "ID"),
                                (["show", "a", "b"], "ID"), (["list", "--limit"], "limit"), (["list", "--all=1"], "all"),
                                (["fields", "cook"], "cook"), (["submit"], "FILE")):
            with self.subTest(arguments):
                self.assertIn(word, self.run_ctl(2, *arguments)[1])


    def test_a_mistyped_word_is_answered_with_the_one_that_was_meant(self):
        for arguments, meant in ((["sumbit"], '"submit"'), (["dataset", "fech"], '"dataset fetch"'), (["ls"], '"list"'),
                                 (["logs"], '"log"'), (["list", "--lable", "x"], "--label"), (["--jsn"], "--json"),
                                 (["show", "--spce"], "--spec")):
            with self.subTest(arguments):
                self.assertIn(f"did you mean {meant}?", self.run_ctl(2, *arguments)[1])
        self.assertNotIn("did you mean", self.run_ctl(2, "zzzzzzzzzz")[1])

    def test_riftds_directory_given_to_list_as_a_state_is_told_its_place(self):
        self.assertIn("`riftctl --state /var/lib/riftd list`", self.run_ctl(2, "list", "--state", "/var/lib/riftd")[1])

    def test_a_wrong_number_of_arguments_says_where_help_is(self):
        self.assertIn("riftctl priority --help", self.run_ctl(2, "priority", "0190")[1])

    def test_when_there_is_colour_is_one_of_three_words(self):
        self.assertIn("auto, always or never", self.run_ctl(2, "fields", "--color", "sometimes")[1])
        self.assertIn("WHEN", self.run_ctl(2, "fields", "--color")[1])


class Dataset(Case):
    def spec(self, *words):
        return json.loads(self.run_ctl(0, "dataset", "corrupt", *words, "--dry-run")[0])

    def test_a_few_words_become_a_corrupt_job(self):
        spec = self.spec("fashion-mnist")
        self.assertEqual((spec["kind"], spec["dataset"]["name"]), ("corrupt", "fashion-mnist"))
        self.assertEqual((spec["corrupt"]["set"], spec["corrupt"]["severities"]), ("standard", [1, 2, 3, 4, 5]))
        self.assertNotIn("model", spec)
        self.assertNotIn("attack", spec)
        spec = self.spec("/data/cifar", "--format", "cifar10", "--set", "all", "--severities", "1,5", "--seed", "7",
                         "--limit", "100", "--as", "folder", "--parameters", "tiny")
        self.assertEqual((spec["dataset"]["format"], spec["dataset"]["path"]), ("cifar10", "/data/cifar"))
        self.assertEqual((spec["seed"], spec["dataset"]["test_limit"]), (7, 100))
        self.assertEqual((spec["corrupt"]["set"], spec["corrupt"]["severities"]), ("all", [1, 5]))
        self.assertEqual((spec["corrupt"]["format"], spec["corrupt"]["parameters"]), ("folder", "tiny"))
        self.assertEqual(self.spec("x", "--names", "fog,snow")["corrupt"]["names"], ["fog", "snow"])

    def test_words_that_are_wrong_are_named_with_the_nearest_right_one(self):
        for words, said in ((["--names", "gausian_noise"], 'did you mean "gaussian_noise"?'),
                            (["--set", "standart"], 'did you mean "standard"?'), (["--severities", "0,6"], "from 1 to 5"),
                            (["--seed", "x"], "/seed"), (["--as", "npz"], 'did you mean "npy"?')):
            with self.subTest(words):
                self.assertIn(said, self.run_ctl(6, "dataset", "corrupt", "x", *words, "--dry-run")[1])
        self.assertIn("--format", self.run_ctl(2, "dataset", "corrupt", "./data", "--dry-run")[1])


class Set(Case):
    def spec(self, *sets, stdin=None, code=0):
        arguments = ["submit", "--dry-run", *(["-"] if stdin is not None else []), *sets]
        out, err = self.run_ctl(code, *arguments, stdin=stdin or "")
        return json.loads(out) if code == 0 else err

    def test_dots_and_slashes_lead_to_the_same_field(self):
        for name in ("train.epochs", "train/epochs", "/train/epochs"):
            self.assertEqual(self.spec(*RIFT, "--set", f"{name}=7")["train"]["epochs"], 7)

    def test_values_are_json_else_strings(self):
        spec = self.spec(*RIFT, "--set", "label=a=b c", "--set", "seed=3", "--set", "shuffle=false", "--set",
                         "model.input=[1,32,32]", "--set", "attack.epsilon=4/255", "--set", 'model.arch="resnet34"')
        self.assertEqual((spec["label"], spec["seed"], spec["shuffle"]), ("a=b c", 3, False))
        self.assertEqual((spec["model"]["input"], spec["model"]["arch"]), ([1, 32, 32], "resnet34"))
        self.assertEqual(spec["attack"]["epsilon"], "4/255")

    def test_a_list_that_lost_its_quotation_marks_to_the_shell_is_told_how_to_keep_them(self):
        err = self.spec(*RIFT, "--set", "kind=sweep", "--set", "sweep.methods=[pgd-at,trades]", code=6)
        self.assertIn("--set sweep.methods=[pgd-at,trades]: its value isn't JSON", err)
        self.assertIn("'sweep.methods=[\"pgd-at\",\"trades\"]'", err)
        self.assertNotIn("quotation", self.spec(*RIFT, "--set", 'sweep.methods=["pgd"]', "--set", "label=x", code=6))
        self.assertEqual(self.spec(*RIFT, "--set", "label=[a try]")["label"], "[a try]")

    def test_what_is_no_json_is_called_that(self):
        self.assertIn("standard input isn't JSON: line 1, column 1", self.spec(stdin="# a README", code=6))

    def test_a_set_changes_what_the_file_says_and_later_ones_win(self):
        text = json.dumps({"kind": "rift", "dataset": {"format": "idx", "path": "/data"}, "train": {"epochs": 3}, "seed": 1})
        spec = self.spec("--set", "train.epochs=4", "--set", "train.epochs=5", stdin=text)
        self.assertEqual((spec["train"]["epochs"], spec["seed"]), (5, 1))

    def test_array_items_are_reached_by_index_and_one_more_is_appended(self):
        text = json.dumps({"kind": "evaluate", "dataset": {"format": "idx", "path": "/data"},
                           "model": {"weights": "/w.safetensors"}, "evaluate": {"attacks": [{"steps": 10}]}})
        spec = self.spec("--set", "evaluate.attacks.0.steps=20", "--set", "evaluate.attacks.1.steps=30", stdin=text)
        self.assertEqual([attack["steps"] for attack in spec["evaluate"]["attacks"]], [20, 30])
        self.assertIn("leads nowhere", self.spec("--set", "evaluate.attacks.5.steps=1", stdin=text, code=2))

    def test_a_path_through_a_number_is_refused(self):
        self.assertIn("leads nowhere", self.spec("--set", "seed=1", "--set", "seed.deep=2", code=2))

    def test_null_gives_way_to_members(self):
        spec = self.spec(*RIFT, "--set", "attack=null", "--set", "attack.steps=3")
        self.assertEqual(spec["attack"]["steps"], 3)

    def test_an_assignment_needs_a_name_and_an_equals_sign(self):
        for wrong in ("train.epochs", "=5", ""):
            self.assertIn("FIELD=VALUE", self.spec("--set", wrong, code=2))


class DryRun(Case):
    def test_the_quickstart_spec_is_sound(self):
        out, _ = self.run_ctl(0, "submit", os.path.join(ROOT, "docs", "quickstart.json"), "--dry-run")
        self.assertEqual(json.loads(out)["kind"], "rift")

    def test_every_spec_in_docs_is_sound(self):
        specs = glob.glob(os.path.join(ROOT, "docs", "**", "*.json"), recursive=True)
        self.assertGreater(len(specs), 3)
        for path in specs:
            with self.subTest(path):
                self.run_ctl(0, "submit", path, "--dry-run")

    def test_every_variation_of_the_papers_experiments_is_sound(self):
        with open(os.path.join(ROOT, "docs", "experiments.md"), encoding="utf-8") as file:
            text = file.read()
        changes = [quoted or plain for quoted, plain in re.findall(r"--set (?:'([^']+)'|([^\s`]+))", text)]
        self.assertGreater(len(changes), 8)
        for change in changes:
            with self.subTest(change):
                self.run_ctl(0, "submit", os.path.join(ROOT, "docs", "paper", "cifar10.json"), "--dry-run", "--set",
                             change)

    def test_an_assignment_that_another_kind_of_job_would_need_is_told(self):
        def said(*sets):
            return self.run_ctl(0, "submit", "--dry-run", *RIFT, *sets)[1]
        for field in ("sweep.seeds", "/sweep/seeds"):
            self.assertIn(f"--set {field}=[0,1] has no effect: a job of kind rift has", said("--set", f"{field}=[0,1]"))
        for field in ("train.epochs=1", "/optimizer/schedule/type=cosine", "evaluate.attacks=[{\"steps\":3}]",
                      "train.awp.gamma=0.1"):
            self.assertNotIn("no effect", said("--set", field))

    def test_a_bad_spec_exits_6_and_names_every_error_by_pointer(self):
        _, err = self.run_ctl(6, "submit", "--dry-run", *RIFT, "--set", "train.epochs=0", "--set", "mrc.steps=x",
                              "--set", "colour=red")
        for pointer in ("/train/epochs: ", "/mrc/steps: ", "/colour: "):
            self.assertIn("  " + pointer, err)
        self.assertIn("3 errors", err)

    def test_a_path_that_riftd_would_refuse_is_refused_here_too(self):
        _, err = self.run_ctl(6, "submit", "--dry-run", *RIFT, "--set", "dataset.path=data", "--set",
                              "model.weights=../best.safetensors")
        for pointer in ("/dataset/path: must be an absolute path", "/model/weights: must be an absolute path"):
            self.assertIn("  " + pointer, err)

    def test_what_is_no_json_exits_6_and_names_the_line(self):
        self.assertIn("line 2", self.run_ctl(6, "submit", "-", "--dry-run", stdin='{\n"kind" rift}')[1])
        self.run_ctl(6, "submit", "-", "--dry-run", stdin="[]")
        self.run_ctl(6, "submit", "-", "--dry-run", stdin="")
        self.run_ctl(6, "submit", "-", "--dry-run", stdin='{"kind":"rift","kind":"mrc"}')

    def test_a_missing_file_exits_1_and_is_named(self):
        self.assertIn("/nowhere.json", self.run_ctl(1, "submit", "/nowhere.json")[1])

    def test_a_file_without_end_is_refused(self):
        self.run_ctl(1, "submit", "/dev/zero", "--dry-run")


class Fields(Case):
    def test_every_field_is_explained_and_kinds_filter(self):
        everything = json.loads(self.run_ctl(0, "fields", "--json")[0])["fields"]
        train = json.loads(self.run_ctl(0, "fields", "train", "--json")[0])["fields"]
        self.assertGreater(len(everything), 50)
        self.assertTrue(all(field["meaning"] for field in everything))
        self.assertTrue(all("train" in field["kinds"] for field in train))
        self.assertLess(len(train), len(everything))
        self.assertIn('did you mean "train"?', self.run_ctl(2, "fields", "trian")[1])
        out, _ = self.run_ctl(0, "fields", "mrc")
        self.assertIn("/mrc/epsilon", out)
        self.assertNotIn("/train/epochs", out)
        self.assertLessEqual(max(map(len, re.findall(r"^    [A-Z].*$", out, re.M))), 78)


class Unreachable(Case):
    def test_commands_exit_4_when_nobody_answers(self):
        for arguments in (["list"], ["show", "0190"], ["watch", "0190"], ["datasets"], ["devices"], ["queue"],
                          ["submit", *RIFT]):
            with self.subTest(arguments):
                self.assertIn("127.0.0.1:1", self.run_ctl(4, *arguments, *NOBODY)[1])

    def test_what_one_does_about_it_is_said(self):
        _, err = self.run_ctl(4, "list", *NOBODY)
        for word in ("$RIFTD_URL", "--server", "--state"):
            self.assertIn(word, err)
        with tempfile.TemporaryDirectory() as state:
            self.assertIn("$RIFTD_URL", self.run_ctl(4, "--state", state, "list")[1])
        self.assertIn("riftctl fields", self.run_ctl(6, "submit", "--dry-run", "--set", "kind=rift")[1])

    def test_version_knows_itself_without_a_server(self):
        out, _ = self.run_ctl(0, "version", *NOBODY)
        self.assertIn("not reachable", out)
        self.assertIsNone(json.loads(self.run_ctl(0, "version", "--json", *NOBODY)[0])["riftd"])

    def test_a_state_directory_without_an_address_exits_4(self):
        with tempfile.TemporaryDirectory() as state:
            self.assertIn("riftd.address", self.run_ctl(4, "--state", state, "list")[1])
            self.run_ctl(4, "list", env={"RIFTD_STATE": state})
            self.assertIn("not reachable", self.run_ctl(0, "version", "--state", state)[0])
            self.run_ctl(0, "fields", "--state", state)
            self.run_ctl(0, "submit", "--state", state, "--dry-run", *RIFT)

    def test_the_bounds_of_fields_are_written_out(self):
        out, _ = self.run_ctl(0, "fields")
        self.assertNotIn("(null)", out, "each type has a name")
        self.assertRegex(out, r"(?m)^/sweep/methods\n +list of strings: standard, pgd-at, trades")
        self.assertIn(" to 2147483647", out)
        self.assertNotRegex(out, r"\de\+\d")

    def test_a_proxy_of_the_environment_is_not_asked_for_loopback(self):
        _, err = self.run_ctl(4, "list", *NOBODY, env={"http_proxy": "http://127.0.0.1:2"})
        self.assertNotIn("127.0.0.1:2", err)

    def test_what_is_no_id_is_not_sent(self):
        for word in ("../../etc", "xyz", "a" * 37, ""):
            self.run_ctl(5, "show", word, *NOBODY)

    def test_a_full_standard_output_is_an_error(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([program("riftctl"), "fields"], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main()
