"""A small training job for tests of a device: images from nothing, a narrow network, a few batches."""
import json
import os
import random
import struct
import subprocess
import tempfile


def tensors_write(path, tensors):
    """tensors: {name: (dtype, shape, bytes)}"""
    head, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            file.write(data)


class Home:
    """A folder with data, in which jobs are made and run."""

    def __init__(self, worker, count=48, side=32):
        self.worker, self.side, self.count = worker, side, count
        self.folder = tempfile.TemporaryDirectory(prefix="rift-gpu-")
        noise = random.Random(1)
        size = count * 3 * side * side
        labels = struct.pack(f"<{count}q", *(i % 4 for i in range(count)))
        for name in ("train", "test"):
            tensors_write(os.path.join(self.folder.name, name + ".safetensors"),
                          {"x": ("U8", (count, 3, side, side), bytes(noise.randrange(256) for _ in range(size))),
                           "y": ("I64", (count,), labels)})

    def job(self, name, device, **changes):
        spec = {"kind": "train", "device": device, "protocol": "paper", "batch_size": 16, "seed": 3,
                "model": {"arch": "resnet18", "width": 8, "num_classes": 4},
                "dataset": {"format": "tensors", "path": "../train.safetensors", "test_path": "../test.safetensors"},
                "attack": {"steps": 2}, "train": {"epochs": 2}}
        for key, value in changes.items():
            spec[key] = {**spec[key], **value} if isinstance(value, dict) and key in spec else value
        path = os.path.join(self.folder.name, name)
        os.makedirs(path)
        with open(os.path.join(path, "spec.json"), "w") as file:
            json.dump(spec, file)
        return path

    def run(self, path, timeout=300, words=(), **environment):
        """Exit code, and the journal's events. What the worker said of it goes on to whoever reads."""
        done = subprocess.run([self.worker, "run", path, "--quiet", *words], env={**os.environ, **environment},
                              stderr=subprocess.PIPE, text=True, timeout=timeout)
        if done.stderr:
            print("        " + done.stderr[-2000:].rstrip().replace("\n", "\n        "))
        events = []
        journal = os.path.join(path, "journal.ndjson")
        if os.path.exists(journal):
            with open(journal) as file:
                events = [json.loads(line) for line in file]
        return done.returncode, events

    def blame(self, device, events):
        """Where the device didn't open: is the sandbox in its way? Tried once, without it."""
        if any(event["type"] == "started" for event in events):
            return
        _, without = self.run(self.job("without-sandbox", device), words=("--sandbox", "off"))
        opens = any(event["type"] == "started" for event in without)
        print("        with --sandbox off", "it opens: THE SANDBOX IS IN ITS WAY" if opens else
              f"it doesn't open either: {without[-1] if without else 'no event'}")
