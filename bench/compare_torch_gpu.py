#!/usr/bin/env python3
"""How much faster is the engine than PyTorch at the same work on this card?

    compare_torch_gpu.py --engine build/bench_engine [--json FILE] [--batch 128] [--plans FILE]

One step of PGD-10 adversarial training of ResNet18 at 3x32x32 in bf16, attack in
train mode and in eval mode, and a forward pass and gradient of the pixels in
eval mode. PyTorch (automatic mixed precision, channels_last, cudnn.benchmark,
torch.autograd.grad for attacks) in three ways:

  eager      as one writes it
  graphs     the eager step captured as one CUDA graph
  compiled   torch.compile, its step captured as one CUDA graph

In all three parameters want no gradients while pixels get theirs, as one would
write it who knows: else a compiled backward pass makes them and throws them away.

The same weights and images go to both, and their logits are compared first; then
the training step in every way, then the rest. Medians of 7; every time ends with
a synchronisation. A way that fails is reported and left out. --plans: the engine's
choices from a run before this one, and where new ones go."""
import argparse
import json
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time

EPSILON, STEP_SIZE, STEPS = 8 / 255, 2 / 255, 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
LR, MOMENTUM, WEIGHT_DECAY = 1e-4, 0.9, 5e-4
ROUNDS, LOGITS = 7, 3e-2  # the second: ||ours - theirs|| / ||theirs||, both in bf16 with different roundings
WORKS = ("at-step", "at-eval", "input-gradient", "forward")  # by worth: time may run out


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


# ---- PyTorch ---------------------------------------------------------------------------------

def build_model(torch, width=64):
    import torch.nn.functional as F
    from torch import nn

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
            a = F.relu(self.bn1(self.conv1(x)))
            return F.relu(self.bn2(self.conv2(a)) + self.shortcut(x))

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
            x = F.relu(self.bn1(self.conv1((x - self.mean) / self.std)))
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.linear(F.avg_pool2d(x, 4).flatten(1))

    torch.manual_seed(1)
    return ResNet18()


class Theirs:
    """PyTorch's way of the four works; `way` is one of the three."""

    def __init__(self, torch, way, state, x, y):
        import torch.nn.functional as F
        self.torch, self.F = torch, F
        self.model = build_model(torch)
        self.model.load_state_dict(state)
        self.model = self.model.cuda().to(memory_format=torch.channels_last)
        self.run = torch.compile(self.model) if way == "compiled" else self.model
        self.x, self.y = x, y
        self.x_adv = x.clone()
        self.optimizer = torch.optim.SGD(self.model.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY)
        self.captured, self.way = {}, way

    def logits(self, x):
        with self.torch.autocast("cuda", self.torch.bfloat16):
            return self.run(x)

    def want(self, gradients):
        for parameter in self.model.parameters():
            parameter.requires_grad_(gradients)

    def gradient(self, x):
        x = x.detach().requires_grad_(True)
        loss = self.F.cross_entropy(self.logits(x).float(), self.y)
        return self.torch.autograd.grad(loss, x)[0]

    def forward(self):
        self.model.eval()
        with self.torch.no_grad():
            self.out = self.logits(self.x)

    def input_gradient(self):
        self.model.eval()
        self.want(False)
        self.out = self.gradient(self.x)

    def step(self, train):
        self.model.train(train)
        self.want(False)
        x, noise = self.x, self.torch.empty_like(self.x).uniform_(-EPSILON, EPSILON)
        x_adv = (x + noise).clamp(0, 1)
        for _ in range(STEPS):
            g = self.gradient(x_adv)
            x_adv = (x + (x_adv + STEP_SIZE * g.sign() - x).clamp(-EPSILON, EPSILON)).clamp(0, 1)
        self.model.train()
        self.want(True)
        self.optimizer.zero_grad(set_to_none=False)
        self.loss = self.F.cross_entropy(self.logits(x_adv).float(), self.y)
        self.loss.backward()
        self.optimizer.step()

    def once(self, work):
        {"forward": self.forward, "input-gradient": self.input_gradient, "at-step": lambda: self.step(True),
         "at-eval": lambda: self.step(False)}[work]()

    def close(self):
        self.captured.clear()

    def prepare(self, work):
        side = self.torch.cuda.Stream()
        side.wait_stream(self.torch.cuda.current_stream())
        with self.torch.cuda.stream(side):
            for _ in range(3):
                self.once(work)
        self.torch.cuda.current_stream().wait_stream(side)
        self.torch.cuda.synchronize()
        if self.way != "eager":
            graph = self.torch.cuda.CUDAGraph()
            with self.torch.cuda.graph(graph):
                self.once(work)
            self.captured[work] = graph

    def timed(self, work):
        self.torch.cuda.synchronize()
        start = time.perf_counter()
        if work in self.captured:
            self.captured[work].replay()
        else:
            self.once(work)
        if work.startswith("at"):
            self.loss.item()  # training looks at each batch's loss
        self.torch.cuda.synchronize()
        return time.perf_counter() - start


