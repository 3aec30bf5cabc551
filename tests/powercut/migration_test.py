"""Is a database whole, and its copy there, when the power is cut at any moment of an upgrade?

riftd upgrades a database of each released schema (tests/db/fixtures) once, under the
shim. Then the power is cut, on paper, after each sync of that story and between, and
what would be left is looked at.
"""
import os
import pathlib
import random
import shutil
import sqlite3
import tempfile
import unittest

from disk import LEFT, SYNC_BEGIN, SYNC_END, Disk
from riftd import Riftd

SHIM = os.environ["POWERCUT_SHIM"]
FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "db" / "fixtures"
MOMENTS = int(os.environ.get("RIFT_TEST_MOMENTS", 16))  # of each upgrade


def look(path, questions):
    """(version, answers) of a database, which must be whole."""
    database = sqlite3.connect(path)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
        assert database.execute("PRAGMA foreign_key_check").fetchall() == [], path
        rows = [sorted(database.execute(question).fetchall(), key=repr) for question in questions]
        return database.execute("PRAGMA user_version").fetchone()[0], rows
    finally:
        database.close()


def old_tables(path):
    """Queries of all the old tables' columns."""
    database = sqlite3.connect(path)
    tables = [name for name, in database.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")]
    columns = {table: [row[1] for row in database.execute(f"PRAGMA table_info({table})")] for table in tables}
    database.close()
    on_the_way = {"state": " WHERE name <> 'rollups_due'"}
    return [f"SELECT {','.join(names)} FROM {table}{on_the_way.get(table, '')}" for table, names in columns.items()]


class Upgrades(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="powercut-upgrade-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def upgraded(self, version):
        """The disk before the upgrade, the story of it, and the version it came to."""
        folder = self.folder / str(version)
        disk = Disk(folder, SHIM)
        self.addCleanup(disk.__exit__)
        state = disk.root / "state"
        (state / "jobs").mkdir(parents=True)
        database = sqlite3.connect(state / "riftd.db")
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript((FIXTURES / f"schema-{version}.sql").read_text())
        # What runs would be started again, and what waits be run, told or removed: this is about the upgrade alone.
        database.execute("UPDATE job SET state = 'cancelled' WHERE state IN ('running', 'queued', 'blocked')")
        if version >= 4:
            database.execute("UPDATE delivery SET done_ms = 1 WHERE done_ms = 0")
            database.execute("DELETE FROM doomed")
        database.commit()
        database.close()
        disk.load()
        riftd = Riftd(state, "--retain-checkpoints", "0", "--retain-audit", "0", environment=disk.environment())
        riftd.log_path = folder / "riftd.log"
        riftd.start()
        newest = riftd.rows("PRAGMA user_version")[0][0]
        story = disk.story()
        riftd.kill()
        return disk, story, newest

    def test_after_a_cut_at_any_moment_the_database_is_of_one_version_whole_and_has_its_copy(self):
        for version in sorted(int(path.stem.removeprefix("schema-")) for path in FIXTURES.glob("schema-*.sql")):
            disk, story, newest = self.upgraded(version)
            if version == newest:  # it will be an old one some day
                continue
            before = self.folder / f"before-{version}"
            disk.imagine([], before, random.Random(0), "nothing")
            questions = old_tables(before / "state" / "riftd.db")
            old, rows = look(before / "state" / "riftd.db", questions)
            self.assertEqual(old, version)
            rng = random.Random(version)
            syncs = [i + 1 for i, record in enumerate(story) if record[0][0] in (SYNC_BEGIN, SYNC_END)]
            moments = sorted({*rng.sample(syncs, min(len(syncs), MOMENTS)), *rng.sample(range(len(story)), MOMENTS),
                              len(story)})
            seen = set()
            for moment in moments:
                for how in LEFT:
                    seen.add(self.cut(disk, story[:moment], version, newest, questions, rows, rng, how))
            self.assertIn(version, seen)
            self.assertIn(newest, seen)

    def cut(self, disk, story, version, newest, questions, rows, rng, how):
        folder = self.folder / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        disk.imagine(story, folder, rng, how)
        now, found = look(folder / "state" / "riftd.db", questions)
        what = f"schema {version}, after {len(story)} records, {how}: schema {now}"
        self.assertTrue(version <= now <= newest, what)
        self.assertEqual(found, rows, what)
        if now > version:
            kept = folder / "state" / f"riftd.db.before-schema-{newest}"
            self.assertTrue(kept.exists(), what)
            self.assertEqual(look(kept, questions), (version, rows), what)
        return now


if __name__ == "__main__":
    unittest.main()
