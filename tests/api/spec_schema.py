#!/usr/bin/env python3
"""What does the field table look like as a JSON schema?

openapi.yaml ends with the result, so that it can be read without building
anything; test_openapi.py compares. After a change of the field table:

    tests/api/spec_schema.py BUILD_DIR/tests/api/api_alone openapi.yaml

writes `JobSpec` and `Attack` anew."""
import json
import subprocess
import sys

KINDS = ("train", "mrc", "finetune", "interpolate", "evaluate", "rift", "corrupt", "sweep",
         "inspect")
SIMPLE = {"bool": "boolean", "int": "integer", "real": "number", "string": "string", "enum": "string"}
LISTS = {"int-list": "integer", "real-list": "number", "string-list": "string"}
REFS = {"weights": "WeightsRef", "modules": "ModuleChoice"}


def whole(value):
    """1.0 -> 1: YAML shows it as people write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def limits(field, low, high):
    return {} if field["min"] is None else {low: whole(field["min"]), high: whole(field["max"])}


def value_schema(field):
    """The schema of a field's value alone."""
    kind = field["type"]
    if kind in REFS:
        return {"$ref": f"#/components/schemas/{REFS[kind]}"}
    if kind == "modules-list":
        name = {"type": "string", **limits(field, "minLength", "maxLength")}
        top = {"type": "object", "additionalProperties": False, "required": ["top"],
               "properties": {"top": {"type": "integer", "minimum": 1}}}
        return {"type": "array", "minItems": 1, "items": {"oneOf": [name, {"type": "array", "items": name}, top]}}
    if kind == "attack":
        return {"$ref": "#/components/schemas/Attack"}
    if kind == "attack-list":
        return {"type": "array", "items": {"$ref": "#/components/schemas/Attack"}, **limits(field, "minItems", "maxItems")}
    if kind == "pixel":
        return {"oneOf": [{"type": "number", **limits(field, "minimum", "maximum")},
                          {"type": "string", "pattern": "^[0-9.]+/[0-9.]+$"}]}
    if kind == "bytes":
        return {"oneOf": [{"type": "integer", **limits(field, "minimum", "maximum")},
                          {"type": "string", "pattern": "^[0-9.]+[KMGT]iB$"}]}
    if kind == "after":
        item = {"type": "object", "additionalProperties": False, "required": ["job"],
                "properties": {"job": {"type": "string", "format": "uuid"},
                               "on": {"type": "string", "enum": ["success", "failure", "any"], "default": "success"}}}
        return {"type": "array", "items": item, **limits(field, "minItems", "maxItems")}
    if kind == "job":
        return {"type": "string", "format": "uuid"}
    if kind == "string-lists":
        names = {"type": "array", "minItems": 2, "items": {"type": "string", **limits(field, "minLength", "maxLength")}}
        return {"type": "array", "minItems": 1, "items": names}
    if kind in LISTS:
        low, high = ("minLength", "maxLength") if kind == "string-list" else ("minimum", "maximum")
        if field["values"]:
            return {"type": "array", "items": {"type": LISTS[kind], "enum": field["values"]}}
        return {"type": "array", "items": {"type": LISTS[kind], **limits(field, low, high)}}
    schema = {"type": SIMPLE[kind]}
    if kind == "enum":
        return {**schema, "enum": field["values"]}
    low, high = ("minLength", "maxLength") if kind == "string" else ("minimum", "maximum")
    return {**schema, **limits(field, low, high)}


def or_null(schema):
    if "enum" in schema:
        return {"type": [schema["type"], "null"], "enum": schema["enum"] + [None]}
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    if "oneOf" in schema:
        return {"oneOf": schema["oneOf"] + [{"type": "null"}]}
    return {"oneOf": [schema, {"type": "null"}]}


def describe(schema, rows):
    """Add what every field says about itself. Rows differ in kinds only."""
    first = rows[0]
    unit = f" Unit: {first['unit']}." if first["unit"] else ""
    schema["description"] = " ".join(dict.fromkeys(row["meaning"] for row in rows)) + unit
    for row in rows:
        if row["required"] and row["pointer"] != "/kind":
            schema["x-required-for"] = sorted(schema.get("x-required-for", []) + row["kinds"])
    defaults = [row for row in rows if not row["required"]]
    if len(defaults) == 1 or len({json.dumps(row["default"]) for row in defaults}) == 1:
        schema["default"] = whole(defaults[0]["default"])
    elif defaults:
        schema["x-default-by-kind"] = {kind: whole(row["default"]) for row in defaults for kind in row["kinds"]}
    kinds = {kind for row in rows for kind in row["kinds"]}
    if len(kinds) < len(KINDS):
        schema["x-kinds"] = sorted(kinds)
    return schema


def schemas(fields):
    """{"JobSpec": ..., "Attack": ...}"""
    by_pointer = {}
    for field in fields:
        by_pointer.setdefault(field["pointer"], []).append(field)
    spec = {"type": "object", "additionalProperties": False, "required": ["kind"], "properties": {}}
    attack = {"type": "object", "additionalProperties": False, "properties": {}}
    for pointer, rows in by_pointer.items():
        *above, name = pointer.strip("/").split("/")
        place = attack if above == ["attack"] else spec
        for step in above if place is spec else []:
            place = place["properties"].setdefault(step, {"type": "object", "additionalProperties": False,
                                                          "properties": {}})
        if rows[0]["type"] == "object":
            schema = {"type": "object", "additionalProperties": False, "properties": {}}
        else:
            schema = value_schema(rows[0])
        if any(row["nullable"] for row in rows):
            schema = or_null(schema)
        place["properties"][name] = describe(schema, rows)
    return {"JobSpec": spec, "Attack": attack}


def tables(program):
    return json.loads(subprocess.run([program, "--tables"], check=True, capture_output=True, text=True).stdout)


MARK = "    # The rest is written by tests/api/spec_schema.py from the field table.\n"


def text(fields):
    """The end of openapi.yaml, from MARK on."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Lists of plain values on one line, as a person would write them."""

        def represent_sequence(self, tag, sequence, flow_style=None):
            plain = not any(isinstance(item, (dict, list)) for item in sequence)
            return super().represent_sequence(tag, sequence, flow_style=plain)

    lines = yaml.dump(schemas(fields), Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True).splitlines()
    return MARK + "".join(f"    {line}\n" if line else "\n" for line in lines)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[2], encoding="utf-8") as file:
        before = file.read().split(MARK)[0]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(before + text(tables(sys.argv[1])["fields"]))
