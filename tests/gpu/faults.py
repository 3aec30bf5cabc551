#!/usr/bin/env python3
"""What becomes of a job when its device fails, is too small, or isn't there?

    faults.py WORKER [DEVICE]

Each must end with one `failed` event that says what was wrong, and the exit
code that goes with it; and a job whose card has failed is run again elsewhere."""
import os
import sys

from small_job import Home

DEVICE_LOST, INTERNAL = 69, 70


def check(sentence, truth, seen):
    print(f"{'ok    ' if truth else 'FAILED'}  {sentence}{'' if truth else f': {seen}'}")
    return not truth


def last(events):
    return events[-1] if events else {}


def main():
    worker = sys.argv[1]
    device = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("RIFT_TEST_DEVICE", "cuda")
    home, failed = Home(worker), 0

    path = home.job("fault", device, checkpoint_every_s=0)
    code, events = home.run(path, RIFT_CUDA_TRAP_AFTER="9")
    end = last(events)
    failed |= check("a fault in the middle of a job is exit 69 and one failed event",
                    code == DEVICE_LOST and end.get("type") == "failed" and end.get("code") == "device_lost" and
                    sum(event["type"] == "failed" for event in events) == 1 and
                    any(event["type"] == "metric" for event in events), (code, end, len(events)))
    home.blame(device, events)
    code, events = home.run(path)
    failed |= check("run again the job goes on and finishes", code == 0 and last(events).get("type") == "finished",
                    (code, last(events)))

    # the eleven that are taken when a card opens come before
    for time in (12, 13, 20) if "pretend" in os.environ.get("RIFT_CUDA_MODULE", "") else ():
        code, events = home.run(home.job(f"memory-{time}", device), RIFT_PRETEND_FAULT_AT_MEMORY=str(time))
        end = last(events)
        failed |= check("a fault that comes to light when memory is taken isn't a lack of memory",
                        code == DEVICE_LOST and end.get("code") == "device_lost" and "launch failure" in
                        end.get("message", ""), (code, end))

    path = home.job("large", device, batch_size=65536, model={"width": 64}, dataset={"path": "../train.safetensors"})
    small = {"RIFT_PRETEND_BYTES": "100000000"}  # a card this small is only there when it is pretended
    if "pretend" in os.environ.get("RIFT_CUDA_MODULE", ""):
        code, events = home.run(path, **small)
        end = last(events)
        failed |= check("what doesn't fit is said in bytes before the first epoch",
                        code != 0 and end.get("type") == "failed" and "bytes" in end.get("message", "") and
                        not any(event["type"] == "metric" for event in events), (code, end))

    path = home.job("absent", "cuda:7")
    code, events = home.run(path)
    failed |= check("a card that isn't there is named", code == DEVICE_LOST and "cuda:7" in last(events).get("message", ""),
                    (code, last(events)))
    path = home.job("nothing", "cuda")
    code, events = home.run(path, RIFT_CUDA_MODULE="/nowhere/librift_cuda.so")
    failed |= check("without the module a job for a card fails with words",
                    code == DEVICE_LOST and "no CUDA device" in last(events).get("message", ""), (code, last(events)))
    return failed


if __name__ == "__main__":
    sys.exit(main())
