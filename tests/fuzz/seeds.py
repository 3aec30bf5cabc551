#!/usr/bin/env python3
"""What does an input of each fuzz target look like?

    seeds.py DIR             writes DIR/TARGET/seed-NAME
    seeds.py --words FILE    writes libFuzzer's dictionary of words that mean something to some target

Small, valid and nearly valid examples to start from. The corpus in the
repository holds these and what libFuzzer has made of them; a new target starts
here. Standard library only, so images are put together by hand."""

import gzip
import json
import os
import re
import struct
import sys
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DONE, QUEUED, FAILED, PARENT, STEP = (f"00000000-0000-7000-8000-00000000000{c}" for c in "daf01")


def halves(first, second):
    return struct.pack("<H", len(first)) + first + second


# ---- HTTP ------------------------------------------------------------------


def request(method, target, headers=(), body=None, host="localhost:8717"):
    lines = [f"{method} {target}", f"Host: {host}", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\n".join(lines) + "\n\n" + (body or "")).encode()


def requests():
    train = json.dumps({"kind": "train", "dataset": {"format": "idx", "path": "/data"}})
    rift = json.dumps({"kind": "rift", "dataset": {"name": "images"}, "label": "x", "priority": 3})
    after = json.dumps({"kind": "evaluate", "model": {"weights": {"job": PARENT}}, "dataset": {"format": "idx", "path": "/d"}})
    yield "submit", request("POST", "/v1/jobs", ["Idempotency-Key: once"], train)
    yield "submit-rift", request("POST", "/v1/jobs?dry_run=true", ["Origin: http://localhost:8717"], rift)
    yield "submit-after", request("POST", "/v1/jobs", ["Sec-Fetch-Site: same-origin"], after)
    yield "list", request("GET", f"/v1/jobs?state=succeeded&kind=evaluate&label=some%20label&parent={PARENT}&limit=1")
    yield "page", request("GET", "/v1/jobs?limit=1&cursor=ajI")
    for name, job in (("done", DONE), ("parent", PARENT), ("step", STEP)):
        for part in ("", "/metrics", "/modules", "/interpolation", "/evaluations", "/table", "/log", "/artifacts"):
            yield f"{name}-{part[1:] or 'job'}", request("GET", f"/v1/jobs/{job}{part}")
    yield "points", request("GET", f"/v1/jobs/{DONE}/metrics?name=loss&since=0&max_points=10")
    yield "csv", request("GET", f"/v1/jobs/{PARENT}/table?format=csv&group_by=protocol,model.arch&with={PARENT}")
    yield "delete", request("DELETE", f"/v1/jobs/{DONE}")
    yield "cancel", request("POST", f"/v1/jobs/{QUEUED}/cancel")
    yield "cancel-parent", request("POST", f"/v1/jobs/{PARENT}/cancel", body="{}")
    yield "retry", request("POST", f"/v1/jobs/{FAILED}/retry")
    yield "events", request("GET", f"/v1/jobs/{DONE}/events", ["Last-Event-ID: 3"])
    yield "events-list", request("GET", f"/v1/jobs/{PARENT}/events?after=1&wait=0&limit=2")
    yield "events-all", request("GET", "/v1/events", ["Accept: application/x-ndjson"])
    yield "log-tail", request("GET", f"/v1/jobs/{DONE}/log?tail=2&step=0")
    yield "artifact", request("GET", f"/v1/jobs/{DONE}/artifacts/best.safetensors",
                              ["Range: bytes=1-3", 'If-Range: "411a485216e432ece6b9af94fa32154cf79a2a56d4f81266baa50063f45092bd"'])
    yield "artifact-etag", request("GET", f"/v1/jobs/{DONE}/artifacts/best.safetensors",
                                   ['If-None-Match: W/"a", "411a485216e432ece6b9af94fa32154cf79a2a56d4f81266baa50063f45092bd"'])
    yield "range-end", request("GET", f"/v1/jobs/{DONE}/log", ["Range: bytes=-4", "X-Request-Id: abc.1"])
    for path in ("queue", "datasets", "devices", "fields", "version", "openapi.yaml"):
        yield path, request("GET", f"/v1/{path}")
    token = "rift_" + "0" * 36 + "_" + "a" * 43
    yield "token", request("GET", "/v1/jobs", [f"Authorization: Bearer {token}"])
    yield "session", request("GET", "/v1/session", [f"Cookie: rift_session={token}"])
    yield "sign-in", request("POST", "/v1/session", body=json.dumps({"token": token}))
    yield "token-make", request("POST", "/v1/tokens", body='{"name":"a","role":"read","owner":"me"}')
    yield "forwarded", request("GET", "/v1/version", ["X-Forwarded-For: 1.2.3.4, ::1", "X-Forwarded-Proto: https"])
    yield "models", request("GET", "/v1/models?name=a&limit=1")
    yield "model-of-job", request("POST", "/v1/models", body=json.dumps({"job": DONE, "artifact": "best.safetensors"}))
    yield "model", (b"POST /v1/models?name=w HTTP\nHost: localhost:8717\nContent-Type: application/octet-stream\n\n"
                    b"\x10{\"a\":1}").replace(b" HTTP", b"")
    yield "problem", request("GET", "/problems/bad-spec")
    yield "page-web", request("HEAD", "/web/index.html", host="[::1]:8717")
    yield "escape", request("GET", "/web/%2e%2e%2fx", host="127.0.0.1:8717")


def raw(data, cut=0):
    return bytes([cut]) + data.replace(b"\n", b"\r\n")


def http():
    for name, data in requests():
        head, _, body = data.partition(b"\n\n")
        line, _, rest = head.partition(b"\n")
        yield name, raw(line + b" HTTP/1.1\n" + rest + b"\n\n") + body
    chunked = b"POST /v1/jobs HTTP/1.1\nHost: a\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n"
    yield "chunked", raw(chunked + b"2\n{}\n0\n\n", 90)
    yield "expect", raw(b"POST /v1/jobs HTTP/1.1\nHost: a\nContent-Type: application/json\n"
                        b"Content-Length: 2\nExpect: 100-continue\n\n{}", 120)
    yield "two", raw(b"GET /healthz HTTP/1.1\nHost: a\n\nGET /readyz HTTP/1.1\nHost: a\n\n")
    yield "smuggle", raw(chunked.replace(b"Host: a", b"Host: a\nContent-Length: 2") + b"{}")
    yield "old", raw(b"GET / HTTP/1.0\n\n")
    yield "options", raw(b"OPTIONS * HTTP/1.1\nHost: a\n\n")


# ---- specs and journals -------------------------------------------------------


def specs():
    for name in ("quickstart", "sweep"):
        with open(f"{ROOT}/docs/{name}.json", "rb") as file:
            yield name, file.read()
    data = {"dataset": {"path": "/d", "format": "idx", "train_limit": 10}}
    weights = {"model": {"arch": "wideresnet", "depth": 16, "widen_factor": 1, "weights": "/w.safetensors"}}
    yield "train", json.dumps({"kind": "train", "attack": {"epsilon": "8/255"}, **data,
                               "train": {"method": "trades", "epochs": 2, "trades": {"beta": 6}},
                               "optimizer": {"schedule": {"type": "step", "milestones": [1, 2]}}}).encode()
    yield "mrc", json.dumps({"kind": "mrc", **weights, **data,
                             "mrc": {"modules": ["conv1"], "joint": [["conv1", "linear"]], "greedy": 2}}).encode()
    yield "finetune", json.dumps({"kind": "finetune", **weights, **data, "finetune":
                                  {"modules": {"top": 3}, "mrc_job": {"job": DONE}}}).encode()
    yield "interpolate", json.dumps({"kind": "interpolate", **data, "interpolate":
                                     {"from": "/a", "to": {"job": DONE, "artifact": "x"}, "alphas": [0, 0.5, 1]}}).encode()
    yield "evaluate", json.dumps({"kind": "evaluate", **weights, **data, "attack": None, "evaluate":
                                  {"attacks": [{"type": "autoattack"}, {"type": "pgd", "steps": 3}],
                                   "corruptions": {"path": "/c", "severities": [1, 5]}}}).encode()
    yield "corrupt", json.dumps({"kind": "corrupt", **data, "corrupt":
                                 {"names": ["fog"], "format": "folder", "image_type": "png"}}).encode()
    yield "inspect", json.dumps({"kind": "inspect", **weights, **data, "inspect":
                                 {"images": 100, "per_class": 2, "corruptions": {"names": ["fog"], "severities": [5]},
                                  "adversarial": 3}}).encode()
    yield "sweep-small", json.dumps({"kind": "sweep", **data, "sweep":
                                     {"seeds": [0, 1], "methods": ["pgd-at"], "modules": ["lowest", {"top": 2}]}}).encode()
    yield "wrong", b'{"kind":"train","batch_sise":1,"seed":1e400,"model":{"width":"\xc3\xa9"}}'


def journal(*events):
    lines = [{"seq": i + 1, "time_ms": 1000 + i, **event} for i, event in enumerate(events)]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def journals():
    whole = journal({"type": "started", "seed": 0}, {"type": "progress", "phase": "x", "done": 1, "total": 2},
                    {"type": "metric", "name": "loss", "step": 1, "epoch": 0.5, "value": 2.5},
                    {"type": "module", "module": "conv1", "pass": 1, "mrc": 0.5},
                    {"type": "alpha", "alpha": 0.5, "clean_accuracy": None},
                    {"type": "evaluation", "name": "clean", "accuracy": 0.5},
                    {"type": "artifact", "name": "best.safetensors", "size": 5, "sha256": "00"},
                    {"type": "checkpoint", "size": 1}, {"type": "finished", "result": {"a": [1, 2]}})
    yield "whole", whole
    yield "torn", whole[:-20]
    yield "holes", b"\0" * 64 + whole
    yield "double", journal({"type": "metric", "name": "a", "step": 1, "value": 1}) * 2
    yield "damaged", whole[:200] + b"\n" + whole[200:]
    yield "numbers", b'{"seq":9223372036854775807,"time_ms":-1,"type":"metric","name":"","step":-9223372036854775808}\n'


def settings():
    file = (b"# riftd.conf\n[server]\nlisten = 127.0.0.1:0\nport = 8718\ngrace-s = 2min\n"
            b'dataset = images=idx:/data\ndataset = "more=image-folder:/x y"\nlog-level = info\n')
    yield "file", halves(file, b"")
    yield "flags", halves(b"state = /s\n", b"--state=/var/lib/x\n--max-attempts=3\n--print-settings\nRIFTD_GRACE_S=7d")
    yield "wrong", halves(b"stat = x\nport = 99999999999999999999\ngrace-s = 1h 5min\nlisten\n=\n", b"--sloots=1\nRIFTD_X=1")
    yield "odd", halves(b"\xef\xbb\xbfport=1\r\nweb = \x00\xff\n" + b"a" * 300, b"--=\n--\n-h")


# ---- data ---------------------------------------------------------------------


def safetensors():
    def make(tensors, metadata=None):
        header, at, data = {}, 0, b""
        for name, dtype, shape, payload in tensors:
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(payload)]}
            at += len(payload)
            data += payload
        if metadata:
            header["__metadata__"] = metadata
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data

    yield "two", make([("a", "F32", [2, 2], bytes(16)), ("b", "I64", [], bytes(8))], {"version": "1", "state": "{}"})
    yield "empty", make([])
    yield "zero", make([("z", "U8", [0, 5], b"")])
    yield "types", make([("i", "I32", [1], bytes(4)), ("d", "F64", [1], bytes(8)), ("u", "U8", [3], b"abc")])
    yield "overlap", make([("a", "U8", [2], b"ab")]).replace(b"[0, 2]", b"[1, 2]")


