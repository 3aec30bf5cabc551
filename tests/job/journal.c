/* Does the journal survive a crash at any byte, and does a reader see each event once? */
#include "job/job.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static char *dir, path[300];

static void start(void)
{
    dir = check_tmpdir();
    snprintf(path, sizeof(path), "%s/" JOBDIR_JOURNAL, dir);
}

static void put(const char *text, size_t size)
{
    FILE *file = fopen(path, "w");

    if (!file || fwrite(text, 1, size, file) != size || fclose(file) != 0)
        CHECK_FAIL("%s cannot be written", path);
}

static char *get(size_t *ret_size)
{
    char *text = NULL;
    struct fault why;

    if (file_read(path, 64 << 20, &text, ret_size, &why) < 0)
        CHECK_FAIL("%s", why.message);
    return text;
}

/* What a reader saw. */
struct seen {
    int count;
    int64_t seqs[100], ends[100];
    int stop_at; /* refuse the event of that number */
};

static int see(json_t *event, int64_t end, void *user)
{
    struct seen *seen = user;
    int64_t seq = json_integer_value(json_object_get(event, "seq"));

    if (seen->stop_at == seq)
        return -ECANCELED;
    seen->seqs[seen->count % 100] = seq;
    seen->ends[seen->count % 100] = end;
    seen->count++;
    return 0;
}

static const char three[] = "{\"seq\":1,\"time_ms\":5,\"type\":\"started\"}\n"
                            "{\"seq\":2,\"time_ms\":6,\"type\":\"metric\",\"value\":0.5}\n"
                            "{\"seq\":3,\"time_ms\":7,\"type\":\"metric\",\"value\":0.25}\n";

static void append_and_read(void)
{
    struct journal *journal = NULL;
    struct fault why = { 0 };
    struct seen seen = { 0 };
    int64_t offset = 0;
    size_t size;

    start();
    CHECK_INT(journal_open(path, &journal, &why), 0);
    CHECK_INT(journal_seq(journal), 0);
    CHECK_INT(journal_append(journal, 5, "started", NULL), 0);
    CHECK_INT(journal_append(journal, 6, "metric", json_pack("{s:f}", "value", 0.5)), 0);
    CHECK_INT(journal_append(journal, 7, "metric", json_pack("{s:f}", "value", 0.25)), 0);
    CHECK_INT(journal_sync(journal), 0);
    CHECK_INT(journal_seq(journal), 3);
    journal_close(journal);
    char *text = get(&size);
    CHECK_STRING(text, three);
    free(text);
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), 3);
    CHECK_INT(seen.seqs[2], 3);
    CHECK_INT(offset, sizeof(three) - 1);
    CHECK_INT(seen.ends[2], offset);
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), 0);
    CHECK_INT(seen.count, 3);
    check_rmdir(dir);
}

/* seq, time and type belong to the journal; fields can't forge them. */
static void forged_members(void)
{
    struct journal *journal = NULL;
    struct fault why = { 0 };
    size_t size;

    start();
    CHECK_INT(journal_open(path, &journal, &why), 0);
    CHECK_INT(journal_append(journal, 9, "a", json_pack("{s:i, s:s, s:s}", "seq", 77, "type", "b", "text", "x\ny")), 0);
    journal_close(journal);
    char *text = get(&size);
    CHECK_STRING(text, "{\"seq\":1,\"time_ms\":9,\"type\":\"a\",\"text\":\"x\\ny\"}\n");
    free(text);
    check_rmdir(dir);
}

/* Cut the file at every byte of its last line: the first two events stay, a
 * reader sees just them, and the next writer goes on with number 3. */
static void torn_everywhere(void)
{
    const size_t whole = sizeof(three) - 1, two = (size_t)(strstr(three, "{\"seq\":3") - three);

    start();
    for (size_t cut = two; cut < whole; cut++) {
        struct journal *journal = NULL;
        struct fault why = { 0 };
        struct seen seen = { 0 };
        int64_t offset = 0;
        size_t size = 0;

        put(three, cut);
        CHECK_INT(journal_read(path, &offset, see, &seen, &why), 2);
        CHECK_INT(offset, two);
        CHECK_INT(journal_open(path, &journal, &why), 0);
        CHECK_INT(journal_seq(journal), 2);
        CHECK_INT(journal_append(journal, 8, "again", NULL), 0);
        journal_close(journal);
        CHECK_INT(journal_read(path, &offset, see, &seen, &why), 1);
        CHECK_INT(seen.seqs[2], 3);
        char *text = get(&size);
        CHECK(memcmp(text, three, two) == 0);
        CHECK_STRING(text + two, "{\"seq\":3,\"time_ms\":8,\"type\":\"again\"}\n");
        free(text);
    }
    check_rmdir(dir);
}

