/* Who asks, what may they do, and how do they show it? (private to api/)
 *
 *   peer.c     the other end of the connection, as the kernel and trusted proxies tell it
 *   secret.c   making and comparing secrets
 *   caller.c   credential or peer -> struct caller; 401 and 403 */
#ifndef RIFT_API_CALLER_H
#define RIFT_API_CALLER_H

#include "api/exchange.h"

#include <sys/types.h>

/* ---- peer.c ---- */

/* Fill request->peer from the connection's socket. */
int peer_find(struct request *request, int fd);
/* What a proxy says of its client. Believed of those that the settings name; of
 * others only that there is one. Values of the last X-Forwarded-For and
 * X-Forwarded-Proto header, NULL: none. */
void peer_forwarded(struct request *request, const char *forwarded_for, const char *forwarded_proto);
/* The user's name, or the number where it has none. */
void user_name(uid_t uid, char ret[DB_OWNER_SIZE]);
/* Can only this machine reach the address? */
bool address_is_loopback(const char *address);

/* ---- secret.c ---- */

/* rift_ID_SECRET: 12 of a-z0-9, and 32 random bytes in base 62. */
#define TOKEN_PREFIX    "rift_"
#define TOKEN_ID_LENGTH 12
#define SECRET_LENGTH   43
#define TOKEN_TEXT_SIZE (sizeof(TOKEN_PREFIX) + TOKEN_ID_LENGTH + 1 + SECRET_LENGTH)

/* Random bytes, 256 at most. -EIO: there are none. */
int random_fill(unsigned char *bytes, size_t size);
/* A new secret: the text for its holder, the id and hash for us. -EIO: no random numbers. */
int secret_make(char ret_text[TOKEN_TEXT_SIZE], char ret_id[DB_ID_SIZE], char ret_sha256[65]);
/* Take a token's text apart; false when it can't be one. */
bool secret_split(const char *text, char ret_id[DB_ID_SIZE], const char **ret_secret);
/* Compares all 64 characters, wherever they differ. */
bool secret_same(const char one[65], const char other[65]);
/* Could this be a token's id? */
bool token_id_valid(const char *text);

/* ---- caller.c ---- */

extern const char *const role_names[ROLE_COUNT];
/* ROLE_READ to ROLE_ADMIN, or -ENOENT. */
int role_find(const char *name);
/* The token (or session) that this text is. -EACCES: none that is good now. The
 * same work whether the id is unknown or the secret wrong. */
int credential_check(struct db *db, const char *text, bool session, int64_t now_ms, struct db_token *ret);
/* Whoever holds the token. */
void caller_is(struct caller *caller, const struct db_token *token);
/* Does TCP need a token? 1, 0, or negative errno. */
int token_needed(const struct api_config *config);
/* May riftd listen at its address? -EPERM with the reason in `message`. */
int doors_check(const struct api_config *config, char message[256]);

#endif
