"""Is each thing that a client was told true after a cut at any later moment, down to the very next one?

A client goes through the life of some jobs once, under the shim, and notes how long the
log of changes was when it was told something. Then the power is cut, on paper, exactly
there and at other moments, and what would be left is asked.
"""
import json
import os
import pathlib
import random
import shutil
import sqlite3
import tempfile
import unittest

from disk import LEFT, RECORD, WRITE, Disk
from riftd import Riftd, until

SHIM = os.environ["POWERCUT_SHIM"]
MOMENTS = int(os.environ.get("RIFT_TEST_MOMENTS", 24))  # beside those at which something was told


class Facts:
    """What a client was told, and at which length of the log."""

    def __init__(self, disk):
        self.disk, self.list = disk, []

    def told(self, words, holds, until_size=None):
        self.list.append({"words": words, "holds": holds, "from": self.disk.log.stat().st_size, "to": until_size})
        return self.list[-1]

    def no_longer(self, fact):
        """From now on something else may be true: the request has been sent."""
        fact["to"] = self.disk.log.stat().st_size


def journey(riftd, facts):
    """Every kind of answer once."""
    job = riftd.submit("to:30 finish")
    there = facts.told(f"job {job} is there", lambda ask, state: ask("SELECT 1 FROM job WHERE id = ?", job))
    riftd.wait(job, "succeeded")
    ended = facts.told(f"job {job} has succeeded",
                       lambda ask, state: ask("SELECT 1 FROM job WHERE id = ? AND state = 'succeeded'", job))
    given = events(riftd, job, facts)
    other = riftd.submit("slow:5 to:60 hold:never")
    riftd.wait(other, "running")
    until("measurements", lambda: len(riftd.journal(other)) > 20)
    events(riftd, other, facts)
    assert riftd.ask("POST", f"/v1/jobs/{other}/cancel")[0] == 202
    facts.told(f"job {other} is to be cancelled", lambda ask, state: ask(
        "SELECT 1 FROM job WHERE id = ? AND (cancel_wanted OR state = 'cancelled')", other))
    riftd.wait(other, "cancelled")
    for fact in (there, ended, *given):
        facts.no_longer(fact)
    assert riftd.ask("DELETE", f"/v1/jobs/{job}")[0] == 204
    facts.told(f"job {job} is gone", lambda ask, state: not ask("SELECT 1 FROM job WHERE id = ?", job))


def events(riftd, job, facts):
    """A list of events is told: they are in the database as they were, and the worker's in its journal."""
    told = riftd.ask("GET", f"/v1/jobs/{job}/events?wait=0&limit=1000")[1]["events"]
    said = [event["seq"] for event in told if event.get("seq")]

    def in_database(ask, state):
        rows = {number: json.loads(text) for number, text in ask(
            "SELECT event.id, fields FROM event JOIN job ON job.number = event.job WHERE job.id = ?", job)}
        return all(event["id"] in rows and rows[event["id"]].items() <= event.items() for event in told)

    def in_journal(ask, state):
        path = state / "jobs" / job / "journal.ndjson"
        lines = path.read_bytes().split(b"\n")[:len(said)] if path.exists() else []
        try:
            return [json.loads(line)["seq"] for line in lines] == said
        except ValueError:
            return False

    return [facts.told(f"{len(told)} events of {job} are stored", in_database),
            facts.told(f"{len(said)} events of {job} are in its journal", in_journal)]


class Moments(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="powercut-moments-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def test_what_a_client_was_told_is_true_after_a_cut_at_any_later_moment(self):
        disk = Disk(self.folder / "story", SHIM)
        self.addCleanup(disk.__exit__)
        riftd = Riftd(disk.root / "state", environment=disk.environment())
        riftd.log_path = self.folder / "riftd.log"
        facts = Facts(disk)
        try:
            journey(riftd.start(), facts)
        finally:
            riftd.kill_all()
        story, ends, size = disk.story(), [], 0
        for fields, *_ in story:
            size += RECORD.size + fields[8] + fields[9] + (fields[7] if fields[0] == WRITE else 0)
            ends.append(size)
        told = [sum(end <= fact["from"] for end in ends) for fact in facts.list]
        rng = random.Random(1)
        for moment in sorted({*told, *rng.sample(range(min(told), len(story)), MOMENTS), len(story)}):
            for how in LEFT:
                self.look(disk, story[:moment], ends[moment - 1], facts, rng, how)

    def look(self, disk, story, size, facts, rng, how):
        folder = self.folder / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        disk.imagine(story, folder, rng, how)
        database = sqlite3.connect(folder / "state" / "riftd.db")
        self.addCleanup(database.close)
        ask = lambda sql, *values: database.execute(sql, values).fetchall()  # noqa: E731
        what = f"after {len(story)} changes, {how}"
        self.assertEqual(ask("PRAGMA integrity_check"), [("ok",)], what)
        for fact in facts.list:
            if fact["from"] <= size and (fact["to"] is None or size < fact["to"]):
                self.assertTrue(fact["holds"](ask, folder / "state"), f"{what}: {fact['words']}: no longer")
        database.close()


if __name__ == "__main__":
    unittest.main()
