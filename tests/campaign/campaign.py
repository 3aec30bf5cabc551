"""Is anything lost or doubled when riftd and its workers are killed at random?

The same small rift job (five steps, real worker) runs once undisturbed and then
again and again while riftd, the worker or both are killed with SIGKILL at
moments drawn from a seed. However it went, the job must end with the same
weights, the same curves, the same rows, and every event stored once.

    campaign.py [--kills N] [--seed S]
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("RIFT_BUILD", "build")).resolve()
HERE = pathlib.Path(__file__).resolve().parent
os.environ["RIFTD"] = str(BUILD / "riftd")
os.environ["SCRIPTED_WORKER"] = str(BUILD / "rift-worker")  # what riftd.py starts; here the real one
sys.path[:0] = [str(HERE.parent / "daemon"), str(HERE.parent / "cli")]

from real import rift_spec, write_examples  # noqa: E402
from riftd import Riftd, until  # noqa: E402

TARGETS = ("worker", "daemon", "both")
# The longest wait before a kill: about as long as a step of the job takes.
LONGEST_S = 0.7
LIMIT_S = 300  # for one job, however often it is killed


def spec(data):
    # A checkpoint every few batches, so that killed work goes forward.
    return rift_spec(data, checkpoint_every_s=0.02, train={"epochs": 3}, mrc={"steps": 2}, finetune={"epochs": 2})


def start(state):
    return Riftd(state, "--max-attempts", "1000").start()


def kill_worker(daemon):
    """True when there was one to kill."""
    pids = daemon.workers()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return bool(pids)


def strike(daemon, target):
    """Kill, and start riftd again if it was hit. What died: a target, or None (no worker was there)."""
    worker = target != "daemon" and kill_worker(daemon)
    if target == "worker":
        return "worker" if worker else None
    daemon.kill()
    daemon.start()
    return "both" if worker else "daemon"


def ended(daemon, job):
    return daemon.job(job)["state"] in ("succeeded", "failed", "cancelled")


def timeless(rows):
    return [{name: value for name, value in row.items() if name not in ("seq", "time_ms")} for row in rows]


def record(daemon, job):
    """What the job left behind, without times and places."""
    steps = daemon.job(job)["steps"]
    seen = {"table": daemon.job(job)["result"]}
    for step in steps:
        kind, path = step["kind"], f"/v1/jobs/{step['id']}"
        ask = lambda tail: daemon.ask("GET", path + tail)[1]
        seen[kind] = {
            "result": daemon.job(step["id"])["result"],
            "artifacts": sorted((a["name"], a["sha256"]) for a in ask("/artifacts")["artifacts"]),
            "modules": timeless(ask("/modules")["modules"]),
            "points": timeless(ask("/interpolation")["points"]),
            "evaluations": timeless(ask("/evaluations")["evaluations"]),
            "curves": {s["name"]: [(p["step"], p["epoch"], p["value"])
                                   for p in ask(f"/metrics?name={s['name']}&max_points=2000")["points"]]
                       for s in ask("/metrics")["series"]},
        }
        once(daemon, step)
    return json.loads(json.dumps(seen))


IDENTITY = {"metric": ("name", "step"), "module": ("module", "pass"), "alpha": ("alpha",), "evaluation": ("name",),
            "artifact": ("name", "sha256"), "finished": ()}


def once(daemon, step):
    """Every event is in the journal once and in the database once."""
    journal = daemon.journal(step["id"])
    sequence = [event["seq"] for event in journal]
    assert sequence == list(range(1, len(journal) + 1)), f"{step['kind']}: sequence numbers {sequence}"
    told = set()
    for event in journal:
        members = IDENTITY.get(event["type"])
        if members is None:
            continue
        key = (event["type"], *(event.get(m) for m in members))
        assert key not in told, f"{step['kind']}: said twice: {key}"
        told.add(key)
    stored = [row[0] for row in daemon.rows(
        "SELECT seq FROM event JOIN job ON job.number = event.job WHERE job.id = ? AND seq > 0 ORDER BY event.id",
        step["id"])]
    assert stored == sequence, f"{step['kind']}: database has {len(stored)} events, journal {len(sequence)}"


def disturbed(daemon, data, rng, kills, hits):
    """One job under fire, counted in hits by what died. Returns the job's id."""
    status, job = daemon.ask("POST", "/v1/jobs", spec(data))
    assert status == 201, job
    deadline = time.monotonic() + LIMIT_S
    while not ended(daemon, job["id"]):
        assert time.monotonic() < deadline, f"not done in {LIMIT_S} s: {daemon.job(job['id'])}"
        moment = time.monotonic() + rng.uniform(0, LONGEST_S)
        target = rng.choice([one for one in TARGETS if hits[one] == min(hits.values())])  # each gets its share
        while time.monotonic() < moment and not ended(daemon, job["id"]):
            time.sleep(0.01)
        if sum(hits.values()) < kills and not ended(daemon, job["id"]):
            hit = strike(daemon, target)
            if hit:
                hits[hit] += 1
    return job["id"]


def difference(a, b, path=""):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(set(a) | set(b)):
            found = difference(a.get(key), b.get(key), f"{path}/{key}")
            if found:
                return found
        return None
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            found = difference(x, y, f"{path}/{i}")
            if found:
                return found
        return None
    return None if a == b else f"{path}: undisturbed {str(a)[:200]}, disturbed {str(b)[:200]}"


def run(kills, seed):
    rng = random.Random(seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rift-campaign-"))
    data = str(folder / "tiny.safetensors")
    write_examples(data)
    daemon = start(folder / "state")
    try:
        status, first = daemon.ask("POST", "/v1/jobs", spec(data))
        assert status == 201, first
        until("the undisturbed job to end", lambda: ended(daemon, first["id"]), LIMIT_S)
        assert daemon.job(first["id"])["state"] == "succeeded", daemon.job(first["id"])
        expected = record(daemon, first["id"])
        assert expected["evaluate"]["evaluations"], "nothing was measured, so nothing would be compared"
        hits, jobs = dict.fromkeys(TARGETS, 0), 0
        while sum(hits.values()) < kills:
            job = disturbed(daemon, data, rng, kills, hits)
            jobs += 1
            body = daemon.job(job)
            assert body["state"] == "succeeded", body
            found = difference(expected, record(daemon, job))
            assert not found, found
            print(f"job {jobs}: the same weights, curves and rows after {hits} of {kills} kills", flush=True)
        assert daemon.rows("PRAGMA integrity_check") == [("ok",)]
        assert all(hits.values()), f"something was never killed: {hits}"
        print(f"{hits} kills, {jobs} jobs: nothing lost, nothing doubled (seed {seed})")
    finally:
        daemon.close()
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.kills < len(TARGETS):
        parser.error(f"--kills: at least {len(TARGETS)}, one for each of {', '.join(TARGETS)}")
    for name in ("riftd", "rift-worker"):
        if not os.access(BUILD / name, os.X_OK):
            print(f"skipped: {BUILD / name} is not built")
            return 77
    run(options.kills, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
