#!/usr/bin/env python3
"""Is a severity harder than the one before, for a network that has learnt something?

    bench/corruption_accuracy.py build/rift-worker [--images 3000] [--keep DIR]

Trains a small network on Fashion-MNIST in the standard way, makes corrupted
copies of test images, and measures it on them: three jobs, without riftd. Prints
the accuracies and, for each corruption, how well severities order them: the rank
correlation (Spearman) of severity and accuracy, -1 when each severity is harder
than the one before. Exits 1 when fewer than 12 of the 15 standard ones have -0.8
or less, which is one exchange of neighbours.

Not all can: elastic_transform's published severity 1 moves a 28-pixel image more
than severity 5 does, and JPEG hardly hurts gray images."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

FASHION = "/usr/share/datasets/fashion-mnist"
WANTED, ORDERED = 12, -0.8
SKIPPED = 77
MODEL = {"arch": "resnet18", "width": 8, "input": [1, 32, 32]}


def job(worker, home, name, spec):
    """Run a job in HOME/NAME; its result."""
    place = os.path.join(home, name)
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, "spec.json"), "w", encoding="utf-8") as file:
        json.dump(spec, file)
    subprocess.run([worker, "run", place, "--quiet"], check=True)
    with open(os.path.join(place, "journal.ndjson"), encoding="utf-8") as file:
        return json.loads(file.readlines()[-1])["result"]


def ranks(values):
    """Places in ascending order from 0; equal ones share theirs."""
    return [sum(other < value for other in values) + (values.count(value) - 1) / 2 for value in values]


def spearman(accuracies):
    left, right = list(range(len(accuracies))), ranks(accuracies)
    middle = (len(left) - 1) / 2
    product = sum((a - middle) * (b - middle) for a, b in zip(left, right))
    sizes = [sum((a - middle) ** 2 for a in side) for side in (left, right)]
    return product / (sizes[0] * sizes[1]) ** 0.5 if min(sizes) else 0.0


def measure(worker, home, images):
    data = {"format": "idx", "path": FASHION, "train_limit": 12000, "test_limit": images}
    job(worker, home, "train", {
        "kind": "train", "protocol": "paper", "model": MODEL, "dataset": data, "attack": None, "augment": "none",
        "train": {"method": "standard", "epochs": 4, "evaluate_every": 0}, "optimizer": {"schedule": {"type": "linear"}}})
    job(worker, home, "corrupt", {"kind": "corrupt", "dataset": data, "corrupt": {"set": "all", "contact_sheet": 0}})
    return job(worker, home, "evaluate", {
        "kind": "evaluate", "dataset": data, "attack": None,
        "model": {**MODEL, "weights": "../train/artifacts/last.safetensors"},
        "evaluate": {"corruptions": {"path": "../corrupt/artifacts", "set": "all"}}})


def show(result):
    """The table; how many of the standard 15 are ordered."""
    ordered = strictly = 0
    print(f"clean {100 * result['clean']['accuracy']:.2f} %\n")
    print(f"{'':20}" + "".join(f"{severity:8}" for severity in range(1, 6)) + "   order")
    for place, row in enumerate(result["corruptions"]["corruptions"]):
        accuracies = [one["accuracy"] for one in row["severities"]]
        order = spearman(accuracies)
        print(f"{row['name']:20}" + "".join(f"{100 * accuracy:8.2f}" for accuracy in accuracies) + f"{order:8.2f}")
        if place < 15:  # the standard ones come first
            ordered += order <= ORDERED
            strictly += all(a >= b for a, b in zip(accuracies, accuracies[1:]))
    print(f"\nof the 15 standard ones {ordered} are ordered ({WANTED} wanted), {strictly} of them without any exchange")
    return ordered


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("worker")
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--keep")
    options = parser.parse_args()
    if not os.path.exists(FASHION):
        print(f"skipped: no Fashion-MNIST in {FASHION}")
        return SKIPPED
    worker = os.path.abspath(options.worker)
    with tempfile.TemporaryDirectory() as temporary:
        return 0 if show(measure(worker, options.keep or temporary, options.images)) >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
