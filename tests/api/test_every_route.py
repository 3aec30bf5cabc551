#!/usr/bin/env python3
"""What every route has to refuse, and how every route fails: walked over openapi.yaml, so that a new route is in it
from its first day."""
import os
import sqlite3
import unittest

import server

NOBODY = "018bcfe5-6800-7000-8000-000000000000"
HOOK = {"url": "https://example.org/hook", "states": ["failed"]}

# Bodies that would be right, by operation; others take none.
BODIES = {
    "submitJob": server.TRAIN,
    "createModel": {"name": "mine", "job": NOBODY},
    "createToken": {"name": "ci", "role": "read"},
    "createSession": {"token": "rift_nobody00000_secret"},
    "createWebhook": HOOK,
    "changeJob": {"priority": 3},
}


def operations(status):
    """(method, path, operation) of all that document this status."""
    return [(method.upper(), path, operation) for path, item in server.OPENAPI["paths"].items()
            for method, operation in item.items() if method != "parameters" and status in operation["responses"]]


# Streams, where nobody says that a list would do.
def query_of(path):
    return "?wait=0" if path.endswith("/events") else ""


def filled(path, identity=NOBODY):
    name = {"/problems/{name}": "none", "/web/{name}": "nothing.js"}.get(path, "x")
    return path.replace("{id}", identity).replace("{name}", name)


class Refusals(server.Case):
    def ask(self, method, path, operation, query="", **headers):
        return self.server.ask(method, filled(path) + query, BODIES.get(operation["operationId"]), **headers)

    def each(self, status, check):
        found = operations(status)
        self.assertTrue(found)
        for method, path, operation in found:
            with self.subTest(f"{method} {path}"):
                check(method, path, operation)

    def test_every_route_is_deaf_to_a_foreign_host(self):
        self.each("421", lambda *route: self.expect(self.ask(*route, Host="evil.example"), 421, "wrong-host"))

    def test_no_route_that_changes_something_obeys_another_sites_page(self):
        def check(method, *route):
            if method != "GET":
                self.expect(self.ask(method, *route, Sec_Fetch_Site="cross-site"), 403, "cross-origin")
        self.each("403", check)

    def test_every_route_refuses_a_parameter_that_it_doesnt_know(self):
        self.each("400", lambda *route: self.expect(self.ask(*route, "?colour=red"), 400, "bad-query"))

    def test_no_route_takes_a_form_for_json(self):
        self.each("415", lambda method, path, _: self.expect(self.server.ask(
            method, filled(path), "a=b", Content_Type="application/x-www-form-urlencoded"), 415, "unsupported-type"))

    def test_a_body_beyond_the_limit_is_refused_by_every_route(self):
        self.each("413", lambda method, path, _: self.expect(self.server.ask(
            method, filled(path), b'"' + b"x" * 70000 + b'"', Content_Type="application/json"), 413, "too-large"))

    def test_what_isnt_there_is_missed_by_every_route(self):
        def check(method, path, operation):
            if "{" in path:
                self.assertEqual(self.ask(method, path, operation).status, 404)
        self.each("404", check)

    def test_every_change_of_a_job_heeds_if_match(self):
        job = self.submit()["id"]
        self.each("412", lambda method, path, operation: self.expect(self.server.ask(
            method, filled(path, job), BODIES.get(operation["operationId"]), If_Match='"0-0"'), 412, "precondition-failed"))


    def test_files_of_riftds_own_come_in_parts_and_only_when_they_have_changed(self):
        for path in ("/", "/web/app.js", "/v1/openapi.yaml"):
            whole = self.expect(self.server.get(path), 200)
            tag = whole.headers["ETag"]
            self.assertEqual(self.server.get(path, If_None_Match=tag).status, 304)
            self.assertEqual(self.expect(self.server.get(path, Range="bytes=1-3", If_Range=tag), 206).body, whole.body[1:4])
            self.expect(self.server.get(path, Range=f"bytes={len(whole.body)}-"), 416, "bad-range")


class Bare(server.Case):
    """Without a dashboard and without a document."""
    @classmethod
    def make_server(cls):
        return server.Alone(files="/nowhere/in/particular")

    def test_files_that_arent_installed_are_missed(self):
        for path in ("/", "/web/app.js", "/v1/openapi.yaml"):
            self.expect(self.server.get(path), 404, "no-such-route")


