#!/usr/bin/env python3
"""Is every function of db/db.h that can fail called by the test in which the disk fails?"""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Opening has a case of its own; copies are files apart; to a check, a read that fails is a finding.
APART = {"db_open", "db_backup", "db_backup_check", "db_check"}


class Named(unittest.TestCase):
    def test_every_function_has_a_row(self):
        header = (ROOT / "db" / "db.h").read_text()
        code = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
        declared = set(re.findall(r"^int (db_\w+)\(", code, flags=re.M))
        rows = set(re.findall(r'{ "(db_\w+)"', (ROOT / "tests" / "faults" / "functions.c").read_text()))
        self.assertEqual(declared - rows - APART, set())
        self.assertEqual(rows - declared, set())


if __name__ == "__main__":
    unittest.main()
