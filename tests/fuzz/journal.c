/* Can any bytes lie where a journal is expected? A reader must end, and say the
 * same when it reads on from where it stopped; a writer either refuses the file
 * or goes on behind its last good line, and what it appends can be read. */
#include "tests/fuzz/fuzz.h"

#include "job/job.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct seen {
    int count;
    int64_t end, last_seq;
};

static int see(json_t *event, int64_t end_offset, void *user)
{
    struct seen *seen = user;

    PROMISE(json_is_string(json_object_get(event, "type")));
    PROMISE(end_offset > seen->end);
    seen->end = end_offset;
    seen->last_seq = json_integer_value(json_object_get(event, "seq"));
    seen->count++;
    return 0;
}

void fuzz_one(const uint8_t *data, size_t size)
{
    char path[512];
    struct seen first = { 0 }, rest = { 0 };
    struct fault why = { 0 };
    struct journal *journal = NULL;
    int64_t offset = 0, end;

    scratch_file("journal.ndjson", data, size, path);
    int r = journal_read(path, &offset, see, &first, &why);
    PROMISE(r == first.count || r == -EBADMSG);
    PROMISE(offset == first.end && offset <= (int64_t)size);
    end = offset;
    int again = journal_read(path, &offset, see, &rest, &why);
    PROMISE(rest.count == 0 && offset == end && (r < 0 ? again == r : again == 0));

    if (journal_open(path, &journal, &why) < 0) {
        PROMISE(*why.message);
        return;
    }
    int64_t seq = journal_seq(journal);
    PROMISE(seq >= 0);
    if (seq < INT64_MAX)
        PROMISE(journal_append(journal, 1, "fuzz", json_pack("{s:i}", "x", 1)) == 0);
    journal_close(journal);
    offset = 0;
    first = (struct seen){ 0 };
    if (journal_read(path, &offset, see, &first, &why) >= 0 && seq < INT64_MAX)
        PROMISE(first.last_seq == seq + 1);
}
