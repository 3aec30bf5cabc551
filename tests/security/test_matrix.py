#!/usr/bin/env python3
"""Every route, asked by everybody: nobody, and the holders of each role."""
import unittest

import common
import server
from common import UNSAFE, body_of, path_of, routes

ROLES = ["none", "read", "submit", "admin"]
# Who adds a route that takes anybody says so here, too.
FOR_ANYBODY = {("GET", "/"), ("GET", "/web/{name...}"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/v1/version"),
               ("GET", "/v1/openapi.yaml"), ("GET", "/problems/{name...}"), ("POST", "/v1/session")}


class Matrix(common.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = {role: cls.make_token(role)["token"] for role in ROLES[1:]}
        cls.tokens["none"] = None

    def ask(self, role, route, path, **headers):
        token = self.tokens[role]
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.server.ask(route["method"], path, body_of(route), **headers)

    def test_every_route_takes_exactly_the_roles_from_its_own_on(self):
        self.assertGreater(len(routes()), 30)
        for route in routes():
            for role in ROLES:
                answer = self.ask(role, route, path_of(route))
                with self.subTest(f"{route['method']} {route['path']} as {role}"):
                    if ROLES.index(role) >= ROLES.index(route["role"]):
                        self.assertNotIn(answer.status, (401, 403), answer.body[:300])
                    elif role == "none":
                        self.expect(answer, 401, "unauthenticated")
                        self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="riftd"')
                    else:
                        self.expect(answer, 403, "forbidden")

    def test_what_changes_something_needs_more_than_reading(self):
        for route in routes():
            if (route["method"], route["path"]) in FOR_ANYBODY or route["path"] == "/v1/session":
                continue
            self.assertIn(route["role"], ("submit", "admin") if route["method"] in UNSAFE else ("read", "submit", "admin"))

    def test_only_the_routes_that_are_listed_here_take_anybody(self):
        self.assertEqual({(one["method"], one["path"]) for one in routes() if one["role"] == "none"}, FOR_ANYBODY)

    def test_head_needs_what_get_needs(self):
        for route in routes():
            if route["method"] == "GET":
                answer = self.server.ask("HEAD", path_of(route))
                self.assertEqual(answer.status == 401, route["role"] != "none", route["path"])

    def test_a_method_that_a_path_does_not_take_reaches_nobody(self):
        paths = {route["path"]: path_of(route) for route in routes()}
        for pattern, path in paths.items():
            taken = {route["method"] for route in routes() if route["path"] == pattern}
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"} - taken:
                self.assertIn(self.server.ask(method, path.split("?")[0]).status, (400, 404, 405), f"{method} {path}")

    def test_options_tells_whomever_asks_what_a_path_takes_and_nothing_else(self):
        for pattern, path in {route["path"]: path_of(route) for route in routes()}.items():
            taken = {route["method"] for route in routes() if route["path"] == pattern} | {"OPTIONS"}
            if "GET" in taken:
                taken.add("HEAD")
            for token in (None, self.tokens["read"], "rift_nobody00000_secret"):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                answer = self.expect(self.server.ask("OPTIONS", path.split("?")[0], **headers), 204)
                self.assertEqual(set(answer.headers["Allow"].split(", ")), taken, pattern)
                self.assertEqual(answer.body, b"")
                self.assertNotIn("Content-Type", answer.headers)
            refused = self.expect(self.server.ask("TRACE", path.split("?")[0]), 405, "method-not-allowed")
            self.assertEqual(refused.headers["Allow"], answer.headers["Allow"])
        self.expect(self.server.ask("OPTIONS", "/v1/nothing"), 404, "no-such-route")
        self.expect(self.server.ask("OPTIONS", "/v1/jobs", Host="evil.example"), 421, "wrong-host")

    def test_somebody_elses_things_are_safe_on_every_route(self):
        """For each kind of thing with an {id}, one that another has made."""
        self.server.token = self.tokens["admin"]
        try:
            theirs = {"/v1/jobs/{id}": self.submit()["id"]}
            self.server.get(f"/v1/jobs/{theirs['/v1/jobs/{id}']}/events")  # to its end: nothing changes by itself any more
            model = self.server.ask("POST", "/v1/models?name=m", SAFETENSORS, Content_Type="application/octet-stream")
            theirs["/v1/models/{id}"] = self.expect(model, 201).json["id"]
            hook = self.server.ask("POST", "/v1/webhooks", {"url": "https://192.0.2.1/"})
            theirs["/v1/webhooks/{id}"] = self.expect(hook, 201).json["id"]
        finally:
            self.server.token = None
        before = self.everything(self.tokens["admin"])
        for route in routes():
            if route["method"] not in UNSAFE or "{id}" not in route["path"] or route["role"] != "submit":
                continue
            kind = route["path"][: route["path"].index("{id}") + 4]
            self.assertIn(kind, theirs, "make one of these in this test")
            with self.subTest(f"{route['method']} {route['path']}"):
                answer = self.ask("submit", route, path_of(route, theirs[kind]))
                self.assertIn((answer.status, answer.json["code"]), ((403, "forbidden"), (404, "no-such-webhook")))
        self.assertEqual([len(one) for one in self.everything(self.tokens["admin"])], [len(one) for one in before])


HEADER = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
SAFETENSORS = len(HEADER).to_bytes(8, "little") + HEADER + b"\0\0\0\0"

if __name__ == "__main__":
    unittest.main()
