/* How does the page learn that something changed?
 *
 * One stream of events for the whole page. EventSource reconnects by itself and
 * says which event it saw last; where it gives up (riftd refused it), we start
 * anew and tell everybody that anything may have changed.
 *
 * Surprising: a browser has six connections to a server, for all tabs together. With
 * six streams open nothing else would be answered, so a tab that nobody looks at
 * gives its own back until somebody does. */

const TYPES = ["message", "state", "started", "progress", "metric", "module", "alpha", "evaluation", "artifact", "checkpoint",
  "finished", "failed", "interrupted", "changed", "purged", "reset"];
const RETRY_MS = 2000;

const listeners = new Set();
const watchers = new Set();
let state = "connecting";
let source = null;
let timer = 0;

function stateSet(now) {
  if (now === state) return;
  state = now;
  for (const watcher of watchers) watcher(state);
}

function tell(event) {
  for (const listener of listeners) if (!event || !listener.job || listener.job === event.job) listener.fn(event);
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function open() {
  close();
  if (document.hidden) return;
  const mine = source = new EventSource("v1/events?after=now");
  mine.onopen = () => {
    stateSet("live");
    tell(null); // whatever happened while we weren't there
  };
  mine.onerror = () => {
    if (mine !== source) return;
    stateSet("reconnecting");
    if (mine.readyState !== EventSource.CLOSED) return;
    timer = setTimeout(open, RETRY_MS);
    fetch("v1/session").then((answer) => {
      if (answer.status !== 401) return;
      stateSet("signed out");
      dispatchEvent(new CustomEvent("riftd-unknown"));
    }, () => {});
  };
  for (const type of TYPES) mine.addEventListener(type, (event) => tell(type === "reset" ? null : JSON.parse(event.data)));
}

/**
 * Call `fn(event)` for each event, of one job or of all; with null when anything may have changed.
 * @param {function(Object|null): void} fn
 * @param {{job?: string}} [options]
 * @returns {function(): void} ends it
 */
export function subscribe(fn, { job } = {}) {
  if (!source) open();
  const listener = { fn, job };
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** "connecting", "live", "reconnecting" or "signed out", now and whenever it changes. */
export function connection(fn) {
  if (!source) open();
  watchers.add(fn);
  fn(state);
  return () => watchers.delete(fn);
}

document.addEventListener("visibilitychange", () => {
  if (listeners.size || watchers.size) open();
});

/** Begin anew, as after signing in. */
export const reconnect = () => open();
