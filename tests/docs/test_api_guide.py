"""Is docs/api.md true? Its blocks are run in order, as they stand, against a real riftd; each exits 0, what is shown of
an answer is there, and riftd's own count of requests says that every route of the table was asked for.

    RIFT_BUILD=build python3 tests/docs/test_api_guide.py --show     prints what the blocks answered"""
import os
import re
import shutil
import sys
import tempfile
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))

from blocks import difference, run_blocks  # noqa: E402
from client import ROOT  # noqa: E402
from pages import fences, read  # noqa: E402
from real import Daemon, skip_unless_built  # noqa: E402

GUIDE = "docs/api.md"
FASHION = "/usr/share/datasets/fashion-mnist"
DEADLINE_S = 800


def routes():
    """[(method, path, summary)], read from the table itself."""
    rows = re.findall(r'\{ "([A-Z]+)", "([^"]+)", ROLE_\w+, \w+, BODY_\w+, "[^"]*",\s*"([^"]+)"', read("api/routes.c"))
    assert len(rows) == read("api/routes.c").count(", ROLE_"), "a row of api/routes.c isn't understood"
    return rows


class Guide(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        """Run the whole guide once."""
        cls.blocks = fences(read(GUIDE))
        cls.commands = [lines for language, lines in cls.blocks if language == "sh"]
        work = tempfile.mkdtemp(prefix="rift-guide-")
        cls.addClassCleanup(shutil.rmtree, work)
        os.symlink(os.path.join(ROOT, "docs"), os.path.join(work, "docs"))
        with Daemon("--web", os.path.join(ROOT, "web"), "--openapi", os.path.join(ROOT, "openapi.yaml")) as riftd:
            assert cls.commands[0] == ["riftd=http://127.0.0.1:8717"], "the guide begins with riftd's address"
            cls.commands[0] = [f"riftd={riftd.url}"]
            cls.outputs, cls.code, cls.errors = run_blocks(cls.commands, work, DEADLINE_S, "token")
            cls.metrics = "" if cls.code else cls.ask(riftd.url + "/metrics", os.path.join(work, "token"))

    @staticmethod
    def ask(url, token_file):
        with open(token_file, encoding="utf-8") as file:
            asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {file.read().strip()}"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.read().decode()

    def test_every_command_of_it_succeeds(self):
        done = len(self.outputs)
        self.assertEqual(self.code, 0, "\n".join(["stopped in this block:", *self.commands[max(done - 1, 0)],
                                                  *self.outputs[-1:], self.errors]))
        self.assertEqual(done, len(self.commands))

    def test_what_is_shown_of_an_answer_is_there(self):
        shown = 0
        at = -1
        for language, lines in self.blocks:
            if language == "sh":
                at += 1
                continue
            with self.subTest("\n".join(self.commands[at])):
                self.assertLess(at, len(self.outputs), "was never run")
                self.assertIsNone(difference(language, "\n".join(lines), self.outputs[at]))
            shown += 1
        self.assertGreater(shown, 30)

    def test_every_route_of_the_table_is_asked_for_by_it(self):
        asked = set()
        for labels, count in re.findall(r"^riftd_http_requests_total\{(.*)\} (\d+)$", self.metrics, re.M):
            label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if int(count) and label["status"] == "2xx":
                asked.add((label["method"], label["route"]))
        for method, path, _ in routes():
            self.assertIn((method, path), asked, f"no block of {GUIDE} asks for {method} {path}")

    def test_every_route_is_named_by_it_and_no_other(self):
        text = read(GUIDE)
        named = re.findall(r"`(GET|POST|PATCH|PUT|DELETE) (/[^`]*)`", text)
        for method, path, summary in routes():
            self.assertIn((method, path), named, f"{GUIDE} doesn't name {method} {path}: {summary}")
        for row in named:
            self.assertIn(row, [(method, path) for method, path, _ in routes()])


if __name__ == "__main__":
    for needed in ("curl", "jq"):
        if not shutil.which(needed):
            print(f"skipped: {needed} is not installed")
            sys.exit(77)
    if not os.path.isdir(FASHION):
        print(f"skipped: {FASHION} is not there (dataset-fashion-mnist)")
        sys.exit(77)
    skip_unless_built("riftd", "rift-worker")
    if "--show" in sys.argv:
        Guide.setUpClass()
        for command, output in zip(Guide.commands, Guide.outputs):
            print("$ " + "\n  ".join(command) + "\n" + output[:1500] + "\n")
        print(Guide.code, Guide.errors)
        Guide.doClassCleanups()
        sys.exit(0)
    unittest.main()
