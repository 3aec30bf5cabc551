/* Is a change noticed, and refused where somebody expected another state of things? */
#include "tests/db/fixture.h"

static int64_t version_of(const char *id)
{
    int64_t version = -1;

    CHECK_INT(db_job_version(fixture, id, &version), 0);
    return version;
}

static void versions_grow(void)
{
    fixture_open();
    CHECK_INT(add_job("w", "sweep", 0, NULL, NULL, -1), 0);
    CHECK_INT(add_job("r", "rift", 0, NULL, "w", 0), 0);
    CHECK_INT(add_job("s", "train", 0, NULL, "r", 0), 0);
    CHECK_INT(add_job("other", "train", 0, NULL, NULL, -1), 0);
    int64_t step = version_of("s"), rift = version_of("r"), sweep = version_of("w"), other = version_of("other");
    CHECK_INT(db_job_cancel(fixture, "s", 2000), 0);
    CHECK(version_of("s") > step);
    CHECK(version_of("r") > rift);
    CHECK(version_of("w") > sweep);
    CHECK_INT(version_of("other"), other);
    int64_t version = 7;
    CHECK_INT(db_job_version(fixture, "nobody", &version), -ENOENT);
    CHECK_INT(version, 7);
    fixture_close();
}

static void expectations_hold(void)
{
    fixture_open();
    CHECK_INT(add_job("a", "train", 0, NULL, NULL, -1), 0);
    CHECK_INT(add_job("b", "train", 0, NULL, NULL, -1), 0);
    int64_t version = version_of("a");
    db_job_expect("a", version + 1);
    CHECK_INT(db_job_cancel(fixture, "a", 2000), -ECANCELED);
    CHECK_INT(db_job_delete(fixture, "a"), -ECANCELED);
    CHECK_INT(db_job_cancel(fixture, "b", 2000), -ECANCELED); /* whatever is changed while it holds */
    CHECK_STRING(state_of("a"), "queued");
    db_job_expect("a", version);
    CHECK_INT(db_job_cancel(fixture, "a", 2000), 0);
    CHECK_INT(db_job_retry(fixture, "a", 3000), -ECANCELED); /* its own change was one, too */
    db_job_expect("gone", 1);
    CHECK_INT(db_job_cancel(fixture, "gone", 2000), -ENOENT);
    db_job_expect(NULL, 0);
    CHECK_INT(db_job_retry(fixture, "a", 3000), 0);
    fixture_close();
}

static const struct check_case cases[] = {
    { "a job's version grows with every change of it and of what is below it, and with no other", versions_grow },
    { "what a thread expects of a job is checked in the transaction of every change it makes", expectations_hold },
};
CHECK_MAIN(cases)
