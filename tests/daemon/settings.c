/* Do settings mean what their text says, whoever says it? */
#include "daemon/settings.h"
#include "tests/check.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- values ---- */

static void numbers_are_whole_texts(void)
{
    static const struct {
        const char *text;
        int64_t bytes, duration_s, integer; /* -1: refused */
    } cases[] = {
        { "0", 0, 0, 0 },
        { "42", 42, 42, 42 },
        { "512M", 512LL << 20, -1, -1 },
        { "2G", 2LL << 30, -1, -1 },
        { "2 GiB", 2LL << 30, -1, -1 },
        { "1T", 1LL << 40, -1, -1 },
        { "3K", 3072, -1, -1 },
        { "30s", -1, 30, -1 },
        { "5min", -1, 300, -1 },
        { "2h", -1, 7200, -1 },
        { "7d", -1, 604800, -1 },
        { "1w", -1, 604800, -1 },
        { "1h 30min", -1, 5400, -1 },
        { "1h30min5s", -1, 5405, -1 },
        { "1h 30", -1, -1, -1 },
        { "30 1h", -1, -1, -1 },
        { "", -1, -1, -1 },
        { "s", -1, -1, -1 },
        { "-1", -1, -1, -1 },
        { "+1", -1, -1, -1 },
        { " 1", -1, -1, -1 },
        { "0x10", -1, -1, -1 },
        { "1.5h", -1, -1, -1 },
        { "5 apples", -1, -1, -1 },
        { "9223372036854775807", INT64_MAX, INT64_MAX, INT64_MAX },
        { "9223372036854775808", -1, -1, -1 },
        { "9223372036854775807K", -1, -1, -1 },
        { "9223372036854775807d", -1, -1, -1 },
        { "9223372036854775807s 1s", -1, -1, -1 },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t bytes = -1, duration_s = -1, integer = -1;
        bytes_parse(cases[i].text, &bytes);
        duration_parse(cases[i].text, &duration_s);
        if (*cases[i].text != '-')
            integer_parse(cases[i].text, &integer);
        if (bytes != cases[i].bytes || duration_s != cases[i].duration_s || integer != cases[i].integer)
            CHECK_FAIL("\"%s\" is %lld bytes, %lld s, %lld, expected %lld, %lld, %lld", cases[i].text, (long long)bytes,
                       (long long)duration_s, (long long)integer, (long long)cases[i].bytes,
                       (long long)cases[i].duration_s, (long long)cases[i].integer);
    }
    int64_t integer = 0;
    CHECK_INT(integer_parse("-12", &integer), 0);
    CHECK_INT(integer, -12);
}

static void booleans_have_four_words_each(void)
{
    static const char *const words[] = { "yes", "true", "on", "1", "no", "false", "off", "0" };

    for (int i = 0; i < 8; i++) {
        bool value = i >= 4;
        CHECK_INT(boolean_parse(words[i], &value), 0);
        CHECK_INT(value, i < 4);
    }
    bool untouched = true;
    CHECK(boolean_parse("maybe", &untouched) < 0);
    CHECK(boolean_parse("", &untouched) < 0);
    CHECK(untouched);
}

static void addresses_are_literals_with_a_port(void)
{
    char address[64] = "";
    uint16_t port = 1;

    CHECK_INT(listen_parse("127.0.0.1:8717", address, &port), 0);
    CHECK_STRING(address, "127.0.0.1");
    CHECK_INT(port, 8717);
    CHECK_INT(listen_parse("[::1]:0", address, &port), 0);
    CHECK_STRING(address, "::1");
    CHECK_INT(port, 0);
    CHECK(listen_parse("nonsense", address, &port) < 0);
    CHECK(listen_parse("localhost:80", address, &port) < 0);
    CHECK(listen_parse(":80", address, &port) < 0);
    CHECK(listen_parse("127.0.0.1:", address, &port) < 0);
    CHECK(listen_parse("127.0.0.1:65536", address, &port) < 0);
    CHECK(listen_parse("127.0.0.1:-1", address, &port) < 0);
    CHECK_STRING(address, "::1");
}

