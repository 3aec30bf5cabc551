/* How does a browser stay signed in?
 *
 * It shows a token once and gets a cookie, which is a token of its own: only
 * good as a cookie, gone after SESSION_S or with the token it was had for.
 * Scripts can't read it (HttpOnly), other sites' pages can't make the browser
 * send it (SameSite=Strict), and with TLS it never leaves without (Secure). */
#include "api/caller.h"
#include "api/gate.h"

#include <errno.h>
#include <string.h>

#define SESSION_S (12 * 3600)

static int cookie_set(struct answer *answer, const struct request *request, const char *text, int age_s)
{
    return answer_header(answer, "Set-Cookie", SESSION_COOKIE "=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%s",
                         text, age_s, request->peer.tls ? "; Secure" : "");
}

static json_t *who_json(const char *owner, const char *role, const char *token, int64_t expires_ms, bool session)
{
    return json_pack("{s:s, s:s, s:o, s:b, s:o}", "owner", owner, "role", role, "token",
                     *token ? json_string(token) : json_null(), "session", session, "expires_at",
                     time_json(expires_ms));
}

int handle_session_create(const struct request *request, struct answer *answer)
{
    const struct api_config *config = request->config;
    int64_t now_ms = config->now_ms(config->user);
    json_auto_t *body = NULL;
    struct db_token token, session;
    char text[TOKEN_TEXT_SIZE];
    int r = body_object(request, answer, &body);

    if (r <= 0)
        return r;
    const char *shown = json_string_value(json_object_get(body, "token"));
    if (!shown || json_object_size(body) != 1)
        return answer_problem(answer, request, PROBLEM_BAD_MEMBERS, "the body must be {\"token\": \"rift_...\"}");
    r = credential_check(config->db, shown, false, now_ms, &token);
    if (r == -EACCES)
        return answer_unknown(answer, request, true);
    if (r < 0)
        return r;
    session = token;
    session.session = true;
    session.created_ms = now_ms;
    session.expires_ms = now_ms + 1000LL * SESSION_S;
    if (token.expires_ms && token.expires_ms < session.expires_ms)
        session.expires_ms = token.expires_ms;
    strcpy(session.parent, token.id);
    if ((r = secret_make(text, session.id, session.secret_sha256)) < 0 ||
        (r = db_token_insert(config->db, &session)) < 0)
        return r;
    caller_is(&answer->proved, &token);
    r = cookie_set(answer, request, text, (int)((session.expires_ms - now_ms + 999) / 1000));
    explicit_bzero(text, sizeof(text));
    if (r < 0)
        return r;
    return answer_json(answer, 201, who_json(token.owner, token.role, token.id, session.expires_ms, true));
}

int handle_session_get(const struct request *request, struct answer *answer)
{
    const struct caller *caller = &request->caller;

    return answer_json(
        answer, 200,
        who_json(caller->owner, role_names[caller->role], caller->token, caller->expires_ms, *caller->session));
}

int handle_session_delete(const struct request *request, struct answer *answer)
{
    const char *session = request->caller.session;
    int r = *session ? db_token_delete(request->config->db, session) : 0;

    if (r < 0 && r != -ENOENT)
        return r;
    if (*session && request->gate->revoke)
        request->gate->revoke(request->gate->feeds, session);
    answer->status = 204;
    return cookie_set(answer, request, "", 0);
}
