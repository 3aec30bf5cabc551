#!/usr/bin/python3
"""How much faster is the engine than PyTorch at the same work on this machine?

The same weights and images go to both; each does its work in a process of its
own, in turn (ours, PyTorch's, ours, ...), so that a noisy machine disturbs both
alike; medians are compared, and what is computed is compared too. PyTorch's
side is written here from the formulas, the way one writes it for speed:
channels_last, the same number of threads, torch.autograd.grad for attacks, no
gradients that nobody wants.

  forward           eval mode, one batch
  input-gradient    eval mode, forward and backward to the pixels
  at-step           PGD-10 with random start and BN in train mode, then a step of SGD
  mrc               MRC of all 21 modules on fixed examples (rift-worker, a whole job)
  interpolate       11 alphas, clean and PGD-10 accuracy of each (rift-worker, a whole job)

Whole jobs are timed from `started` to `finished` in their journal.
Needs python3-torch (./setup bench). Run it on an otherwise idle machine."""
import argparse
import array
import importlib.util
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

EPSILON, STEP_SIZE, STEPS = 8 / 255, 2 / 255, 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
LR, MOMENTUM, WEIGHT_DECAY = 1e-4, 0.9, 5e-4
BALL, MRC_LR = 0.1, 1.0
ALPHAS = [i / 10 for i in range(11)]

# How close our numbers must be to PyTorch's in float32: relative to the norm, or absolute for accuracies. PGD takes
# signs: equal after one step, but a sign lost to rounding changes the batch's statistics, and then other signs, so
# after ten it is the loss that must be the same.
LOGITS, GRADIENTS, FIRST_PIXELS, LOSSES, MRC_ABSOLUTE, ACCURACIES = 1e-4, 1e-3, 0.999, 5e-3, 2e-3, 0.02


# ---- safetensors -----------------------------------------------------------------------

def tensors_read(path):
    """{name: (dtype, shape, bytes)}"""
    with open(path, "rb") as file:
        head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    head.pop("__metadata__", None)
    return {name: (one["dtype"], one["shape"], data[slice(*one["data_offsets"])]) for name, one in head.items()}


def tensors_write(path, tensors):
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


# ---- PyTorch's side, in a process of its own ------------------------------------------------

