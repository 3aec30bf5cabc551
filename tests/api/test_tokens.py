#!/usr/bin/env python3
"""Who may do what: tokens, sessions, owners, and those who show nothing."""
import http.client
import json
import os
import pwd
import re
import socket
import sqlite3
import time
import unittest

import server
from server import TRAIN
from test_streams import Stream

NEVER = "rift_aaaaaaaaaaaa_" + "0" * 43


class OverSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=server.DEADLINE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Case(server.Case):
    def token(self, role, **more):
        body = {"name": f"a {role}", "role": role, **more}
        return self.expect(self.server.ask("POST", "/v1/tokens", body), 201).json

    def bearer(self, token):
        return {"Authorization": f"Bearer {token['token'] if isinstance(token, dict) else token}"}

    def as_(self, token, method, path, body=None, **headers):
        return self.server.ask(method, path, body, **self.bearer(token), **headers)


class BeforeTheFirst(Case):
    def test_on_loopback_everybody_is_an_admin_until_a_token_is_made(self):
        who = self.expect(self.server.get("/v1/session"), 200).json
        self.assertEqual(who, {"owner": "", "role": "admin", "token": None, "session": False, "expires_at": None})
        self.assertIsNone(self.submit()["owner"])
        self.assertEqual(self.server.get("/v1/tokens").json, {"tokens": []})

    def test_a_wrong_token_is_refused_even_where_none_is_needed(self):
        answer = self.expect(self.as_(NEVER, "GET", "/v1/jobs"), 401, "unauthenticated")
        self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="riftd", error="invalid_token"')

    def test_a_cookie_left_from_another_day_does_no_harm(self):
        self.expect(self.server.get("/v1/jobs", Cookie=f"rift_session={NEVER}"), 200)

    def test_who_comes_through_a_proxy_is_not_believed_to_be_here(self):
        for header in ("X_Forwarded_For", "Forwarded", "Via", "X_Real_IP", "X_Forwarded_Proto"):
            self.expect(self.server.get("/v1/jobs", **{header: "127.0.0.1"}), 401, "unauthenticated")
            self.expect(self.server.get("/healthz", **{header: "127.0.0.1"}), 200)


