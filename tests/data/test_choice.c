/* Do limits and the held-out part choose the same examples in every job? */
#include "tests/data/files.h"

enum { STORED = 200 };

static struct dataset open_with(const char *dir, int limit, double part, enum protocol protocol,
                                struct dataset_wants wants)
{
    struct dataset_spec spec = spec_of(DATASET_IDX, dir);
    struct dataset data = { 0 };

    spec.train_limit = spec.test_limit = limit;
    spec.validation = part;
    opens(&spec, protocol, GRAY_28, 10, wants, &data);
    return data;
}

static char *stored(void)
{
    char *dir = check_tmpdir();

    idx_write(dir, "train", "", STORED, 28, 28, 7);
    idx_write(dir, "t10k", "", STORED, 28, 28, 7);
    return dir;
}

/* Ids ascend, lie in the files, and go with their label and pixels. */
static void check_examples(const struct examples *examples)
{
    for (int i = 0; i < examples->count; i++) {
        int id = examples->id[i];

        CHECK(id >= 0 && id < STORED && (i == 0 || id > examples->id[i - 1]));
        CHECK_INT(examples->label[i], id % 7);
        CHECK_INT(examples->u8[i * 784 + 29], pixel_at(id, 0, 1, 1));
    }
}

static void splits_are_disjoint(void)
{
    static const struct {
        int limit, total;
        double part;
        int held_out;
    } rows[] = { { 0, 200, 0.1, 20 }, { 100, 100, 0.1, 10 },  { 500, 200, 0.25, 50 }, { 30, 30, 0.001, 1 },
                 { 2, 2, 0.1, 1 },    { 199, 199, 0.5, 100 }, { 50, 50, 0.0, 1 } };
    char *dir = stored();

    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        struct dataset split = open_with(dir, rows[row].limit, rows[row].part, PROTOCOL_VALIDATION, ALL);
        struct dataset whole = open_with(dir, rows[row].limit, rows[row].part, PROTOCOL_PAPER, ALL);
        int seen[STORED] = { 0 };

        CHECK_INT(whole.train.count, rows[row].total);
        CHECK_INT(whole.validation.count, 0);
        CHECK_INT(whole.test.count, rows[row].total);
        CHECK_INT(split.validation.count, rows[row].held_out);
        CHECK_INT(split.train.count, rows[row].total - rows[row].held_out);
        check_examples(&split.train);
        check_examples(&split.validation);
        check_examples(&whole.train);
        check_examples(&whole.test);
        for (int i = 0; i < split.train.count; i++)
            CHECK_INT(seen[split.train.id[i]]++, 0);
        for (int i = 0; i < split.validation.count; i++)
            CHECK_INT(seen[split.validation.id[i]]++, 0);
        dataset_done(&split);
        dataset_done(&whole);
    }
    check_rmdir(dir);
}

/* A job with one limit may be judged by a job with another. */
static void limits_never_mix_the_splits(void)
{
    static const int limits[] = { 0, 8, 30, 100, 199 };
    char *dir = stored();
    bool trains[STORED] = { false }, judges[STORED] = { false };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct dataset data = open_with(dir, limits[i], 0.25, PROTOCOL_VALIDATION, ALL);

        for (int k = 0; k < data.train.count; k++)
            trains[data.train.id[k]] = true;
        for (int k = 0; k < data.validation.count; k++)
            judges[data.validation.id[k]] = true;
        dataset_done(&data);
    }
    for (int id = 0; id < STORED; id++)
        if (trains[id] && judges[id])
            CHECK_FAIL("example %d is trained on with one limit and judges with another", id);
    check_rmdir(dir);
}

/* These ids are a promise to everybody who has stored a result: a limit means
 * the same images for ever. */
static void the_choice_never_changes(void)
{
    static const int train[] = { 38, 52, 63, 140, 184, 188 }, validation[] = { 53, 129 },
                     test[] = { 8, 23, 56, 64, 163, 166, 188, 195 };
    char *dir = stored();
    struct dataset data = open_with(dir, 8, 0.25, PROTOCOL_VALIDATION, ALL);

    CHECK_INT(data.train.count, 6);
    CHECK_INT(data.validation.count, 2);
    CHECK_INT(data.test.count, 8);
    for (int i = 0; i < 6; i++)
        CHECK_INT(data.train.id[i], train[i]);
    for (int i = 0; i < 2; i++)
        CHECK_INT(data.validation.id[i], validation[i]);
    for (int i = 0; i < 8; i++)
        CHECK_INT(data.test.id[i], test[i]);
    dataset_done(&data);
    check_rmdir(dir);
}

static void what_is_wanted_changes_nothing(void)
{
    char *dir = stored();
    struct dataset all = open_with(dir, 90, 0.2, PROTOCOL_VALIDATION, ALL);
    struct dataset train = open_with(dir, 90, 0.2, PROTOCOL_VALIDATION, TRAIN);
    struct dataset held_out =
        open_with(dir, 90, 0.2, PROTOCOL_VALIDATION, (struct dataset_wants){ .validation = true });

    CHECK_INT(train.train.count, all.train.count);
    CHECK_INT(train.validation.count, 0);
    CHECK_INT(held_out.train.count, 0);
    CHECK_INT(held_out.validation.count, all.validation.count);
    CHECK_INT(memcmp(train.train.id, all.train.id, all.train.count * sizeof(int32_t)), 0);
    CHECK_INT(memcmp(held_out.validation.id, all.validation.id, all.validation.count * sizeof(int32_t)), 0);
    dataset_done(&all);
    dataset_done(&train);
    dataset_done(&held_out);
    check_rmdir(dir);
}

static void a_subset_is_spread_evenly(void)
{
    char *dir = stored();
    struct dataset data = open_with(dir, 100, 0.1, PROTOCOL_PAPER, TRAIN);
    int low = 0;

    for (int i = 0; i < data.train.count; i++)
        low += data.train.id[i] < STORED / 2;
    CHECK(low >= 36 && low <= 64); /* 50 expected, standard deviation 3.5 */
    dataset_done(&data);
    check_rmdir(dir);
}

static void nothing_left_to_train_on_is_an_error(void)
{
    char *dir = stored();
    struct dataset_spec spec = spec_of(DATASET_IDX, dir);

    spec.train_limit = 1;
    CHECK_REFUSED_UNDER(PROTOCOL_VALIDATION, &spec, GRAY_28, 10, TRAIN, -EINVAL,
                        "holding out 1 of 1 training examples");
    spec.train_limit = 10;
    spec.validation = 1.0;
    CHECK_REFUSED_UNDER(PROTOCOL_VALIDATION, &spec, GRAY_28, 10, TRAIN, -EINVAL, "leaves none to train on");
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "train and validation are disjoint and together as many as the limit says", splits_are_disjoint },
    { "what one limit holds out no other limit trains on", limits_never_mix_the_splits },
    { "a limit means the same images for ever", the_choice_never_changes },
    { "which splits are wanted does not change what is in them", what_is_wanted_changes_nothing },
    { "a limited subset is spread over the whole file", a_subset_is_spread_evenly },
    { "holding out everything is an error", nothing_left_to_train_on_is_an_error },
};

CHECK_MAIN(cases)
