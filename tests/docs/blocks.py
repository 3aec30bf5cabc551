"""Running a document's blocks of shell, and holding what it shows against what came."""
import json
import os
import re
import subprocess

# Members whose shown value must be the real one; others only have to be there, and of the same kind.
EXACT = {"state", "code", "status", "kind", "type", "label", "drained", "same", "steps", "role", "what", "findings",
         "complete", "format"}


def run_blocks(blocks, work, deadline_s, keep=None):
    """Run them in one shell, in order, up to the first that fails. Returns ([output of each], exit code, stderr); a
    variable named `keep` is left in a file of that name."""
    script = ["set -eu -o pipefail"]
    for number, lines in enumerate(blocks):
        script += [f"exec >'{work}/.output-{number}'", *lines]
    if keep:
        script += [f"exec >'{work}/{keep}'", f'echo "${{{keep}:-}}"']
    done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=work, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=deadline_s, check=False)
    outputs = []
    for number in range(len(blocks)):
        path = os.path.join(work, f".output-{number}")
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                outputs.append(file.read())
    return outputs, done.returncode, done.stderr


def kind(value):
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def json_difference(shown, real, where=""):
    """What is shown and isn't so, in words, or None. Real members and items that aren't shown are none."""
    if isinstance(shown, dict):
        if not isinstance(real, dict):
            return f"{where or '/'}: an object is shown, {real!r} came"
        for name, value in shown.items():
            if name not in real:
                return f"{where}/{name} is shown, but there are {sorted(real)}"
            if name in EXACT and not isinstance(value, (dict, list)) and value != real[name]:
                return f"{where}/{name}: {value!r} is shown, {real[name]!r} came"
            found = json_difference(value, real[name], f"{where}/{name}")
            if found:
                return found
        return None
    if isinstance(shown, list):
        if not isinstance(real, list):
            return f"{where or '/'}: a list is shown, {real!r} came"
        for item in shown:
            found = [json_difference(item, one, where + "/-") for one in real]
            if None not in found:
                return found[0] if found else f"{where}: the list is empty"
        return None
    if kind(shown) != kind(real):
        return f"{where}: {shown!r} is shown, {real!r} came"
    return None


def documents(text):
    """The JSON values that stand one after the other in a text."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text.rstrip()):
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found


def difference(language, shown, real):
    """None where what is shown may stand for what came; else why not, in words."""
    if language == "json":
        try:
            # Of several answers of a block the last is shown; a `true` of jq -e is none.
            return json_difference(json.loads(shown), documents(real)[-1])
        except (ValueError, IndexError):
            return f"no JSON came: {real[:200]!r}"
    if language == "csv":  # its head
        return None if real.startswith(shown + "\n") else f"{shown!r} is shown, {real[:200]!r} came"
    missing = [line for line in shown.splitlines() if line != "..." and not re.search(skeleton(line), real, re.M)]
    return f"{missing[0]!r} is shown, {real[:2000]!r} came" if missing else None


def skeleton(line):
    """A line with any number for a number, any id for an id, any space for a space and any length of a bar."""
    parts = re.split(r"(#+|[0-9a-f]{8}-[0-9a-f-]+|[-+]?\d+(?:\.\d+)?(?:e-?\d+)?|\s+)", line.strip())
    any_of = [(r"#+", "#*"), (r"[0-9a-f]{8}-[0-9a-f-]+", "[0-9a-f-]+"), (r"[-+]?\d.*", r"[-+]?\\d[\\d.e-]*"),
              (r"\s+", r"\\s+")]
    found = ""
    for part in parts:
        for pattern, put in any_of:
            if re.fullmatch(pattern, part):
                found += put.replace("\\\\", "\\")
                break
        else:
            found += re.escape(part)
    return r"(?:^|\s)" + found
