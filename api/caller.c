/* Who asks, and may they?
 *
 *   a credential (Authorization: Bearer, or a session's cookie)   -> its role and owner
 *   none, over the unix socket: root and riftd's own user         -> admin, in the user's name
 *                               any other user who may connect    -> submit, in the user's name
 *   none, over TCP, where no token is needed                      -> admin, in nobody's name
 *   none, otherwise                                               -> nobody: 401 unless the route takes anybody
 *
 * A token is needed when the settings say so, at an address that other machines
 * reach, and once there has ever been one. A wrong token is a 401 even
 * where none would be needed: whoever shows one wants to be told.
 *
 * Who may submit may change only what is their own. That is decided here, for
 * every route with an {id} that changes something; one whose owner can't be
 * told is refused. */
#include "api/caller.h"
#include "api/gate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define USED_EVERY_MS 60000

const char *const role_names[ROLE_COUNT] = { "none", "read", "submit", "admin" };

int role_find(const char *name)
{
    for (int i = ROLE_READ; i < ROLE_COUNT; i++)
        if (!strcmp(role_names[i], name))
            return i;
    return -ENOENT;
}

int token_needed(const struct api_config *config)
{
    int wanted = rules_of(config)->require_token;

    if (wanted == TOKEN_NEVER)
        return 0;
    if (wanted == TOKEN_ALWAYS || !address_is_loopback(config->address))
        return 1;
    return db_token_ever(config->db);
}

int doors_check(const struct api_config *config, char message[256])
{
    if (!config->tls_cert != !config->tls_key) {
        snprintf(message, 256, "tls-cert and tls-key belong together: %s is missing",
                 config->tls_cert ? "tls-key" : "tls-cert");
        return -EINVAL;
    }
    if (address_is_loopback(config->address))
        return 0;
    if (rules_of(config)->require_token == TOKEN_NEVER) {
        snprintf(message, 256, "%s: other machines reach this address, so tokens can't be switched off",
                 config->address);
        return -EPERM;
    }
    int r = db_token_admin(config->db, config->now_ms(config->user));
    if (r > 0)
        return 0;
    if (r < 0)
        snprintf(message, 256, "%s", db_errmsg(config->db));
    else
        snprintf(message, 256,
                 "%s: other machines reach this address, and there is no admin token yet. Make one: "
                 "riftd token create --state DIR",
                 config->address);
    return r < 0 ? r : -EPERM;
}

int credential_check(struct db *db, const char *text, bool session, int64_t now_ms, struct db_token *ret)
{
    char id[DB_ID_SIZE], sha256[65];
    const char *secret;
    struct db_token token = { 0 };

    if (!secret_split(text, id, &secret))
        return -EACCES;
    sha256_of(secret, SECRET_LENGTH, sha256);
    int r = db_token_get(db, id, &token);
    if (r < 0 && r != -ENOENT)
        return r;
    /* An unknown id is compared as well, with a hash of zeros in its place. */
    bool same = secret_same(sha256, token.secret_sha256);
    if (r < 0 || !same || token.session != session || (token.expires_ms && token.expires_ms <= now_ms))
        return -EACCES;
    *ret = token;
    return 0;
}

/* ---- who ---- */

/* What the request shows, or NULL. */
static const char *credential_shown(const struct request *request, bool *ret_session)
{
    const char *header = request_header(request, "Authorization");

    *ret_session = false;
    if (header && !strncasecmp(header, "Bearer ", 7))
        return header + 7 + strspn(header + 7, " ");
    *ret_session = true;
    return request_cookie(request, SESSION_COOKIE);
}

void caller_is(struct caller *caller, const struct db_token *token)
{
    caller->role = (enum role)role_find(token->role);
    caller->expires_ms = token->expires_ms;
    strcpy(caller->owner, token->owner);
    strcpy(caller->token, token->session ? token->parent : token->id);
    strcpy(caller->session, token->session ? token->id : "");
}

/* Without a credential: what the connection itself is good for. */
static int caller_by_peer(struct request *request)
{
    struct caller *caller = &request->caller;
    const struct peer *peer = &request->peer;

    if (peer->proxied)
        return 0;
    if (peer->local) {
        caller->role = peer->uid == 0 || peer->uid == geteuid() ? ROLE_ADMIN : ROLE_SUBMIT;
        user_name(peer->uid, caller->owner);
        return 0;
    }
    int needed = peer->outside ? 1 : token_needed(request->config);
    if (needed < 0)
        return needed;
    if (!needed)
        caller->role = ROLE_ADMIN;
    return 0;
}

/* Fill request->caller and request->wrong. */
static int caller_find(struct request *request)
{
    const struct api_config *config = request->config;
    int64_t now_ms = config->now_ms(config->user);
    struct db_token token;
    bool session;
    const char *shown = credential_shown(request, &session);
    int r = shown ? credential_check(config->db, shown, session, now_ms, &token) : -ENOENT;

    request->wrong = r == -EACCES;
    if (r == 0) {
        caller_is(&request->caller, &token);
        if (now_ms - token.used_ms >= USED_EVERY_MS || now_ms < token.used_ms)
            audit_use(request->gate ? request->gate->audit : NULL, token.id);
        return 0;
    }
    if (r != -ENOENT && r != -EACCES)
        return r;
    /* A cookie may be left from yesterday; a token is shown on purpose. */
    return request->wrong && !session ? 0 : caller_by_peer(request);
}

