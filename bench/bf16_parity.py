#!/usr/bin/python3
"""Does training in bf16 end where training in float32 ends?

The same adversarial training on Fashion-MNIST from the same seeds, once in each
format; each last net is judged by the same evaluate job in float32, so that what
differs is the training alone. Prints a table and ends with 1 when the means of
clean or robust accuracy are further apart than one standard deviation (of the
seeds: the root of the mean of both variances).

About seven minutes on two idle cores with the defaults; no daemon is needed."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

PRECISIONS = ("float32", "bf16")
DATA = "/usr/share/datasets/fashion-mnist"


def run(given, home, name, spec):
    """Do a job with rift-worker; its result and how long it took, in seconds."""
    directory = os.path.join(home, name)
    os.makedirs(directory)
    with open(os.path.join(directory, "spec.json"), "w") as file:
        json.dump(spec, file)
    done = subprocess.run([os.path.join(given.build, "rift-worker"), "run", directory, "--quiet"], check=False)
    with open(os.path.join(directory, "journal.ndjson")) as file:
        events = [json.loads(line) for line in file]
    if done.returncode:
        sys.exit(f"bf16_parity: {name}: {events[-1]}")
    return events[-1]["result"], (events[-1]["time_ms"] - events[0]["time_ms"]) / 1000


def train_and_judge(given, home, precision, seed):
    model = {"arch": "resnet18", "width": given.width, "input": [1, 32, 32],
             "normalize": {"mean": [0.2860], "std": [0.3530]}}
    common = {"device": "cpu", "threads": given.threads, "seed": seed, "batch_size": 64, "protocol": "paper", "model": model,
              "dataset": {"format": "idx", "path": given.data, "train_limit": given.images,
                          "test_limit": given.test_images}}
    name = f"{precision}-{seed}"
    _, seconds = run(given, home, name, {
        **common, "kind": "train", "precision": precision,
        "train": {"method": "pgd-at", "epochs": given.epochs, "evaluate_every": 0},
        "optimizer": {"lr": given.lr, "schedule": {"type": "linear"}}})
    model["weights"] = os.path.join(home, name, "artifacts", "last.safetensors")
    result, _ = run(given, home, name + "-judged", {**common, "kind": "evaluate", "evaluate": {"attacks": [{}]}})
    return result["clean"]["accuracy"], result["attacks"][0]["accuracy"], seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--build", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build"))
    add("--data", default=DATA, help="a directory with Fashion-MNIST's four files")
    add("--seeds", type=int, default=3)
    add("--images", type=int, default=4000)
    add("--test-images", type=int, default=2000)
    add("--epochs", type=int, default=4)
    add("--width", type=int, default=16)
    add("--lr", type=float, default=0.05)
    add("--threads", type=int, default=2)
    given = parser.parse_args()

    found = {precision: [] for precision in PRECISIONS}
    print("| seed | precision | clean | PGD-10 | training, s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as home:
        for seed in range(given.seeds):
            for precision in PRECISIONS:
                clean, robust, seconds = train_and_judge(given, home, precision, seed)
                found[precision].append((clean, robust))
                print(f"| {seed} | {precision} | {100 * clean:.2f} % | {100 * robust:.2f} % | {seconds:.1f} |", flush=True)
    print("\n| accuracy | float32 | bf16 | apart | one standard deviation |\n|---|---|---|---|---|")
    same = True
    for index, name in enumerate(("clean", "PGD-10")):
        values = [[100 * pair[index] for pair in found[precision]] for precision in PRECISIONS]
        means, deviations = [statistics.mean(v) for v in values], [statistics.stdev(v) for v in values]
        one = (sum(d * d for d in deviations) / 2) ** 0.5
        same &= abs(means[0] - means[1]) <= one
        print(f"| {name} | {means[0]:.2f} +- {deviations[0]:.2f} | {means[1]:.2f} +- {deviations[1]:.2f} | "
              f"{abs(means[0] - means[1]):.2f} | {one:.2f} |")
    if not same:
        sys.exit("bf16_parity: further apart than one standard deviation")


if __name__ == "__main__":
    main()
