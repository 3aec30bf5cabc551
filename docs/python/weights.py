"""safetensors without a package: {name: numpy array} out of a file and into one. With it:

    from safetensors.numpy import load_file, save_file      # or safetensors.torch
"""
import json
import struct

import numpy

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1"}
NAMES = {numpy.dtype(code): name for name, code in TYPES.items()}


def load_file(path):
    with open(path, "rb") as file:
        head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    head.pop("__metadata__", None)
    return {name: numpy.frombuffer(data, TYPES[one["dtype"]], offset=one["data_offsets"][0],
                                   count=int(numpy.prod(one["shape"], dtype=int))).reshape(one["shape"])
            for name, one in head.items()}


def save_file(tensors, path):
    head, parts, at = {}, [], 0
    for name, value in tensors.items():
        value = numpy.asarray(value)  # a torch tensor on the CPU becomes an array without a copy
        parts.append(value.tobytes())
        head[name] = {"dtype": NAMES[value.dtype], "shape": list(value.shape), "data_offsets": [at, at + len(parts[-1])]}
        at += len(parts[-1])
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