def idx():
    images = struct.pack(">IIII", 0x803, 2, 28, 28) + bytes(range(196)) * 8
    labels = struct.pack(">II", 0x801, 2) + b"\1\7"
    yield "plain", halves(images, labels)
    yield "gz", halves(gzip.compress(images, mtime=0), gzip.compress(labels, mtime=0))
    yield "long", halves(images + b"x", labels)
    yield "promise", halves(struct.pack(">IIII", 0x803, 0xFFFFFFFF, 28, 28), labels)


def cifar():
    yield "ten", b"\0" + b"\3" + bytes(3072)
    yield "hundred", b"\1" + b"\3\x2a" + bytes(3072)
    yield "short", b"\0" + b"\3" + bytes(300)


def npy():
    def make(descr, shape, data, fortran=False, version=1):
        text = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
        size = struct.pack("<H" if version == 1 else "<I", len(text))
        return b"\x93NUMPY" + bytes([version, 0]) + size + text + data

    yield "u1", make("|u1", "(2, 3)", bytes(6))
    yield "i8", make("<i8", "(2,)", bytes(16), version=2)
    yield "i4", make("<i4", "(1, 2, 1, 2)", bytes(16))
    yield "fortran", make("|u1", "(2, 3)", bytes(6), True)
    yield "huge", make("<i8", "(4611686018427387904, 4)", b"")


