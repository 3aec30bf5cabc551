"""What has riftd acknowledged, and does its database still say so?

Clients write down every answer and every event that reached them, whole. After a
kill or a power cut, before riftd starts again, the database (a copy: nobody may
touch the real one meanwhile) and the job directories are held against it.
"""
import collections
import contextlib
import hashlib
import json
import shutil
import sqlite3
import tempfile
import threading

ENDED = ("succeeded", "failed", "cancelled")
# The table at the top of db/jobs.c.
MOVES = {None: ("queued", "blocked"), "blocked": ("queued", "cancelled"), "queued": ("running", "cancelled"),
         "running": ("queued", *ENDED), "succeeded": (), "failed": ("queued", "blocked"),
         "cancelled": ("queued", "blocked")}
# What a worker says once: two events with these members alike are one event doubled.
IDENTITY = {"metric": ("name", "step"), "module": ("module", "pass"), "alpha": ("alpha",), "evaluation": ("name",),
            "artifact": ("name", "sha256"), "finished": ()}


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.jobs = {}       # key -> id: acknowledged submissions
        self.deleted = {}    # id -> True: acknowledged, False: asked for
        self.cancelled = set()  # ids: acknowledged, and not asked to be retried since
        self.events = {}     # id -> what a client was given
        self.heard = collections.Counter()  # events of each type
        self.checked = {}    # id -> the row it was when last checked
        self.counts = dict.fromkeys(("submits", "replays", "cancels", "retries", "deletes", "events"), 0)

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def submitted(self, key, job):
        with self.lock:
            known = self.jobs.setdefault(key, job)
            assert known == job, f"Idempotency-Key {key} gave job {known} first and {job} now"

    def forget(self, job, acknowledged):
        with self.lock:
            self.deleted[job] = acknowledged
            self.cancelled.discard(job)

    def event(self, number, text):
        """A client was given this; whoever gets it again must get the same."""
        with self.lock:
            known = self.events.setdefault(number, text)
            self.counts["events"] += 1
            self.heard[json.loads(text)["type"]] += 1
        assert known == text, f"event {number} was {known} and is {text}"

    # ---- the database against it ----

    def check(self, state, deep):
        """riftd is down. deep: also the database's own consistency, every file, every journal."""
        assert (state / "riftd.db").exists(), f"{state} has no database any more"
        with copied(state) as database, self.lock:
            if deep:
                for pragma in ("integrity_check", "foreign_key_check"):
                    found = database.execute(f"PRAGMA {pragma}").fetchall()
                    assert found in ([], [("ok",)]), f"{pragma}: {found}"
            self._jobs(database)
            self._events(database)
            if deep:
                files(database, state)

    def _jobs(self, database):
        there = {job: (state, wanted) for job, state, wanted in
                 database.execute("SELECT id, state, cancel_wanted FROM job WHERE gone = 0")}
        keys = dict(database.execute("SELECT key, job.id FROM idempotency JOIN job ON job.number = idempotency.job"))
        for key, job in self.jobs.items():
            if job in self.deleted:
                assert not self.deleted[job] or job not in there, f"job {job} was deleted and is back"
                continue
            assert job in there, f"job {job}, acknowledged for key {key}, is lost"
            assert keys.get(key) == job, f"key {key} was job {job} and is {keys.get(key)}"
        top = [job for job, in database.execute("SELECT id FROM job WHERE parent IS NULL AND gone = 0")]
        assert len(keys) == len(top), f"{len(top)} jobs for {len(keys)} keys: one was doubled"
        for job in self.cancelled:
            state, wanted = there[job]
            assert wanted or state in ENDED, f"job {job}, whose cancellation was acknowledged, is {state}"

    def _events(self, database):
        rows = {number: (job, seq, kind, text) for number, job, seq, kind, text in database.execute(
            "SELECT event.id, job.id, seq, type, fields FROM event JOIN job ON job.number = event.job WHERE gone = 0")}
        alive = {job for job, in database.execute("SELECT id FROM job WHERE gone = 0")}
        for number, text in self.events.items():
            known = self.checked.get(number)
            row = rows.get(number)
            if known is None:
                given = json.loads(text)
                if row is None:
                    assert given["job"] not in alive, f"event {number}, which a client was given, is lost: {text}"
                    continue
                stored = {**json.loads(row[3]), "id": number, "job": row[0], "type": row[2]}
                assert stored == given, f"event {number} was given as {text} and is {row}"
                self.checked[number] = row
            elif row is None:
                assert known[0] not in alive, f"event {number}, which a client was given, is lost: {known}"
            else:
                assert row == known, f"event {number} was {known} and is {row}"
        last = max(self.events, default=0)
        missed = [number for number in rows if number <= last and number not in self.events]
        assert not missed, f"events {missed[:9]} were never given to a listener that has heard of {last}"


@contextlib.contextmanager
def copied(state):
    """A connection to a copy of riftd's database."""
    with tempfile.TemporaryDirectory(prefix="rift-ledger-") as folder:
        for name in ("riftd.db", "riftd.db-wal"):
            if (state / name).exists():
                shutil.copy(state / name, folder)
        database = sqlite3.connect(f"{folder}/riftd.db")
        try:
            yield database
        finally:
            database.close()


def files(database, state):
    """Every announced artifact lies there whole, the database isn't ahead of any journal, states moved as drawn."""
    for job, now, name, size, sha256 in database.execute(
            "SELECT job.id, state, name, size, artifact.sha256 FROM artifact JOIN job ON job.number = artifact.job"):
        path = state / "jobs" / job / "artifacts" / name
        assert path.exists(), f"artifact {name} of job {job} was announced and isn't there"
        content = path.read_bytes()
        same = (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)
        # A job that goes on may have put a better one in its place, and riftd hasn't read of it yet.
        assert same or now not in ENDED, f"{path} isn't what was announced"
    for job, state_now, offset in database.execute("SELECT id, state, journal_offset FROM job WHERE gone = 0").fetchall():
        path = state / "jobs" / job / "journal.ndjson"
        text = path.read_bytes() if path.exists() else b""
        assert len(text) >= offset, f"{path}: {offset} bytes were read from it, {len(text)} are left"
        stored = [row[0] for row in database.execute(
            "SELECT fields FROM event JOIN job ON job.number = event.job WHERE job.id = ? AND seq > 0 ORDER BY event.id",
            (job,))]
        lines = [json.loads(line) for line in text[:offset].splitlines()]
        assert [json.loads(fields) for fields in stored] == lines, f"{path}: another story than the database's"
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1)), f"{path}: numbers jump"
        once(job, lines)
        moves = [json.loads(row[0])["state"] for row in database.execute(
            "SELECT fields FROM event JOIN job ON job.number = event.job WHERE job.id = ? AND type = 'state' AND seq = 0"
            " ORDER BY event.id", (job,))]
        for before, after in zip([None, *moves], moves):
            assert after in MOVES[before], f"job {job} went from {before} to {after}: {moves}"
        assert moves[-1] == state_now, f"job {job} is {state_now}; its events end with {moves[-1]}"


def once(job, events):
    told = set()
    for event in events:
        members = IDENTITY.get(event["type"])
        if members is not None:
            key = (event["type"], *(event.get(member) for member in members))
            assert key not in told, f"job {job}: said twice: {key}"
            told.add(key)
