/* How do weights get from the reader's disk to riftd?
 *
 * Hashed first, then streamed: riftd compares the hash with what came, so that a
 * model is registered whole or not at all. fetch() can't say how far an upload
 * is; this is the one place that uses its elder. */
import { Problem } from "./api.js";
import { sha256Of } from "./sha256.js";

function send(path, file, told, signal) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "text";
    request.upload.onprogress = (event) => told(event.total ? event.loaded / event.total : 0);
    request.onerror = () => failed(new Problem(0, { title: "The upload broke off", detail: "riftd doesn't answer any more. Try again." }));
    request.onabort = () => failed(new DOMException("stopped", "AbortError"));
    request.onload = () => {
      let body = {};
      try {
        body = JSON.parse(request.responseText);
      } catch { /* a proxy's page */ }
      if (request.status < 300) done({ model: body, again: request.status === 200 });
      else failed(new Problem(request.status, body));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/**
 * Register a file as a model. told(phase, part): "reading", then "sending".
 * @returns {Promise<{model: Object, again: boolean}>} again: it was there already
 */
export async function modelUpload(file, name, told, signal) {
  const sha256 = await sha256Of(file, (part) => told("reading", part), signal);
  const sent = await send(`v1/models?${new URLSearchParams({ name, sha256 })}`, file, (part) => told("sending", part), signal);
  if (sent.model.sha256 !== sha256) throw new Problem(0, { title: "Not the same bytes", detail: `riftd has ${sent.model.sha256}, the file is ${sha256}.` });
  return sent;
}
