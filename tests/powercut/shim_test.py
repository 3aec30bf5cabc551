"""Does the shim lose what a power cut may lose, and nothing else?

Each case is a little program that runs under the shim; then the power goes.
"""
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest

from disk import LEFT, Disk

SHIM = pathlib.Path(os.environ["POWERCUT_SHIM"])
START = """
import ctypes, os, sqlite3, sys
def put(name, data, how=os.O_CREAT | os.O_WRONLY, sync=True):
    fd = os.open(name, how, 0o640)
    os.write(fd, data)
    if sync:
        os.fsync(fd)
    os.close(fd)
def sync_dir(name="."):
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)
"""


class Cuts(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="powercut-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def disk(self, **more):
        disk = Disk(self.folder / f"d{len(os.listdir(self.folder))}", SHIM, **more)
        self.addCleanup(disk.__exit__)
        return disk

    def run_on(self, disk, program, code=0):
        done = subprocess.run([sys.executable, "-B", "-c", START + program], cwd=disk.root, stderr=subprocess.PIPE,
                              text=True, env={**os.environ, **disk.environment()})
        self.assertEqual(done.returncode, code, done.stderr)

    def cut(self, disk, how="nothing", seed=1):
        with disk.frozen() as ice:
            ice.cut(random.Random(seed), how)

    def left(self, program, how="nothing", seed=1, **more):
        """What is there after the program and a cut: {path: content, or None for a directory}."""
        disk = self.disk(**more)
        self.run_on(disk, program)
        self.cut(disk, how, seed)
        return {str(path.relative_to(disk.root)): None if path.is_dir() else path.read_bytes()
                for path in disk.root.rglob("*")}

    def test_what_was_synced_with_its_name_is_there(self):
        self.assertEqual(self.left("put('a', b'one'); sync_dir()"), {"a": b"one"})

    def test_a_synced_file_whose_directory_was_not_is_gone_in_the_strict_rules_and_there_in_those_of_ext4(self):
        program = "put('a', b'one')"
        self.assertEqual(self.left(program), {})
        self.assertEqual(self.left(program, rules="ext4"), {"a": b"one"})

    def test_a_name_without_synced_content_is_an_empty_file(self):
        self.assertEqual(self.left("put('a', b'one', sync=False); sync_dir()"), {"a": b""})

    def test_a_rename_is_undone_until_the_directory_is_synced(self):
        start = "put('a', b'old'); sync_dir(); put('b', b'new'); os.rename('b', 'a'); "
        self.assertEqual(self.left(start), {"a": b"old"})
        self.assertEqual(self.left(start + "sync_dir()"), {"a": b"new"})

    def test_what_was_removed_is_back_until_the_directory_is_synced(self):
        start = "put('a', b'one'); sync_dir(); os.unlink('a'); "
        self.assertEqual(self.left(start), {"a": b"one"})
        self.assertEqual(self.left(start + "sync_dir()"), {})

    def test_a_directory_stays_only_with_its_own_name_and_so_does_all_below_it(self):
        start = "os.mkdir('d'); put('d/a', b'one'); sync_dir('d'); "
        self.assertEqual(self.left(start), {})
        self.assertEqual(self.left(start + "sync_dir()"), {"d": None, "d/a": b"one"})
        self.assertEqual(self.left(start + "sync_dir(); os.unlink('d/a'); os.rmdir('d')"), {"d": None, "d/a": b"one"})

    def test_links_truncations_and_appends_are_followed(self):
        start = "put('a', b'0123456789'); os.link('a', 'b'); sync_dir(); "
        self.assertEqual(self.left(start + "os.truncate(os.open('a', os.O_WRONLY), 4)"),
                         {"a": b"0123456789", "b": b"0123456789"})
        self.assertEqual(self.left(start + "fd = os.open('a', os.O_WRONLY); os.ftruncate(fd, 4); os.fdatasync(fd)"),
                         {"a": b"0123", "b": b"0123"})
        self.assertEqual(self.left(start + "put('b', b'++', os.O_WRONLY | os.O_APPEND)")["a"], b"0123456789++")
        self.assertEqual(self.left(start + "put('b', b'x', os.O_WRONLY | os.O_TRUNC, sync=False)")["b"], b"0123456789")
        self.assertEqual(self.left(start + "put('b', b'x', os.O_WRONLY | os.O_DSYNC, sync=False)")["b"], b"x123456789")
        self.assertEqual(self.left(start + "fd = os.open('b', os.O_WRONLY); os.pwrite(fd, b'z', 12); os.fsync(fd)")["b"],
                         b"0123456789\0\0z")

    def test_what_is_copied_by_sendfile_is_followed(self):
        program = "put('a', b'0123456789' * 5000); sync_dir(); libc = ctypes.CDLL(None); " \
                  "a, b = os.open('a', os.O_RDONLY), os.open('b', os.O_CREAT | os.O_WRONLY); sent = 1\n" \
                  "while sent > 0: sent = libc.sendfile(b, a, None, ctypes.c_size_t(1 << 20))\n" \
                  "assert sent == 0; os.fsync(b); sync_dir()"
        self.assertEqual(self.left(program)["b"], b"0123456789" * 5000)

    def test_sync_file_range_is_no_sync(self):
        program = "put('a', b'one', sync=False); sync_dir(); fd = os.open('a', os.O_WRONLY); " \
                  "assert ctypes.CDLL(None).sync_file_range(fd, ctypes.c_long(0), ctypes.c_long(0), 7) == 0"
        self.assertEqual(self.left(program), {"a": b""})

    def test_a_sync_covers_what_was_written_before_it_began_and_only_once_it_has_ended(self):
        disk = self.disk(sync_us=2_000_000)
        self.run_on(disk, "put('a', b'one'); sync_dir()")
        program = "import threading; fd = os.open('a', os.O_WRONLY | os.O_APPEND); os.write(fd, b' two'); " \
                  "begun = threading.Thread(target=os.fsync, args=(fd,)); begun.start(); {} os.write(fd, b' three'); {}"
        self.run_on(disk, program.format("import time; time.sleep(0.01);", "begun.join()"))
        self.cut(disk)
        self.assertIn((disk.root / "a").read_bytes(), (b"one two", b"one two three"))  # three: the sync began late
        disk.sync_us = 600_000_000  # it is killed long before, however slow it is
        self.run_on(disk, program.format("", f"os.kill(os.getpid(), {int(signal.SIGKILL)})"), -signal.SIGKILL)
        before = (disk.root / "a").read_bytes()
        self.cut(disk)
        self.assertLess((disk.root / "a").stat().st_size, len(before))

    def test_a_prefix_tears_the_last_write_at_a_sector_and_scattered_sectors_leave_zeros(self):
        program = "put('a', b'', sync=False); sync_dir(); " \
                  "[put('a', bytes([65 + i]) * 1000, os.O_WRONLY | os.O_APPEND, sync=False) for i in range(8)]"
        whole = b"".join(bytes([65 + i]) * 1000 for i in range(8))
        torn = [self.left(program, "prefix", seed)["a"] for seed in range(12)]
        self.assertTrue(all(whole.startswith(text) for text in torn))
        self.assertTrue(any(len(text) % 1000 for text in torn), "never torn")
        self.assertTrue(all(len(text) % 1000 == 0 or len(text) % 512 == 0 for text in torn))
        holes = [self.left(program, "scattered", seed)["a"] for seed in range(4)]
        self.assertTrue(all(text.count(0) and set(text) - {0} for text in holes))
        self.assertTrue(all(mine in (0, its) for text in holes for mine, its in zip(text, whole)))
        self.assertEqual(holes[0], self.left(program, "scattered", 0)["a"], "the same seed, another cut")

    def test_a_change_past_the_shim_fails_the_next_cut(self):
        disk = self.disk()
        self.run_on(disk, "put('a', b'one'); sync_dir()")
        (disk.root / "a").write_bytes(b"two")
        with self.assertRaisesRegex(AssertionError, "other than the 3 that the shim saw"):
            self.cut(disk)
        (disk.root / "a").write_bytes(b"one")
        (disk.root / "b").touch()
        with self.assertRaisesRegex(AssertionError, "b.*which the shim missed"):
            self.cut(disk)

    def test_a_writing_mapping_ends_the_process_and_fails_the_next_cut(self):
        disk = self.disk()
        self.run_on(disk, "put('a', b'one'); import mmap; mmap.mmap(os.open('a', os.O_RDWR), 3)", -signal.SIGABRT)
        with self.assertRaisesRegex(AssertionError, "a mapping that writes"):
            self.cut(disk)

    def test_sqlite_keeps_what_it_committed_with_synchronous_full_and_may_lose_it_without(self):
        program = "db = sqlite3.connect('db', isolation_level=None); db.execute('PRAGMA journal_mode = WAL'); " \
                  "db.execute('PRAGMA synchronous = {}'); db.execute('CREATE TABLE t(x)'); " \
                  "[db.execute('INSERT INTO t VALUES(?)', (i,)) for i in range(20)]; " \
                  f"os.kill(os.getpid(), {int(signal.SIGKILL)})"
        for how in LEFT:
            for level, least in (("FULL", 20), ("NORMAL", 0)):
                disk = self.disk()
                self.run_on(disk, program.format(level), -signal.SIGKILL)
                self.cut(disk, how)
                database = sqlite3.connect(disk.root / "db")
                count = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] and \
                    database.execute("SELECT count(*) FROM t").fetchone()[0]
                self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
                database.close()
                self.assertGreaterEqual(count, least, f"{how}, {level}")
                if level == "NORMAL" and how == "nothing":
                    self.assertEqual(count, 0, "NORMAL doesn't sync: the shim has synced by itself")

    def test_the_boot_has_another_id_after_each_cut(self):
        disk = self.disk()
        before = disk.environment()["POWERCUT_BOOT_ID"]
        self.cut(disk)
        self.assertNotEqual(disk.environment()["POWERCUT_BOOT_ID"], before)


if __name__ == "__main__":
    unittest.main()
