"""Is in the package what belongs there, and where Debian people look for it?"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from package import BUILD, ROOT, package_make

PROGRAMS = ("riftd", "riftctl", "rift-worker")
PAGES = ("riftd.8", "riftd.conf.5", "riftctl.1", "rift-worker.1")
UNITS = ("riftd.service", "riftd.socket", "rift-worker.socket", "rift-worker@.service", "riftd.slice", "riftd-backup.service",
         "riftd-backup.timer")


def run(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=300, **more).stdout


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.deb = package_make(cls.folder / "made")
        cls.root = cls.folder / "root"
        run("dpkg-deb", "-x", cls.deb, cls.root)
        run("dpkg-deb", "-e", cls.deb, cls.folder / "control")

    def control(self, name):
        return (self.folder / "control" / name).read_text()

    def test_programs_units_pages_and_papers_are_there(self):
        for path in (*(f"usr/bin/{name}" for name in PROGRAMS), *(f"usr/lib/systemd/system/{name}" for name in UNITS),
                     "usr/lib/sysusers.d/riftd.conf", "usr/lib/tmpfiles.d/riftd.conf", "etc/riftd/riftd.conf",
                     "usr/share/riftd/openapi.yaml", "usr/share/riftd/web/index.html", "usr/share/doc/riftd/copyright",
                     *(f"usr/share/man/man{page[-1]}/{page}.gz" for page in PAGES),
                     "usr/share/bash-completion/completions/riftctl", "usr/share/zsh/vendor-completions/_riftctl",
                     "usr/share/fish/vendor_completions.d/riftctl.fish",
                     "usr/share/doc/riftd/examples/credentials.conf.example", "usr/share/doc/riftd/operations.md",
                     "usr/share/doc/riftd/changelog.gz", "usr/share/doc/riftd/README.md"):
            self.assertTrue((self.root / path).is_file(), path)

    def test_the_licence_is_named_and_foreign_ones_come_along(self):
        named = (self.root / "usr/share/doc/riftd/copyright").read_text()
        self.assertTrue(named.startswith("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"))
        self.assertIn("/usr/share/common-licenses/Apache-2.0", named)
        self.assertIn("Apache License\n                           Version 2.0", (ROOT / "LICENSE").read_text())
        for word in re.findall(r"^License: (.*)$", named, re.M):
            self.assertEqual(len(re.findall(rf"^License: {re.escape(word)}\n ", named, re.M)), 1, f"{word} has no text")
        web = self.root / "usr/share/riftd/web"
        if list(web.rglob("uPlot*.js")):
            licences = [path.read_text() for path in web.rglob("*") if "licen" in path.name.lower()]
            self.assertTrue(any("Leon Sorokin" in text for text in licences), "uPlot is without its licence")

    def test_every_file_of_the_dashboard_is_there(self):
        self.assertEqual(sorted(os.listdir(self.root / "usr/share/riftd/web")), sorted(os.listdir(BUILD / "web")))
        if (vendor := self.root / "usr/share/riftd/web/vendor").is_dir():  # npm was there
            self.assertEqual(sorted(os.listdir(vendor)), ["uPlot.LICENSE", "uPlot.esm.js", "uPlot.min.css"])

    def test_units_are_the_ones_that_were_tested(self):
        for name in UNITS:
            self.assertEqual((self.root / "usr/lib/systemd/system" / name).read_text(), (ROOT / "systemd" / name).read_text())

    def test_what_it_needs_is_named_and_no_card_library_is(self):
        depends = re.search(r"^Depends: (.*)$", self.control("control"), re.M).group(1)
        for library in ("libmicrohttpd", "libsqlite3", "libjansson", "libdnnl", "libcurl", "libsystemd"):
            self.assertIn(library, depends)
        self.assertNotRegex(depends, "cuda|cudnn|nvidia")

    def test_the_version_is_the_programs(self):
        version = re.search(r"^Version: (.*)$", self.control("control"), re.M).group(1)
        self.assertEqual(run(BUILD / "riftd", "--version"), f"riftd {version}\n")
        newest = run("gzip", "-dc", self.root / "usr/share/doc/riftd/changelog.gz").split("\n")[0]
        self.assertTrue(newest.startswith(f"riftd ({version})"), newest)

    def test_the_settings_are_a_conffile_and_all_commented_out_but_the_two_that_shut_doors(self):
        self.assertEqual(self.control("conffiles"), "/etc/riftd/riftd.conf\n")
        text = (self.root / "etc/riftd/riftd.conf").read_text()
        self.assertEqual([line for line in text.splitlines() if line and not line.startswith("#")], ["require-token = yes", "sandbox = require"])
        printed = json.loads(run(BUILD / "riftd", "--config", "/dev/null", "--state", "/nowhere", "--print-settings", "--json"))
        keys = [row["key"] for row in printed["settings"] if row["key"] != "state"]
        self.assertEqual(re.findall(r"^#?([a-z-]+) = ", text, re.M), keys)

    def test_a_default_of_the_settings_is_taken_where_its_sign_is_taken_away(self):
        text = (self.root / "etc/riftd/riftd.conf").read_text()
        printed = json.loads(run(BUILD / "riftd", "--config", "/dev/null", "--state", "/nowhere", "--print-settings", "--json"))
        with_default = [row["key"] for row in printed["settings"] if row["default"] is not None and row["key"] != "state"]
        self.assertGreater(len(with_default), 2)
        for key in with_default:
            text = re.sub(rf"^#({key} = )", r"\1", text, flags=re.M)
        path = self.folder / "all.conf"
        path.write_text(text)
        run(BUILD / "riftd", "--config", path, "--state", "/nowhere", "--check-config")

    def test_owners_and_modes_are_roots_and_nobody_else_may_write(self):
        for line in run("dpkg-deb", "-c", self.deb).splitlines():
            mode, owner, *_, path = line.split()
            self.assertEqual(owner, "root/root", path)
            self.assertRegex(mode, r"^(d|-)rw[x-]r-[x-]r-[x-]$", path)

    def test_programs_are_stripped(self):
        for name in PROGRAMS:
            self.assertLess((self.root / "usr/bin" / name).stat().st_size, (BUILD / name).stat().st_size)

    def test_the_scripts_are_shell_and_stop_at_a_failure(self):
        for name in ("postinst", "prerm", "postrm"):
            run("dash" if shutil.which("dash") else "sh", "-n", self.folder / "control" / name)
            self.assertIn("\nset -e\n", self.control(name))
            self.assertTrue(os.access(self.folder / "control" / name, os.X_OK), name)

    def test_no_file_names_the_place_where_it_was_built(self):
        found = subprocess.run(["grep", "-rlF", str(BUILD), self.root], capture_output=True, text=True, check=False)
        self.assertEqual(found.stdout, "")

    def test_another_prefix_is_followed_by_the_units_and_settings_stay(self):
        environment = {**os.environ, "DESTDIR": str(self.folder / "dest")}
        settings = self.folder / "dest/etc/riftd/riftd.conf"
        settings.parent.mkdir(parents=True)
        settings.write_text("grace-s = 1min\n")
        run("cmake", "--install", BUILD, "--prefix", "/opt/rift", env=environment)
        unit = (self.folder / "dest/opt/rift/lib/systemd/system/riftd.service").read_text()
        self.assertIn("ExecStart=/opt/rift/bin/riftd ", unit)
        self.assertIn("--web /opt/rift/share/riftd/web", unit)
        self.assertNotIn("/usr/bin/rift", unit)
        self.assertEqual(settings.read_text(), "grace-s = 1min\n")


if __name__ == "__main__":
    for name in ("cpack", "dpkg-deb", "dpkg-shlibdeps"):
        if not shutil.which(name):
            print(f"skipped: {name} is not installed")
            sys.exit(77)
    unittest.main()
