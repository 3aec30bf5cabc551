#!/usr/bin/env python3
"""Does openapi.yaml say what riftd does? Held against the three tables that
riftd works by: routes, problems, fields."""
import os
import unittest

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

    def test_an_operation_takes_anybody_when_its_route_does_and_only_then(self):
        for row in self.tables["routes"]:
            operation = server.OPENAPI["paths"][row["path"].replace("{name...}", "{name}")][row["method"].lower()]
            self.assertEqual(operation.get("security") == [], row["role"] == "none", f"{row['method']} {row['path']}")

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

    def test_the_comparison_can_fail(self):
        problem = {"$ref": "#/components/schemas/Problem"}
        self.assertEqual(len(server.misfits({}, problem)), 6)
        self.assertTrue(server.misfits([{"step": 1}], {"type": "array", "items": {"$ref": "#/components/schemas/Point"}}))
        self.assertTrue(server.misfits({"kind": "mrc", "colour": 1}, {"$ref": "#/components/schemas/JobSpec"}))


if __name__ == "__main__":
    unittest.main()
