"""Is what the README says true? Its blocks of sh are run in order, in one shell, as they stand, and what it shows of their
answers comes with other numbers; its files and commands must exist.

    test_readme.py --short      without the sweep, which is four rift jobs"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "cli"), os.path.join(HERE, "..", "docs")]

from blocks import difference, run_blocks  # noqa: E402
from client import riftctl, BUILD, DEADLINE_S, ROOT  # noqa: E402
from pages import fences  # noqa: E402
from real import Daemon, skip_unless_built  # noqa: E402

LONG_S = 800
MADE_LATER = {"quickstart.d/", "build/riftd", "build/riftctl", "build/"}


def readme():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        return file.read()


class Readme(unittest.TestCase):
    def test_every_path_it_names_exists(self):
        text = re.sub(r"(?s)A job's directory is all.*?(?=`kill -9`)", "", readme())
        named = set(re.findall(r"`(?:\./)?((?:[a-z]+/)+[a-z_.]*|[a-z_]+\.(?:yaml|md))`", text))
        named |= set(re.findall(r"\./(setup|test|quickstart)\b", text))
        named |= set(re.findall(r"\b(docs/[a-z_.]+)", text))
        self.assertGreater(len(named), 12)
        for name in sorted(named - MADE_LATER):
            self.assertTrue(os.path.exists(os.path.join(ROOT, name)), f"README.md names {name}, which is not there")

    def test_libraries_are_known_only_where_it_says(self):
        for folder, library, header, files in (("api", "libmicrohttpd", "microhttpd.h", ["http.c"]),
                                               ("cli", "libcurl", "curl/curl.h", ["download.c", "http.c"]),
                                               ("cli", "libarchive", "archive.h", ["unpack.c"])):
            told = r"\s+and\s+".join(f"`{re.escape(name)}`" for name in files)
            verb = "knows?" if len(files) == 1 else "know"
            self.assertRegex(readme(), rf"(?s)`{folder}/`[^\n]*(?:\n   [^\n]*)*only\s+{told}\s+{verb}\s+{library}")
            knowing = []
            for name in os.listdir(os.path.join(ROOT, folder)):
                with open(os.path.join(ROOT, folder, name), encoding="utf-8") as file:
                    knowing += [name] if f"#include <{header}>" in file.read() else []
            self.assertEqual(sorted(knowing), files, folder)

    def test_every_riftctl_command_it_shows_exists(self):
        code = "\n".join(line for language, lines in fences(readme()) if language == "sh" for line in lines)
        shown = re.findall(r"^(?:job=\$\()?riftctl ([a-z]+)", code, re.M)
        self.assertGreater(len(shown), 5)
        for command in set(shown):
            self.assertEqual(riftctl(command, "--help").returncode, 0, command)

    def test_its_blocks_work_as_they_stand_when_pasted_one_after_the_other(self):
        blocks = [block for block in fences(readme()) if block[0] in ("sh", "text")]
        commands = [lines for language, lines in blocks if language == "sh"]
        self.assertEqual(len(commands), 3)
        self.assertIn("kind=sweep", commands[0][2])
        if SHORT:
            commands[0].pop(2)
        work = tempfile.mkdtemp(prefix="rift-readme-")
        self.addCleanup(shutil.rmtree, work)
        os.symlink(os.path.join(ROOT, "docs"), os.path.join(work, "docs"))
        os.symlink(os.path.realpath(BUILD), os.path.join(work, "build"))
        with open(os.path.join(work, "quickstart"), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n")  # test_quickstart.py has the real one; riftd runs already
        os.chmod(file.name, 0o755)
        with Daemon() as riftd:
            os.symlink(riftd.state, os.path.join(work, "quickstart.d"))
            outputs, code, errors = run_blocks(commands, work, LONG_S)
        self.assertEqual((code, len(outputs)), (0, 3), "\n".join([*outputs[-1:], errors]))
        self.assertEqual([language for language, _ in blocks].index("text"), 1, "the sweep's table follows its command")
        # Which module is the lowest and which alpha is chosen is another machine's business.
        shown = [re.sub(r"^(\S+\+RiFT .*? \d+)  [a-z].*", r"\1", line) for line in blocks[1][1]]
        if not SHORT:
            self.assertIsNone(difference("text", "\n".join(shown), outputs[0]))

    def test_the_options_of_the_scripts_exist(self):
        for script in ("quickstart", "test", "setup"):
            done = subprocess.run([os.path.join(ROOT, script), "--help"], capture_output=True, text=True,
                                  timeout=DEADLINE_S, check=False)
            self.assertEqual(done.returncode, 0, script)
            for option in re.findall(rf"\./{script} (--[a-z]+)", readme()):
                self.assertIn(option, done.stdout, script)
            done = subprocess.run([os.path.join(ROOT, script), "--colour"], capture_output=True, text=True,
                                  timeout=DEADLINE_S, check=False)
            self.assertEqual(done.returncode, 2, script)


if __name__ == "__main__":
    skip_unless_built("riftctl", "riftd", "rift-worker")
    SHORT = "--short" in sys.argv
    if SHORT:
        sys.argv.remove("--short")
    unittest.main()