/* ---- may they ---- */

static int job_owner(struct db *db, const char *id, char ret[DB_OWNER_SIZE])
{
    db_job_auto job = { 0 };
    int r = db_job_get(db, id, &job);

    if (r >= 0)
        strcpy(ret, job.owner);
    return r;
}

static int model_owner(struct db *db, const char *id, char ret[DB_OWNER_SIZE])
{
    struct db_model model;
    int r = db_model_get(db, id, &model);

    if (r >= 0)
        strcpy(ret, model.owner);
    return r;
}

/* Its handlers look themselves, and show nobody that somebody else's is there. */
static int hidden_owner(struct db *db, const char *id, char ret[DB_OWNER_SIZE])
{
    (void)db;
    (void)id;
    (void)ret;
    return -ENOENT;
}

/* Whose is what an {id} names? */
static const struct {
    const char *path; /* what the route's path starts with */
    int (*owner)(struct db *db, const char *id, char ret[DB_OWNER_SIZE]);
} owned[] = {
    { "/v1/jobs/{id}", job_owner },
    { "/v1/models/{id}", model_owner },
    { "/v1/webhooks/{id}", hidden_owner },
};

/* 0: theirs, or nothing there (the handler says so); -EPERM: somebody else's. */
static int owner_check(const struct request *request)
{
    const struct route *route = request->route;
    char owner[DB_OWNER_SIZE];

    if (request->caller.role != ROLE_SUBMIT || !strcmp(route->method, "GET") || !strstr(route->path, "{id}"))
        return 0;
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
        if (strncmp(route->path, owned[i].path, strlen(owned[i].path)))
            continue;
        int r = owned[i].owner(request->config->db, request->id, owner);
        if (r < 0)
            return r == -ENOENT ? 0 : r;
        return strcmp(owner, request->caller.owner) ? -EPERM : 0;
    }
    return -EPERM;
}

static int answer_wait(struct answer *answer, const struct request *request, int wait_s)
{
    int r = answer_header(answer, "Retry-After", "%d", wait_s);

    return r < 0 ? r : answer_problem(answer, request, PROBLEM_TOO_MANY_REQUESTS, "come back in %d s", wait_s);
}

/* Guesses are counted by address. Good credentials never are, so that a guesser
 * beside them locks nobody out. */
int answer_unknown(struct answer *answer, const struct request *request, bool wrong)
{
    struct limits *failures = wrong && request->gate ? request->gate->failures : NULL;
    int wait_s = limits_take(failures, request->peer.address, monotonic_ms());

    if (wait_s)
        return answer_wait(answer, request, wait_s);
    int r =
        answer_header(answer, "WWW-Authenticate", "Bearer realm=\"riftd\"%s", wrong ? ", error=\"invalid_token\"" : "");

    if (r < 0)
        return r;
    return answer_problem(answer, request, PROBLEM_UNAUTHENTICATED, "%s",
                          wrong ? "this token or session is unknown, expired or taken back"
                                : "a token is needed: Authorization: Bearer rift_...");
}

/* A page's request carries its cookie without being asked, so it must also say
 * where it comes from; browsers always do when something is to be changed. */
static bool page_known(const struct request *request)
{
    return !*request->caller.session || !strcmp(request->method, "GET") || request_header(request, "Origin") ||
           request_header(request, "Sec-Fetch-Site");
}

/* How long this caller must wait, in seconds: by token, where one was shown. */
static int wait_find(const struct request *request)
{
    struct limits *requests = request->gate ? request->gate->requests : NULL;
    const char *who = *request->caller.token ? request->caller.token : request->peer.address;

    return limits_take(requests, who, monotonic_ms());
}

int caller_check(struct request *request, struct answer *answer)
{
    int r = 0, wait_s;

    if (request->route->role > ROLE_NONE)
        r = caller_find(request);
    if (r < 0)
        return r;
    if ((wait_s = wait_find(request)))
        r = answer_wait(answer, request, wait_s);
    else if (request->caller.role < request->route->role && request->caller.role == ROLE_NONE)
        r = answer_unknown(answer, request, request->wrong);
    else if (request->caller.role < request->route->role)
        r = answer_problem(answer, request, PROBLEM_FORBIDDEN, "this needs the role %s; yours is %s",
                           role_names[request->route->role], role_names[request->caller.role]);
    else if (!page_known(request))
        r = answer_problem(answer, request, PROBLEM_CROSS_ORIGIN, "with a cookie, say in Origin whose page asks");
    else if ((r = owner_check(request)) == -EPERM)
        r = answer_problem(answer, request, PROBLEM_FORBIDDEN, "this is somebody else's; only an admin may change it");
    else
        request->let_in = r >= 0;
    return r < 0 ? r : !request->let_in;
}
