#!/usr/bin/env python3
"""Does the house still stand as it was drawn?

Reads every source file and checks what a compiler doesn't: includes run
downwards, folders show only their public header, the seam is the only place
that knows a device library, files stay readable, nobody waits blindly.

    floors.py [ROOT] [--build DIR]

With a build directory it also asks ldd that riftd and riftctl aren't linked to
any device library. Prints one line a finding, exits 1 when there is one.
"""
import argparse
import os
import re
import subprocess
import sys
from collections import namedtuple

Finding = namedtuple("Finding", "path line message")

# Folder -> the folders it may include from, beside itself. The longest folder
# that holds a file is the file's folder; what isn't here has no floor.
MAY_INCLUDE = {
    "job": [],
    "db": ["job"],
    "api": ["db", "job"],
    "daemon": ["api", "db", "job"],
    "cli": ["job"],
    "gpu": ["job"],
    "gpu/backend": ["job"],
    "gpu/nn": ["gpu/backend", "job"],
    "gpu/data": ["gpu/backend", "job"],
    "gpu/rift": ["gpu/nn", "gpu/data", "gpu/backend", "gpu", "job"],
    "gpu/worker": ["gpu/rift", "gpu/nn", "gpu/data", "gpu/backend", "gpu", "job"],
}
# The one header that other folders see. Inside gpu/ any header is seen from above.
PUBLIC = {"job": "job/job.h", "db": "db/db.h", "api": "api/api.h", "gpu": "gpu/gpu.h"}

# Only gpu/backend may name a device library. (A device *id* such as "cuda:0"
# is a word of the spec and lives in job/.)
ABOVE_THE_SEAM = ["gpu/nn", "gpu/data", "gpu/rift", "gpu/worker", "gpu/gpu.h"]
DEVICE_WORD = re.compile(r"cuda|cudnn|dnnl", re.I)
DEVICE_LIBRARY = re.compile(r"dnnl|cudart|cudnn|cublas|libcuda|nvidia", re.I)
# The worker has a CPU backend, but cards come in a module that it opens when it runs.
CARD_LIBRARY = re.compile(r"cudart|cudnn|cublas|libcuda|nvidia", re.I)

# Texts of strangers, workers and the database: jansson's own reader writes past its end when memory runs out.
JSON_READ = ["api", "daemon"]
JSON_LOAD = re.compile(r"\bjson_load\w*\s*\(")

LONGEST_FILE = 600
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
LONGEST_PAUSE_S = 0.1  # between two looks in a polling loop; more is waiting blindly
C_SLEEP = re.compile(r"\b(?:u|nano|clock_nano)?sleep\s*\(")
C_RANDOM = re.compile(r"\b(?:s?rand|s?random|[a-z]rand48)\s*\(")
PAUSES = {".py": re.compile(r"\bsleep\s*\(\s*([^)]*)\)"), "": re.compile(r"(?:^|[;&|]|\bdo\b)\s*sleep\s+([^\s;&|]+)")}
PAUSES[".sh"] = PAUSES[""]

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
C_SUFFIXES = (".c", ".h", ".cu", ".cuh")
NOT_OURS = re.compile(r"^(\.git|build|build-.*|out|quickstart\.d|__pycache__|node_modules)$")


def source_files(root):
    """Paths, relative to root, of C, Python and shell sources."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not NOT_OURS.match(name))
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path):
                continue
            suffix = os.path.splitext(name)[1]
            if suffix in C_SUFFIXES + (".py", ".sh") or (not suffix and is_shell(path)):
                yield os.path.relpath(path, root)


def is_shell(path):
    with open(path, "rb") as file:
        return re.match(rb"#!.*\b(ba)?sh\b", file.readline(100)) is not None


def code_only(text):
    """C without comments and without what stands in quotes; lines stay."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def blank(match):
        return "\n" * match.group().count("\n") + " "

    return token.sub(blank, text)


def folder_of(path):
    """The longest known folder that holds path, or None."""
    held = [folder for folder in MAY_INCLUDE if path.startswith(folder + "/")]
    return max(held, key=len) if held else None


