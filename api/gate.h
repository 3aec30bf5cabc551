/* What all requests pass on their way in and out: limits and the audit log.
 * (private to api/) */
#ifndef RIFT_API_GATE_H
#define RIFT_API_GATE_H

#include "db/db.h"

struct feeds;

/* ---- limits.c: how often may somebody ask? ---- */

struct limits;
/* `rate` requests a second on average, `burst` at once; rate 0: any number. NULL: out of memory. */
struct limits *limits_open(double rate, int burst);
/* Another rate from now on, while others ask. */
void limits_set(struct limits *limits, double rate, int burst);
void limits_close(struct limits *limits);
/* One more request of `who`. 0: fine; else how many seconds to wait, and it
 * doesn't count. now_ms goes only forward. NULL limits let everything pass. */
int limits_take(struct limits *limits, const char *who, int64_t now_ms);

/* ---- audit.c: who changed what? ---- */

struct audit;
struct audit_options {
    struct db *db;
    int64_t keep_ms; /* rows that are older go; 0: none do */
    void *user;
    int64_t (*now_ms)(void *user);
    void (*failed)(void *user, const char *request_id, const char *message); /* or NULL */
};
int audit_open(const struct audit_options *options, struct audit **ret);
/* Remember a row; it is written soon, with others. Never waits for the disk. */
void audit_note(struct audit *audit, const struct db_audit *row);
/* The token was used: noted in its row as soon as others are written. */
void audit_use(struct audit *audit, const char *token);
/* Rows are kept so long from now on; older ones go soon. */
void audit_keep(struct audit *audit, int64_t keep_ms);
/* Wait until all rows so far are written, or can't be. */
void audit_flush(struct audit *audit);
void audit_close(struct audit *audit);

struct gate {
    struct limits *requests; /* by caller */
    struct limits *failures; /* wrong credentials, by address */
    struct audit *audit;
    struct feeds *feeds; /* whose streams end when their token or session isn't good any more */
    void (*revoke)(struct feeds *feeds, const char *credential); /* or NULL: there are no streams */
    int (*streams)(struct feeds *feeds);                         /* how many are open; or NULL */
};
struct api_config;
struct api_rules;
int gate_open(struct gate *gate, const struct api_config *config, char message[256]);
/* Other rules, while it is in use. */
void gate_rules(struct gate *gate, const struct api_rules *rules);
void gate_close(struct gate *gate); /* writes what is still to be written */

#endif