class Tokens(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.admin = cls.server.ask("POST", "/v1/tokens", {"name": "the admin", "role": "admin"}).json
        cls.server.token = cls.admin["token"]

    def test_the_first_token_closes_the_door(self):
        self.server.token, kept = None, self.server.token
        self.addCleanup(setattr, self.server, "token", kept)
        answer = self.expect(self.server.get("/v1/jobs"), 401, "unauthenticated")
        self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="riftd"')
        self.expect(self.server.ask("POST", "/v1/jobs", TRAIN), 401, "unauthenticated")
        self.expect(self.server.get("/healthz"), 200)

    def test_a_token_is_shown_once_and_only_its_hash_is_kept(self):
        made = self.token("read", name="rëader", owner="lab 1", expires_in_s=3600)
        self.assertRegex(made["token"], f"^rift_{made['id']}_[0-9A-Za-z]{{43}}$")
        row = next(one for one in self.server.get("/v1/tokens").json["tokens"] if one["id"] == made["id"])
        self.assertEqual(row, {key: value for key, value in made.items() if key != "token"})
        self.assertEqual((row["name"], row["owner"], row["role"], row["used_at"]), ("rëader", "lab 1", "read", None))
        secret = made["token"].rsplit("_", 1)[1].encode()
        for folder, _, names in os.walk(self.server.dir):
            for name in names:
                if os.path.isfile(os.path.join(folder, name)):
                    with open(os.path.join(folder, name), "rb") as file:
                        self.assertNotIn(secret, file.read(), name)

    def test_tokens_differ_in_every_part(self):
        made = [self.token("read")["token"].split("_")[1:] for _ in range(20)]
        self.assertEqual(len({id for id, _ in made}), 20)
        self.assertEqual(len({secret for _, secret in made}), 20)

    def used_at(self, token):
        return next(one["used_at"] for one in self.server.get("/v1/tokens").json["tokens"] if one["id"] == token["id"])

    def test_use_is_noted(self):
        made = self.token("read")
        self.expect(self.as_(made, "GET", "/v1/jobs"), 200)
        deadline = time.monotonic() + server.DEADLINE_S
        while not self.used_at(made) and time.monotonic() < deadline:
            pass  # a thread of its own writes it
        first = self.used_at(made)
        self.assertIsNotNone(first)
        self.expect(self.as_(made, "GET", "/v1/jobs"), 200)
        self.assertEqual(self.used_at(made), first)  # at most once a minute

    def test_what_cannot_be_a_token_is_told_member_by_member(self):
        for body, pointers in (
                ({}, ["/name", "/role"]),
                ({"name": "", "role": "root"}, ["/name", "/role"]),
                ({"name": "x" * 101, "role": "read"}, ["/name"]),
                ({"name": "é" * 100, "role": "read"}, ["/owner"]),
                ({"name": "a\nb", "role": "read"}, ["/name"]),
                ({"name": "a", "role": "read", "owner": "é" * 51}, ["/owner"]),
                ({"name": "a", "role": "read", "owner": 7}, ["/owner"]),
                ({"name": "a", "role": "read", "expires_in_s": 0}, ["/expires_in_s"]),
                ({"name": "a", "role": "read", "expires_in_s": "1h"}, ["/expires_in_s"]),
                ({"name": "a", "role": "read", "expires_in_s": 2 ** 62}, ["/expires_in_s"]),
                ({"name": "a", "role": "none"}, ["/role"]),
                ({"name": "a", "role": "read", "secret": "mine"}, ["/secret"])):
            answer = self.expect(self.server.ask("POST", "/v1/tokens", body), 422, "bad-members")
            self.assertEqual([one["pointer"] for one in answer.json["errors"]], pointers, body)
        self.expect(self.server.ask("POST", "/v1/tokens", "[]", Content_Type="application/json"), 400, "bad-json")

    def test_a_token_is_good_until_it_is_taken_back_or_over(self):
        made, short = self.token("read"), self.token("read", expires_in_s=1000)
        self.expect(self.as_(made, "GET", "/v1/jobs"), 200)
        self.expect(self.server.ask("DELETE", f"/v1/tokens/{made['id']}"), 204)
        self.expect(self.as_(made, "GET", "/v1/jobs"), 401, "unauthenticated")
        self.expect(self.server.ask("DELETE", f"/v1/tokens/{made['id']}"), 404, "no-such-token")
        self.expect(self.as_(short, "GET", "/v1/jobs"), 200)
        self.change("UPDATE token SET expires_ms = 1 WHERE id = ?", short["id"])
        self.expect(self.as_(short, "GET", "/v1/jobs"), 401, "unauthenticated")

    def change(self, sql, *values):
        other = sqlite3.connect(os.path.join(self.server.dir, "riftd.db"), isolation_level=None, timeout=server.DEADLINE_S)
        other.execute("PRAGMA wal_autocheckpoint = 0")
        try:
            other.execute(sql, values)
        finally:
            other.close()

    def test_what_is_almost_a_token_is_none(self):
        good = self.token("admin")["token"]
        id, secret = good[5:17], good[18:]
        for wrong in (f"rift_{id}_{secret[::-1]}", f"rift_aaaaaaaaaaaa_{secret}", good[:-1], good + "0", good.upper(), id,
                      secret, "", f"rift_{id}", f"rift_{id}_{'0' * 43}", f"rift__{secret}", good.replace("_", "-"),
                      f"{good},{good}", f'"{good}"', "%s", "rift_' OR 1=1 --_" + secret):
            self.refused(self.as_(wrong, "GET", "/v1/jobs"))
        for header in (f"bearer {good}", f"BEARER   {good}"):
            self.expect(self.server.get("/v1/jobs", Authorization=header), 200)
        for header in (good, f"Basic {good}", f"Bearer{good}", "Bearer", ""):
            self.refused(self.server.get("/v1/jobs", Authorization=header))
        self.refused(self.server.get(f"/v1/jobs?label={good}", Authorization="-"))

    def refused(self, answer):
        self.assertIn((answer.status, answer.json["code"]), ((401, "unauthenticated"), (429, "too-many-requests")))

    def test_two_tokens_at_once_are_neither(self):
        line = f"Authorization: Bearer {self.admin['token']}\r\n".encode()
        for lines in (line * 2, line + b"Authorization: Bearer x\r\n"):
            got = server.raw(self.server.port, b"GET /v1/jobs HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n"
                             % self.server.port + lines + b"\r\n")
            self.assertEqual(got[:12], b"HTTP/1.1 400")

    def test_the_last_token_taken_back_leaves_the_door_closed(self):
        other = server.Alone()
        self.addCleanup(other.stop)
        made = other.ask("POST", "/v1/tokens", {"name": "only", "role": "admin"}).json
        self.expect(other.ask("DELETE", f"/v1/tokens/{made['id']}", **self.bearer(made)), 204)
        self.expect(other.get("/v1/jobs"), 401, "unauthenticated")
        self.expect(other.get("/v1/jobs", **self.bearer(made)), 401, "unauthenticated")


class Owners(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.roles = {}
        for name in ("admin", "ann", "bob", "reader"):
            role = {"admin": "admin", "reader": "read"}.get(name, "submit")
            cls.roles[name] = cls.server.ask("POST", "/v1/tokens", {"name": name, "role": role}).json["token"]
            cls.server.token = cls.roles["admin"]

    def made_by(self, name, **more):
        return self.expect(self.as_(self.roles[name], "POST", "/v1/jobs", {**TRAIN, **more}), 201).json

    def test_a_job_is_its_submitters(self):
        job = self.made_by("ann")
        self.assertEqual(job["owner"], "ann")
        self.assertEqual(self.as_(self.roles["reader"], "GET", f"/v1/jobs/{job['id']}").json["owner"], "ann")
        rift = self.made_by("bob", kind="rift")
        self.assertEqual({step["owner"] for step in self.server.get(f"/v1/jobs?parent={rift['id']}").json["jobs"]}, {"bob"})

    def test_lists_can_be_of_one_owner(self):
        mine, theirs = self.made_by("ann")["id"], self.made_by("bob")["id"]
        found = [job["id"] for job in self.server.get("/v1/jobs?owner=ann&limit=200").json["jobs"]]
        self.assertIn(mine, found)
        self.assertNotIn(theirs, found)

    def test_only_the_owner_and_admins_may_change_a_job(self):
        for change, state in (("cancel", None), ("retry", "cancelled"), ("delete", "cancelled")):
            for who, allowed in (("reader", False), ("bob", False), ("ann", True), ("admin", True)):
                job = self.made_by("ann")["id"]
                if state:
                    self.as_(self.roles["ann"], "POST", f"/v1/jobs/{job}/cancel")
                method, path = ("DELETE", "") if change == "delete" else ("POST", f"/{change}")
                with self.subTest(change, who=who):
                    answer = self.as_(self.roles[who], method, f"/v1/jobs/{job}{path}")
                    if allowed:
                        self.assertIn(answer.status, (202, 204))
                    else:
                        self.expect(answer, 403, "forbidden")
                        self.assertEqual(self.server.get(f"/v1/jobs/{job}").status, 200)

    def test_somebody_elses_step_is_as_safe_as_the_job(self):
        rift = self.made_by("ann", kind="rift")
        for step in self.server.get(f"/v1/jobs?parent={rift['id']}").json["jobs"]:
            self.expect(self.as_(self.roles["bob"], "POST", f"/v1/jobs/{step['id']}/cancel"), 403, "forbidden")
        self.expect(self.as_(self.roles["bob"], "POST", f"/v1/jobs/{rift['id'].upper()}/cancel"), 403, "forbidden")

    def test_a_reader_submits_nothing_and_a_submitter_rules_nothing(self):
        self.expect(self.as_(self.roles["reader"], "POST", "/v1/jobs", TRAIN), 403, "forbidden")
        for name in ("reader", "ann"):
            self.expect(self.as_(self.roles[name], "GET", "/v1/tokens"), 403, "forbidden")
            self.expect(self.as_(self.roles[name], "POST", "/v1/tokens", {"name": "x", "role": "admin"}), 403, "forbidden")

    def test_a_key_is_its_owners(self):
        first = self.as_(self.roles["ann"], "POST", "/v1/jobs", TRAIN, Idempotency_Key="k")
        other = self.as_(self.roles["bob"], "POST", "/v1/jobs", TRAIN, Idempotency_Key="k")
        again = self.as_(self.roles["ann"], "POST", "/v1/jobs", TRAIN, Idempotency_Key="k")
        self.assertEqual((first.status, other.status, again.status), (201, 201, 200))
        self.assertNotEqual(first.json["id"], other.json["id"])
        self.assertEqual(first.json["id"], again.json["id"])


class Sessions(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.admin = cls.server.ask("POST", "/v1/tokens", {"name": "admin", "role": "admin"}).json
        cls.server.token = cls.admin["token"]

    def sign_in(self, token):
        answer = self.expect(self.server.ask("POST", "/v1/session", {"token": token}, Authorization="-"), 201)
        cookie = answer.headers["Set-Cookie"]
        self.assertRegex(cookie, r"^rift_session=rift_\w+; Path=/; Max-Age=\d+; HttpOnly; SameSite=Strict$")
        return answer, cookie.split(";")[0]

    def from_page(self, cookie, method, path, body=None, **more):
        origin = {"Origin": f"http://localhost:{self.server.port}", "Host": f"localhost:{self.server.port}"}
        return self.server.ask(method, path, body, Cookie=cookie, **{**origin, **more})

    def test_a_session_is_its_tokens_and_says_who(self):
        made = self.token("submit", owner="ann")
        answer, cookie = self.sign_in(made["token"])
        self.assertIn("Max-Age=43200;", answer.headers["Set-Cookie"])
        self.assertEqual({**answer.json, "expires_at": None},
                         {"owner": "ann", "role": "submit", "token": made["id"], "session": True, "expires_at": None})
        self.assertEqual(self.from_page(cookie, "GET", "/v1/session").json, answer.json)
        self.assertEqual(self.expect(self.from_page(cookie, "POST", "/v1/jobs", TRAIN), 201).json["owner"], "ann")
        self.expect(self.from_page(cookie, "GET", "/v1/tokens"), 403, "forbidden")
        self.assertNotIn(cookie, json.dumps(self.server.get("/v1/tokens").json))

    def test_signing_out_ends_the_session_and_takes_the_cookie_away(self):
        _, cookie = self.sign_in(self.token("read")["token"])
        out = self.expect(self.from_page(cookie, "DELETE", "/v1/session"), 204)
        self.assertRegex(out.headers["Set-Cookie"], r"^rift_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict$")
        self.expect(self.from_page(cookie, "GET", "/v1/session"), 401, "unauthenticated")

    def test_a_session_goes_with_its_token(self):
        made = self.token("read", expires_in_s=100)
        answer, cookie = self.sign_in(made["token"])
        self.assertIn(int(re.search(r"Max-Age=(\d+);", answer.headers["Set-Cookie"])[1]), range(1, 101))
        self.assertEqual(answer.json["expires_at"], made["expires_at"])
        self.expect(self.server.ask("DELETE", f"/v1/tokens/{made['id']}"), 204)
        self.expect(self.from_page(cookie, "GET", "/v1/session"), 401, "unauthenticated")

    def test_streams_end_with_the_token_they_were_opened_with(self):
        made, other = self.token("read"), self.token("read")
        _, cookie = self.sign_in(made["token"])
        mine, kept = (Stream(self.server.port, "/v1/events?after=now", **self.bearer(one)) for one in (made, other))
        pages = Stream(self.server.port, "/v1/events?after=now", Cookie=cookie)
        self.assertEqual([one.status for one in (mine, kept, pages)], [200, 200, 200])
        self.expect(self.server.ask("DELETE", f"/v1/tokens/{made['id']}"), 204)
        self.assertEqual((mine.rest(), pages.rest()), ([], []))
        job = self.submit()["id"]
        self.assertIn(job, str(kept.next()))
        for stream in (mine, kept, pages):
            stream.close()

    def test_streams_end_with_the_session_they_were_opened_with(self):
        _, cookie = self.sign_in(self.token("read")["token"])
        stream = Stream(self.server.port, "/v1/events?after=now", Cookie=cookie)
        self.expect(self.from_page(cookie, "DELETE", "/v1/session"), 204)
        self.assertEqual(stream.rest(), [])
        stream.close()

    def test_the_audit_log_says_who_signed_in(self):
        made = self.token("submit", owner="ann")
        self.sign_in(made["token"])
        until = server.time.monotonic() + server.DEADLINE_S
        row = None
        while not row or row["path"] != "/v1/session":
            self.assertLess(server.time.monotonic(), until)
            row = (self.server.get("/v1/audit?limit=1").json["audit"] or [None])[0]
        self.assertEqual((row["owner"], row["role"], row["token"], row["status"]), ("ann", "submit", made["id"], 201))

    def test_a_cookie_is_no_token_and_a_token_no_cookie(self):
        made = self.token("admin")
        _, cookie = self.sign_in(made["token"])
        secret = cookie.split("=")[1]
        self.expect(self.as_(secret, "GET", "/v1/jobs"), 401, "unauthenticated")
        self.expect(self.server.get("/v1/jobs", Cookie=f"rift_session={made['token']}"), 401, "unauthenticated")
        self.expect(self.server.ask("POST", "/v1/session", {"token": secret}), 401, "unauthenticated")
        self.expect(self.server.ask("DELETE", f"/v1/tokens/{secret[5:17]}"), 404, "no-such-token")

    def test_a_wrong_token_signs_nobody_in(self):
        answer = self.expect(self.server.ask("POST", "/v1/session", {"token": NEVER}), 401, "unauthenticated")
        self.assertIsNone(answer.headers["Set-Cookie"])
        for body in ({}, {"token": 1}, {"token": NEVER, "more": 1}):
            self.expect(self.server.ask("POST", "/v1/session", body), 422, "bad-members")

    def test_with_a_cookie_only_our_own_page_changes_anything(self):
        _, cookie = self.sign_in(self.token("admin")["token"])
        self.expect(self.server.ask("POST", "/v1/jobs", TRAIN, Cookie=cookie), 403, "cross-origin")
        self.expect(self.server.ask("DELETE", "/v1/session", Cookie=cookie), 403, "cross-origin")
        for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 201)):
            self.expect(self.server.ask("POST", "/v1/jobs", TRAIN, Cookie=cookie, Sec_Fetch_Site=site), status)
        for origin in ("http://evil.example", "null", f"http://localhost:{self.server.port + 1}",
                       f"http://localhost:{self.server.port}.evil.example"):
            self.expect(self.from_page(cookie, "POST", "/v1/jobs", TRAIN, Origin=origin), 403, "cross-origin")
        self.expect(self.from_page(cookie, "GET", "/v1/jobs"), 200)


class Local(Case):
    """The unix socket, where the kernel says who asks."""

    def over_socket(self, method, path, body=None, **headers):
        self.server.connect = lambda: OverSocket(os.path.join(self.server.dir, "riftd.sock"))
        try:
            return self.server.ask(method, path, body, **headers)
        finally:
            del self.server.connect

    def test_our_own_user_is_an_admin_in_his_own_name_and_needs_no_token(self):
        me = pwd.getpwuid(os.geteuid()).pw_name
        who = self.expect(self.over_socket("GET", "/v1/session"), 200).json
        self.assertEqual((who["owner"], who["role"]), (me, "admin"))
        made = self.expect(self.over_socket("POST", "/v1/tokens", {"name": "x", "role": "read"}), 201).json
        self.assertEqual(self.over_socket("POST", "/v1/jobs", TRAIN).json["owner"], me)
        self.expect(self.over_socket("POST", "/v1/jobs", TRAIN, **self.bearer(made)), 403, "forbidden")
        self.expect(self.over_socket("GET", "/v1/jobs", **self.bearer(NEVER)), 401, "unauthenticated")
        self.expect(self.over_socket("GET", "/v1/jobs", X_Forwarded_For="10.0.0.1"), 401, "unauthenticated")

    @unittest.skipUnless(os.geteuid() == 0, "only root can be somebody else")
    def test_another_user_may_submit_in_his_name_and_not_rule(self):
        os.chmod(self.server.dir, 0o755)
        os.chmod(os.path.join(self.server.dir, "riftd.sock"), 0o666)
        nobody = pwd.getpwnam("nobody")

        def as_nobody(method, path, body=None):
            os.seteuid(nobody.pw_uid)
            try:
                return self.over_socket(method, path, body)
            finally:
                os.seteuid(0)
        self.assertEqual(as_nobody("GET", "/v1/session").json["role"], "submit")
        job = self.expect(as_nobody("POST", "/v1/jobs", TRAIN), 201).json
        self.assertEqual(job["owner"], "nobody")
        self.expect(as_nobody("GET", "/v1/tokens"), 403, "forbidden")
        mine = self.over_socket("POST", "/v1/jobs", TRAIN).json["id"]
        self.expect(as_nobody("POST", f"/v1/jobs/{mine}/cancel"), 403, "forbidden")
        self.expect(as_nobody("POST", f"/v1/jobs/{job['id']}/cancel"), 202)


if __name__ == "__main__":
    unittest.main()
