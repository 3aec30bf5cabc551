"""`riftctl report`: to the terminal, into a file, and what it says when it can't."""
import json
import os
import tempfile
import unittest

from client import Case
from real import Daemon, rift_spec, skip_unless_built


class Report(Case):
    @classmethod
    def setUpClass(cls):
        cls.riftd = Daemon()
        cls.riftd.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.riftd.__exit__(None)

    def ctl(self, code, *arguments, **options):
        return self.run_ctl(code, "--state", self.riftd.state, *arguments, **options)

    def test_the_files_ending_says_the_format_and_only_whole_files_are_there(self):
        self.ctl(0, "admin", "drain")  # a report of a job that waits is a report, too
        job = self.ctl(0, "submit", "-", stdin=json.dumps(rift_spec(self.riftd.data, label="tiny | <b>")))[0].strip()
        out = self.ctl(0, "report", job)[0]
        self.assertTrue(out.startswith("# RiFT: tiny \\| \\<b\\>\n"), out[:80])
        with tempfile.TemporaryDirectory() as directory:
            for ending, beginning in (("html", "<!DOCTYPE html>"), ("tex", "% Job "), ("csv", "table,row,column,value"), ("md", "# RiFT"),
                                      ("txt", "# RiFT")):
                path = os.path.join(directory, f"report.{ending}")
                self.assertEqual(self.ctl(0, "report", job, "--to", path)[0], f"{path}\n")
                with open(path, encoding="utf-8") as file:
                    self.assertTrue(file.read().startswith(beginning), ending)
            self.assertTrue(self.ctl(0, "report", job, "--format", "csv", "--part", "steps")[0].startswith("step,kind,state,"))
            self.assertEqual(len(os.listdir(directory)), 5)
            self.assertIn("html, markdown, latex or csv", self.ctl(2, "report", job, "--format", "pdf")[1])
            self.assertIn("this job's report has run, steps", self.ctl(6, "report", job, "--part", "everything")[1])
            nowhere = os.path.join(directory, "nowhere", "report.html")
            self.assertIn(f"{nowhere}: No such file", self.ctl(1, "report", job, "--to", nowhere)[1])
            self.ctl(5, "report", "ffffffff")
        self.ctl(0, "cancel", job)


if __name__ == "__main__":
    skip_unless_built("riftd", "riftctl", "rift-worker")
    unittest.main()
