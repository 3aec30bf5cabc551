/* Which errors can a client meet?
 *
 * One row a kind: the code that programs compare, the status, the title, and
 * what /problems/CODE says about it. openapi.yaml's list of codes is tested
 * against this table. libmicrohttpd's own answers (a request line or headers
 * it can't parse: 400, 413, 414, 431) are plain HTML and not in here. */
#include "api/exchange.h"

const struct problem_info problems[PROBLEM_COUNT] = {
    [PROBLEM_BAD_REQUEST] = { "bad-request", 400, "The request is not well formed",
                              "Headers contradict each other, or a body came where none is taken." },
    [PROBLEM_BAD_PATH] = { "bad-path", 400, "The path is not well formed",
                           "A segment of the path has a broken escape, an encoded '/', or a control character." },
    [PROBLEM_BAD_QUERY] = { "bad-query", 400, "A query parameter is wrong",
                            "The parameter is unknown here, given twice, or its value is out of range." },
    [PROBLEM_BAD_JSON] = { "bad-json", 400, "The body is not JSON",
                           "The body must be one JSON value in UTF-8 with unique member names." },
    [PROBLEM_UNAUTHENTICATED] = { "unauthenticated", 401, "Who are you?",
                                  "A token is needed in Authorization: Bearer, or a session's cookie; the one that "
                                  "came is unknown, expired or taken back." },
    [PROBLEM_CROSS_ORIGIN] = { "cross-origin", 403, "Another site's page may not change anything here",
                               "A browser sent this request for a page that riftd didn't serve." },
    [PROBLEM_FORBIDDEN] = { "forbidden", 403, "You may not do this",
                            "The caller's role is too low for it, or what it would change is somebody else's." },
    [PROBLEM_NO_ROUTE] = { "no-such-route", 404, "There is nothing at this path",
                           "See /v1/openapi.yaml for all paths." },
    [PROBLEM_NO_JOB] = { "no-such-job", 404, "There is no such job",
                         "The id was never given out, or the job was deleted." },
    [PROBLEM_NO_FILE] = { "no-such-file", 404, "There is no such file",
                          "The job has announced no artifact of that name, or its file is gone." },
    [PROBLEM_NO_MODEL] = { "no-such-model", 404, "There is no such model",
                           "The id was never given out, or the model was deleted." },
    [PROBLEM_NO_TOKEN] = { "no-such-token", 404, "There is no such token",
                           "The id was never given out, or the token was taken back." },
    [PROBLEM_NO_WEBHOOK] = { "no-such-webhook", 404, "There is no such webhook",
                             "The id was never given out, the webhook was deleted, or it is somebody else's." },
    [PROBLEM_METHOD] = { "method-not-allowed", 405, "The path doesn't take this method",
                         "The Allow header lists the methods that it takes." },
    [PROBLEM_STATE] = { "wrong-state", 409, "The job's state doesn't allow this",
                        "Only unended jobs are cancelled, held or moved in the queue, only failed or cancelled ones "
                        "retried, and only ended ones that nothing waits for deleted." },
    [PROBLEM_NOT_COMPARABLE] = { "not-comparable", 409, "These results can't stand in one table",
                                 "Only like is averaged: the detail names two jobs and the field in which they "
                                 "differ. ?group_by=FIELD keeps them apart." },
    [PROBLEM_IN_USE] = { "in-use", 409, "Something that hasn't ended needs this",
                         "A model that an unended job reads can't be deleted. Cancel the job or wait for its end." },
    [PROBLEM_DIGEST] = { "digest-mismatch", 400, "The bytes are not those that were announced",
                         "The SHA-256 of what arrived differs from Content-Digest, Repr-Digest or ?sha256=." },
    [PROBLEM_PRECONDITION] = { "precondition-failed", 412, "It has changed since you looked",
                               "If-Match names none of the versions that this job has now. Get it again, decide "
                               "again." },
    [PROBLEM_TOO_LARGE] = { "too-large", 413, "The body is too large", "The limit is in the detail." },
    [PROBLEM_MEDIA_TYPE] = { "unsupported-type", 415, "The body must be application/json",
                             "Send Content-Type: application/json. Weights are sent as application/octet-stream. "
                             "Neither in a "
                             "Content-Encoding." },
    [PROBLEM_RANGE] = { "bad-range", 416, "The range lies outside of the file", "Content-Range has the file's size." },
    [PROBLEM_HOST] = { "wrong-host", 421, "This is not the host you are looking for",
                       "The Host header must be a loopback name or the address riftd listens on, with its port. "
                       "This keeps web pages from reaching riftd through a DNS name of their own." },
    [PROBLEM_BAD_SPEC] = { "bad-spec", 422, "The job's spec is wrong",
                           "errors[] has a JSON pointer and a message for everything that is wrong." },
    [PROBLEM_KEY_REUSED] = { "key-reused", 422, "The Idempotency-Key was used for another body",
                             "A key belongs to its first body for as long as the job that came of it is there; take a "
                             "new one." },
    [PROBLEM_BAD_MODEL] = { "bad-model", 422, "This can't be registered as a model",
                            "The body is no safetensors file, or the job has announced no such artifact." },
    [PROBLEM_BAD_WEBHOOK] = { "bad-webhook", 422, "This can't be a webhook",
                              "errors[] has a JSON pointer and a message for everything that is wrong." },
    [PROBLEM_NO_SPACE] = { "no-space", 507, "There is no room on the server's disk",
                           "Nothing new is accepted or started until there is room again (setting min-free-space); "
                           "running jobs go on." },
    [PROBLEM_BAD_MEMBERS] = { "bad-members", 422, "Members of the body are wrong",
                              "errors[] has a JSON pointer and a message for everything that is wrong." },
    [PROBLEM_TOO_MANY_REQUESTS] = { "too-many-requests", 429, "You ask too often",
                                    "Retry-After says in how many seconds to come back. Wrong credentials count "
                                    "more.",
                                    1 },
    [PROBLEM_TOO_MANY_JOBS] = { "too-many-jobs", 429, "Too many jobs of yours wait",
                                "The server's setting owner-queued-max says how many of one owner may wait at a "
                                "time. Retry-After is a guess: one of them must start or end first.",
                                60 },
    [PROBLEM_INTERNAL] = { "internal", 500, "riftd failed", "Its log says more." },
    [PROBLEM_TOO_MANY_STREAMS] = { "too-many-streams", 503, "Too many event streams are open",
                                   "Close one, or ask for the list of events with ?wait=0.", 5 },
    [PROBLEM_NOT_READY] = { "not-ready", 503, "riftd can't work at the moment",
                            "The database can't be read and written, no device is usable, the disk is nearly full, or "
                            "riftd is drained or stopping. Retry-After says when to ask again.",
                            10 },
    [PROBLEM_FILE_CHANGING] = { "file-changing", 503, "The file is being replaced",
                                "The job has put a new file in place that it has not announced yet. Retry-After "
                                "says when to ask again.",
                                1 },
    [PROBLEM_QUOTA] = { "quota", 507, "Your artifacts fill their room",
                        "The server's setting owner-bytes-max says how many bytes the artifacts of one owner's jobs "
                        "may "
                        "have. Delete jobs that aren't needed any more." },
};
