"""Is anything lost, undone or doubled when riftd and its workers are killed, or the power is cut, at random?

Clients submit, cancel, retry and delete jobs with real workers, and listeners follow
the events, while riftd, the workers or both die at moments drawn from a seed, by
SIGKILL or by a power cut (tests/powercut: what wasn't synced is gone or torn). After
every blow to riftd the database and the job directories are held against what clients
were told; every job that ends must have left the same weights, curves and rows as one
that nobody disturbed; in the end no job is left over.

    campaign.py [--kills N] [--cuts M] [--seed S] [--rules strict|ext4] [--pieces P] [--record FILE]

Without cuts it runs without the shim, so kills hit between any two instructions. With
--pieces it is P campaigns with seeds from S on, each on a state directory of its own;
those that FILE knows as done are passed over, so a long one can go on another day.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

BUILD = pathlib.Path(os.environ.get("RIFT_BUILD", "build")).resolve()
SHIM = pathlib.Path(os.environ.get("POWERCUT_SHIM", BUILD / "tests/powercut/libpowercut.so")).resolve()
HERE = pathlib.Path(__file__).resolve().parent
os.environ["RIFTD"] = str(BUILD / "riftd")
os.environ["SCRIPTED_WORKER"] = str(BUILD / "rift-worker")  # what riftd.py starts; here the real one
sys.path[:0] = [str(HERE.parent / folder) for folder in ("daemon", "cli", "powercut")]

from clients import Client, Listener  # noqa: E402
from disk import LEFT, Disk  # noqa: E402
from ledger import Ledger  # noqa: E402
from outcome import outcome  # noqa: E402
from real import rift_spec, write_examples  # noqa: E402
from riftd import Riftd, alive, until  # noqa: E402

KILLS = ("worker", "daemon", "both")
LONGEST_S = 0.7      # the longest wait before a blow at any moment: about as long as a step of a job takes
HEARD_S = 4          # the longest wait for something to happen, to strike right then
MOMENTS = ("state", "started", "checkpoint", "artifact", "finished", "interrupted")
SYNC_US = 4000       # the shim's disk takes up to this long, so that cuts find writes under way
DEEP_EVERY = 5       # kills after which everything is read again; after a cut always
CLIENTS = 3
LIMIT_S = 600        # for the jobs that are left when the last blow has fallen


class Recipe:
    """A spec, and what comes of it when nobody disturbs it."""

    def __init__(self, name, spec):
        self.name, self.spec, self.expected, self.whole = name, spec, None, 0


def recipes(data):
    # A checkpoint every few batches, so that killed work goes forward.
    base = rift_spec(data, checkpoint_every_s=0.02)
    one = {name: base[name] for name in
           ("batch_size", "threads", "model", "dataset", "attack", "optimizer", "checkpoint_every_s")}
    return [Recipe("rift", {**base, "train": {"epochs": 2}, "mrc": {"steps": 2}}),
            Recipe("train", {**one, "kind": "train", "train": {"epochs": 3}}),
            Recipe("standard", {**one, "kind": "train", "train": {"method": "standard", "epochs": 4}})]


class NoDisk:
    """Where no power is cut nothing needs watching."""

    def __init__(self, folder):
        self.root = folder / "disk"
        self.root.mkdir()

    def environment(self):
        return {}

    def verify(self):
        pass

    @contextlib.contextmanager
    def frozen(self):
        yield self


class Campaign:
    def __init__(self, folder, options):
        self.options, self.rng = options, random.Random(options.seed)
        self.disk = Disk(folder, SHIM, options.rules, SYNC_US) if options.cuts else NoDisk(folder)
        self.ledger = Ledger()
        self.over, self.last_orders = threading.Event(), threading.Event()
        self.daemon = Riftd(self.disk.root / "state", "--max-attempts", "1000", "--slots", "cpu:2")
        self.daemon.log_path = folder / "riftd.log"
        self.hits = dict.fromkeys((*KILLS, "cut"), 0)
        self.left = dict.fromkeys(LEFT, 0)
        self.changes_lost = 0
        self.threads, self.started = [], time.monotonic()
        data = str(folder / "tiny.safetensors")
        write_examples(data)
        self.recipes = recipes(data)

    def start(self):
        self.daemon.environment = self.disk.environment()
        self.daemon.start()

    def undisturbed(self):
        """What every later job must come to."""
        for recipe in self.recipes:
            client = Client(self, f"undisturbed-{recipe.name}", self.rng, self.recipes)
            job = client.submit(client.name, json.dumps(recipe.spec))
            end = client.until_ended(job)
            assert end["state"] == "succeeded", end
            recipe.expected = json.loads(json.dumps(outcome(client.get, job)))
        assert self.recipes[0].expected["evaluate"]["evaluations"], "nothing was measured: nothing would be compared"

    def whole(self, recipe):
        with self.ledger.lock:
            recipe.whole += 1

    # ---- the blows ----

    def kill_workers(self):
        """How many there were. They are dead afterwards."""
        pids = self.daemon.workers()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until("the workers to be dead", lambda: not any(alive(pid) for pid in pids))
        return len(pids)

    def strike(self, target):
        """True when it hit: a worker must be there to be killed."""
        with self.disk.frozen() as ice:
            if target == "both" and not self.daemon.workers():
                return False
            if target == "worker":
                hit = self.kill_workers()
            elif target == "daemon":
                self.daemon.kill()
            else:
                self.daemon.kill_all()
            if target == "cut":
                how = self.rng.choice(LEFT)
                self.changes_lost += ice.cut(self.rng, how)
                self.left[how] += 1
        if target == "worker":
            return hit > 0
        blows = sum(self.hits.values())
        self.ledger.check(self.daemon.state, deep=target == "cut" or blows % DEEP_EVERY == 0)
        self.start()
        return True

    def plan(self):
        """Which blows fall, in which order."""
        kills = [KILLS[i % len(KILLS)] for i in range(self.options.kills)]
        blows = kills + ["cut"] * self.options.cuts
        self.rng.shuffle(blows)
        return blows

    def wait(self, longest_s):
        """Until any moment, or until a client has just heard of something."""
        word = self.rng.choice(MOMENTS) if self.rng.random() < 0.4 else None
        moment = time.monotonic() + self.rng.uniform(0, HEARD_S if word else longest_s)
        before = self.ledger.heard[word]
        while time.monotonic() < moment and self.ledger.heard[word] == before:
            time.sleep(0.002)
        self.faults()

    def faults(self):
        for thread in self.threads:
            if thread.fault:
                raise AssertionError(f"{thread.name}: {thread.fault}") from thread.fault

    def progress(self, blow, blows):
        print(f"{time.monotonic() - self.started:6.0f} s  {blow} of {blows} blows {self.hits}; "
              f"{self.ledger.counts}; whole: { {r.name: r.whole for r in self.recipes} }", flush=True)

    # ---- from the first blow to the last job ----

    def run(self):
        self.start()
        self.undisturbed()
        self.threads = [Client(self, f"client-{i}", random.Random(f"{self.options.seed}/{i}"), self.recipes)
                        for i in range(CLIENTS)] + [Listener(self, f"listener-{i}") for i in range(2)]
        for thread in self.threads:
            thread.start()
        blows = self.plan()
        for number, target in enumerate(blows, 1):
            self.wait(LONGEST_S)
            while not self.strike(target):
                self.faults()
                time.sleep(0.01)
            self.hits[target] += 1
            if number % 25 == 0:
                self.progress(number, len(blows))
        self.finish(len(blows))

    def finish(self, blows):
        """Nobody strikes any more: all that was begun must end."""
        self.last_orders.set()
        clients = [thread for thread in self.threads if isinstance(thread, Client)]
        until("all jobs to end", lambda: self.faults() or not any(client.is_alive() for client in clients), LIMIT_S)
        self.faults()
        newest = self.daemon.rows("SELECT MAX(event.id) FROM event JOIN job ON job.number = event.job WHERE gone = 0")[0][0]
        until("all events to reach a listener",  # those of a deleted job are nobody's any more
              lambda: self.faults() or newest is None or newest in self.ledger.events)
        open_jobs = self.daemon.rows("SELECT id, state FROM job WHERE state NOT IN ('succeeded','failed','cancelled')")
        assert not open_jobs, f"left over: {open_jobs}"
        self.over.set()
        self.daemon.stop()
        self.ledger.check(self.daemon.state, deep=True)
        with self.disk.frozen():
            pass
        self.disk.verify()
        self.progress(blows, blows)

    def close(self):
        self.over.set()
        for thread in self.threads:
            thread.join(70)
        with contextlib.suppress(AssertionError, OSError):
            self.daemon.close()


def run(options, record):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-campaign-"))
    campaign = None
    try:
        campaign = Campaign(folder, options)
        campaign.run()
        assert all(campaign.hits[one] for one in KILLS[:options.kills]), f"something was never killed: {campaign.hits}"
        done = {"seed": options.seed, "rules": options.rules, "hits": campaign.hits, "cuts left": campaign.left,
                "unsynced changes lost": campaign.changes_lost, "jobs": len(campaign.ledger.jobs),
                "events": len(campaign.ledger.events), "acknowledged": campaign.ledger.counts,
                "whole": {recipe.name: recipe.whole for recipe in campaign.recipes},
                "seconds": round(time.monotonic() - campaign.started)}
        print(f"nothing lost, undone or doubled: {json.dumps(done)}", flush=True)
        if record:
            with open(record, "a", encoding="utf-8") as file:
                print(json.dumps(done), file=file)
    except BaseException:
        keep = pathlib.Path(f"{folder}-failed")
        if campaign:
            campaign.close()
        folder.rename(keep)
        print(f"seed {options.seed}: the state, the log of changes and riftd's own log are kept in {keep}")
        raise
    else:
        campaign.close()
        shutil.rmtree(folder)


def share(whole, part, parts):
    return whole * (part + 1) // parts - whole * part // parts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rules", choices=("strict", "ext4"), default="strict")
    parser.add_argument("--pieces", type=int, default=1)
    parser.add_argument("--record", metavar="FILE")
    options = parser.parse_args()
    for path in (BUILD / "riftd", BUILD / "rift-worker", *([SHIM] if options.cuts else [])):
        if not os.access(path, os.R_OK):
            print(f"skipped: {path} is not built")
            return 77
    known = set()
    if options.record and os.path.exists(options.record):
        known = {json.loads(line)["seed"] for line in open(options.record, encoding="utf-8")}
    for piece in range(options.pieces):
        one = argparse.Namespace(kills=share(options.kills, piece, options.pieces), rules=options.rules,
                                 cuts=share(options.cuts, piece, options.pieces), seed=options.seed + piece)
        if one.seed not in known:
            run(one, options.record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
