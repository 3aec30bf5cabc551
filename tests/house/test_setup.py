"""Does ./setup do the right thing on machines that we are not? apt-get, dpkg-query, id and sudo are stand-ins here."""
import os
import subprocess
import tempfile
import unittest

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

DPKG_QUERY = """#!/bin/sh
for package; do :; done
if grep -qx "$package" "$INSTALLED"; then printf 'ii '; else exit 1; fi
"""
APT_GET = """#!/bin/sh
echo "apt-get $* [$DEBIAN_FRONTEND]" >>"$CALLS"
case "$1" in install) for word; do echo "$word"; done >>"$INSTALLED" ;; esac
"""
ID = "#!/bin/sh\necho \"$USER_ID\"\n"
SUDO = "#!/bin/sh\necho sudo \"$1\" >>\"$CALLS\"\n[ \"$1\" = -n ] && shift\nexec \"$@\"\n"


class Setup(unittest.TestCase):
    def machine(self, *words, user_id="0", sudo=False, debian=True, apt=APT_GET):
        """Run ./setup on a machine with nothing installed; returns (process, calls)."""
        with tempfile.TemporaryDirectory() as tools:
            programs = {"apt-get": apt, "id": ID}
            if debian:
                programs["dpkg-query"] = DPKG_QUERY
            if sudo:
                programs["sudo"] = SUDO
            for name, text in programs.items():
                with open(os.path.join(tools, name), "w", encoding="utf-8") as file:
                    file.write(text)
                os.chmod(os.path.join(tools, name), 0o755)
            for name in ("bash", "sh", "grep", "env", "cat", "dirname"):
                path = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
                os.symlink(path, os.path.join(tools, name))
            env = {"PATH": tools, "USER_ID": user_id, "INSTALLED": os.path.join(tools, "installed"),
                   "CALLS": os.path.join(tools, "calls")}
            for name in ("INSTALLED", "CALLS"):
                open(env[name], "w", encoding="utf-8").close()
            runs = [subprocess.run([os.path.join(ROOT, "setup"), *words], env=env, text=True, capture_output=True,
                                   stdin=subprocess.DEVNULL, check=False) for _ in range(2)]
            with open(env["CALLS"], encoding="utf-8") as file:
                return runs, file.read()

    def test_root_installs_once_without_questions_and_then_does_nothing(self):
        (first, second), calls = self.machine("build")
        self.assertEqual((first.returncode, second.returncode), (0, 0), first.stderr)
        self.assertEqual(calls.count("apt-get update"), 1)
        self.assertEqual(calls.count("apt-get install"), 1)
        self.assertIn("--no-install-recommends", calls)
        self.assertIn("[noninteractive]", calls)
        self.assertIn("are there", second.stdout)

    def test_the_test_set_holds_the_build_set(self):
        def packages(calls):
            return {word for word in calls.split() if word[0].isalpha()}

        build, test = packages(self.machine("build")[1]), packages(self.machine("test")[1])
        self.assertLess(build, test)
        self.assertIn("dataset-fashion-mnist", build)

    def test_a_user_goes_through_sudo(self):
        (first, _), calls = self.machine("build", user_id="1000", sudo=True)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertIn("sudo -n", calls)
        self.assertIn("apt-get install", calls)

    def test_a_user_without_sudo_is_told_what_root_should_do(self):
        (first, _), calls = self.machine("build", user_id="1000")
        self.assertEqual(first.returncode, 1)
        self.assertIn("needs root or sudo", first.stderr)
        self.assertIn("apt-get install --no-install-recommends build-essential", first.stderr)
        self.assertEqual(calls, "")

    def test_another_distribution_is_told_what_is_wanted(self):
        (first, _), _ = self.machine("build", debian=False)
        self.assertEqual(first.returncode, 1)
        self.assertIn("libjansson-dev", first.stderr)

    def test_an_install_that_installed_nothing_is_noticed(self):
        (first, _), _ = self.machine("build", apt="#!/bin/sh\nexit 0\n")
        self.assertEqual(first.returncode, 1)
        self.assertIn("still missing", first.stderr)


if __name__ == "__main__":
    unittest.main()
