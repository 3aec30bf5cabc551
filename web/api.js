/* How does the page talk to riftd?
 *
 * The public API with paths relative to the page, so that it works below a
 * prefix behind a proxy. What goes wrong is thrown as the problem that riftd
 * described (RFC 9457). Who isn't known makes an event that app.js answers
 * with the sign-in form. */

/** What went wrong: .status (0: no answer), .title, .detail, .code, .errors: [{pointer, message}]. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.name = "Problem";
    this.status = status;
    this.title = body.title || "";
    this.detail = body.detail || "";
    this.code = body.code || "";
    this.errors = body.errors || [];
  }
}

export const GONE = { title: "riftd doesn't answer", detail: "it may be starting again; this page keeps trying." };

async function send(path, { method = "GET", body, headers = {}, signal, type } = {}) {
  const json = body !== undefined && !(body instanceof Blob) && typeof body !== "string";
  const named = { Accept: "application/json", ...headers };
  if (body !== undefined && !named["Content-Type"]) named["Content-Type"] = type || (json ? "application/json" : "application/octet-stream");
  let answer;
  try {
    answer = await fetch(path, { method, headers: named, body: json ? JSON.stringify(body) : body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, GONE);
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({ title: answer.statusText }));
  if (answer.status === 401) dispatchEvent(new CustomEvent("riftd-unknown"));
  throw new Problem(answer.status, told);
}

/**
 * Ask riftd. `path` without a leading slash: "v1/jobs". `body` is sent as JSON.
 * @param {string} path
 * @param {{method?: string, body?: *, headers?: Object, signal?: AbortSignal}} [options]
 * @returns {Promise<*>} the answer's JSON; null when it has none
 */
export async function ask(path, options) {
  const text = await (await send(path, options)).text();
  return text ? JSON.parse(text) : null;
}

/** The answer as text: logs, tables, reports. */
export const askText = async (path, options = {}) => (await send(path, { ...options, headers: { Accept: "*/*", ...options.headers } })).text();

/** The answer itself, for headers and status. */
export const askWhole = send;

/** "?a=1&b=2" of what is neither null nor undefined nor "". */
export function query(fields) {
  const kept = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return kept.length ? `?${new URLSearchParams(kept)}` : "";
}

let fields = null;
/** The tables of kinds and fields; asked for once. */
export function askFields() {
  fields ??= ask("v1/fields").catch((error) => {
    fields = null;
    throw error;
  });
  return fields;
}

let session = null;
/** Who am I: {owner, role, session}. role is "admin" where nobody has to say who he is. */
export function askSession() {
  session ??= ask("v1/session").catch((error) => {
    session = null;
    throw error;
  });
  return session;
}
