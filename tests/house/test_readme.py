"""Is what the README says true? Its examples are run as they stand, its files and commands must exist."""
import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cli"))

from client import riftctl, DEADLINE_S, ROOT  # noqa: E402
from real import Daemon, skip_unless_built  # noqa: E402

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
        shown = re.findall(r"build/riftctl ([a-z]+)", readme())
        self.assertGreater(len(shown), 5)
        for command in set(shown):
            self.assertEqual(riftctl(command, "--help").returncode, 0, command)

    def test_its_curl_examples_work_as_they_stand(self):
        example = re.search(r"(?s)```sh\n(.*?)```", readme()).group(1)
        self.assertIn("riftd=http://127.0.0.1:8717\n", example)
        with Daemon() as riftd:
            script = example.replace("riftd=http://127.0.0.1:8717", f"riftd={riftd.url}")
            done = subprocess.run(["bash", "-eu", "-o", "pipefail", "-x", "-c", script], cwd=ROOT, text=True,
                                  capture_output=True, timeout=DEADLINE_S, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

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
    unittest.main()
