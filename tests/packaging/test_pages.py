"""Do the manual pages say what the programs do?

What stands in tables is asked of the programs when the pages are made; here it is held against them by another road,
and what people wrote is held against the sources."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
import apart  # noqa: E402, F401  (it lies in another folder)

BUILD = pathlib.Path(os.environ["RIFT_BUILD"])
PAGES = {path.name: path for path in sorted((BUILD / "packaging/man").glob("*.[1-8]"))}


def run(*words):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True, timeout=60).stdout


def plain(text):
    """Words alone: without mdoc's macros, line ends and marks, whoever broke the lines."""
    text = re.sub(r"(?m)^\.(Ql|Pp|Dl) ?", "", text)
    return " ".join(text.replace("\\&", "").replace("\\e", "\\").split())


class Pages(unittest.TestCase):
    def page(self, name):
        return PAGES[name].read_text()

    def test_there_is_a_page_for_every_program_and_the_file(self):
        self.assertEqual(list(PAGES), ["rift-worker.1", "riftctl.1", "riftd.8", "riftd.conf.5"])

    def test_no_mark_is_left_that_should_have_been_replaced(self):
        for name in PAGES:
            self.assertNotRegex(self.page(name), r"(?m)^@|^\.It (Fl -|Cm|Ic)? *$", name)

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_mandoc_has_nothing_to_say(self):
        for name, path in PAGES.items():
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, ""), name)

    @unittest.skipUnless(shutil.which("man") and shutil.which("groff"), "man and groff are not installed")
    def test_man_has_nothing_to_say(self):
        for name, path in PAGES.items():
            done = subprocess.run(["man", "--warnings", "-l", path], capture_output=True, text=True, check=False,
                                  env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat"})
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)

    def test_every_setting_is_explained_and_is_an_option(self):
        rows = json.loads(run(BUILD / "riftd", "--config", "/dev/null", "--state", "/nowhere", "--print-settings",
                              "--json"))["settings"]
        page, options = self.page("riftd.conf.5"), self.page("riftd.8")
        for row in rows:
            with self.subTest(setting=row["key"]):
                item = re.search(rf"(?ms)^\.It Cm {row['key']} No = Ar (.*?)(?=^\.It|^\.El)", page).group(1)
                self.assertIn(plain(row["meaning"]), plain(item))
                self.assertEqual("Reloaded." in item, row["reloadable"])
                if row["default"] not in (None, ""):
                    self.assertIn(f"Default:\n.Ql {str(row['default']).lower() if isinstance(row['default'], bool) else row['default']} .", item)
                self.assertIn(f"\n.It Fl -{row['key']} Ar {row['argument']}\n", options)
        self.assertEqual(len(re.findall(r"(?m)^\.It Cm [a-z-]+ No = ", page)), len(rows))

    def test_every_option_that_is_no_setting_is_explained(self):
        before = run(BUILD / "riftd", "--help").split("\nSettings.")[0]
        flags = set(re.findall(r"--([a-z-]+)", before)) - {"state"}
        self.assertGreater(len(flags), 4)
        for flag in flags:
            self.assertIn(f"Fl -{flag}", self.page("riftd.8"))

    def test_every_command_of_riftctl_is_there_with_its_options(self):
        page, listing = self.page("riftctl.1"), run(BUILD / "riftctl", "--help").split("\nEverywhere:")[0]
        commands = [re.match(r"(?:[a-z-]+(?: |$))+", line.strip()).group().strip()
                    for line in re.findall(r"(?m)^  ([a-z].*?)   .*$", listing)]
        self.assertGreater(len(commands), 20)
        for command in commands:
            with self.subTest(command=command):
                item = re.search(rf"(?ms)^\.It Ic {command}(?: Ar .*?)?\n(.*?)(?=^\.It Ic |^\.Sh )", page).group(1)
                own = run(BUILD / "riftctl", *command.split(), "--help").split("\nEverywhere:")[0]
                for option in re.findall(r"(?m)^  --([a-z0-9-]+)", own):
                    self.assertIn(f"\n.It Fl -{option}", item)
        self.assertEqual(re.findall(r"(?m)^\.It Ic ((?:[a-z-]+ ?)+?)(?: Ar .*)?$", page), commands)

    def test_exit_codes_are_the_sources(self):
        for page, source, name in (("riftctl.1", "cli/cli.h", "CLI_"), ("rift-worker.1", "job/files.h", "WORKER_")):
            codes = set(re.findall(rf"(?m)^    {name}[A-Z_]+ = (\d+)", (ROOT / source).read_text()))
            told = set(re.findall(r"(?m)^\.It (\d+)$", self.page(page).split(".Sh EXIT STATUS")[1]))
            self.assertGreater(len(codes), 4)
            self.assertEqual(codes - told, set(), page)

    def test_every_variable_that_is_read_is_named(self):
        for page, folders in (("riftctl.1", ["cli"]), ("rift-worker.1", ["gpu/worker"]), ("riftd.8", ["daemon"])):
            text = "".join(path.read_text() for folder in folders for path in (ROOT / folder).glob("*.c"))
            for variable in set(re.findall(r'\bgetenv\("([A-Z_]+)"\)', text)):
                self.assertIn(variable, self.page(page), page)

    def test_every_file_they_name_is_installed_or_made(self):
        text = "".join(map(self.page, PAGES))
        for path in set(re.findall(r"/usr/share/doc/riftd/([a-z]+\.md|README\.md)", text)):
            self.assertTrue((ROOT / "docs" / path).exists() or (ROOT / path).exists(), path)


if __name__ == "__main__":
    unittest.main()
