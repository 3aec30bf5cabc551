/* What is the SHA-256 of a file that is larger than memory?
 *
 * The browser's own digest wants all bytes at once, and only where the page came
 * over HTTPS or from this machine. This one takes a file piece by piece
 * (FIPS 180-4). */
const K = new Uint32Array(64), START = new Uint32Array(8);
{
  /* The first 32 bits of the fractional parts of roots of the first primes. */
  const part = (value) => Math.floor((value - Math.floor(value)) * 2 ** 32);
  for (let number = 2, found = 0; found < 64; number++) {
    let prime = true;
    for (let by = 2; by * by <= number && prime; by++) prime = number % by !== 0;
    if (!prime) continue;
    if (found < 8) START[found] = part(Math.sqrt(number));
    K[found++] = part(Math.cbrt(number));
  }
}
const turned = (word, by) => word >>> by | word << 32 - by;

export class Sha256 {
  constructor() {
    this.state = START.slice();
    this.block = new Uint8Array(64);
    this.view = new DataView(this.block.buffer);
    this.words = new Uint32Array(64);
    this.filled = 0;
    this.bytes = 0;
  }

  round() {
    const w = this.words;
    for (let i = 0; i < 16; i++) w[i] = this.view.getUint32(4 * i);
    for (let i = 16; i < 64; i++) {
      const a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + (turned(a, 7) ^ turned(a, 18) ^ a >>> 3) + w[i - 7] + (turned(b, 17) ^ turned(b, 19) ^ b >>> 10);
    }
    const s = this.state;
    let a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (let i = 0; i < 64; i++) {
      const one = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + (e & f ^ ~e & g) + K[i] + w[i] | 0;
      const two = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + (a & b ^ a & c ^ b & c) | 0;
      h = g; g = f; f = e; e = d + one | 0;
      d = c; c = b; b = a; a = one + two | 0;
    }
    s[0] += a; s[1] += b; s[2] += c; s[3] += d;
    s[4] += e; s[5] += f; s[6] += g; s[7] += h;
  }

  /** @param {Uint8Array} data */
  add(data) {
    this.bytes += data.length;
    for (let at = 0; at < data.length;) {
      const taken = Math.min(64 - this.filled, data.length - at);
      this.block.set(data.subarray(at, at + taken), this.filled);
      this.filled += taken;
      at += taken;
      if (this.filled === 64) {
        this.round();
        this.filled = 0;
      }
    }
    return this;
  }

  hex() {
    const bits = BigInt(this.bytes) * 8n, end = new Uint8Array((this.filled < 56 ? 56 : 120) - this.filled);
    end[0] = 0x80;
    this.add(end);
    const length = new DataView(new ArrayBuffer(8));
    length.setBigUint64(0, bits);
    this.add(new Uint8Array(length.buffer));
    return [...this.state].map((word) => word.toString(16).padStart(8, "0")).join("");
  }
}

/** The hash of a File or Blob; `told(part)` says how far it is. */
export async function sha256Of(file, told = () => {}, signal = null) {
  const sum = new Sha256(), reader = file.stream().getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    signal?.throwIfAborted();
    sum.add(next.value);
    told(file.size ? sum.bytes / file.size : 1);
  }
  return sum.hex();
}
