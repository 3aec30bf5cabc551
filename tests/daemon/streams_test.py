"""Does a reader of a stream miss or double anything when riftd dies in between?"""

import http.client
import unittest

from daemon_test import Case
from riftd import PATIENCE_S, until


def read(riftd, path, last, most):
    """Up to `most` events as (id, type), with Last-Event-ID when there is one; less when the stream breaks or ends."""
    connection = http.client.HTTPConnection("127.0.0.1", riftd.port, timeout=PATIENCE_S)
    connection.request("GET", path, headers={"Last-Event-ID": str(last)} if last else {})
    answer = connection.getresponse()
    events, event = [], {}
    try:
        while len(events) < most and (line := answer.readline()):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name in ("id", "event", "data"):
                event[name] = value
            elif not name and event:
                events.append((int(event["id"]), event["event"]) if "id" in event else (None, event.get("event")))
                event = {}
    except (http.client.HTTPException, OSError):
        pass  # riftd is gone: come back later
    connection.close()
    return events


class Streams(Case):
    def test_a_stream_goes_on_without_gap_or_double_across_deaths_of_riftd(self):
        riftd = self.riftd()
        job = riftd.submit("slow:1 to:150 hold:one to:300 hold:two to:400 finish")
        path = f"/v1/jobs/{job}/events"
        seen = []
        for number, hold in enumerate(("one", "two", None)):
            last = seen[-1][0] if seen else None
            seen += read(riftd, path, last, 100 if hold else 100000)
            if hold:
                # Dead in the midst of what is being written; the worker goes on alone.
                riftd.kill()
                riftd.release(job, hold)
                until("the worker wrote on", lambda: len(riftd.journal(job)) > 150 * (number + 1))
                riftd.start()
        self.assertEqual(seen[-1], (None, "end"))
        self.assertNotIn("reset", [kind for _, kind in seen])
        _, answer = riftd.ask("GET", f"{path}?wait=0&limit=1000")
        self.assertEqual(seen[:-1], [(one["id"], one["type"]) for one in answer["events"]])
        self.assertEqual(sum(kind == "metric" for _, kind in seen), 400)
        self.assertEqual(answer["last"], seen[-2][0])


if __name__ == "__main__":
    unittest.main()
