"""Who uses riftd while it is killed, and doesn't let go?

A client submits under an Idempotency-Key and asks again and again until an answer
has come through whole, as a careful script would; then it may cancel, retry and
delete. A listener keeps an event stream open and resumes it with Last-Event-ID.
Both write down in the ledger what they were told.
"""
import http.client
import json
import threading
import time

from ledger import ENDED
from outcome import difference, outcome

PATIENCE_S = 600  # for one job, however often it is killed


class Stopped(Exception):
    """The campaign is over, or somebody has found a fault."""


class Thread(threading.Thread):
    """Runs until told to stop; what went wrong is kept for the main thread."""

    def __init__(self, campaign, name):
        super().__init__(name=name, daemon=True)
        self.campaign, self.ledger, self.fault = campaign, campaign.ledger, None

    def run(self):
        try:
            self.work()
        except Stopped:
            pass
        except BaseException as fault:  # pylint: disable=broad-except
            self.fault = fault

    def pause(self):
        if self.campaign.over.is_set():
            raise Stopped
        time.sleep(0.05)


def exchange(port, method, path, body=None, headers=None):
    """One answer, whole: (status, JSON or None). Raises when it didn't come through."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        if body is not None:
            headers = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    return answer.status, json.loads(text) if text else None


class Client(Thread):
    def __init__(self, campaign, name, rng, recipes):
        super().__init__(campaign, name)
        self.rng, self.recipes, self.journeys = rng, recipes, 0

    def insist(self, method, path, body=None, headers=None):
        """Until an answer has come through. Returns (status, JSON, how often it was asked)."""
        asked = 0
        while True:
            asked += 1
            try:
                return *exchange(self.campaign.daemon.port, method, path, body, headers), asked
            except (OSError, http.client.HTTPException):
                self.pause()

    def get(self, path):
        status, body, _ = self.insist("GET", path)
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    def submit(self, key, body):
        status, job, asked = self.insist("POST", "/v1/jobs", body, {"Idempotency-Key": key})
        assert status == 201 or (status == 200 and (asked > 1 or key in self.ledger.jobs)), f"{key}: {status} {job}"
        self.ledger.submitted(key, job["id"])
        return job["id"]

    def until_ended(self, job, on_look=lambda: None):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            body = self.get(f"/v1/jobs/{job}")
            if body["state"] in ENDED:
                return body
            assert time.monotonic() < deadline, f"stuck: after {PATIENCE_S} s {body}"
            on_look()
            self.pause()

    def cancel(self, job):
        status, body, _ = self.insist("POST", f"/v1/jobs/{job}/cancel")
        assert status in (202, 409), f"cancel: {status} {body}"  # 409: it has ended
        with self.ledger.lock:
            self.ledger.cancelled.add(job)
        self.ledger.count("cancels")

    def retry(self, job):
        with self.ledger.lock:
            self.ledger.cancelled.discard(job)
        status, body, asked = self.insist("POST", f"/v1/jobs/{job}/retry")
        assert status == 202 or (status == 409 and asked > 1), f"retry: {status} {body}"
        self.ledger.count("retries")

    def delete(self, job):
        self.ledger.forget(job, False)
        status, body, asked = self.insist("DELETE", f"/v1/jobs/{job}")
        assert status == 204 or (status == 404 and asked > 1), f"delete: {status} {body}"
        self.ledger.forget(job, True)
        self.ledger.count("deletes")
        status, _, _ = self.insist("GET", f"/v1/jobs/{job}")
        assert status == 404, f"job {job} was deleted and answers {status}"

    def journey(self):
        """One job from its submission to its end or its deletion."""
        recipe = self.rng.choice(self.recipes)
        self.journeys += 1
        key, body = f"{self.name}-{self.journeys}", json.dumps(recipe.spec)
        job = self.submit(key, body)
        self.ledger.count("submits")
        fate = self.rng.random()
        if fate < 0.4:  # somebody wants it stopped, at once or in the middle
            for _ in range(self.rng.choice((0, 2, 10, 30))):
                self.pause()
            self.cancel(job)
            state = self.until_ended(job)["state"]
            assert state in ("cancelled", "succeeded"), f"job {job} was cancelled and {state}"
            if state == "cancelled" and fate < 0.25:
                self.retry(job)
        if self.rng.random() < 0.3:
            assert self.submit(key, body) == job
            self.ledger.count("replays")
        end = self.until_ended(job)
        if end["state"] == "cancelled":
            assert job in self.ledger.cancelled, f"job {job} is cancelled and nobody wanted that: {end}"
        else:
            assert end["state"] == "succeeded", f"job {job}: {end}"
            found = difference(recipe.expected, json.loads(json.dumps(outcome(self.get, job))))
            assert not found, f"job {job} ({recipe.name}): {found}"
            self.campaign.whole(recipe)
        if self.rng.random() < 0.7:
            self.delete(job)

    def work(self):
        while not self.campaign.last_orders.is_set():
            self.journey()


class Listener(Thread):
    """All jobs' events, from the first on."""

    def work(self):
        self.last = 0
        while True:
            try:
                self.listen()
            except (OSError, http.client.HTTPException):
                pass
            self.pause()

    def listen(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.campaign.daemon.port, timeout=5)
        try:
            connection.request("GET", "/v1/events", headers={"Accept": "text/event-stream",
                                                             "Last-Event-ID": str(self.last)})
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            event = {}
            while not self.campaign.over.is_set():
                line = answer.readline()
                if not line.endswith(b"\n"):
                    return  # cut off: what isn't whole wasn't said
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    event[name] = value
                    continue
                if "id" in event:
                    number = int(event["id"])
                    assert number > self.last, f"event {number} after {self.last}"
                    self.ledger.event(number, event["data"])
                    self.last = number
                event = {}
        finally:
            connection.close()