class Strangers(server.Case):
    """Once there is a token."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = {}
        for role in ("admin", "submit", "read"):
            made = cls.server.ask("POST", "/v1/tokens", {"name": role, "role": role}, **cls.bearer("admin")).json
            cls.tokens[role] = made["token"]

    @classmethod
    def bearer(cls, role):
        return {"Authorization": f"Bearer {cls.tokens[role]}"} if role in cls.tokens else {}

    def test_without_a_token_every_route_that_needs_one_says_who_are_you(self):
        asked = operations("401")
        self.assertTrue(asked)
        for method, path, operation in asked:
            with self.subTest(f"{method} {path}"):
                answer = self.server.ask(method, filled(path), BODIES.get(operation["operationId"]))
                self.expect(answer, 401, "unauthenticated")
        self.expect(self.server.get("/v1/tokens", **self.bearer("admin")), 200)

    def test_with_too_low_a_role_every_route_that_needs_a_higher_one_says_so(self):
        refused = set()
        for method, path, operation in operations("403"):
            for role in ("read", "submit"):
                answer = self.server.ask(method, filled(path), BODIES.get(operation["operationId"]), **self.bearer(role))
                if answer.status == 403:
                    self.expect(answer, 403, "forbidden")
                    refused.add((method, path))
        self.assertEqual({(method, path) for method, path, _ in operations("403") if path != "/v1/session"}, refused)


class Hasty(server.Case):
    """Who has asked once must wait a second."""
    @classmethod
    def make_server(cls):
        return server.Daemon("--rate-limit", "1", "--rate-burst", "1")

    def test_who_asks_too_often_is_told_by_every_route_when_to_come_back(self):
        asked = operations("429")
        self.assertTrue(asked)
        for method, path, operation in asked:
            with self.subTest(f"{method} {path}"):
                until = server.time.monotonic() + server.DEADLINE_S
                status = None
                while status != 429 and server.time.monotonic() < until:  # a slow machine fills the bucket again
                    answer = self.server.ask(method, filled(path) + query_of(path), BODIES.get(operation["operationId"]))
                    status = answer.status
                self.expect(answer, 429, "too-many-requests")
                self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)


class Broken(unittest.TestCase):
    """The database lacks tables: whatever looks for them fails, and says no more than that."""
    def take_away(self, alone, spare):
        other = sqlite3.connect(os.path.join(alone.dir, "riftd.db"), isolation_level=None)
        other.execute("PRAGMA wal_autocheckpoint = 0")
        tables = other.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
        for (name,) in tables:
            if name not in spare:
                other.execute(f"ALTER TABLE {name} RENAME TO {name}_taken_away")
        other.close()

    def test_every_route_that_needs_the_database_fails_with_500_and_tells_nothing_of_it(self):
        # Once what handlers look for is gone, once what says who asks.
        for spare, least in (({"token", "state"}, 25), ((), 35)):
            alone = server.Alone()
            alone.may_fail = True
            self.take_away(alone, spare)
            failed = 0
            for method, path, operation in operations("500"):
                query = f"?jobs={NOBODY}" if path == "/v1/compare" else ""
                answer = alone.ask(method, filled(path) + query, BODIES.get(operation["operationId"]))
                if answer.status == 500:
                    self.assertEqual(answer.json["code"], "internal")
                    self.assertNotIn(b"no such table", answer.body)
                    failed += 1
            alone.stop()
            self.assertGreaterEqual(failed, least)


class Full(server.Case):
    """The disk is full from the moment that all is prepared."""
    def changes(self):
        """operationId: (path, body[, headers]) of a change that would succeed."""
        def ended():
            job = self.submit()["id"]
            self.server.ask("POST", f"/v1/jobs/{job}/cancel")
            return job

        def made(path, body):
            return self.expect(self.server.ask("POST", path, body), 201).json["id"]

        train = self.submit()["id"]
        path = os.path.join(self.server.job_dir(train), "artifacts", "best.safetensors")
        header = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
        with open(path, "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header + b"x")
        self.server.start(train)
        self.server.event(train, "artifact", name="best.safetensors", size=os.path.getsize(path),
                          sha256=server.sha256_of_file(path))
        self.server.do("move", job=train, state="succeeded")
        model = made("/v1/models", {"name": "one", "job": train})
        hook = made("/v1/webhooks", HOOK)
        token = self.expect(self.server.ask("POST", "/v1/tokens", {"name": "ci", "role": "admin"}), 201).json
        self.server.token = token["token"]
        session = self.expect(self.server.ask("POST", "/v1/session", {"token": token["token"]}), 201)
        cookie = session.headers["Set-Cookie"].split(";")[0]
        spare = made("/v1/tokens", {"name": "spare", "role": "read"})
        return {
            "submitJob": ("/v1/jobs", server.TRAIN),
            "deleteJob": (f"/v1/jobs/{ended()}", None),
            "cancelJob": (f"/v1/jobs/{self.submit()['id']}/cancel", None),
            "retryJob": (f"/v1/jobs/{ended()}/retry", None),
            "createModel": ("/v1/models", {"name": "two", "job": train}),
            "deleteModel": (f"/v1/models/{model}", None),
            "createToken": ("/v1/tokens", BODIES["createToken"]),
            "deleteToken": (f"/v1/tokens/{spare}", None),
            "createSession": ("/v1/session", {"token": token["token"]}),
            "createWebhook": ("/v1/webhooks", HOOK),
            "testWebhook": (f"/v1/webhooks/{hook}/test", None),
            "deleteWebhook": (f"/v1/webhooks/{hook}", None),
            "createBackup": ("/v1/admin/backups", None),
            "changeJob": (f"/v1/jobs/{self.submit()['id']}", {"priority": 3}),
            "deleteSession": ("/v1/session", None, {"Cookie": cookie, "Origin": f"http://127.0.0.1:{self.server.port}"}),
        }

    def ask(self, method, path, body, headers=None):
        return self.server.ask(method, path, body, **(headers or {}))

    def test_every_change_is_refused_with_507_while_the_disk_is_full_and_succeeds_afterwards(self):
        changes = self.changes()
        self.server.may_fail = True
        asked = {operation["operationId"]: method for method, _, operation in operations("507")}
        del asked["deleteBackup"]  # it asks the file system alone
        del asked["drain"], asked["resume"]  # they do nothing twice: below
        for fault, status, code in (("the disk is full", 507, "no-space"), ("a write fails", 500, "internal")):
            self.server.do("disk", fault=fault)
            for name, change in changes.items():
                with self.subTest(name, fault=fault):
                    self.expect(self.ask(asked[name], *change), status, code)
            self.server.do("disk", fault=None)
        for name, change in changes.items():
            with self.subTest(name):
                self.assertLess(self.ask(asked[name], *change).status, 300)
        self.assertEqual(set(asked) - set(changes), set(), "changes that nobody tries with a full disk")

    def test_riftd_is_neither_drained_nor_resumed_while_the_disk_is_full(self):
        self.server.may_fail = True
        for path, drained in (("/v1/admin/drain", True), ("/v1/admin/resume", False)):
            self.server.do("disk", fault="the disk is full")
            self.expect(self.server.ask("POST", path), 507, "no-space")
            self.server.do("disk", fault=None)
            self.assertEqual(self.expect(self.server.ask("POST", path), 200).json, {"drained": drained})


class Limited(server.Case):
    @classmethod
    def make_server(cls):
        return server.Daemon("--owner-queued-max", "1")

    def test_an_owner_whose_jobs_fill_the_queue_hands_in_no_more(self):
        self.expect(self.server.ask("POST", "/v1/admin/drain"), 200)
        job = self.submit()["id"]
        refused = self.expect(self.server.ask("POST", "/v1/jobs", server.TRAIN), 429, "too-many-jobs")
        self.assertEqual(refused.headers["Retry-After"], "60")
        refused = self.expect(self.server.get("/readyz"), 503, "not-ready")
        self.assertEqual(refused.headers["Retry-After"], "10")
        self.expect(self.server.ask("POST", f"/v1/jobs/{job}/cancel"), 202)
        self.submit()


if __name__ == "__main__":
    unittest.main()