def torch_side(threads, precision, width, batch, weights, data):
    import contextlib

    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.set_num_threads(threads)
    half = (lambda: torch.autocast("cpu", torch.bfloat16)) if precision == "bf16" else contextlib.nullcontext
    real = torch.float64 if precision == "float64" else torch.float32

    class Block(nn.Module):
        def __init__(self, inner, outer, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outer)
            self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outer)
            self.shortcut = nn.Sequential()
            if stride != 1 or inner != outer:
                self.shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

        def forward(self, x):
            a = F.relu(self.bn1(self.conv1(x)), inplace=True)
            return F.relu(self.bn2(self.conv2(a)) + self.shortcut(x), inplace=True)

    class ResNet18(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
            self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
            self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            inner = width
            for stage, stride in enumerate((1, 2, 2, 2), 1):
                outer = width << (stage - 1)
                setattr(self, f"layer{stage}", nn.Sequential(Block(inner, outer, stride), Block(outer, outer, 1)))
                inner = outer
            self.linear = nn.Linear(inner, 10)

        def forward(self, x):
            x = F.relu(self.bn1(self.conv1((x - self.mean) / self.std)), inplace=True)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.linear(F.avg_pool2d(x, 4).flatten(1))

    model = ResNet18()

    def state_read(path):
        return {name: torch.frombuffer(bytearray(raw), dtype=torch.float32).view(shape)
                for name, (dtype, shape, raw) in tensors_read(path).items() if dtype == "F32"}

    model.load_state_dict(state_read(weights), strict=False)
    model = model.to(real, memory_format=torch.channels_last)
    raw = tensors_read(data)
    images = torch.frombuffer(bytearray(raw["x"][2]), dtype=torch.uint8).view(raw["x"][1]).to(real) / 255
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.frombuffer(bytearray(raw["y"][2]), dtype=torch.int64)
    x, y = images[:batch], labels[:batch]
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, LR, MOMENTUM, weight_decay=WEIGHT_DECAY)
    out = {}

    def wanted(names):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(names is None or name in names)

    def loss_of(images_, labels_):
        with half():
            return F.cross_entropy(model(images_), labels_)

    def forward():
        model.eval()
        with torch.no_grad(), half():
            out["logits"] = model(x).to(real)

    def pixel_gradient(at, labels_):
        at = at.detach().requires_grad_()
        return torch.autograd.grad(loss_of(at, labels_), at)[0]

    def input_gradient():
        model.eval()
        wanted(())
        out["input-gradient"] = pixel_gradient(x, y)

    def pgd(x_, y_, random_start, steps=STEPS):
        x_adv = x_.clone()
        if random_start:
            x_adv = (x_ + torch.empty_like(x_).uniform_(-EPSILON, EPSILON)).clamp_(0, 1)
        for _ in range(steps):
            g = pixel_gradient(x_adv, y_)
            x_adv = x_ + (x_adv + STEP_SIZE * g.sign() - x_).clamp_(-EPSILON, EPSILON)
            x_adv.clamp_(0, 1)
        return x_adv

    def adversarial_step(random_start, steps=STEPS):
        model.train()
        wanted(())
        x_adv = out["x-adv"] = pgd(x, y, random_start, steps)
        wanted(None)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x_adv, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    def evaluate(examples, labels_):
        loss = hits = 0
        with torch.no_grad(), half():
            for at in range(0, len(examples), batch):
                z, y_ = model(examples[at:at + batch]).float(), labels_[at:at + batch]
                loss += F.cross_entropy(z, y_, reduction="sum").item()
                hits += (z.argmax(1) == y_).sum().item()
        return loss / len(examples), hits / len(examples)

    def mrc(passes):
        model.eval()
        rows = {}
        start, _ = evaluate(images, labels)
        for name, parameter in list(model.named_parameters()):
            if parameter.dim() < 2:
                continue
            wanted((name,))
            original = parameter.detach().clone()
            most = start
            for _ in range(passes):
                for at in range(0, len(images), batch):
                    g, = torch.autograd.grad(loss_of(images[at:at + batch], labels[at:at + batch]), parameter)
                    with torch.no_grad():
                        parameter += MRC_LR * g
                with torch.no_grad():
                    moved, size = (parameter - original).norm(), original.norm()
                    if moved > BALL * size:
                        parameter.copy_(original + (parameter - original) * (BALL * size / moved))
                most = max(most, evaluate(images, labels)[0])
            with torch.no_grad():
                parameter.copy_(original)
            rows[name.removesuffix(".weight")] = most - start
        return rows

    def interpolate(other):
        model.eval()
        wanted(())
        ends = state_read(weights), state_read(other)
        points = []
        for alpha in ALPHAS:
            model.load_state_dict({n: (1 - alpha) * ends[0][n] + alpha * ends[1][n] for n in ends[0]}, strict=False)
            clean = evaluate(images, labels)
            attacked = [pgd(images[at:at + batch], labels[at:at + batch], False) for at in range(0, len(images), batch)]
            points.append([*clean, *evaluate(torch.cat(attacked), labels)])
        model.load_state_dict(ends[0], strict=False)
        return points

    works = {"forward": forward, "input-gradient": input_gradient, "at-step": lambda: adversarial_step(True),
             "at-plain": lambda: adversarial_step(False), "at-first": lambda: adversarial_step(False, 1), "mrc": lambda passes: mrc(int(passes)),
             "interpolate": interpolate}
    for line in sys.stdin:
        name, *rest = line.split()
        if name in works and (not rest or name in ("mrc", "interpolate")):
            start = time.perf_counter()
            result = works[name](*rest)
            print(json.dumps({"seconds": time.perf_counter() - start, "result": result}), flush=True)
        else:
            with open(rest[0], "wb") as file:
                file.write(out[name].float().contiguous().numpy().tobytes())
            print("{}", flush=True)


# ---- the two sides, as processes ----------------------------------------------------------------

def peak_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM:"))


