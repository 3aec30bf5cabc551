"""Does what the documents point at exist: files, headings, commands of riftctl with their options, paths of the house?"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))

from client import program, riftctl, BUILD, ROOT  # noqa: E402
from pages import anchors, commands, documents, prose, read  # noqa: E402
from real import skip_unless_built  # noqa: E402

GLOBAL = {"--json": 0, "--server": 1, "--state": 1, "--token-file": 1, "--cacert": 1, "--help": 0}


def short(path):
    return os.path.relpath(path, ROOT)


class Links(unittest.TestCase):
    def test_every_relative_link_leads_to_a_file_and_every_anchor_to_a_heading(self):
        seen = 0
        for path in documents():
            for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose(read(path))):
                if re.match(r"[a-z]+:", target):
                    continue
                file, _, anchor = target.partition("#")
                there = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
                with self.subTest(f"{short(path)}: {target}"):
                    self.assertTrue(os.path.exists(there), f"{short(path)} links to {target}, which is not there")
                    self.assertTrue(there.startswith(ROOT), f"{target} leads out of the house")
                    if anchor:
                        self.assertIn(anchor, anchors(read(there)), f"{short(path)} links to {target}")
                seen += 1
        self.assertGreater(seen, 20)

    def test_the_index_of_the_documents_names_each(self):
        index = read("docs/README.md")
        for name in sorted(os.listdir(os.path.join(ROOT, "docs"))):
            if name.endswith(".md") and name != "README.md":
                self.assertIn(f"({name})", index, f"docs/README.md doesn't name {name}")

    def test_what_looks_like_a_file_of_the_house_is_one(self):
        """`gpu/rift/attack.c`, in any document: folders are the house's, so the file must be there."""
        folders = "api|bench|cli|daemon|db|docs|gpu|job|packaging|systemd|tests|web"
        seen = 0
        for path in documents():
            for name in re.findall(rf"`((?:{folders})/[A-Za-z0-9_./@-]*[A-Za-z0-9_/])`", read(path)):
                with self.subTest(f"{short(path)}: {name}"):
                    self.assertTrue(os.path.exists(os.path.join(ROOT, name)), f"{short(path)} names {name}")
                seen += 1
        self.assertGreater(seen, 20)

    def test_the_tests_that_are_named_for_what_one_forgets_are_tests(self):
        listed = subprocess.run(["ctest", "--test-dir", BUILD, "-N"], capture_output=True, text=True, check=True).stdout
        known = re.findall(r"Test +#\d+: (\w+)", listed)
        self.assertGreater(len(known), 50)
        seen = 0
        for row in re.findall(r"(?ms)^\| forgotten \|.*?\n\n", read("docs/extending.md") + "\n\n"):
            for cell in re.findall(r"(?m)\| ([^|]*) \|$", row)[1:]:
                for name in re.findall(r"`([a-z_]+)`", cell):
                    self.assertIn(name, known, f"docs/extending.md names {name}, which is no test")
                    seen += 1
        self.assertGreater(seen, 15)


class Commands(unittest.TestCase):
    """`riftctl ...`, wherever it stands: the command must be one, and its options its own."""
    @classmethod
    def setUpClass(cls):
        table = riftctl("--help").stdout.split("\nEverywhere:")[0]
        cls.known = {line.strip() for line in re.findall(r"(?m)^  ([a-z]+(?: [a-z]+)*)", table)}
        cls.help = {}

    def options(self, command):
        if command not in self.help:
            done = riftctl(*command.split(), "--help")
            self.assertEqual(done.returncode, 0, command)
            self.help[command] = set(re.findall(r"(?m)^\s+(--[a-z0-9-]+)", done.stdout))
        return self.help[command]

    def test_every_riftctl_command_and_option_in_a_document_exists(self):
        seen = set()
        for path in documents():
            for words in commands(read(path), "riftctl"):
                options, rest = [], []
                while words:
                    word = words.pop(0)
                    if word.startswith("--"):
                        name = word.split("=")[0]
                        options.append(name)
                        if GLOBAL.get(name) and not rest and words:
                            words.pop(0)
                    else:
                        rest.append(word)
                if not rest or not re.fullmatch(r"[a-z]+", rest[0]):  # `riftctl COMMAND --help`
                    continue
                firsts = {name.split()[0] for name in self.known}
                with self.subTest(f"{short(path)}: riftctl {' '.join(rest)}"):
                    self.assertIn(rest[0], firsts, f"{short(path)}: riftctl {' '.join(rest)}")
                    command = max((" ".join(rest[:n]) for n in (1, 2, 3) if " ".join(rest[:n]) in self.known),
                                  key=len, default=None)
                    if command is None:
                        self.assertTrue(len(rest) == 1 or rest[1] in ("...", "|"), f"riftctl {' '.join(rest)} is no command")
                        continue
                    seen.add(command)
                    for option in options:
                        self.assertIn(option, self.options(command) | set(GLOBAL), f"{short(path)}: riftctl {command}")
        self.assertGreater(len(seen), 20)


class Settings(unittest.TestCase):
    """Lines `KEY = VALUE` of the documents, together one file."""
    def test_settings_that_are_shown_are_accepted(self):
        for path in ("docs/operations.md", "docs/security.md", "docs/settings.md"):
            lines = re.findall(r"(?m)^ {4,}([a-z][a-z-]+ = .*)$", read(path))
            self.assertTrue(lines, path)
            with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
                file.write("\n".join(line for line in lines if not line.startswith(("tls-", "slots", "dataset"))) + "\n")
                file.flush()
                done = subprocess.run([program("riftd"), "--config", file.name, "--state", "/nowhere", "--check-config"],
                                      capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
            self.assertEqual(done.returncode, 0, f"{path}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    skip_unless_built("riftctl", "riftd")
    unittest.main()
