/* A real riftd for tests of the dashboard: a state directory of its own, port 0,
 * images that are learnt in an epoch, workers that really train. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

export const ROOT = path.resolve(import.meta.dirname, "../..");
export const BUILD = process.env.RIFT_BUILD || path.join(ROOT, "build");
export const DEADLINE_MS = 90_000;
// What this machine's riftd is told (a file of an installed one, variables) is nothing to those under test.
const ENVIRONMENT = { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("RIFTD_"))), RIFTD_CONFIG: "/dev/null" };
const IMAGES = 96, CLASSES = 4, SIDE = 32;

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** The first true answer of look(). */
export async function until(what, look, deadlineMs = DEADLINE_MS) {
  const end = performance.now() + deadlineMs;
  while (performance.now() < end) {
    const found = await look();
    if (found) return found;
    await sleep(50);
  }
  throw new Error(`${what}: not within ${deadlineMs / 1000} s`);
}

/* Images whose class is the quarter that is bright; the noise is a hash, so the same for everybody. */
function examplesWrite(file) {
  const pixels = Buffer.alloc(IMAGES * SIDE * SIDE), labels = Buffer.alloc(IMAGES * 8);
  let noise = Buffer.alloc(0);
  for (let index = 0, at = 0; index < IMAGES; index++) {
    labels.writeBigInt64LE(BigInt(index % CLASSES), index * 8);
    for (let row = 0; row < SIDE; row++) {
      noise = createHash("sha256").update(`${index} ${row}`).digest();
      for (let column = 0; column < SIDE; column++, at++) {
        const quarter = (row >= SIDE / 2) * 2 + (column >= SIDE / 2);
        pixels[at] = noise[column % 32] % 60 + (quarter === index % CLASSES ? 180 : 0);
      }
    }
  }
  let header = JSON.stringify({ x: { dtype: "U8", shape: [IMAGES, 1, SIDE, SIDE], data_offsets: [0, pixels.length] },
    y: { dtype: "I64", shape: [IMAGES], data_offsets: [pixels.length, pixels.length + labels.length] } });
  header += " ".repeat((8 - header.length % 8) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(file, Buffer.concat([length, Buffer.from(header), pixels, labels]));
}

/** Merge objects, deeply. */
const merged = (one, other) => Object.fromEntries([...new Set([...Object.keys(one), ...Object.keys(other)])].map((key) => [key,
  !(key in other) ? one[key] : one[key] && other[key] && typeof one[key] === "object" && typeof other[key] === "object" && !Array.isArray(other[key])
    ? merged(one[key], other[key]) : other[key]]));

export class Riftd {
  /** @param {{options?: string[]}} what more arguments for riftd */
  constructor({ options = [] } = {}) {
    this.options = options;
    this.dir = mkdtempSync(path.join(tmpdir(), "rift-web-"));
    this.state = path.join(this.dir, "state");
    this.data = path.join(this.dir, "examples.safetensors");
    this.port = 0;
    this.token = null;
    mkdirSync(this.state);
    examplesWrite(this.data);
  }

  /** Starts riftd, a second time on the port it had. */
  async start() {
    const address = path.join(this.state, "riftd.address");
    rmSync(address, { force: true });
    const log = openSync(path.join(this.dir, "riftd.log"), "a");
    this.process = spawn(path.join(BUILD, "riftd"), ["--state", this.state, "--listen", `127.0.0.1:${this.port}`, "--web", path.join(BUILD, "web"),
      "--openapi", path.join(ROOT, "openapi.yaml"), "--dataset", `tiny=tensors:${this.data}`, ...this.options], { stdio: ["ignore", log, log], env: ENVIRONMENT });
    this.ended = new Promise((done) => this.process.once("exit", done));
    await until("riftd's address", () => {
      if (this.process.exitCode !== null) throw new Error(`riftd ended: ${this.log()}`);
      return existsSync(address) && readFileSync(address, "utf8").includes("\n");
    });
    this.port = Number(readFileSync(address, "utf8").split("\n")[0].match(/:(\d+)\/?$/)[1]);
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  async kill(signal = "SIGKILL") {
    this.process.kill(signal);
    await this.ended;
  }

  log() {
    return readFileSync(path.join(this.dir, "riftd.log"), "utf8");
  }

  /** Ends riftd, and its workers, which would outlive it on purpose. */
  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.kill("SIGTERM");
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      let words = [];
      try {
        words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      } catch { /* it has ended */ }
      try {
        if (words[0]?.endsWith("rift-worker") && words.some((word) => word.startsWith(this.state))) process.kill(Number(pid), "SIGKILL");
      } catch { /* just now */ }
    }
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20 });
  }

  async ask(route, { method = "GET", body, headers = {} } = {}) {
    const answer = await fetch(`${this.url}/${route}`, { method, body: body === undefined ? undefined : JSON.stringify(body),
      headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(this.token ? { Authorization: `Bearer ${this.token}` } : {}), ...headers } });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${route}: ${answer.status} ${text}`);
    return text && answer.headers.get("Content-Type").includes("json") ? JSON.parse(text) : text;
  }

  /** The whole method in some seconds; `more` is merged into it. */
  riftSpec(more = {}) {
    return merged({ kind: "rift", label: "tiny", threads: 1, batch_size: 16, model: { width: 4, num_classes: CLASSES, input: [1, SIDE, SIDE] },
      dataset: { format: "tensors", path: this.data }, attack: { steps: 2 }, train: { epochs: 2 }, optimizer: { lr: 0.02 }, mrc: { steps: 1 },
      finetune: { epochs: 1 }, interpolate: { alphas: [0, 0.5, 1] } }, more);
  }

  /** A training that runs for minutes, unless told otherwise. */
  trainSpec(more = {}) {
    const { kind, mrc, finetune, interpolate, ...rest } = this.riftSpec();
    return merged({ ...rest, kind: "train", label: "long", train: { epochs: 500 } }, more);
  }

  submit(spec) {
    return this.ask("v1/jobs", { method: "POST", body: spec });
  }

  /** The job once it is in `state`, or in the first that is no other than these. */
  async reach(id, ...states) {
    return until(`job ${id} to be ${states.join(" or ")}`, async () => {
      const job = await this.ask(`v1/jobs/${id}`);
      if (states.includes(job.state)) return job;
      if (["failed", "cancelled", "succeeded"].includes(job.state)) throw new Error(`job ${id} is ${job.state}: ${JSON.stringify(job.error)} ${this.log()}`);
      return null;
    });
  }

  /** A finished rift job. */
  async rift(more = {}) {
    return this.reach((await this.submit(this.riftSpec(more))).id, "succeeded");
  }
}