# ---- the engine -------------------------------------------------------------------------------

class Ours:
    def __init__(self, engine, batch, weights, data, **environment):
        self.process = subprocess.Popen([engine, "serve", "cuda:0", "1", "bf16", "64", str(batch), weights, data],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **environment})

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer or "error" in json.loads(answer):
            raise RuntimeError(f"bench_engine: {line}: {answer or 'has ended'}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def timed(self, work):
        return self.ask(work)["seconds"]

    def prepare(self, work):
        for _ in range(3):
            self.ask(work)


def measured(side, work):
    try:
        side.prepare(work)
        return statistics.median(side.timed(work) for _ in range(ROUNDS))
    finally:
        side.close()


def logits_agree(torch, ours, theirs, home, batch):
    path = os.path.join(home, "logits")
    ours.ask("forward")
    ours.ask(f"logits {path}")
    theirs.forward()
    with open(path, "rb") as file:
        is_ = torch.frombuffer(bytearray(file.read()), dtype=torch.float32).view(batch, 10)
    want = theirs.out.float().cpu()
    return ((is_ - want).norm() / want.norm()).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--engine", required=True)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--json")
    parser.add_argument("--plans")
    given = parser.parse_args()
    import torch
    if not torch.cuda.is_available():
        print("skipped: no CUDA device")
        return 77
    torch.backends.cudnn.benchmark = True
    times, failed = {}, 0
    with tempfile.TemporaryDirectory() as home:
        noise = random.Random(1)
        raw = bytes(noise.randrange(256) for _ in range(given.batch * 3 * 32 * 32))
        labels = struct.pack(f"<{given.batch}q", *(i % 10 for i in range(given.batch)))
        data, weights = os.path.join(home, "data"), os.path.join(home, "weights")
        tensors_write(data, {"x": ("U8", (given.batch, 3, 32, 32), raw), "y": ("I64", (given.batch,), labels)})
        state = build_model(torch).state_dict()
        tensors_write(weights, {name: ("F32", tuple(t.shape), t.contiguous().numpy().tobytes())
                                for name, t in state.items() if t.dtype == torch.float32})
        x = torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(given.batch, 3, 32, 32).float() / 255
        x = x.cuda().contiguous(memory_format=torch.channels_last)
        y = torch.frombuffer(bytearray(labels), dtype=torch.int64).cuda()
        eager = Theirs(torch, "eager", state, x, y)
        far = None
        try:
            ours = Ours(given.engine, given.batch, weights, data)
            far = logits_agree(torch, ours, eager, home, given.batch)
            ours.close()
            fine = far <= LOGITS
            print(f"{'ok    ' if fine else 'FAILED'}  logits differ by {far:.2e} of their norm, allowed {LOGITS}", flush=True)
        except Exception as error:  # PyTorch's times are worth having without ours
            fine = False
            print(f"FAILED  logits: {type(error).__name__}: {str(error)[:200]}", flush=True)
        failed |= not fine
        plans = {"RIFT_BENCH_FREE": "1", "RIFT_CUDA_PLANS": given.plans or os.path.join(home, "plans")}
        sides = [("ours", lambda: Ours(given.engine, given.batch, weights, data))]
        sides += [(way, lambda way=way: Theirs(torch, way, state, x, y)) for way in ("eager", "graphs", "compiled")]
        sides += [("ours, free", lambda: Ours(given.engine, given.batch, weights, data, **plans))]  # may search long
        for work in WORKS:
            for name, make in sides:
                try:  # a fresh side for each: what one leaves behind is not the other's
                    seconds = measured(make(), work)
                except Exception as error:
                    print(f"FAILED  {name}, {work}: {type(error).__name__}: {str(error)[:200]}", flush=True)
                    failed = 1
                    continue
                times.setdefault(work, {})[name] = seconds
                print(f"{work:15} {name:11} {1e3 * seconds:9.3f} ms  {given.batch / seconds:9.0f} images/s", flush=True)
                if given.json:
                    with open(given.json, "w") as file:
                        json.dump({"card": torch.cuda.get_device_name(), "torch": torch.__version__,
                                   "batch": given.batch, "seconds": times, "logits_apart": far}, file, indent=1)
    for work, of in times.items():
        best = min((of[name] for name in ("ours", "ours, free") if name in of), default=None)
        for name in ("eager", "graphs", "compiled"):
            if best and name in of:
                print(f"{work:15} {of[name] / best:5.2f} times PyTorch's speed, {name}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
