#!/usr/bin/env python3
"""Was every status that openapi.yaml documents seen by a test?

The other programs of this folder write down what they were answered (server.py);
this one reads that. A status that no test provokes is a promise nobody checks."""
import glob
import os
import unittest

import server

# (statuses, paths, why no test of this folder can see them)
EXCEPTIONS = [
    ({"500"}, {"/v1/version", "/v1/openapi.yaml", "/problems/{name}", "/", "/web/{name}", "/healthz", "/readyz"},
     "nothing can fail there but memory (health tells of the database with 503): tests/faults/memory.c lets every "
     "allocation of theirs fail"),
    ({"507"}, {"/v1/admin/backups/{name}"}, "taking a file away lacks room only on file systems that copy on write"),
]


def excepted(path, status):
    return any(status in statuses and path in paths for statuses, paths, _ in EXCEPTIONS)


class Statuses(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.files = glob.glob(os.path.join(server.SEEN_DIR, "*.txt"))
        if not cls.files:
            raise unittest.SkipTest("no test of this folder has run yet")
        cls.seen = set()
        for name in cls.files:
            with open(name, encoding="utf-8") as file:
                cls.seen |= {tuple(line.split()) for line in file}
        cls.documented = {(method, path, status) for path, item in server.OPENAPI["paths"].items()
                          for method, operation in item.items() if method != "parameters"
                          for status in operation["responses"]}

    def test_every_documented_status_of_every_route_was_provoked(self):
        missing = [row for row in sorted(self.documented - self.seen, key=lambda row: (row[1], row[0], row[2]))
                   if not excepted(row[1], row[2])]
        self.assertEqual(missing, [], "documented, and seen by no test")

    def test_what_was_seen_was_seen_by_the_tests_as_they_are(self):
        for name in self.files:
            test = os.path.join(server.HERE, os.path.basename(name).removesuffix(".txt"))
            self.assertTrue(os.path.exists(test), f"{name} is of a test that is no more: run ctest, or delete it")
            self.assertGreater(os.path.getmtime(name), os.path.getmtime(test), f"{name} is older than its test")

    def test_no_exception_is_left_over(self):
        needless = [(method, path, status) for method, path, status in sorted(self.documented & self.seen)
                    if excepted(path, status)]
        self.assertEqual(needless, [], "excepted, and seen")


if __name__ == "__main__":
    unittest.main()
