#!/usr/bin/env python3
"""Webhooks as a resource. What is sent, and where to, tests/daemon/webhook_test.py knows."""
import unittest

import server

URL = "https://example.org/hook"


class Webhooks(server.Case):
    def make(self, **more):
        return self.expect(self.server.ask("POST", "/v1/webhooks", {"url": URL, **more}), 201)

    def test_its_secret_is_shown_once(self):
        made = self.make()
        webhook = made.json
        self.assertEqual(made.headers["Location"], f"/v1/webhooks/{webhook['id']}")
        self.assertRegex(webhook.pop("secret"), "^[0-9a-f]{64}$")
        self.assertEqual(webhook["states"], ["succeeded", "failed", "cancelled"])
        self.assertEqual(self.server.get(f"/v1/webhooks/{webhook['id']}").json, webhook)
        self.assertIn(webhook, self.server.get("/v1/webhooks").json["webhooks"])
        self.assertEqual(self.make(secret="s" * 16).json["secret"], "s" * 16)

    def test_everything_wrong_is_named(self):
        for body, pointers in (
                ({}, ["/url"]), ({"url": 7, "states": "all"}, ["/url", "/states"]),
                ({"url": "ftp://example.org/"}, ["/url"]), ({"url": "http://"}, ["/url"]), ({"url": "http:///x"}, ["/url"]),
                ({"url": "http://user@example.org/"}, ["/url"]), ({"url": "http://example.org/a b"}, ["/url"]),
                ({"url": "http://example.org/\u00e4"}, ["/url"]), ({"url": "http://example.org/" + "x" * 2000}, ["/url"]),
                ({"url": URL, "states": []}, ["/states"]), ({"url": URL, "states": ["done"]}, ["/states"]),
                ({"url": URL, "states": ["failed", "failed"]}, ["/states"]),
                ({"url": URL, "secret": "short"}, ["/secret"]), ({"url": URL, "secret": "s" * 101}, ["/secret"]),
                ({"url": URL, "jobs": "mine"}, ["/jobs"]), ({"url": URL, "more": 1}, [""]), ([], [""])):
            with self.subTest(body=str(body)[:80]):
                answer = self.expect(self.server.ask("POST", "/v1/webhooks", body), 422, "bad-webhook")
                self.assertEqual([error["pointer"] for error in answer.json["errors"]], pointers)
        self.expect(self.server.ask("POST", "/v1/webhooks", "{", Content_Type="application/json"), 400, "bad-json")

    def test_a_change_of_state_is_put_down_for_those_who_want_it(self):
        self.drain()
        every, ends = self.make(states=["queued", "running", "failed"]).json["id"], self.make().json["id"]
        job = self.submit(label="told")
        self.server.run(job["id"], "failed", error={"code": "made_up", "message": "said \"so\""})

        def told(webhook):
            return self.server.get(f"/v1/webhooks/{webhook}/deliveries").json["deliveries"]

        self.assertEqual([one["body"]["state"] for one in told(every)], ["failed", "running", "queued"])
        self.assertEqual([one["body"]["state"] for one in told(ends)], ["failed"])
        one = told(ends)[0]
        self.assertEqual((one["state"], one["attempts"], one["status"]), ("waiting", 0, None))
        self.assertEqual(one["body"]["error"], {"code": "made_up", "message": "said \"so\""})
        self.assertEqual(one["body"]["job"], {"id": job["id"], "kind": "train", "label": "told", "owner": None, "parent": None})
        self.assertEqual(one["body"]["event"], one["event"])
        events = self.server.get(f"/v1/jobs/{job['id']}/events?wait=0").json["events"]
        self.assertIn(one["event"], [event["id"] for event in events])
        self.expect(self.server.ask("DELETE", f"/v1/jobs/{job['id']}"), 204)
        self.assertEqual(told(ends)[0], one)
        for webhook in (every, ends):
            self.expect(self.server.ask("DELETE", f"/v1/webhooks/{webhook}"), 204)
            self.expect(self.server.get(f"/v1/webhooks/{webhook}/deliveries"), 404, "no-such-webhook")

    def test_what_is_not_there_is_not_found(self):
        nobody = "/v1/webhooks/00000000-0000-4000-8000-000000000000"
        self.expect(self.server.get(nobody), 404, "no-such-webhook")
        self.expect(self.server.ask("DELETE", nobody), 404, "no-such-webhook")
        self.expect(self.server.ask("POST", nobody + "/test"), 404, "no-such-webhook")
        webhook = self.make().json["id"]
        self.expect(self.server.ask("POST", f"/v1/webhooks/{webhook}/test"), 202)
        self.expect(self.server.get(f"/v1/webhooks/{webhook}/deliveries?limit=0"), 400, "bad-query")


if __name__ == "__main__":
    unittest.main(verbosity=2)
