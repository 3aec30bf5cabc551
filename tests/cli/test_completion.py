"""What a TAB offers: asked of riftctl as the shells' scripts do, and in a real bash, zsh and fish."""
import json
import re
import shutil
import subprocess
import unittest

from client import Case, program, riftctl
from real import Daemon, rift_spec, skip_unless_built
from terminal import BASH, Terminal, skip_without_tmux
from test_offline import commands


class Words(Case):
    def offered(self, *words, shell="fish", at=()):
        out, err = self.run_ctl(0, "completion", shell, "--", *at, *words)
        self.assertEqual(err, "")
        return [line.split("\t")[0] for line in out.splitlines()]

    def test_every_command_is_offered_word_by_word(self):
        groups = {name.split()[0] for name in commands()}
        self.assertEqual(set(self.offered("")), groups)
        self.assertEqual(len(self.offered("")), len(groups), "each once")
        for name in commands():
            words = name.split()
            self.assertIn(words[-1], self.offered(*words[:-1], ""))

    def test_every_option_of_every_command_is_offered(self):
        for name in commands():
            own = set(re.findall(r"(?m)^  (--[a-z0-9-]+)", riftctl(*name.split(), "--help").stdout))
            self.assertEqual(set(self.offered(*name.split(), "--")), own, name)
            self.assertEqual(len(self.offered(*name.split(), "--")), len(own), name)

    def test_values_are_offered_behind_a_space_and_behind_an_equals_sign(self):
        self.assertEqual(self.offered("list", "--state", "ru"), ["running"])
        self.assertEqual(self.offered("list", "--state=ru"), ["--state=running"])
        self.assertEqual(self.offered("list", "--state", "=", "ru", shell="bash"), ["running"])
        self.assertEqual(self.offered("list", "--state", "=", shell="bash"),
                         ["blocked", "queued", "running", "succeeded", "failed", "cancelled"])
        self.assertEqual(self.offered("--state", ""), [":directories"], "before the command it is a directory")
        self.assertEqual(self.offered("metrics", "x", "--format", "c"), ["csv"])
        self.assertEqual(self.offered("list", "--kind", "r"), ["rift"])
        self.assertEqual(self.offered("fields", "r"), ["rift"])
        self.assertEqual(self.offered("dataset", "corrupt", "x", "--set", ""), ["standard", "code", "all"])
        self.assertEqual(self.offered("--color", ""), ["auto", "always", "never"])
        self.assertEqual(self.offered("submit", ""), [":files"])
        self.assertEqual(self.offered("fetch", "x", "--dir", ""), [":directories"])
        self.assertIn("cifar10", self.offered("dataset", "fetch", ""))

    def test_fields_of_a_spec_and_their_values_are_offered(self):
        self.assertEqual(self.offered("submit", "--set", "train.meth"), ["train.method=", ":nospace"])
        self.assertEqual(self.offered("submit", "--set", "train.method=pg"), ["train.method=pgd-at"])
        self.assertEqual(self.offered("submit", "--set", "train.method", "=", "pg", shell="bash"), ["pgd-at"])
        self.assertIn("kind=rift", self.offered("submit", "--set", "kind="))
        self.assertEqual(self.offered("submit", "--set", "shuffle=t"), ["shuffle=true"])

    def test_zsh_gets_its_colons_escaped(self):
        out, _ = self.run_ctl(0, "completion", "zsh", "--", "--ser")
        self.assertTrue(out.startswith("--server:address"), out)

    def test_without_riftd_nothing_is_offered_and_nothing_said(self):
        at = ["--server", "http://127.0.0.1:1"]
        for words in (["show", ""], ["model", "show", ""], ["metrics", "0190", ""], ["fetch", "0190", ""], ["watch", "0"]):
            self.assertEqual(self.offered(*words, at=at), [], words)
        self.offered("--no-such-option", "x", "nonsense", "")
        self.offered("list", *["x"] * 40)

    def test_another_shell_is_a_usage_error(self):
        self.assertIn("bash, zsh and fish", self.run_ctl(2, "completion", "csh")[1])

    def test_the_scripts_are_sound(self):
        for shell in ("bash", "zsh", "fish"):
            script, _ = self.run_ctl(0, "completion", shell)
            if shutil.which(shell):
                done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""), shell)


# The shell without anybody's settings, its prompt being "$ ", and how it learns to complete.
SHELLS = {"bash": (BASH, "source <(riftctl completion bash)"),
          "zsh": (("zsh", "-f", "-i"), "autoload -Uz compinit; compinit -u; source <(riftctl completion zsh)"),
          "fish": (("fish", "--no-config", "-i", "-C", "function fish_prompt; echo -n '$ '; end"), "riftctl completion fish | source")}


class Shells(Case):
    @classmethod
    def setUpClass(cls):
        cls.riftd = Daemon()
        cls.riftd.__enter__()
        cls.job = None

    @classmethod
    def tearDownClass(cls):
        cls.riftd.__exit__(None)

    def trained(self):
        """The id of a job that has ended, made once."""
        if Shells.job:
            return Shells.job
        spec = {**rift_spec(self.riftd.data), "kind": "train"}
        for step in ("mrc", "finetune", "interpolate"):
            del spec[step]
        Shells.job = self.run_ctl(0, "submit", "-", "--watch", "--state", self.riftd.state, stdin=json.dumps(spec))[0].split()[0]
        return Shells.job

    def check(self, shell):
        if not shutil.which(shell):
            self.skipTest(f"{shell} is not installed (./setup test installs it)")
        job, (words, learn) = self.trained(), SHELLS[shell]
        with Terminal(120, 24, {"RIFTD_STATE": self.riftd.state}, shell=words) as terminal:
            terminal.run(learn + "; clear")
            for typed, seen in (("riftctl sub", r"riftctl submit $"), ("riftctl list --state succ", "--state succeeded $"),
                                ("riftctl list --state=succ", "--state=succeeded $"),
                                ("riftctl dataset fet", "dataset fetch $"),
                                ("riftctl submit --set train.meth", r"train\.method=$"),
                                ("riftctl submit --set train.method=pgd", r"train\.method=pgd-at $"),
                                (f"riftctl show {job[:5]}", f"show {job} $"), (f"riftctl metrics {job} train_l", "train_loss $"),
                                ("riftctl submit --set dataset.name=ti", r"dataset\.name=tiny $"), (f"riftctl fetch {job} best", r"best\.safetensors $"), ("riftctl model ls --job 0", f"{job} $"),
                                (f"riftctl submit {self.riftd.directory.name}/exam", r"examples\.safetensors $")):
                with self.subTest(typed):
                    terminal.wait(r"(?m)^\$ *\n*\Z")
                    terminal.type(typed)
                    terminal.keys("Tab")
                    terminal.type("@")  # shows where the cursor is; no shell takes it for an end of a word
                    terminal.wait("(?m)" + seen.rstrip("$") + "@")
                    terminal.keys("C-c")
                    terminal.run("clear")
            terminal.wait(r"(?m)^\$ *\n*\Z")
            terminal.type("riftctl watch 0")  # nothing runs
            terminal.keys("Tab")
            terminal.type("@")
            terminal.wait(r"riftctl watch 0@")

    def test_a_real_bash_completes_commands_values_and_the_ids_of_jobs(self):
        self.check("bash")

    def test_a_real_zsh_completes_the_same(self):
        self.check("zsh")

    def test_a_real_fish_completes_the_same(self):
        self.check("fish")


if __name__ == "__main__":
    skip_unless_built("riftctl", "riftd", "rift-worker")
    skip_without_tmux()
    unittest.main()
