#!/usr/bin/env python3
"""Do other people's tools understand openapi.yaml? Redocly's linter reads it: a comma that YAML takes for the end of a
sentence, or an operationId twice, our own tests wouldn't notice.

The linter comes from npm, pinned by the lock file beside this, into the build directory. Where there is no npm, no
network or only an old Node, this is skipped."""
import json
import os
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", "..", ".."))
BUILD = os.environ.get("RIFT_BUILD", os.path.join(ROOT, "build"))
WORK = os.path.join(BUILD, "tests", "api", "lint")
SKIP = 77
INSTALL_S, LINT_S = 60, 120
QUIET = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "CI": "1"}


def skip(why):
    print(f"skipped: openapi.yaml isn't linted: {why}")
    sys.exit(SKIP)


def installed():
    """Path of the linter; skips where it can't be had."""
    program = os.path.join(WORK, "node_modules", "@redocly", "cli", "bin", "cli.js")
    if not shutil.which("npm") or not shutil.which("node"):
        skip("npm is missing (apt-get install npm)")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip("v\n")
    if tuple(int(part) for part in version.split(".")[:2]) < (20, 19):
        skip(f"the linter wants Node 20.19 or newer, here is {version}")
    os.makedirs(WORK, exist_ok=True)
    lock = os.path.join(WORK, "package-lock.json")
    with open(os.path.join(HERE, "package-lock.json"), "rb") as file:
        wanted = file.read()
    if os.path.exists(program) and os.path.exists(lock):
        with open(lock, "rb") as file:
            if file.read() == wanted:
                return program
    for name in ("package.json", "package-lock.json"):
        shutil.copy(os.path.join(HERE, name), WORK)
    try:
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=WORK, capture_output=True,
                              text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        skip(f"npm has not fetched the linter in {INSTALL_S} s")
    if done.returncode or not os.path.exists(program):
        os.remove(lock)
        skip(f"npm can't fetch the linter: {done.stderr[-500:]}")
    return program


class Lint(unittest.TestCase):
    maxDiff = None

    def lint(self, document):
        done = subprocess.run(["node", PROGRAM, "lint", document, "--config", os.path.join(HERE, "redocly.yaml"),
                               "--format", "json", "--max-problems", "1000"],
                              cwd=WORK, env=QUIET, capture_output=True, text=True, timeout=LINT_S, check=False)
        try:
            problems = json.loads(done.stdout[done.stdout.index("{"):])["problems"]
        except ValueError:
            self.fail(f"the linter said nothing that can be read: {done.stdout[-1000:]} {done.stderr[-1000:]}")
        return [f"{one['ruleId']}: {one['message']} ({one['location'][0].get('pointer')})" for one in problems]

    def test_the_linter_has_nothing_to_say(self):
        self.assertEqual(self.lint(os.path.join(ROOT, "openapi.yaml")), [])

    def test_the_linter_would_speak(self):
        with open(os.path.join(ROOT, "openapi.yaml"), encoding="utf-8") as file:
            text = file.read()
        broken = os.path.join(WORK, "broken.yaml")
        with open(broken, "w", encoding="utf-8") as file:
            file.write(text.replace("operationId: listJobs", "operationId: submitJob", 1))
        self.assertEqual([one.split(":")[0] for one in self.lint(broken)], ["operation-operationId-unique"])


if __name__ == "__main__":
    PROGRAM = installed()
    unittest.main()
