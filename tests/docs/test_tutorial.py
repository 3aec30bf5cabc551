"""Is docs/tutorial.md true? Its sh blocks are run in order, as they stand, by a riftd of the test's own where the tutorial
has the quickstart's; what it shows of their answers is there, numbers aside. Blocks of `console` (installing, downloading,
hours of training) aren't run: their commands must exist, and their specs be accepted.

    test_tutorial.py --short      without the sweep, which is two rift jobs more"""
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))

from blocks import difference, run_blocks  # noqa: E402
from client import riftctl, BUILD, ROOT  # noqa: E402
from pages import fences, read  # noqa: E402
from real import Daemon, skip_unless_built  # noqa: E402

DEADLINE_S = 800


class Tutorial(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.blocks = fences(read("docs/tutorial.md"))
        if SHORT:
            cls.blocks = without_sweep(cls.blocks)
        cls.commands = [lines for language, lines in cls.blocks if language == "sh"]
        work = tempfile.mkdtemp(prefix="rift-tutorial-")
        cls.addClassCleanup(shutil.rmtree, work)
        os.symlink(os.path.join(ROOT, "docs"), os.path.join(work, "docs"))
        os.symlink(os.path.realpath(BUILD), os.path.join(work, "build"))
        with Daemon() as riftd:
            os.symlink(riftd.state, os.path.join(work, "quickstart.d"))
            cls.outputs, cls.code, cls.errors = run_blocks(cls.commands, work, DEADLINE_S)

    def test_every_command_succeeds(self):
        done = len(self.outputs)
        self.assertEqual(self.code, 0, "\n".join(["stopped in this block:", *self.commands[max(done - 1, 0)],
                                                  *self.outputs[-1:], self.errors]))
        self.assertEqual(done, len(self.commands))

    def test_what_is_shown_comes_with_other_numbers(self):
        at, before, shown = -1, "", 0
        for language, lines in self.blocks:
            if language == "sh":
                at += 1
            elif before == "sh" and language in ("text", "json", "csv"):
                with self.subTest("\n".join(self.commands[at])):
                    self.assertIsNone(difference(language, without_choice(lines), self.outputs[at]))
                shown += 1
            before = language
        self.assertGreater(shown, 3)

    def test_specs_that_take_hours_are_accepted(self):
        console = [line for language, lines in self.blocks if language == "console" for line in lines]
        self.assertGreater(len(console), 4)
        tried = 0
        for line in console:
            words = shlex.split(line.removeprefix("$ "))
            if words[:2] == ["riftctl", "submit"]:
                options = [word for word in words[2:] if word != "--watch"]
                self.assertEqual(riftctl("submit", *options, "--dry-run", cwd=ROOT).returncode, 0, line)
                tried += 1
        self.assertGreater(tried, 1)

    def test_the_options_of_quickstart_exist(self):
        told = subprocess.run([os.path.join(ROOT, "quickstart"), "--help"], capture_output=True, text=True, check=True).stdout
        for option in re.findall(r"\./quickstart.*", read("docs/tutorial.md")):
            for name in re.findall(r"--[a-z]+", option):
                self.assertIn(name, told)


def without_sweep(blocks):
    """What isn't of the sweep: its commands, and what is shown of their answers."""
    kept, of_sweep = [], False
    for language, lines in blocks:
        if language != "text":
            of_sweep = any("$sweep" in line for line in lines)
        if not of_sweep:
            kept.append((language, lines))
    assert 0 < len(kept) < len(blocks)
    return kept


def without_choice(lines):
    """Which module is the lowest and which alpha is chosen is another machine's business."""
    return "\n".join(re.sub(r"(?:# )?<- (?:lowest|chosen)|#+$|\s(?:layer\d\S*|conv1|linear)\s+[\d.]+$|module \S+, alpha \S+, ", "",
                            line).strip() for line in lines)


if __name__ == "__main__":
    for needed in ("jq",):
        if not shutil.which(needed):
            print(f"skipped: {needed} is not installed")
            sys.exit(77)
    if not os.path.isdir("/usr/share/datasets/fashion-mnist"):
        print("skipped: /usr/share/datasets/fashion-mnist is not there (dataset-fashion-mnist)")
        sys.exit(77)
    skip_unless_built("riftctl", "riftd", "rift-worker")
    SHORT = "--short" in sys.argv
    if SHORT:
        sys.argv.remove("--short")
    if "--show" in sys.argv:
        Tutorial.setUpClass()
        for command, output in zip(Tutorial.commands, Tutorial.outputs):
            print("$ " + "\n  ".join(command) + "\n" + output + "\n")
        print(Tutorial.code, Tutorial.errors)
        Tutorial.doClassCleanups()
        sys.exit(0)
    unittest.main()