static void what_is_shown_can_be_read_again(void)
{
    static const struct setting row = { "x", SETTING_DURATION, offsetof(struct settings, grace_s), .max = INT64_MAX };
    static const struct setting size = { "y", SETTING_BYTES, offsetof(struct settings, grace_s), .max = INT64_MAX };
    static const int64_t numbers[] = { 0, 1, 59, 60, 61, 3600, 86400, 86401, 1 << 20, 3LL << 30, 5LL << 40 };
    struct settings settings = { 0 }, again = { 0 };
    struct fault why;
    char text[64];

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        for (int k = 0; k < 2; k++) {
            settings.grace_s = numbers[i];
            setting_text(k ? &size : &row, &settings, text, sizeof(text));
            CHECK_INT(setting_set(k ? &size : &row, &again, text, &why), 0);
            CHECK_INT(again.grace_s, numbers[i]);
        }
}

static void a_secret_is_never_shown(void)
{
    static const struct setting row = { "key", SETTING_STRING, offsetof(struct settings, web), .flags = SECRET };
    static const struct setting number = { "n", SETTING_INTEGER, offsetof(struct settings, port), .flags = SECRET };
    struct settings settings = { .web = "hush" };
    struct fault why = { 0 };
    char text[64];

    setting_show(&row, &settings, text, sizeof(text));
    CHECK_STRING(text, "(hidden)");
    settings.web = NULL;
    setting_show(&row, &settings, text, sizeof(text));
    CHECK_STRING(text, "none");
    CHECK(setting_set(&number, &settings, "hush", &why) < 0);
    CHECK(!strstr(why.message, "hush"));
}

/* ---- sources ---- */

static char folder[] = "/tmp/rift-settings-XXXXXX";