def included_path(root, path, target):
    """Where an #include "target" in path leads, relative to root."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), target))
    return beside if os.path.exists(os.path.join(root, beside)) else os.path.normpath(target)


def check_include(path, target):
    """Why path must not include target, or None."""
    here, there = folder_of(path), folder_of(target)
    if there is None:
        return f'"{target}" is in no folder of the house'
    if there == here:
        return None
    if there not in MAY_INCLUDE[here]:
        return f'{here} must not include "{target}": it may only look down, at {", ".join(MAY_INCLUDE[here]) or "nothing"}'
    inside_gpu = here.startswith("gpu") and there.startswith("gpu")
    if not inside_gpu and target != PUBLIC.get(there):
        return f'"{target}" is private to {there}; other folders see {PUBLIC.get(there)}'
    return None


def check_house(root, path, lines):
    """Rules for C files that live on a floor."""
    if folder_of(path) is None:
        yield 0, "this folder has no floor (tests/floors/floors.py names them all)"
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        why = check_include(path, included_path(root, path, match.group(1))) if match else None
        if why:
            yield number, why
        above = any(path == place or path.startswith(place + "/") for place in ABOVE_THE_SEAM)
        if above and DEVICE_WORD.search(line):
            yield number, f'"{DEVICE_WORD.search(line).group()}" above the seam (gpu/backend)'
        if folder_of(path) in JSON_READ and JSON_LOAD.search(line):
            yield number, "reads JSON past json_read and text_read (job/starved.c says why)"


def check_habits(path, text):
    """Rules for every source file, tests and scripts too."""
    lines = text.splitlines()
    if len(lines) > LONGEST_FILE:
        yield len(lines), f"{len(lines)} lines; {LONGEST_FILE} is the wall"
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            yield number, f"unfinished: {line.strip()[:80]}"
    suffix = os.path.splitext(path)[1]
    if suffix in C_SUFFIXES:
        for number, line in enumerate(code_only(text).splitlines(), 1):
            if C_SLEEP.search(line):
                yield number, "sleeps; wait for the thing itself, with a deadline"
            if C_RANDOM.search(line):
                yield number, "uses libc's random numbers; ours are a function of (seed, purpose, epoch, index)"
    else:
        for number, line in enumerate(lines, 1):
            match = PAUSES[suffix].search(line.split("#")[0])
            if match and not short_pause(match.group(1)):
                yield number, f"sleeps longer than {LONGEST_PAUSE_S} s between two looks"


def short_pause(argument):
    try:
        return float(argument) <= LONGEST_PAUSE_S
    except ValueError:
        return False


def check_links(build):
    """riftd and riftctl must start where no device library is installed, rift-worker where there is no card's."""
    for program, refused in (("riftd", DEVICE_LIBRARY), ("riftctl", DEVICE_LIBRARY), ("rift-worker", CARD_LIBRARY)):
        path = os.path.join(build, program)
        if not os.path.exists(path):
            continue
        listing = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            if refused.search(line):
                yield Finding(path, 0, f"linked to a device library: {line.split()[0]}")


def check(root, build=None):
    """All findings in the tree at root. Second value: number of files read."""
    findings, count = [], 0
    for path in source_files(root):
        count += 1
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        found = list(check_habits(path, text))
        if path.endswith(C_SUFFIXES) and path.split("/")[0] not in ("tests", "bench"):
            found += check_house(root, path, text.splitlines())
        findings += [Finding(path, line, message) for line, message in found]
    if build:
        findings += check_links(build)
    return findings, count


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("root", nargs="?", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    parser.add_argument("--build", default=os.environ.get("RIFT_BUILD"))
    arguments = parser.parse_args()
    findings, count = check(os.path.normpath(arguments.root), arguments.build)
    for finding in findings:
        print(f"{finding.path}:{finding.line}: {finding.message}")
    print(f"{count} files read, {len(findings)} findings")
    return 1 if findings or not count else 0


if __name__ == "__main__":
    sys.exit(main())
