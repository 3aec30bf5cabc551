#!/usr/bin/env python3
"""What a page of another site can make a browser send: everything that browsers
let it send without asking, and what they would ask for first."""
import unittest

import common
from common import UNSAFE, path_of, routes
from server import TRAIN

FORM, MULTIPART, PLAIN = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"
SIMPLE = [FORM, MULTIPART, PLAIN, "text/plain;charset=UTF-8", "text/plain; application/json", None]
EVIL = ["http://evil.example", "https://evil.example", "null", "http://localhost.evil.example:PORT", "file://",
        "http://localhost", "http://evil.example:PORT", "http://user@localhost:PORT", "", "localhost:PORT"]


class Page(common.Case):
    """Without a token on loopback, where nothing but the browser itself protects riftd."""

    headers = {}  # what the browser adds by itself

    def here(self, text):
        return text.replace("PORT", str(self.server.port))

    def unsafe_routes(self):
        return [route for route in routes() if route["method"] in UNSAFE]

    def test_a_name_that_was_rebound_reaches_no_route(self):
        for host in ("evil.example", "evil.example:PORT", "localhost.evil.example:PORT", "127.0.0.1.evil.example:PORT",
                     "evil.example:80", "localhost", "localhost:1", "0.0.0.0:PORT", "[::ffff:1.2.3.4]:PORT", "1.2.3.4:PORT",
                     "localhost:PORT.evil.example", "localhost:PORT@evil.example", "evil.example#localhost:PORT", "",
                     "127.1:PORT", "2130706433:PORT", "0x7f.1:PORT", "localhost.:PORT", " localhost:PORT x", "*:PORT"):
            for route in routes():
                answer = self.server.ask(route["method"], path_of(route), Host=self.here(host), **self.headers)
                self.assertEqual((answer.status, answer.json["code"]), (421, "wrong-host"),
                                 f"{host!r} at {route['method']} {route['path']}")

    def test_no_other_sites_page_changes_anything_whatever_it_sends(self):
        before = self.everything()
        for route in self.unsafe_routes():
            for origin in EVIL:
                for content_type in SIMPLE + ["application/json"]:
                    answer = self.server.ask(route["method"], path_of(route), b"a=1", Origin=self.here(origin),
                                             Content_Type=content_type, **self.headers)
                    self.assertEqual((answer.status, answer.json["code"]), (403, "cross-origin"),
                                     f"{origin!r} {content_type} at {route['method']} {route['path']}")
            for site in ("cross-site", "same-site", "CROSS-SITE", "other", ""):
                answer = self.server.ask(route["method"], path_of(route), Sec_Fetch_Site=site, **self.headers)
                self.assertEqual(answer.json["code"], "cross-origin", f"{site!r} at {route['method']} {route['path']}")
        self.assertEqual(self.everything(), before)

    def test_a_body_that_needs_no_permission_to_be_sent_is_never_read(self):
        """What a form, or fetch with no-cors, can send: no type of these is taken, even without an Origin."""
        before = self.everything()
        for route in self.unsafe_routes():
            for content_type in SIMPLE:
                answer = self.server.ask(route["method"], path_of(route), b'{"kind":"train"}', Content_Type=content_type,
                                         **self.headers)
                self.assertIn((answer.status, answer.json["code"]), ((415, "unsupported-type"), (403, "cross-origin"),
                                                                     (404, "no-such-job")), f"{content_type} at {route}")
                self.assertTrue(answer.status != 404 or content_type is None)
        self.assertEqual(self.everything(), before)

    def test_nobody_is_given_permission_to_send_more(self):
        for route in routes():
            for origin, expected in (("http://evil.example", 403), (self.here("http://localhost:PORT"), 204)):
                answer = self.server.ask("OPTIONS", path_of(route).split("?")[0], Host=self.here("localhost:PORT"),
                                         Origin=origin, Access_Control_Request_Method=route["method"],
                                         Access_Control_Request_Headers="content-type,authorization")
                self.assertEqual(answer.status, expected, route["path"])
                for name in answer.headers:
                    self.assertFalse(name.lower().startswith("access-control"), name)

    def test_no_answer_may_be_read_or_framed_elsewhere(self):
        for route in routes():
            if route["method"] != "GET":
                continue
            headers = self.server.get(path_of(route), Origin="http://evil.example", **self.headers).headers
            with self.subTest(route["path"]):
                self.assertFalse([name for name in headers if name.lower().startswith("access-control")])
                self.assertEqual(headers["Cross-Origin-Resource-Policy"], "same-origin")
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])

    def test_our_own_page_may(self):
        for host in ("localhost:PORT", "127.0.0.1:PORT", "[::1]:PORT"):
            answer = self.server.ask("POST", "/v1/jobs?dry_run=1", TRAIN, Host=self.here(host), Sec_Fetch_Site="same-origin",
                                     Origin=self.here(f"http://{host}"), **self.headers)
            self.expect(answer, 200)


class SignedIn(Page):
    """The same with a session's cookie, in case a browser sends it in spite of SameSite."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = cls.make_token("admin")
        answer = cls.server.ask("POST", "/v1/session", {"token": made["token"]})
        cls.cookie = answer.headers["Set-Cookie"]
        cls.headers = {"Cookie": cls.cookie.split(";")[0]}
        cls.token = made["token"]

    def everything(self, token=None):
        return super().everything(token or self.token)

    def test_the_cookie_keeps_to_itself(self):
        flags = [part.strip() for part in self.cookie.split(";")[1:]]
        for flag in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
            self.assertIn(flag, flags)
        self.assertNotIn("Domain", self.cookie)

    def test_with_a_cookie_even_a_silent_browser_changes_nothing(self):
        for route in self.unsafe_routes():
            if route["role"] == "none":
                continue
            answer = self.server.ask(route["method"], path_of(route), {}, **self.headers)
            self.assertEqual((answer.status, answer.json["code"]), (403, "cross-origin"), route["path"])


if __name__ == "__main__":
    unittest.main()
