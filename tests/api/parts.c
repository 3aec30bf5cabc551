/* Do the parts of api/ that need no connection keep their promises? */
#include "api/exchange.h"
#include "tests/check.h"

#include <errno.h>

static void hosts(void)
{
    static const struct {
        const char *host, *bound;
        bool allowed;
    } cases[] = {
        { "localhost:8080", "127.0.0.1", true },
        { "LOCALHOST:8080", "127.0.0.1", true },
        { "127.0.0.1:8080", "127.0.0.1", true },
        { "127.9.9.9:8080", "127.0.0.1", true },
        { "[::1]:8080", "127.0.0.1", true },
        { "[0:0:0:0:0:0:0:1]:8080", "::1", true },
        { "192.168.1.5:8080", "192.168.1.5", true },
        { "192.168.1.6:8080", "192.168.1.5", false },
        { "192.168.1.6:8080", "0.0.0.0", true },
        { "[fe80::1]:8080", "::", true },
        { "10.0.0.1:8080", "::", true },
        { "evil.example:8080", "0.0.0.0", false },
        { "evil.example:8080", "127.0.0.1", false },
        { "localhost", "127.0.0.1", false },
        { "localhost:8081", "127.0.0.1", false },
        { "localhost:8080.", "127.0.0.1", false },
        { "localhost:08080x", "127.0.0.1", false },
        { "localhost:", "127.0.0.1", false },
        { ":8080", "127.0.0.1", false },
        { "", "127.0.0.1", false },
        { "[::1:8080", "127.0.0.1", false },
        { "[::1]8080", "127.0.0.1", false },
        { "localhost.evil.example:8080", "127.0.0.1", false },
        { "127.0.0.1.evil.example:8080", "127.0.0.1", false },
        { "127.1:8080", "127.0.0.1", false },
        { "user@localhost:8080", "127.0.0.1", false },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (host_allowed(cases[i].host, cases[i].bound, 8080) != cases[i].allowed)
            CHECK_FAIL("Host %s, bound to %s: allowed should be %d", cases[i].host, cases[i].bound, cases[i].allowed);
    CHECK(!host_allowed(NULL, "127.0.0.1", 8080));
    CHECK(host_allowed("localhost", "127.0.0.1", 80));
}

static void origins(void)
{
    static const struct {
        const char *origin, *site;
        bool allowed;
    } cases[] = {
        { NULL, NULL, true },
        { "http://localhost:8080", NULL, true },
        { "http://localhost:8080", "same-origin", true },
        { NULL, "none", true },
        { "http://evil.example", NULL, false },
        { "null", NULL, false },
        { "http://localhost:8080", "cross-site", false },
        { NULL, "same-site", false },
        { "http://localhost:8081", NULL, false },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (origin_allowed(cases[i].origin, cases[i].site, "localhost:8080") != cases[i].allowed)
            CHECK_FAIL("case %zu: allowed should be %d", i, cases[i].allowed);
}

static void cursors(void)
{
    static const int64_t numbers[] = { 1, 2, 9, 10, 99, 100, 12345, 9007199254740993, INT64_MAX };
    static const char *const bad[] = { "",     "x",   "ag",    "!!!!", "ajE=",
                                       "ajAx", "LTE", "ajE\n", "AAAA", "ajEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA" };
    char text[CURSOR_SIZE];
    int64_t number;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        cursor_make(numbers[i], text);
        number = 0;
        CHECK_INT(cursor_read(text, &number), 0);
        CHECK_INT(number, numbers[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (cursor_read(bad[i], &number) != -EINVAL)
            CHECK_FAIL("\"%s\" was taken for a cursor", bad[i]);
}

static void ids(void)
{
    char first[DB_ID_SIZE], second[DB_ID_SIZE];

    id_new(1700000000000, first);
    id_new(1700000000001, second);
    CHECK(id_valid(first));
    CHECK_INT(strncmp(first, "018bcfe5-6800-7", 15), 0);
    CHECK(strchr("89ab", first[19]) != NULL);
    CHECK(strcmp(first, second) < 0);
    id_new(1700000000000, second);
    CHECK(strcmp(first, second) != 0);
    CHECK(!id_valid(""));
    CHECK(!id_valid("018bcfe5-6800-7000-8000-00000000000g"));
    CHECK(!id_valid("018bcfe5x6800-7000-8000-000000000000"));
}

static void escapes(void)
{
    static const struct {
        const char *raw, *plain; /* plain NULL: refused */
    } cases[] = {
        { "a%20b", "a b" },
        { "%41", "A" },
        { "a%2fb", NULL },
        { "a%2Fb", NULL },
        { "%00", NULL },
        { "a%", NULL },
        { "a%4", NULL },
        { "%zz", NULL },
        { "%0a", NULL },
        { "%7f", NULL },
        { "%252e", "%2e" },
        { "", "" },
        { "\xc3\xa9", "\xc3\xa9" },
        { "%c3%a9", "\xc3\xa9" },
        { "a\x82", NULL },
        { "%c3", NULL },
        { "%ed%a0%80", NULL },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[64];
        strcpy(text, cases[i].raw);
        int r = percent_decode(text, true);
        CHECK_INT(r, cases[i].plain ? 0 : -EBADMSG);
        if (cases[i].plain)
            CHECK_STRING(text, cases[i].plain);
    }
}

static void routing(void)
{
    struct request request = { 0 };
    char allow[64] = "";

    CHECK_INT(route_find(&request, "GET", "/v1/jobs/018BCFE5-6800-7000-8000-00000000000A/artifacts/a/b.txt", allow), 0);
    CHECK_STRING(request.id, "018bcfe5-6800-7000-8000-00000000000a");
    CHECK_STRING(request.name, "a/b.txt");
    CHECK_STRING(request.route->path, "/v1/jobs/{id}/artifacts/{name...}");
    CHECK_INT(route_find(&request, "HEAD", "/", allow), 0);
    CHECK(request.head);
    CHECK_STRING(request.method, "GET");
    CHECK_INT(route_find(&request, "PUT", "/v1/jobs", allow), -EOPNOTSUPP);
    CHECK_STRING(allow, "POST, GET, HEAD, OPTIONS");
    CHECK_INT(route_find(&request, "GET", "/v1/job", allow), -ENOENT);
    CHECK_INT(route_find(&request, "GET", "/v1/jobs/x/y/z", allow), -ENOENT);
    CHECK_INT(route_find(&request, "GET", "v1/jobs", allow), -ENOENT);
    CHECK_INT(route_find(&request, "GET", "/v1/jobs/%2e%2e%2fetc", allow), -EBADMSG);
    CHECK_INT(route_find(&request, "GET", "/v1/version/", allow), -ENOENT);
}

static const struct check_case cases[] = {
    { "only our own names pass as Host", hosts },
    { "only pages of our own may change things", origins },
    { "a cursor comes back as the number it was made of, and nothing else is one", cursors },
    { "ids are UUIDs of version 7 and sort by age", ids },
    { "a segment is decoded once, and never into a slash or a control character", escapes },
    { "the table finds a path first and its method second", routing },
};
CHECK_MAIN(cases)