def environment(**changes):
    """Ours without what would set the threads' library up: each program does that itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    return {**kept, **changes}


class Side:
    """A process that does a piece of work a line, and says in JSON how long it took."""

    def __init__(self, argv, **env):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment(**env))
        self.peak = 0

    def do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer or "error" in json.loads(answer):
            sys.exit(f"compare_torch: {line}: {answer or 'the process has ended'}")
        self.peak = max(self.peak, peak_mib(self.process.pid))
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# As rift-worker sets itself up (gpu/worker/main.c); --ours goes before.
WAITING = {"GOMP_SPINCOUNT": "1000"}


class Engine(Side):
    def __init__(self, given, precision, width, weights, data):
        self.given, self.precision, self.width, self.weights, self.data = given, precision, width, weights, data
        super().__init__([os.path.join(given.build, "bench_engine"), "serve", "cpu", str(given.threads), precision,
                          str(width), str(given.batch), weights, data], **(given.ours or WAITING))


class Torch(Side):
    def __init__(self, given, precision, width, weights, data):
        super().__init__([sys.executable, __file__, "--side", str(given.threads), precision, str(width),
                          str(given.batch), weights, data])


class Jobs:
    """The same with whole jobs of rift-worker."""

    def __init__(self, given, precision, width, weights, data):
        self.given, self.precision, self.width, self.weights, self.data = given, precision, width, weights, data
        self.peak = 0

    def do(self, line):
        name, value = line.split()
        model = {"arch": "resnet18", "width": self.width, "normalize": {"mean": MEAN, "std": STD}}
        spec = {"kind": name, "device": "cpu", "precision": self.precision, "threads": self.given.threads,
                "batch_size": self.given.batch, "protocol": "paper", "model": model,
                "dataset": {"format": "tensors", "path": self.data, "split": "test"}}
        if name == "mrc":
            model["weights"] = self.weights
            spec |= {"shuffle": False, "attack": None, "mrc": {"steps": int(value), "epsilon": BALL, "lr": MRC_LR}}
        else:
            spec |= {"attack": {"random_start": False, "epsilon": "8/255", "step_size": "2/255", "steps": STEPS},
                     "interpolate": {"from": self.weights, "to": value, "alphas": ALPHAS}}
        with tempfile.TemporaryDirectory() as home:
            with open(os.path.join(home, "spec.json"), "w") as file:
                json.dump(spec, file)
            process = subprocess.Popen([os.path.join(self.given.build, "rift-worker"), "run", home, "--quiet"],
                                       env=environment(**self.given.ours))
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            with open(os.path.join(home, "journal.ndjson")) as file:
                events = [json.loads(one) for one in file]
            if process.returncode:
                sys.exit(f"compare_torch: {name}: {events[-1]}")
        self.peak = max(self.peak, usage.ru_maxrss / 1024)
        at = {event["type"]: event["time_ms"] for event in events}
        result = events[-1]["result"]
        if name == "mrc":
            result = {one["module"]: one["mrc"] for one in result["modules"]}
        else:
            result = [[one[key] for key in ("clean_loss", "clean_accuracy", "robust_loss", "robust_accuracy")]
                      for one in result["points"]]
        return {"seconds": (at["finished"] - at["started"]) / 1000, "result": result}

    def close(self):
        pass


# ---- do they compute the same? ------------------------------------------------------------------

def floats(side, name, home):
    path = os.path.join(home, "out.raw")
    side.do(f"{name} {path}")
    values = array.array("f")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    return values


def distance(a, b):
    if len(a) != len(b):
        return float("inf")
    return (sum((p - q) ** 2 for p, q in zip(a, b)) / max(sum(q * q for q in b), 1e-30)) ** 0.5


def check(what, is_, limit, below=True):
    good = is_ <= limit if below else is_ >= limit
    print(f"  {what}: {is_:.3g} ({'at most' if below else 'at least'} {limit:g}){'' if good else '  DIFFERENT'}", flush=True)
    return good


def as_near(what, ours, theirs, exact, limit):
    """ours against theirs; where that is too far, both against float64. A ReLU whose input rounds to the other side
    of 0 changes the whole gradient of an image, for one as for the other: ours may be as far off as theirs, no more
    than twice."""
    apart = distance(ours, theirs)
    if apart <= limit:
        return check(what, apart, limit)
    print(f"  {what}: {apart:.3g}, more than {limit:g}; from float64 theirs are {distance(theirs, exact()):.3g}, ours:")
    return check(what, distance(ours, exact()), 2 * distance(theirs, exact()))


def steps_agree(ours, theirs, exact, home):
    """In float32, and before anything has moved the weights."""
    seen = {}

    def result(side, work, name):
        if (side, name) not in seen:
            side.do(work)
            seen[side, name] = floats(side, name, home)
        return seen[side, name]

    good = check("logits differ by",
                 distance(result(ours, "forward", "logits"), result(theirs, "forward", "logits")), LOGITS)
    good &= as_near("gradients of the pixels differ by", result(ours, "input-gradient", "input-gradient"),
                    result(theirs, "input-gradient", "input-gradient"),
                    lambda: result(exact, "input-gradient", "input-gradient"), GRADIENTS)
    moved = [result(side, "at-first", "x-adv") for side in (ours, theirs)]
    same = [sum(abs(p - q) < 1e-6 for p, q in zip(one, moved[1])) / len(moved[1]) for one in moved]
    if same[0] < FIRST_PIXELS:
        truth = result(exact, "at-first", "x-adv")
        same = [sum(abs(p - q) < 1e-6 for p, q in zip(one, truth)) / len(truth) for one in moved]
        print(f"  pixels that are as in float64 after PGD's first step: theirs {same[1]:.5g}")
    good &= check("part of the pixels that is equal after PGD's first step (BN in train mode)", same[0],
                  min(FIRST_PIXELS, same[1]), False)
    loss, wanted = (side.do("at-plain")["result"] for side in (ours, theirs))
    return check("the loss after PGD-10 differs, relatively, by", abs(loss / wanted - 1), LOSSES) and good


def jobs_agree(name, ours, theirs):
    if name == "mrc":
        return check("MRC of a module differs by at most",
                     max(abs(ours[module] - theirs[module]) for module in theirs), MRC_ABSOLUTE)
    pairs = [(p, q) for one, other in zip(ours, theirs) for p, q in zip(enumerate(one), other)]
    good = check("losses of the points differ by", max(abs(p - q) for (i, p), q in pairs if i % 2 == 0), LOSSES)
    return check("accuracies differ by", max(abs(p - q) for (i, p), q in pairs if i % 2), ACCURACIES) and good


# ---- the table ----------------------------------------------------------------------------------------

GOALS = {("forward", 64): (1.15, 1.8), ("input-gradient", 64): (1.15, 1.8), ("at-step", 64): (1.15, 1.8),
         ("at-step", 16): (2, 2), ("mrc", 16): (3, 3), ("interpolate", 16): (1.5, 1.5)}


def measure(sides, line, rounds):
    """{side: [seconds]}, one warm-up each, then in turn."""
    times = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            seconds = side.do(line)["seconds"]
            if number:
                times[name].append(seconds)
    return times


def show(work, width, images, times):
    base = statistics.median(times["torch float32"])
    goals = dict(zip(("ours float32", "ours bf16"), GOALS[work, width]))
    for name, seconds in times.items():
        median = statistics.median(seconds)
        goal = f"(goal {goals[name]})" if name in goals else ""
        print(f"| {work} | {width} | {name} | {median:.4f} | {min(seconds):.4f} | {images / median:.1f} | "
              f"{base / median:.2f} {goal} |", flush=True)


def weights_make(given, width, home):
    """Weights from a seed, and a second set whose last convolution and running statistics have moved: what
    fine-tuning with batch norm in train mode leaves."""
    spec = {"kind": "train", "device": "cpu", "seed": width, "protocol": "paper", "batch_size": 64, "attack": None,
            "threads": given.threads, "shuffle": False, "augment": "none",
            "model": {"arch": "resnet18", "width": width, "normalize": {"mean": MEAN, "std": STD}},
            "dataset": {"format": "tensors", "path": os.path.join(home, "some.safetensors")},
            "train": {"method": "standard", "epochs": 1, "evaluate_every": 0}, "optimizer": {"lr": 0.01}}
    directory = os.path.join(home, f"weights-{width}")
    os.makedirs(directory)
    with open(os.path.join(directory, "spec.json"), "w") as file:
        json.dump(spec, file)
    subprocess.run([os.path.join(given.build, "rift-worker"), "run", directory, "--quiet"], check=True)
    weights = os.path.join(directory, "artifacts", "last.safetensors")
    tensors = tensors_read(weights)
    for name, (dtype, shape, raw) in tensors.items():
        if name == "layer4.1.conv2.weight" or "running" in name:
            values = array.array("f", raw)
            tensors[name] = (dtype, shape, array.array("f", (v * (1.05 + 0.001 * (i % 7))
                                                             for i, v in enumerate(values))).tobytes())
    other = os.path.join(directory, "other.safetensors")
    tensors_write(other, tensors)
    return weights, other


def data_make(path, count):
    """Images with something to learn, the same each time: a class is a phase of a coarse pattern, with noise."""
    import random
    noise = random.Random(1)
    pixels, labels = bytearray(), array.array("q", (i % 10 for i in range(count)))
    for label in labels:
        for channel in range(3):
            for row in range(32):
                pixels += bytes((20 * ((row // 4 + column // 4 * (channel + 1) + label) % 10) + noise.randrange(56))
                                for column in range(32))
    tensors_write(path, {"x": ("U8", (count, 3, 32, 32), bytes(pixels)), "y": ("I64", (count,), labels.tobytes())})


def compare(given, home):
    examples, few = os.path.join(home, "examples.safetensors"), os.path.join(home, "few.safetensors")
    data_make(os.path.join(home, "some.safetensors"), 64)
    data_make(examples, given.examples)
    data_make(few, given.interpolate_images)
    plans = [(64, ("forward", "input-gradient", "at-step"), examples), (16, ("at-step",), examples),
             (16, ("mrc",), examples), (16, ("interpolate",), few)]
    made, good, peaks = {}, True, []
    print("| work | width | side | median s | best s | images/s | torch float32 / this |\n|---|---|---|---|---|---|---|")
    for width, works, data in plans:
        works = [one for one in works if not given.only or f"{one}-{width}" in given.only or one in given.only]
        if not works:
            continue
        if width not in made:
            made[width] = weights_make(given, width, home)
        weights, other = made[width]
        whole = works[0] in ("mrc", "interpolate")
        opened = {"ours float32": (Jobs if whole else Engine, "float32"), "ours bf16": (Jobs if whole else Engine, "bf16"),
                  "torch float32": (Torch, "float32"), "torch bf16": (Torch, "bf16")}
        sides = {name: kind(given, precision, width, weights, data) for name, (kind, precision) in opened.items()
                 if name != "torch bf16" or not given.no_torch_bf16}
        if not whole:
            exact = Torch(given, "float64", width, weights, data)
            good &= steps_agree(sides["ours float32"], sides["torch float32"], exact, home)
            exact.close()
        for work in works:
            line, images = work, given.batch
            if work == "mrc":
                line, images = f"mrc {given.passes}", 21 * given.passes * given.examples
            elif work == "interpolate":
                line, images = f"interpolate {other}", len(ALPHAS) * given.interpolate_images
            if whole:
                good &= jobs_agree(work, sides["ours float32"].do(line)["result"],
                                   sides["torch float32"].do(line)["result"])
            rounds = given.rounds if not whole else given.job_rounds
            show(work, width, images, measure(sides, line, rounds))
        peaks += [(works, width, name, side.peak) for name, side in sides.items()]
        for side in sides.values():
            side.close()
    print("\n| work | width | side | peak of the process, MiB |\n|---|---|---|---|")
    for works, width, name, peak in peaks:
        print(f"| {', '.join(works)} | {width} | {name} | {peak:.0f} |")
    return good


def main():
    if len(sys.argv) == 8 and sys.argv[1] == "--side":
        threads, precision, width, batch, weights, data = sys.argv[2:]
        return torch_side(int(threads), precision, int(width), int(batch), weights, data)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--build", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build"))
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=5, help="of each piece of work, after a warm-up")
    add("--job-rounds", type=int, default=5, help="of mrc and interpolate")
    add("--batch", type=int, default=128)
    add("--examples", type=int, default=512, help="fixed examples of mrc")
    add("--passes", type=int, default=2, help="ascent passes of mrc")
    add("--interpolate-images", type=int, default=256)
    add("--only", nargs="*", default=[], help="some of forward, input-gradient, at-step, at-step-16, mrc, interpolate")
    add("--no-torch-bf16", action="store_true", help="leave PyTorch's bf16 out")
    add("--ours", nargs="*", default=[], metavar="NAME=VALUE", help="environment of our side")
    given = parser.parse_args()
    given.ours = dict(one.split("=", 1) for one in given.ours)
    if importlib.util.find_spec("torch") is None:
        sys.exit(f"compare_torch: {sys.executable} has no torch: ./setup bench, and start this file itself (/usr/bin/python3)")
    with tempfile.TemporaryDirectory() as home:
        if not compare(given, home):
            sys.exit("compare_torch: the two don't compute the same; see DIFFERENT above")


if __name__ == "__main__":
    main()