static void torn_only_line(void)
{
    struct journal *journal = NULL;
    struct fault why = { 0 };
    size_t size = 1;

    start();
    put("{\"seq\":1,\"ti", 12);
    CHECK_INT(journal_open(path, &journal, &why), 0);
    CHECK_INT(journal_seq(journal), 0);
    journal_close(journal);
    free(get(&size));
    CHECK_INT(size, 0);
    check_rmdir(dir);
}

/* A power cut may keep the length of a line and lose its bytes. */
static void damaged_last_line(void)
{
    static const char *const last[] = { "garbage\n",
                                        "\n",
                                        "[1,2]\n",
                                        "{\"seq\":\"3\",\"time_ms\":1,\"type\":\"a\"}\n",
                                        "{\"time_ms\":1,\"type\":\"a\"}\n",
                                        "{\"seq\":0,\"time_ms\":1,\"type\":\"a\"}\n",
                                        "{\"seq\":3,\"seq\":3,\"time_ms\":1,\"type\":\"a\"}\n" };
    start();
    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        struct journal *journal = NULL;
        struct fault why = { 0 };
        size_t size = 0;
        char text[400];

        snprintf(text, sizeof(text), "%s%s", three, last[i]);
        put(text, strlen(text));
        CHECK_INT(journal_open(path, &journal, &why), 0);
        CHECK_INT(journal_seq(journal), 3);
        journal_close(journal);
        free(get(&size));
        CHECK_INT(size, sizeof(three) - 1);
    }
    char zeros[200] = { 0 };
    zeros[150] = '\n';
    memcpy(zeros, three, 39);
    struct journal *journal = NULL;
    struct fault why = { 0 };
    put(zeros, 200);
    CHECK_INT(journal_open(path, &journal, &why), 0);
    CHECK_INT(journal_seq(journal), 1);
    journal_close(journal);
    check_rmdir(dir);
}

/* More damage than a crash can do is told, not swept away. */
static void damaged_inside(void)
{
    static const char text[] = "{\"seq\":1,\"time_ms\":5,\"type\":\"started\"}\nbad\nbad\n";
    struct journal *journal = NULL;
    struct fault why = { 0 };
    struct seen seen = { 0 };
    int64_t offset = 0;
    size_t size = 0;

    start();
    put(text, sizeof(text) - 1);
    CHECK_INT(journal_open(path, &journal, &why), -EBADMSG);
    CHECK_HOLDS(why.message, JOBDIR_JOURNAL ": the line at byte 39 isn't an event");
    CHECK(journal == NULL);
    free(get(&size));
    CHECK_INT(size, sizeof(text) - 1);
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), -EBADMSG);
    CHECK_HOLDS(why.message, JOBDIR_JOURNAL ": the line at byte 39 isn't an event");
    CHECK_INT(offset, 39);
    CHECK_INT(seen.count, 1);
    check_rmdir(dir);
}

/* The file grows by one byte at a time under a reader that remembers its offset. */
static void read_in_pieces(void)
{
    struct fault why = { 0 };
    struct seen seen = { 0 };
    int64_t offset = 0;
    int total = 0;

    start();
    for (size_t size = 0; size < sizeof(three); size++) {
        put(three, size);
        int r = journal_read(path, &offset, see, &seen, &why);
        CHECK(r >= 0);
        total += r;
        CHECK(offset <= (int64_t)size);
    }
    CHECK_INT(total, 3);
    CHECK_INT(seen.count, 3);
    for (int i = 0; i < 3; i++)
        CHECK_INT(seen.seqs[i], i + 1);
    check_rmdir(dir);
}

static void reader_stops(void)
{
    struct fault why = { 0 };
    struct seen seen = { .stop_at = 2 };
    int64_t offset = 0;

    start();
    put(three, sizeof(three) - 1);
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), -ECANCELED);
    CHECK_INT(offset, 39);
    seen.stop_at = 0;
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), 2);
    CHECK_INT(seen.seqs[1], 2);
    check_rmdir(dir);
}

