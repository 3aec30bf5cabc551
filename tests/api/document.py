"""Does an answer fit openapi.yaml?

Its status must be one that the operation declares, its headers those that the status
has, its body of that schema. Clients must bear members that the document doesn't name;
riftd's tests don't: what is sent and not documented is a mistake here, unless the schema
says `additionalProperties`, or names no members at all.

The part of JSON Schema that the document uses, and no more: test_openapi.py sees to it
that no keyword is in it that is passed over here."""
import json
import os
import re

import yaml

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
with open(os.path.join(ROOT, "openapi.yaml"), encoding="utf-8") as opened:
    OPENAPI = yaml.load(opened, getattr(yaml, "CSafeLoader", yaml.SafeLoader))

# What OpenAPI can't say by operation: what is answered where there is no operation, and to a body
# that comes with a method that has none.
NOWHERE = {"400", "403", "404", "405", "421"}
UNASKED_BODY = {"413", "415"}

# Headers of every answer.
COMMON_HEADERS = {"cache-control", "connection", "content-length", "content-security-policy", "content-type",
                  "cross-origin-opener-policy", "cross-origin-resource-policy", "date", "referrer-policy",
                  "transfer-encoding", "x-content-type-options", "x-request-id"}

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
FORMATS = {"date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
           "uuid": r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}",
           "uri-reference": r"[!#-;=?-Z\[\]_a-z~%]+"}


def resolved(schema):
    while isinstance(schema, dict) and "$ref" in schema:
        place = OPENAPI
        for step in schema["$ref"].split("/")[1:]:
            place = place[step]
        schema = place
    return schema


# ---- values ----

def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def has_type(value, name):
    if name == "number":
        return is_number(value)
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


# (keyword, whom it is about, does the value keep to it?)
RULES = [
    ("enum", lambda value: True, lambda value, limit: value in limit),
    ("const", lambda value: True, lambda value, limit: value == limit),
    ("minimum", is_number, lambda value, limit: value >= limit),
    ("maximum", is_number, lambda value, limit: value <= limit),
    ("minLength", lambda value: isinstance(value, str), lambda value, limit: len(value) >= limit),
    ("maxLength", lambda value: isinstance(value, str), lambda value, limit: len(value) <= limit),
    ("pattern", lambda value: isinstance(value, str), lambda value, limit: re.search(limit, value)),
    ("format", lambda value: isinstance(value, str), lambda value, limit: re.fullmatch(FORMATS[limit], value)),
    ("minItems", lambda value: isinstance(value, list), lambda value, limit: len(value) >= limit),
    ("maxItems", lambda value: isinstance(value, list), lambda value, limit: len(value) <= limit),
    ("uniqueItems", lambda value: isinstance(value, list),
     lambda value, limit: not limit or len({json.dumps(one, sort_keys=True) for one in value}) == len(value)),
]
KEYWORDS = {name for name, _, _ in RULES} | {"type", "oneOf", "allOf", "items", "properties", "required",
                                             "additionalProperties", "$ref"}
REMARKS = {"description", "default", "examples", "x-kinds", "x-required-for", "x-default-by-kind"}  # for readers


def parts_of(schema):
    """The schema, and those that are in its allOf: a value must fit each."""
    schema = resolved(schema)
    if schema is True:
        return []
    return [schema] + [one for part in schema.get("allOf", []) for one in parts_of(part)]


def misfits(value, schema, where="$"):
    """What keeps `value` from fitting the schema: a list of sentences."""
    parts = parts_of(schema)
    found = []
    for part in parts:
        types = part.get("type", [])
        types = types if isinstance(types, list) else [types]
        if types and not any(has_type(value, name) for name in types):
            return [f"{where}: {value!r} is not {' or '.join(types)}"]
        found += [f"{where}: {value!r} isn't of {name} {part[name]!r}" for name, about, keeps in RULES
                  if name in part and about(value) and not keeps(value, part[name])]
        if "oneOf" in part:
            tries = [misfits(value, one, where) for one in part["oneOf"]]
            if tries.count([]) > 1:
                found.append(f"{where}: {value!r} fits more than one of oneOf")
            found += min(tries, key=len)
        if isinstance(value, list) and "items" in part:
            found += [wrong for index, one in enumerate(value) for wrong in misfits(one, part["items"], f"{where}[{index}]")]
    return found + (members_misfits(value, parts, where) if isinstance(value, dict) else [])


