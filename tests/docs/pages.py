"""The documents as the tests see them: their text, their blocks of code, their headings."""
import os
import re
import shlex

from client import ROOT

NOT_OURS = {".git", "node_modules", "out", "quickstart.d"}


def documents():
    """Paths of all *.md below the root, without what builds and packages bring."""
    found = []
    for folder, names, files in os.walk(ROOT):
        names[:] = sorted(name for name in names if name not in NOT_OURS and not name.startswith("build"))
        found += [os.path.join(folder, name) for name in sorted(files) if name.endswith(".md")]
    return found


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def fences(text):
    """[(language, lines)] of the blocks between ``` lines, in order."""
    found, inside = [], None
    for line in text.splitlines():
        if inside is not None:
            if line.strip() == "```":
                found.append(inside)
                inside = None
            else:
                inside[1].append(line)
        elif line.startswith("```"):
            inside = (line[3:].strip(), [])
    assert inside is None, f"a block that begins with ```{inside and inside[0]} has no end"
    return found


def prose(text):
    """The text without its blocks of code: fenced ones, and lines indented by four."""
    text = re.sub(r"(?ms)^```.*?^```$", "", text)
    return re.sub(r"(?m)^ {4,}(?![-*|\d]).*$", "", text)


def anchors(text):
    """What GitHub calls the headings."""
    found = set()
    for heading in re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", text)):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        found.add(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-"))
    return found


def commands(text, program):
    """The words behind each `program` in code (blocks, indented lines, `spans`), up to whatever ends a command."""
    spans = re.findall(r"`([^`]+)`", prose(text))
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    inside, blocks = False, []
    for line in lines:
        inside = inside != line.startswith("```")
        if inside or line.startswith("    "):
            blocks.append(line)
    for code in spans + blocks:
        for rest in re.findall(rf"(?:^|[\s/(;|&$!]){program} +(.*)", code):
            rest = re.split(r"\s(?:#|\||&&|&|;|>|<)(?:\s|$)|[;)`]", rest + " ")[0].strip().rstrip(".,:")
            try:
                yield shlex.split(rest)
            except ValueError:  # a quote that goes on in the next line
                yield rest.split()
