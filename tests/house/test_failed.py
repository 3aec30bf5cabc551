"""Does the end of a test run say why tests failed? A real ctest, with one that does."""
import os
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))

TESTS = r"""
add_test(good sh -c "echo all is well")
add_test(bad sh -c "seq 1000; printf 'caf\\351 \\033[1m<&\\000\\n'; echo the reason; exit 1")
"""


class Failed(unittest.TestCase):
    def test_the_end_of_what_a_failed_test_said_is_told(self):
        with tempfile.TemporaryDirectory(prefix="rift-test-") as folder:
            with open(os.path.join(folder, "CTestTestfile.cmake"), "w", encoding="utf-8") as file:
                file.write(TESTS)
            report = os.path.join(folder, "report.xml")
            ran = subprocess.run(["ctest", "--test-dir", folder, "--output-junit", report], capture_output=True, check=False)
            self.assertEqual(ran.returncode, 8, ran.stdout)
            told = subprocess.run([os.path.join(HERE, "..", "failed"), report], capture_output=True, text=True, check=True)
        lines = told.stdout.splitlines()
        self.assertEqual(lines[1], "--- bad, the end of its output:")
        self.assertIn("the reason", lines)
        self.assertIn("1000", lines)
        self.assertNotIn("900", lines)
        self.assertNotIn("good", told.stdout)


if __name__ == "__main__":
    unittest.main()