def members_misfits(value, parts, where):
    found = [f"{where}: {name} is missing" for part in parts for name in part.get("required", []) if name not in value]
    others = [part["additionalProperties"] for part in parts if "additionalProperties" in part]
    if not others:
        others = [not any("properties" in part for part in parts)]
    for name, one in value.items():
        known = [part["properties"][name] for part in parts if name in part.get("properties", {})]
        if not known and False in others:
            found.append(f"{where}: {name} is not documented")
        for schema in known or [other for other in others if other is not False]:
            found += misfits(one, schema, f"{where}.{name}")
    return found


# ---- answers ----

def pattern_of(template):
    return re.compile(re.escape(template).replace(r"\{id\}", "[^/]+").replace(r"\{name\}", ".+"))


PATTERNS = [(pattern_of(template), template) for template in OPENAPI["paths"]]


def operation_find(method, path):
    """(path as the document has it, method in small letters, operation), or Nones."""
    path = path.split("?")[0]
    method = "get" if method == "HEAD" else method.lower()
    for pattern, template in PATTERNS:
        if pattern.fullmatch(path):
            return template, method, OPENAPI["paths"][template].get(method)
    return None, method, None


def headers_misfits(headers, declared):
    found = []
    declared = {name.lower(): resolved(header) for name, header in declared.items()}
    for name, header in declared.items():
        value = headers.get(name)
        if value is None:
            found += [f"header {name} is missing"] if header.get("required") else []
            continue
        if resolved(header["schema"]).get("type") == "integer" and re.fullmatch("[0-9]+", value):
            value = int(value)
        found += misfits(value, header["schema"], f"header {name}")
    return found + [f"header {name} is not documented" for name in headers
                    if name.lower() not in COMMON_HEADERS and name.lower() not in declared]


def body_misfits(content_type, body, content):
    content_type = content_type.split(";")[0]
    if not content:
        return [f"a body is not documented: {body[:100]!r}"] if body else []
    if content_type not in content:
        return [f"{content_type!r} is not documented"]
    if not content_type.endswith("json"):
        return []
    try:
        values = [json.loads(one) for one in (body.splitlines() if content_type.endswith("ndjson") else [body])]
    except ValueError:
        return [f"no JSON: {body[:100]!r}"]
    return [wrong for value in values for wrong in misfits(value, content[content_type].get("schema", True))]


def nowhere_misfits(method, status, headers, body):
    """Of an answer where there is no operation. What isn't HTTP is answered by the library, in its own way."""
    if method == "OPTIONS" and status == "204" or status == "400" and "Content-Type" not in headers:
        return []
    if status not in NOWHERE:
        return [f"{status} where there is no operation"]
    problem = OPENAPI["components"]["responses"]["Malformed"]["content"]
    wrong = ["header Allow is missing"] if status == "405" and not headers.get("Allow") else []
    return wrong if method == "HEAD" else wrong + body_misfits(headers.get("Content-Type", ""), body, problem)


def answer_misfits(method, path, status, headers, body, sent=False):
    """What of an answer the document doesn't have; `sent`: there was a body with the request."""
    status = str(status)
    _, verb, operation = operation_find(method, path)
    if operation is None:
        return nowhere_misfits(method, status, headers, body)
    response = resolved(operation["responses"].get(status))
    if not response and sent and status in UNASKED_BODY and verb in ("get", "delete"):
        response = OPENAPI["components"]["responses"]["TooLarge" if status == "413" else "UnsupportedType"]
    if not response:
        return ["this status is not documented"]
    found = headers_misfits(headers, response.get("headers", {}))
    if method == "HEAD":
        return found
    return found + body_misfits(headers.get("Content-Type", ""), body, response.get("content"))