static void file_write(const char *name, const char *text, char ret_path[256])
{
    snprintf(ret_path, 256, "%s/%s", folder, name);
    FILE *file = fopen(ret_path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* What these sources say; the settings are the caller's. */
static struct settings *read_all(const char *file, const char *const *environment, char **argv,
                                 struct mistakes *mistakes)
{
    struct setting_sources sources = { 0, argv, environment, file };
    struct invocation invocation;
    struct settings *settings = NULL;

    while (argv[sources.argc])
        sources.argc++;
    CHECK_INT(settings_read(&sources, &settings, &invocation, mistakes), 0);
    return settings;
}

static char *const none[] = { "riftd", NULL };

static const char *origin_of(const struct settings *settings, const char *key)
{
    static char text[512];

    origin_text(&settings->origins[setting_find(key) - settings_table], text, sizeof(text));
    return text;
}

static void the_stronger_source_counts(void)
{
    char file[256], credential[256], wanted[600];
    file_write("riftd.conf", "max-attempts = 2\ngrace-s=2min\nweb=/file\nlog-level = debug\n", file);
    file_write("riftd.web", "what it holds", credential);
    file_write("riftd.slots", "cpu:3\n", wanted);
    char directory[256];
    snprintf(directory, sizeof(directory), "CREDENTIALS_DIRECTORY=%s", folder);
    const char *environment[] = { directory,
                                  "RIFTD_MAX_ATTEMPTS=3",
                                  "RIFTD_LOG_LEVEL=warning",
                                  "STATE_DIRECTORY=/one:/two",
                                  "RIFTD_MAX_ATTEMPTSES=9",
                                  NULL };
    char *argv[] = { "riftd", "--max-attempts=4", NULL };
    struct mistakes mistakes = { 0 };
    struct settings *settings = read_all(file, environment, argv, &mistakes);

    CHECK_INT(mistakes.count, 0);
    CHECK_INT(settings->max_attempts, 4);
    CHECK_STRING(origin_of(settings, "max-attempts"), "flag");
    CHECK_INT(settings->log_level, 1);
    CHECK_STRING(origin_of(settings, "log-level"), "environment RIFTD_LOG_LEVEL");
    CHECK_INT(settings->grace_s, 120);
    snprintf(wanted, sizeof(wanted), "file %s:2", file);
    CHECK_STRING(origin_of(settings, "grace-s"), wanted);
    CHECK_STRING(settings->web, credential);
    snprintf(wanted, sizeof(wanted), "credential %s", credential);
    CHECK_STRING(origin_of(settings, "web"), wanted);
    CHECK_STRING(settings->slots, "cpu:3");
    CHECK_STRING(settings->state, "/one");
    CHECK_STRING(origin_of(settings, "state"), "environment STATE_DIRECTORY");
    CHECK_STRING(origin_of(settings, "listen"), "default");
    settings_free(settings);
}

static void a_list_is_taken_whole_from_the_strongest_source(void)
{
    char file[256];
    file_write("list.conf", "dataset = a=idx:/\ndataset = b=idx:/\n", file);
    const char *environment[] = { "RIFTD_DATASET=c=idx:/; d=idx:/\ne=idx:/;", NULL };
    const char *empty[] = { "RIFTD_DATASET=", NULL };
    char *argv[] = { "riftd", "--dataset", "f=idx:/", "--dataset", "g=idx:/", NULL };
    struct mistakes mistakes = { 0 };

    struct settings *settings = read_all(file, NULL, (char **)none, &mistakes);
    CHECK_INT(settings->dataset.count, 2);
    CHECK_INT(settings->dataset.items[1].origin.line, 2);
    settings_free(settings);
    settings = read_all(file, environment, (char **)none, &mistakes);
    CHECK_INT(settings->dataset.count, 3);
    CHECK_STRING(settings->dataset.items[2].text, "e=idx:/");
    settings_free(settings);
    settings = read_all(file, empty, (char **)none, &mistakes);
    CHECK_INT(settings->dataset.count, 0);
    settings_free(settings);
    settings = read_all(file, environment, argv, &mistakes);
    CHECK_INT(settings->dataset.count, 2);
    CHECK_STRING(settings->dataset.items[0].text, "f=idx:/");
    settings_free(settings);
    CHECK_INT(mistakes.count, 0);
}

static void every_mistake_is_told_with_its_place(void)
{
    static const char *const wanted[] = {
        ":2: max-atempts: there is no such setting; did you mean max-attempts?",
        ":4: grace-s: was given in line 3 already",
        ":5: expected KEY = VALUE, not \"[server]\"; there are no sections here",
        ":6: web: expected a path from / on, not \"web\"",
        ":7: log-level: expected one of error|warning|info|debug, not \"inform\"; did you mean info?",
        ":8: dataset: there is no format \"idz\"",
        ":9: max-attempts: expected a whole number from 1 to 1000, not \"\"",
        "RIFTD_PORT: expected a whole number from 0 to 65535, not \"http\"",
        "--grace-s 2d: expected a time such as 30s, 5min, 2h or 7d from 0s to 1d, not \"2d\"",
        "what is \"--prot\"?; did you mean port?",
        "what is \"serve\"?",
        "--slots: expected DEVICE[:COUNT],... after it",
    };
    char file[256];
    file_write("wrong.conf",
               "# good\nmax-atempts = 3\ngrace-s = 1\r\ngrace-s = 2\n[server]\nweb = web\n"
               "log-level = inform\ndataset = a=idz:/\nmax-attempts =\n",
               file);
    const char *environment[] = { "RIFTD_PORT=http", NULL };
    char *argv[] = { "riftd", "--grace-s", "2d", "--prot", "80", "serve", "--slots", NULL };
    struct mistakes mistakes = { 0 };
    struct settings *settings = read_all(file, environment, argv, &mistakes);

    CHECK_INT(mistakes.count, sizeof(wanted) / sizeof(wanted[0]));
    for (int i = 0; i < mistakes.count && i < (int)(sizeof(wanted) / sizeof(wanted[0])); i++)
        CHECK_HOLDS(mistakes.lines[i], wanted[i]);
    CHECK(mistakes.beyond_flags);
    CHECK_INT(settings->grace_s, 1);
    CHECK_INT(settings->max_attempts, 5);
    mistakes_done(&mistakes);
    settings_free(settings);
}

static void a_file_that_was_named_must_be_there(void)
{
    char *argv[] = { "riftd", "--config", "/no/such/file", NULL };
    struct mistakes mistakes = { 0 };

    settings_free(read_all("/no/default/file", NULL, (char **)none, &mistakes));
    CHECK_INT(mistakes.count, 0);
    settings_free(read_all(NULL, NULL, argv, &mistakes));
    CHECK_INT(mistakes.count, 1);
    CHECK_HOLDS(mistakes.lines[0], "/no/such/file");
    mistakes_done(&mistakes);
}

static void the_port_alone_counts_unless_a_stronger_source_says_listen(void)
{
    char file[256], address[64];
    uint16_t port;
    file_write("port.conf", "port = 81\nlisten = [::1]:80\n", file);
    char *flag[] = { "riftd", "--listen", "127.0.0.2:0", NULL }, *both[] = { "riftd", "--port=82", NULL };
    static const struct {
        const char *address;
        int port;
    } wanted[] = { { "::1", 81 }, { "127.0.0.2", 0 }, { "::1", 82 } };
    char **lines[] = { (char **)none, flag, both };
    struct mistakes mistakes = { 0 };

    for (int i = 0; i < 3; i++) {
        struct settings *settings = read_all(file, NULL, lines[i], &mistakes);
        settings_address(settings, address, &port);
        CHECK_STRING(address, wanted[i].address);
        CHECK_INT(port, wanted[i].port);
        settings_free(settings);
    }
    CHECK_INT(mistakes.count, 0);
}

static void strange_bytes_in_a_file_are_mistakes_and_nothing_else(void)
{
    char file[256];
    snprintf(file, sizeof(file), "%s/strange.conf", folder);
    FILE *out = fopen(file, "w");
    fwrite("\xff\x1b[2J = 1\nport\0 = 3\n", 1, 21, out);
    fclose(out);
    struct mistakes mistakes = { 0 };
    struct settings *settings = read_all(file, NULL, (char **)none, &mistakes);

    CHECK(mistakes.count >= 2);
    for (int i = 0; i < mistakes.count; i++)
        CHECK(!strchr(mistakes.lines[i], '\x1b') && !strchr(mistakes.lines[i], '\xff'));
    mistakes_done(&mistakes);
    settings_free(settings);
}

/* ---- the table ---- */

static void every_row_can_be_said_and_every_default_is_allowed(void)
{
    struct settings settings = { 0 };
    struct fault why;

    for (int i = 0; i < settings_count; i++) {
        const struct setting *row = &settings_table[i];
        CHECK(setting_find(row->key) == row); /* no key twice */
        CHECK(strspn(row->key, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(row->key) && strlen(row->key) < 40);
        CHECK(row->argument && row->meaning && row->meaning[strlen(row->meaning) - 1] == '.');
        CHECK((row->type == SETTING_ENUM) == (row->values != NULL));
        CHECK(row->type != SETTING_ENUM || row->fallback);
        CHECK(row->type != SETTING_LIST || !row->fallback);
        CHECK(!row->fallback || setting_set(row, &settings, row->fallback, &why) == 0);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        { "numbers are whole texts", numbers_are_whole_texts },
        { "booleans have four words each", booleans_have_four_words_each },
        { "addresses are literals with a port", addresses_are_literals_with_a_port },
        { "what is shown can be read again", what_is_shown_can_be_read_again },
        { "a secret is never shown", a_secret_is_never_shown },
        { "the stronger source counts", the_stronger_source_counts },
        { "a list is taken whole from the strongest source", a_list_is_taken_whole_from_the_strongest_source },
        { "every mistake is told with its place", every_mistake_is_told_with_its_place },
        { "a file that was named must be there", a_file_that_was_named_must_be_there },
        { "the port alone counts unless a stronger source says listen",
          the_port_alone_counts_unless_a_stronger_source_says_listen },
        { "strange bytes in a file are mistakes and nothing else",
          strange_bytes_in_a_file_are_mistakes_and_nothing_else },
        { "every row can be said and every default is allowed", every_row_can_be_said_and_every_default_is_allowed },
    };

    if (!mkdtemp(folder))
        return 1;
    int failed = check_main(cases, (int)(sizeof(cases) / sizeof(cases[0])), argc, argv);
    nftw(folder, check_unlink, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
