/* How are tokens given out and taken back?
 *
 * The answer to POST /v1/tokens is the only place where a secret ever stands;
 * the database has its hash. The first token of all is made without HTTP
 * (api_token_make): where riftd refuses to listen because there is none, nobody
 * could ask for one. */
#include "api/caller.h"
#include "api/gate.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_CHARACTERS_MAX 100
#define EXPIRES_S_MAX       (100LL * 366 * 86400)

/* Text for people and terminals: no control characters, 1 to `max` characters, `size` bytes with the NUL. */
static bool text_plain(const char *text, int max, size_t size)
{
    return *text && strlen(text) < size && text_valid(text) && text_characters(text) <= max;
}

/* A string member; errors say when it isn't one. NULL: not there. */
static const char *string_member(const json_t *body, const char *key, const char *pointer, json_t *errors)
{
    const json_t *value = json_object_get(body, key);

    if (value && !json_is_string(value))
        errors_add(errors, pointer, "must be a string");
    return json_string_value(value);
}

static void members_check(const json_t *body, const char *known, json_t *errors)
{
    const char *key;
    json_t *value;
    char pointer[128];

    json_object_foreach((json_t *)body, key, value)
    {
        if (list_holds(known, key))
            continue;
        snprintf(pointer, sizeof(pointer), "/%.100s", key);
        errors_add(errors, pointer, "there is no such member");
    }
}

/* What the body says of the new token: 1; 0 when errors[] says what is wrong. */
static int wish_read(const json_t *body, int64_t now_ms, struct db_token *ret, json_t *errors)
{
    const char *name = string_member(body, "name", "/name", errors);
    const char *owner = string_member(body, "owner", "/owner", errors);
    const char *role = string_member(body, "role", "/role", errors);
    const json_t *expires = json_object_get(body, "expires_in_s");

    members_check(body, "name,owner,role,expires_in_s", errors);
    bool named = name && text_plain(name, NAME_CHARACTERS_MAX, sizeof(ret->name));
    if (!named)
        errors_add(errors, "/name", "must be 1 to 100 characters, none of them a control character");
    if (!owner && named)
        owner = name;
    if (owner && !text_plain(owner, DB_OWNER_SIZE, DB_OWNER_SIZE))
        errors_add(errors, "/owner", "must be 1 to 100 bytes without control characters (without it: the name)");
    if (!role || role_find(role) < 0)
        errors_add(errors, "/role", "must be read, submit or admin");
    if (expires && !json_is_null(expires) &&
        (!json_is_integer(expires) || json_integer_value(expires) < 1 || json_integer_value(expires) > EXPIRES_S_MAX))
        errors_add(errors, "/expires_in_s", "must be a whole number of seconds from 1 on, or null for never");
    if (json_starved()) /* what is wrong may be missing from the list */
        return -ENOMEM;
    if (json_array_size(errors))
        return 0;
    strcpy(ret->name, name);
    strcpy(ret->owner, owner);
    strcpy(ret->role, role);
    ret->created_ms = now_ms;
    ret->expires_ms = json_integer_value(expires) ? now_ms + 1000 * json_integer_value(expires) : 0;
    return 1;
}

static json_t *token_json(const struct db_token *token)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "id", token->id, "name", token->name, "owner", token->owner,
                     "role", token->role, "created_at", time_json(token->created_ms), "expires_at",
                     time_json(token->expires_ms), "used_at", time_json(token->used_ms));
}

/* Store the token with a new secret. */
static int token_store(struct db *db, struct db_token *token, char ret_text[TOKEN_TEXT_SIZE])
{
    int r = secret_make(ret_text, token->id, token->secret_sha256);

    return r < 0 ? r : db_token_insert(db, token);
}

int body_object(const struct request *request, struct answer *answer, json_t **ret)
{
    json_error_t error;
    json_t *body = json_read(request->body, request->body_size, JSON_REJECT_DUPLICATES, &error);

    if (json_is_object(body)) {
        *ret = body;
        return 1;
    }
    json_decref(body);
    return answer_problem(answer, request, PROBLEM_BAD_JSON, "%s",
                          body ? "the body must be a JSON object" : error.text);
}

int handle_token_create(const struct request *request, struct answer *answer)
{
    const struct api_config *config = request->config;
    json_auto_t *body = NULL, *errors = json_array();
    struct db_token token = { 0 };
    char text[TOKEN_TEXT_SIZE];
    int r = body_object(request, answer, &body);

    if (r <= 0)
        return r;
    r = wish_read(body, config->now_ms(config->user), &token, errors);
    if (r < 0)
        return r;
    if (!r)
        return answer_errors(answer, request, PROBLEM_BAD_MEMBERS, json_incref(errors), "%s",
                             "the token can't be made; see errors");
    r = token_store(config->db, &token, text);
    if (r < 0)
        return r;
    json_t *json = token_json(&token);
    if (json)
        json_object_set_new(json, "token", json_string(text));
    explicit_bzero(text, sizeof(text));
    return answer_json(answer, 201, json);
}

int handle_token_list(const struct request *request, struct answer *answer)
{
    struct db_token *tokens;

    audit_flush(request->gate->audit); /* it writes when they were last used */
    int count = db_token_list(request->config->db, &tokens);

    if (count < 0)
        return count;
    json_auto_t *list = json_array();
    int r = 0;
    for (int i = 0; i < count && r >= 0; i++)
        r = json_array_append_new(list, token_json(&tokens[i])) < 0 ? -ENOMEM : 0;
    free(tokens);
    return r < 0 ? r : answer_json(answer, 200, json_pack("{s:O}", "tokens", list));
}

int handle_token_delete(const struct request *request, struct answer *answer)
{
    struct db_token token;
    int r = db_token_get(request->config->db, request->id, &token);

    if (r >= 0)
        r = token.session ? -ENOENT : db_token_delete(request->config->db, request->id);
    if (r == -ENOENT)
        return answer_problem(answer, request, PROBLEM_NO_TOKEN, "there is no such token");
    if (r < 0)
        return r;
    if (request->gate->revoke)
        request->gate->revoke(request->gate->feeds, token.id);
    answer->status = 204;
    return 0;
}

int api_token_make(struct db *db, const char *name, const char *owner, const char *role, int64_t now_ms,
                   char ret_text[API_TOKEN_SIZE])
{
    struct db_token token = { .created_ms = now_ms };

    static_assert(API_TOKEN_SIZE >= TOKEN_TEXT_SIZE, "a token's text fits");
    if (!text_plain(name, NAME_CHARACTERS_MAX, sizeof(token.name)) ||
        !text_plain(owner, DB_OWNER_SIZE, sizeof(token.owner)) || role_find(role) < 0)
        return -EINVAL;
    strcpy(token.name, name);
    strcpy(token.owner, owner);
    strcpy(token.role, role);
    return token_store(db, &token, ret_text);
}
