"""What did a job leave behind, without times and places, and is it what another left?"""


def timeless(rows):
    return [{name: value for name, value in row.items() if name not in ("seq", "time_ms")} for row in rows]


def outcome(get, job):
    """Everything that must come out the same however often the job was killed. get(path) asks riftd."""
    body = get(f"/v1/jobs/{job}")
    seen = {"result": body["result"]}
    for step in body["steps"] or [body]:
        path = f"/v1/jobs/{step['id']}"
        seen[step["kind"]] = {
            "result": get(path)["result"],
            "artifacts": sorted((a["name"], a["sha256"]) for a in get(path + "/artifacts")["artifacts"]),
            "modules": timeless(get(path + "/modules")["modules"]),
            "points": timeless(get(path + "/interpolation")["points"]),
            "evaluations": timeless(get(path + "/evaluations")["evaluations"]),
            "curves": {s["name"]: [(p["step"], p["epoch"], p["value"])
                                   for p in get(f"{path}/metrics?name={s['name']}&max_points=2000")["points"]]
                       for s in get(path + "/metrics")["series"]},
        }
    return seen


def difference(a, b, path=""):
    """The first place at which they differ, in words, or None."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(set(a) | set(b)):
            found = difference(a.get(key), b.get(key), f"{path}/{key}")
            if found:
                return found
        return None
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            found = difference(x, y, f"{path}/{i}")
            if found:
                return found
        return None
    return None if a == b else f"{path}: undisturbed {str(a)[:200]}, disturbed {str(b)[:200]}"