def png_make(side, colour, depth, interlace=0, palette=b""):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = b"\0" + bytes((side * channels * depth + 7) // 8)
    rows = row * side if not interlace else row * (2 * side)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, interlace)) +
            (chunk(b"PLTE", palette) if palette else b"") + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def png():
    yield "gray", png_make(16, 0, 8)
    yield "gray1", png_make(16, 0, 1)
    yield "gray16", png_make(16, 0, 16)
    yield "rgb", png_make(16, 2, 8)
    yield "rgba", png_make(16, 6, 8)
    yield "grayalpha", png_make(16, 4, 8)
    yield "palette", png_make(16, 3, 2, palette=b"\1\2\3\4\5\6\7\x08\x09")
    yield "interlaced", png_make(16, 2, 8, 1)


def jpegs():
    """Baseline, progressive and gray, 16 pixels wide: made once with libjpeg's cjpeg."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "jpeg")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if name.startswith("seed-"):
            with open(os.path.join(folder, name), "rb") as file:
                yield name[len("seed-"):], file.read()


def folder():
    images = dict(png())
    pictures = list(jpegs())
    yield "pngs", halves(images["gray"], images["rgb"])
    if pictures:
        yield "both", halves(pictures[0][1], images["palette"])
    yield "neither", halves(b"GIF89a", b"")


TARGETS = {"request": requests, "http": http, "spec": specs, "journal": journals, "ingest": journals, "settings": settings,
           "safetensors": safetensors, "idx": idx, "cifar": cifar, "npy": npy, "png": png, "jpeg": jpegs,
           "folder": folder}


def words():
    """Names of fields and their values from the field table, routes from theirs, and what formats are made of."""
    found = {"seq", "time_ms", "type", "data_offsets", "dtype", "shape", "__metadata__", "F32", "I64", "U8", "HEAD ",
             "DELETE ", "POST ", "Range: bytes=", "If-Range: ", "If-None-Match: ", "Last-Event-ID: ", "Idempotency-Key: ",
             "Accept: application/json", "Transfer-Encoding: chunked", "Sec-Fetch-Site: ", "Origin: http://", "%2e", "%00",
             "descr", "fortran_order", "IHDR", "PLTE", "IDAT", "tRNS", "IEND", "\\xff\\xd8", "\\xff\\xc2", "\\xff\\xda",
             "8/255", "null", DONE, QUEUED, FAILED, PARENT, STEP}
    with open(f"{ROOT}/job/fields.c", encoding="utf-8") as file:
        table = file.read()
    for pointer in re.findall(r'"(/[a-z_/]+)"', table):
        found.update(pointer.strip("/").split("/"))
    for values in re.findall(r'"([a-z0-9_-]+(?:\|[a-z0-9_-]+)+)"', table):
        found.update(values.split("|"))
    with open(f"{ROOT}/daemon/settings.c", encoding="utf-8") as file:
        found.update(re.findall(r'{ "([a-z-]+)", SETTING_', file.read()))
    with open(f"{ROOT}/daemon/journal.c", encoding="utf-8") as file:
        found.update(re.findall(r'{ "([a-z]+)", ROW_', file.read()))
    with open(f"{ROOT}/api/routes.c", encoding="utf-8") as file:
        for path, query in re.findall(r'"[A-Z]+", "(/[^"]*)", handle_\w+, \w+, "([^"]*)"', file.read()):
            found.update(part for part in path.split("/") if part and "{" not in part)
            found.update(f"{name}=" for name in query.split(",") if name)
    return sorted(found)


def main():
    if sys.argv[1] == "--words":
        with open(sys.argv[2], "w", encoding="ascii") as file:
            file.writelines(f'"{word}"\n' for word in words())
        return
    for target, seeds in TARGETS.items():
        place = os.path.join(sys.argv[1], target)
        os.makedirs(place, exist_ok=True)
        for name, data in seeds():
            with open(os.path.join(place, f"seed-{name}"), "wb") as file:
                file.write(data)


if __name__ == "__main__":
    main()
