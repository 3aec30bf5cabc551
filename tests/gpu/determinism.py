#!/usr/bin/env python3
"""Does a device give the same bits again?

    determinism.py WORKER [DEVICE]

The same job twice, and once more without recordings, must leave the same
weights, in every number format that the device has."""
import hashlib
import os
import sys
import time

from small_job import Home


def weights(path):
    with open(os.path.join(path, "artifacts", "last.safetensors"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def main():
    worker = sys.argv[1]
    device = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("RIFT_TEST_DEVICE", "cuda")
    home, failed = Home(worker), 0
    for precision in ("float32", "tf32", "bf16"):
        seen = {}
        for turn, environment in (("first", {}), ("second", {}), ("unrecorded", {"RIFT_CUDA_GRAPHS": "0"})):
            path, start = home.job(f"{precision}-{turn}", device, precision=precision), time.monotonic()
            code, events = home.run(path, **environment)
            print(f"        {precision}, {turn}: {time.monotonic() - start:.1f} s")
            if code != 0:
                print(f"FAILED  {precision}, {turn}: exit {code}: {events[-1] if events else 'no event'}")
                home.blame(device, events)
                return 1
            seen[turn] = weights(path)
        same = len(set(seen.values())) == 1
        failed |= not same
        print(f"{'ok    ' if same else 'FAILED'}  the same job is the same bits in {precision}: {seen}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
