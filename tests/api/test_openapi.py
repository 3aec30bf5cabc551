#!/usr/bin/env python3
"""Does openapi.yaml say what riftd does? Held against the three tables that
riftd works by: routes, problems, fields."""
import os
import unittest

import document
import server
import spec_schema


class Document(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        if not os.path.exists(server.API_ALONE):
            raise unittest.SkipTest(f"{server.API_ALONE} isn't built")
        cls.tables = spec_schema.tables(server.API_ALONE)

    def test_every_route_is_in_the_document_and_the_other_way_round(self):
        routes = {(row["method"].lower(), row["path"].replace("{name...}", "{name}")) for row in self.tables["routes"]}
        written = {(method, path) for path, item in server.OPENAPI["paths"].items() for method in item
                   if method != "parameters"}
        self.assertEqual(written, routes)

    def test_summaries_and_query_parameters_are_those_of_the_route_table(self):
        for row in self.tables["routes"]:
            item = server.OPENAPI["paths"][row["path"].replace("{name...}", "{name}")]
            operation = item[row["method"].lower()]
            parameters = [server.resolved(one) for one in item.get("parameters", []) + operation.get("parameters", [])]
            with self.subTest(route=row["path"], method=row["method"]):
                self.assertEqual(operation["summary"], row["summary"])
                self.assertEqual({one["name"] for one in parameters if one["in"] == "query"},
                                 {name for name in row["query"].split(",") if name})

    def test_an_operation_declares_what_its_row_of_the_route_table_lets_happen_and_nothing_more(self):
        """Before its handler is called: by who asks, by the request's headers and by its body."""
        for row in self.tables["routes"]:
            operation = server.OPENAPI["paths"][row["path"].replace("{name...}", "{name}")][row["method"].lower()]
            changes, role = row["method"] != "GET", row["role"]
            signs_in = operation["operationId"] == "createSession"  # with the token in its body
            expected = {
                "400": True,  # a parameter that it doesn't have
                "401": role != "none" or signs_in,
                "403": changes or role in ("submit", "admin"),
                "413": row["method"] in ("POST", "PATCH"),
                "415": row["method"] in ("POST", "PATCH"),
                "421": True,
                "429": True,
            }
            with self.subTest(f"{row['method']} {row['path']}"):
                self.assertEqual({status: status in operation["responses"] for status in expected}, expected)
                self.assertEqual(operation.get("security") == [], role == "none")

    def test_every_route_may_fail_and_says_so(self):
        for path, item in server.OPENAPI["paths"].items():
            for method in set(item) - {"parameters"}:
                self.assertEqual(item[method]["responses"].get("500"), {"$ref": "#/components/responses/Internal"},
                                 f"{method} {path}")

    def test_every_route_that_changes_something_may_lack_room_and_says_so(self):
        for path, item in server.OPENAPI["paths"].items():
            for method in set(item) - {"parameters", "get"}:
                self.assertEqual(item[method]["responses"].get("507"), {"$ref": "#/components/responses/NoSpace"},
                                 f"{method} {path}")

    def test_every_change_of_a_job_heeds_if_match_and_says_so(self):
        for path, item in server.OPENAPI["paths"].items():
            for method in set(item) - {"parameters", "get"} if path.startswith("/v1/jobs/{id}") else ():
                self.assertIn({"$ref": "#/components/parameters/if_match"}, item[method].get("parameters", []), path)
                self.assertIn("412", item[method]["responses"], path)

    def test_problem_codes_are_those_of_the_table(self):
        self.assertEqual(server.OPENAPI["components"]["schemas"]["ProblemCode"]["enum"],
                         [row["code"] for row in self.tables["problems"]])

    def test_the_spec_is_the_field_table(self):
        for name, schema in spec_schema.schemas(self.tables["fields"]).items():
            self.assertEqual(server.OPENAPI["components"]["schemas"][name], schema,
                             f"run tests/api/spec_schema.py {server.API_ALONE} openapi.yaml")

    def test_every_reference_leads_somewhere(self):
        def walk(part):
            if isinstance(part, dict):
                if "$ref" in part:
                    server.resolved(part)
                for one in part.values():
                    walk(one)
            elif isinstance(part, list):
                for one in part:
                    walk(one)
        walk(server.OPENAPI)

    def test_schemas_say_nothing_that_the_comparison_passes_over(self):
        def walk(schema):
            if not isinstance(schema, dict):
                return
            self.assertEqual(set(schema) - document.KEYWORDS - document.REMARKS, set(), schema)
            self.assertIn(schema.get("format", "uuid"), document.FORMATS)
            for part in [*schema.get("properties", {}).values(), *schema.get("oneOf", []), *schema.get("allOf", []),
                         schema.get("items"), schema.get("additionalProperties")]:
                walk(part)

        def search(part):
            if isinstance(part, dict):
                for name, one in part.items():
                    if name == "schema":
                        walk(one)
                    elif name not in ("schemas", "examples"):
                        search(one)
            elif isinstance(part, list):
                for one in part:
                    search(one)
        search(server.OPENAPI)
        for schema in server.OPENAPI["components"]["schemas"].values():
            walk(schema)

    def test_the_comparison_can_fail(self):
        problem = {"$ref": "#/components/schemas/Problem"}
        self.assertEqual(len(server.misfits({}, problem)), 6)
        self.assertTrue(server.misfits([{"step": 1}], {"type": "array", "items": {"$ref": "#/components/schemas/Point"}}))
        self.assertTrue(server.misfits({"kind": "mrc", "colour": 1}, {"$ref": "#/components/schemas/JobSpec"}))
        for schema, good, bad in (
                ({"type": "integer", "minimum": 1, "maximum": 3}, (1, 3), (0, 4, 1.5, True, "1")),
                ({"type": ["number", "null"], "minimum": 0}, (0, 0.5, None), (-1, "0")),
                ({"type": "string", "minLength": 1, "maxLength": 2, "pattern": "^a"}, ("a", "ab"), ("", "abc", "b")),
                ({"type": "string", "format": "date-time"}, ("2026-01-02T03:04:05.678Z",), ("2026-01-02", "")),
                ({"type": "string", "format": "uuid"}, ("018bcfe5-6800-7000-8000-000000000000",), ("018bcfe5",)),
                ({"type": "array", "minItems": 1, "maxItems": 2, "uniqueItems": True}, ([1], [1, 2]), ([], [1, 1], [1, 2, 3])),
                ({"type": "string", "enum": ["a"]}, ("a",), ("b",)),
                ({"const": "a"}, ("a",), ("b",)),
                ({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 1}]}, (0, 1.5), (0.5, 2)),
                ({"properties": {"a": {"type": "string"}}}, ({}, {"a": "x"}), ({"b": 1}, {"a": 1})),
                ({"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}},
                 ({"a": "x", "b": 1},), ({"b": "x"},)),
                ({"allOf": [{"properties": {"a": {"type": "string"}}}, {"required": ["b"], "properties": {"b": True}}]},
                 ({"a": "x", "b": 1},), ({"a": "x"}, {"b": 1, "c": 1})),
                ({"type": "object"}, ({"a": 1},), ([],))):
            for value in good:
                self.assertEqual(server.misfits(value, schema), [], schema)
            for value in bad:
                self.assertTrue(server.misfits(value, schema), f"{value!r} fits {schema}")

    def test_an_answer_that_the_document_doesnt_have_is_found(self):
        good = {"Content-Type": "application/json"}
        body = b'{"status": "ok"}'
        problem = {"Content-Type": "application/problem+json"}
        for method, path, status, headers, text, sent in (
                ("GET", "/healthz", 201, good, body, False),
                ("GET", "/healthz", 200, {"Content-Type": "text/plain"}, body, False),
                ("GET", "/healthz", 200, {**good, "Location": "/"}, body, False),
                ("GET", "/healthz", 200, good, b"ok", False),
                ("GET", "/healthz", 200, good, b'{"status": "ok", "more": 1}', False),
                ("GET", "/healthz", 401, problem, b"{}", False),
                ("GET", "/healthz", 415, problem, b"{}", False),
                ("HEAD", "/healthz", 204, {}, b"", False),
                ("DELETE", "/v1/session", 204, {}, b"", False),  # no Set-Cookie
                ("DELETE", "/v1/session", 204, {"Set-Cookie": "rift_session=; Path=/"}, b"{}", False),
                ("PUT", "/healthz", 200, {}, b"", False),
                ("PUT", "/healthz", 405, problem, b"{}", False)):
            self.assertTrue(document.answer_misfits(method, path, status, headers, text, sent), f"{method} {path} {status}")
        self.assertEqual(document.answer_misfits("GET", "/healthz", 200, good, body), [])


if __name__ == "__main__":
    unittest.main()
