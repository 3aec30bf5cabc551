"""Runs the Python blocks of a document in order, in one namespace, in the working directory; says which on the last line.

    run_python.py DOCUMENT      blocks marked `torch` are left out where it can't be imported"""
import importlib.util
import json
import re
import sys
import traceback

with open(sys.argv[1], encoding="utf-8") as document:
    blocks = re.findall(r"(?ms)^```python( torch)?\n(.*?)^```$", document.read())
has_torch = importlib.util.find_spec("torch") is not None
namespace = {"__name__": "__main__"}
done = {"plain": 0, "torch": 0, "left_out": 0, "failed": None}
for marked, code in blocks:
    if marked and not has_torch:
        done["left_out"] += 1
        continue
    try:
        exec(compile(code, sys.argv[1], "exec"), namespace)
    except Exception:
        done["failed"] = code + traceback.format_exc()
        break
    done["torch" if marked else "plain"] += 1
print(json.dumps(done))