static void shortened_or_missing(void)
{
    struct fault why = { 0 };
    struct seen seen = { 0 };
    int64_t offset = 41;

    start();
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), -ENOENT);
    CHECK_HOLDS(why.message, path);
    put(three, 40);
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), -ESTALE);
    CHECK_HOLDS(why.message, "is shorter (40 bytes) than what was read from it before (41)");
    CHECK_INT(offset, 41);
    offset = 38; /* inside a line */
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), -ESTALE);
    CHECK_HOLDS(why.message, "no line ends at byte 38");
    check_rmdir(dir);
}

/* In place of the C library's: notes the call, and a writer is quick. */
static int synced;
static bool quick_writer;

int fdatasync(int fd)
{
    synced++;
    if (quick_writer) {
        FILE *file = fopen(path, "a");
        fputs("{\"seq\":4,\"time_ms\":4,\"type\":\"late\"}\n", file);
        fclose(file);
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static void synced_first(void)
{
    struct fault why = { 0 };
    struct seen seen = { 0 };
    int64_t offset = 0;

    start();
    put(three, sizeof(three) - 1);
    synced = 0;
    quick_writer = true;
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), 3);
    quick_writer = false;
    CHECK_INT(synced, 1);
    CHECK_INT(offset, sizeof(three) - 1);
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), 1);
    CHECK_INT(synced, 2);
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), 0);
    CHECK_INT(synced, 2); /* nothing new: nothing to do */
    check_rmdir(dir);
}

/* Bytes inside are lost, what was written after them is there: whether the hole is in one line or
 * swallows the ends of several, the lines before it stay and nothing after it is believed. */
static void hole_inside(void)
{
    const size_t one = 39, two = (size_t)(strstr(three, "{\"seq\":3") - three), whole = sizeof(three) - 1;

    start();
    for (size_t from = one; from < whole; from++) {
        for (size_t to = from + 1; to <= whole; to += 7) {
            struct journal *journal = NULL;
            struct fault why = { 0 };
            struct seen seen = { 0 };
            int64_t offset = 0;
            char text[sizeof(three)];

            memcpy(text, three, whole);
            memset(text + from, 0, to - from);
            put(text, whole);
            synced = 0;
            CHECK_INT(journal_open(path, &journal, &why), 0);
            CHECK_INT(synced, 1); /* the cut, too */
            journal_close(journal);
            CHECK_INT(journal_read(path, &offset, see, &seen, &why), from < two ? 1 : 2);
            CHECK_INT(offset, from < two ? one : two);
        }
    }
    check_rmdir(dir);
}

/* Lines of many sizes, around the reader's pieces, up to several megabytes. */
static void long_lines(void)
{
    static const int sizes[] = { 1, 65400, 65536, 131000, 131072, 200000, 5000000, 10 };
    struct journal *journal = NULL;
    struct fault why = { 0 };
    struct seen seen = { 0 };
    int64_t offset = 0;
    int count = sizeof(sizes) / sizeof(sizes[0]);
    char *fill = malloc(17 << 20);

    memset(fill, 'x', 17 << 20);
    start();
    CHECK_INT(journal_open(path, &journal, &why), 0);
    for (int i = 0; i < count; i++)
        CHECK_INT(journal_append(journal, i, "note", json_pack("{s:s%}", "text", fill, (size_t)sizes[i])), 0);
    CHECK_INT(journal_append(journal, 0, "note", json_pack("{s:s%}", "text", fill, (size_t)17 << 20)), -EMSGSIZE);
    CHECK_INT(journal_seq(journal), count);
    journal_close(journal);
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), count);
    CHECK_INT(seen.seqs[count - 1], count);
    /* Reopening looks at the last line only, also when that is long. */
    CHECK_INT(journal_open(path, &journal, &why), 0);
    CHECK_INT(journal_append(journal, 0, "note", json_pack("{s:s%}", "text", fill, (size_t)3000000)), 0);
    journal_close(journal);
    CHECK_INT(journal_open(path, &journal, &why), 0);
    CHECK_INT(journal_seq(journal), count + 1);
    journal_close(journal);

    fill[(17 << 20) - 1] = '\n';
    put(fill, 17 << 20);
    offset = 0;
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), -EBADMSG);
    CHECK_HOLDS(why.message, "the line at byte 0 is longer than 16777216 bytes");
    free(fill);
    check_rmdir(dir);
}

static void one_writer(void)
{
    struct journal *journal = NULL, *second = NULL;
    struct fault why = { 0 };

    start();
    CHECK_INT(journal_open(path, &journal, &why), 0);
    CHECK_INT(journal_open(path, &second, &why), -EBUSY);
    CHECK_HOLDS(why.message, "another process is writing it");
    CHECK(second == NULL);
    journal_close(journal);
    CHECK_INT(journal_open(path, &second, &why), 0);
    journal_close(second);
    journal_close(NULL);
    check_rmdir(dir);
}

