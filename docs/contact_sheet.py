#!/usr/bin/env python3
"""Where does docs/contact-sheet.png come from?

    docs/contact_sheet.py build/rift-worker docs/contact-sheet.png

A corrupt job over two images of 32 pixels: a drawn landscape, made here, and a
shoe of Fashion-MNIST (MIT licence) in three equal channels. No picture of CIFAR
or ImageNet, whose licences are unclear."""
import gzip
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile

SIDE = 32
SHOES = "/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz"


def landscape(y, x):
    """The colour at a point of the unit square: first what is in front."""
    wave = math.sin(40 * x) * math.cos(33 * y + 9 * x)
    if abs(x - 0.62) < 0.035 and 0.6 < y < 0.78:
        return 0.30, 0.18, 0.10  # door
    if min(abs(x - 0.53), abs(x - 0.71)) < 0.03 and abs(y - 0.55) < 0.035:
        return 0.55, 0.75, 0.90  # windows
    if abs(x - 0.62) < 0.15 and 0.45 < y < 0.78:
        return 0.85, 0.72, 0.52  # house
    if 0.28 < y <= 0.45 and abs(x - 0.62) < 1.1 * (y - 0.28):
        return 0.70, 0.18, 0.14  # roof
    if (x - 0.2) ** 2 + (y - 0.45) ** 2 < 0.024:
        return 0.12, 0.42 + 0.15 * wave, 0.12  # tree
    if abs(x - 0.2) < 0.025 and 0.58 < y < 0.82:
        return 0.35, 0.22, 0.12  # trunk
    if y > 0.55 + 0.1 * math.sin(6 * x + 0.5):
        return 0.25 + 0.1 * wave, 0.55 + 0.15 * wave, 0.15  # meadow
    if (x - 0.85) ** 2 + (y - 0.14) ** 2 < 0.007:
        return 1.0, 0.9, 0.35  # sun
    cloud = max(0.0, math.sin(7 * x + 1) * math.sin(9 * y + 2 * x)) * 0.5
    return tuple(c * (1 - cloud) + cloud for c in (0.35 + 0.4 * y, 0.55 + 0.35 * y, 0.9))


def images():
    """[2,3,SIDE,SIDE]"""
    rows = [[landscape((y + 0.5) / SIDE, (x + 0.5) / SIDE) for x in range(SIDE)] for y in range(SIDE)]
    drawn = bytes(int(255 * max(0.0, min(1.0, rows[y][x][c]))) for c in range(3) for y in range(SIDE) for x in range(SIDE))
    with gzip.open(SHOES) as file:
        shoe = file.read(16 + 28 * 28)[16:]
    plane = bytearray(SIDE * SIDE)
    for y in range(28):
        plane[(y + 2) * SIDE + 2:(y + 2) * SIDE + 30] = shoe[y * 28:(y + 1) * 28]
    return drawn + bytes(plane) * 3


def write(path, pixels):
    labels = struct.pack("<2q", 0, 1)
    header = json.dumps({"x": {"dtype": "U8", "shape": [2, 3, SIDE, SIDE], "data_offsets": [0, len(pixels)]},
                         "y": {"dtype": "I64", "shape": [2], "data_offsets": [len(pixels), len(pixels) + len(labels)]}})
    header += " " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode() + pixels + labels)


def main(worker, target):
    with tempfile.TemporaryDirectory() as home:
        write(os.path.join(home, "two.safetensors"), images())
        with open(os.path.join(home, "spec.json"), "w", encoding="utf-8") as file:
            json.dump({"kind": "corrupt", "dataset": {"format": "tensors", "path": "two.safetensors"},
                       "corrupt": {"set": "all", "contact_sheet": 2}}, file)
        subprocess.run([worker, "run", home, "--quiet"], check=True)
        shutil.copyfile(os.path.join(home, "artifacts", "contact-sheet.png"), target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