/* The disk is full in the middle of a line: the line is taken back, and the
 * next one, when there is room again, has the number that failed. */
static void disk_full(void)
{
    struct journal *journal = NULL;
    struct fault why = { 0 };
    struct seen seen = { 0 };
    struct rlimit before, small;
    int64_t offset = 0;
    int good = 0, r = 0;

    start();
    CHECK_INT(journal_open(path, &journal, &why), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 1000;
    setrlimit(RLIMIT_FSIZE, &small);
    for (good = 0; good < 100; good++) {
        r = journal_append(journal, 1, "metric", json_pack("{s:f}", "value", 0.5));
        if (r < 0)
            break;
    }
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(r == -ENOSPC || r == -EFBIG);
    CHECK(good > 10 && good < 100);
    CHECK_INT(journal_seq(journal), good);
    CHECK_INT(journal_append(journal, 2, "metric", NULL), 0);
    journal_close(journal);
    CHECK_INT(journal_read(path, &offset, see, &seen, &why), good + 1);
    CHECK_INT(seen.seqs[good], good + 1);
    check_rmdir(dir);
}

static void cannot_open(void)
{
    struct journal *journal = NULL;
    struct fault why = { 0 };
    char below[400];

    start();
    snprintf(below, sizeof(below), "%s/absent/" JOBDIR_JOURNAL, dir);
    CHECK_INT(journal_open(below, &journal, &why), -ENOENT);
    CHECK_HOLDS(why.message, "/absent/" JOBDIR_JOURNAL);
    CHECK_INT(symlink("/dev/null", path), 0);
    CHECK(journal_open(path, &journal, &why) < 0);
    CHECK(journal == NULL);
    check_rmdir(dir);
}

/* The last whole line stays, whatever came before or after it, and the numbers go on. */
static void trimmed(void)
{
    static const char last[] = "{\"seq\":3,\"time_ms\":7,\"type\":\"metric\",\"value\":0.25}\n";
    struct journal *journal;
    struct fault why = { 0 };
    size_t size;

    start();
    CHECK_INT(journal_trim(path, &why), -ENOENT);
    CHECK_INT(access(path, F_OK), -1); /* and none is made */
    for (size_t torn = 0; torn < 9; torn++) {
        char text[sizeof(three) + 9];
        memcpy(text, three, sizeof(three) - 1);
        memcpy(text + sizeof(three) - 1, "{\"seq\":4,", torn);
        put(text, sizeof(three) - 1 + torn);
        for (int again = 0; again < 2; again++) {
            CHECK_INT(journal_trim(path, &why), sizeof(last) - 1);
            char *left = get(&size);
            CHECK_INT(size, sizeof(last) - 1);
            CHECK(left && memcmp(left, last, sizeof(last) - 1) == 0);
            free(left);
        }
    }
    CHECK_INT(journal_open(path, &journal, &why), 0);
    CHECK_INT(journal_seq(journal), 3);
    CHECK_INT(journal_trim(path, &why), -EBUSY);
    CHECK_INT(journal_append(journal, 8, "metric", NULL), 0);
    CHECK_INT(journal_seq(journal), 4);
    journal_close(journal);
    put("", 0);
    CHECK_INT(journal_trim(path, &why), 0);
    put("rubbish\n{}\n", 11);
    CHECK_INT(journal_trim(path, &why), -EBADMSG);
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "events are appended as lines and read back once", append_and_read },
    { "fields can't forge the number, the time or the type", forged_members },
    { "a line torn at any byte is left alone by readers and cut by the next writer", torn_everywhere },
    { "a torn only line leaves an empty journal", torn_only_line },
    { "a damaged last line is cut", damaged_last_line },
    { "after a hole that a power cut left nothing is believed", hole_inside },
    { "damage before the last line is an error with its offset, and nothing is cut", damaged_inside },
    { "a growing file gives each event once", read_in_pieces },
    { "a reader may refuse an event and get it again", reader_stops },
    { "a shortened or missing file is named", shortened_or_missing },
    { "events are on the disk before they are given, and later ones wait", synced_first },
    { "lines up to 16 MiB pass, longer ones don't", long_lines },
    { "there is one writer at a time", one_writer },
    { "a full disk leaves no torn line inside", disk_full },
    { "a journal that can't be opened is named", cannot_open },
    { "cut to its last whole line it goes on from that", trimmed },
};
CHECK_MAIN(cases)
