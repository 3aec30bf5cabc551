/* Are corrupted copies read as CIFAR-10-C and Tiny-ImageNet-C have them, and
 * refused by name when they aren't whole? */
#include "tests/data/files.h"

#include "gpu/backend/philox.h"
#include "gpu/data/corruption_data.h"
#include "gpu/data/npy_read.h"

enum { N = 6, FLIP_ROUNDS = 1500 };

/* ---- writing ---------------------------------------------------------------------- */

/* DIR/NAME: version 1 or 2, a dictionary, data. */
static void npy_write(const char *path, int version, const char *header, const void *data, size_t size)
{
    size_t length = strlen(header), prefix = version == 1 ? 10 : 12;
    uint8_t *bytes = malloc(prefix + length + size);

    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (uint8_t)version;
    bytes[7] = 0;
    for (size_t i = 8; i < prefix; i++)
        bytes[i] = (uint8_t)(length >> (8 * (i - 8)));
    memcpy(bytes + prefix, header, length);
    memcpy(bytes + prefix + length, data, size);
    file_write(path, bytes, prefix + length + size);
    free(bytes);
}

/* Image i of severity s is pixel_at's image 10 s + i. `gray`: no channels; else C of them. */
static void array_write(const char *dir, const char *name, int version, int severities, int n, int side, int channels)
{
    uint8_t *pixels = malloc((size_t)severities * n * side * side * (channels ? channels : 1)), *at = pixels;
    char header[200], channel[16] = "";

    if (channels)
        snprintf(channel, sizeof(channel), ", %d", channels);
    snprintf(header, sizeof(header), "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d, %d%s), }     \n",
             severities * n, side, side, channel);
    for (int s = 1; s <= severities; s++)
        for (int i = 0; i < n; i++)
            for (int y = 0; y < side; y++)
                for (int x = 0; x < side; x++)
                    for (int c = 0; c < (channels ? channels : 1); c++)
                        *at++ = pixel_at(10 * s + i, c, y, x);
    npy_write(in(dir, name), version, header, pixels, (size_t)(at - pixels));
    free(pixels);
}

/* labels.npy: (i * 3) % 7 for each severity, in that type. */
static void labels_write(const char *dir, const char *descr, int severities, int n)
{
    uint8_t data[5 * 40 * 8] = { 0 };
    int size = descr[2] - '0';
    char header[200];

    snprintf(header, sizeof(header), "{\"shape\": (%d,), \"descr\": \"%s\",\"fortran_order\":False}\n", severities * n,
             descr);
    for (int i = 0; i < severities * n; i++)
        data[i * size] = (uint8_t)((i % n * 3) % 7);
    npy_write(in(dir, "labels.npy"), 1, header, data, (size_t)severities * n * size);
}

/* ---- opening ------------------------------------------------------------------------ */

static const int ALL_FIVE[] = { 1, 2, 3, 4, 5 };
static struct dataset numbers; /* a data set whose classes have no names */

/* The corruptions of these names. */
static struct corruption_request request_of(const char *path, const char *first, const char *second)
{
    const char *const names[] = { first, second };
    struct corruption_request request = { .path = path,
                                          .severities = ALL_FIVE,
                                          .severity_count = 5,
                                          .input = COLOUR_32,
                                          .num_classes = 10,
                                          .dataset = &numbers };

    request.which_count = corruptions_choose(CORRUPTIONS_STANDARD, names, second ? 2 : 1, request.which);
    return request;
}

static struct corruption_data *opened(const struct corruption_request *request)
{
    struct corruption_data *data = NULL;
    struct fault why = { 0 };

    if (corruption_data_open(request, &data, &why) < 0)
        CHECK_FAIL("corruption_data_open: %s", why.message);
    return data;
}

static struct examples loaded(const struct corruption_data *data, int which, int severity)
{
    struct examples examples = { 0 };
    struct fault why = { 0 };

    if (corruption_data_load(data, which, severity, &examples, &why) < 0)
        CHECK_FAIL("corruption_data_load: %s", why.message);
    CHECK_INT(examples.count, corruption_data_count(data, which, severity));
    return examples;
}

static void check_refused(const struct corruption_request *request, int code, const char *words)
{
    struct corruption_data *data = NULL;
    struct fault why = { 0 };

    CHECK_INT(corruption_data_open(request, &data, &why), code);
    CHECK_HOLDS(why.message, words);
    corruption_data_close(data);
}

/* Severity s of an array_write copy. */
static void check_rows(const struct examples *examples, int s, int channels)
{
    for (int i = 0; i < examples->count; i++) {
        int row = examples->id[i];

        CHECK_INT(examples->label[i], (row * 3) % 7);
        for (int p = 0; p < 3072; p += 131)
            CHECK_INT(examples->u8[i * 3072 + p],
                      pixel_at(10 * s + row, channels == 3 ? p / 1024 : 0, p % 1024 / 32, p % 32));
    }
}

static void arrays_arrive(void)
{
    static const char *const types[] = { "|u1", "<i4", "<i8" };

    for (int k = 0; k < 3; k++) {
        char *dir = check_tmpdir();
        struct corruption_request request = request_of(dir, "fog", "glass_blur");
        static const int some[] = { 2, 5 };

        array_write(dir, "fog.npy", 1 + k % 2, 5, N, 32, 3);
        array_write(dir, "glass_blur.npy", 2 - k % 2, 5, N, 32, 3);
        labels_write(dir, types[k], 5, N);
        for (int part = 0; part < 2; part++) {
            if (part) {
                request.severities = some;
                request.severity_count = 2;
            }
            struct corruption_data *data = opened(&request);
            for (int which = 0; which < 2 && data; which++)
                for (int s = 0; s < request.severity_count; s++) {
                    struct examples examples = loaded(data, which, s);

                    CHECK_INT(examples.count, N);
                    check_rows(&examples, request.severities[s], 3);
                    examples_done(&examples);
                }
            corruption_data_close(data);
        }
        check_rmdir(dir);
    }
}

static void gray_arrays_fit_colour_models(void)
{
    for (int channels = 0; channels < 2; channels++) {
        char *dir = check_tmpdir();
        struct corruption_request request = request_of(dir, "fog", NULL);

        array_write(dir, "fog.npy", 1, 5, N, 28, channels);
        labels_write(dir, "|u1", 5, N);
        struct corruption_data *data = opened(&request);
        struct examples examples = loaded(data, 0, 2);

        for (int c = 0; c < 3; c++) {
            CHECK_INT(examples.u8[c * 1024], 0); /* 28x28 in a frame of 2 */
            CHECK_INT(examples.u8[c * 1024 + 5 * 32 + 9], pixel_at(30, 0, 3, 7));
        }
        examples_done(&examples);
        corruption_data_close(data);
        check_rmdir(dir);
    }
}

static void the_limit_leaves_what_it_leaves_of_the_test_set(void)
{
    enum { IMAGES = 40, LIMIT = 9 };
    char *dir = check_tmpdir();
    struct corruption_request request = request_of(dir, "fog", NULL);
    struct dataset_spec spec = spec_of(DATASET_CIFAR10, dir);
    struct dataset clean;

    cifar_write(in(dir, "data_batch_1.bin"), 0, 1);
    cifar_write(in(dir, "test_batch.bin"), 0, IMAGES);
    array_write(dir, "fog.npy", 1, 5, IMAGES, 32, 3);
    labels_write(dir, "|u1", 5, IMAGES);
    spec.test_limit = request.test_limit = LIMIT;
    struct corruption_data *data = opened(&request);
    if (data && opens(&spec, PROTOCOL_PAPER, COLOUR_32, 10, TEST, &clean)) {
        struct examples examples = loaded(data, 0, 4);

        CHECK_INT(examples.count, LIMIT);
        CHECK(memcmp(examples.id, clean.test.id, LIMIT * sizeof(*examples.id)) == 0);
        check_rows(&examples, 5, 3);
        examples_done(&examples);
        dataset_done(&clean);
    }
    corruption_data_close(data);
    check_rmdir(dir);
}

static void a_list_of_severities_counts(void)
{
    static const char content[] = "{\"severities\": [2, 4]}";
    static const int both[] = { 2, 4 }, other[] = { 3 };
    char *dir = check_tmpdir();
    struct corruption_request request = request_of(dir, "fog", NULL);

    array_write(dir, "fog.npy", 1, 2, N, 32, 3);
    labels_write(dir, "|u1", 2, N);
    check_refused(&request, -EINVAL, "labels.npy: 12 labels are not as many for each of 5 severities");
    file_write(in(dir, "corruptions.json"), content, sizeof(content) - 1);
    check_refused(&request, -EINVAL, "severity 1 isn't there");
    request.severities = both;
    request.severity_count = 2;
    struct corruption_data *data = opened(&request);
    struct examples examples = loaded(data, 0, 1);

    check_rows(&examples, 2, 3); /* the second block */
    examples_done(&examples);
    corruption_data_close(data);
    request.severities = other;
    request.severity_count = 1;
    check_refused(&request, -EINVAL, "severity 3 isn't there");
    file_write(in(dir, "corruptions.json"), "[]", 2);
    check_refused(&request, -EBADMSG, "corruptions.json: has no list of severities");
    file_write(in(dir, "corruptions.json"), "{\"severities\":[9]}", 18);
    check_refused(&request, -EBADMSG, "corruptions.json: has a severity that isn't one of 1 to 5");
    check_rmdir(dir);
}

/* ---- folders ------------------------------------------------------------------------ */

/* NAME/SEVERITY/CLASS/x.png, holding pixel_at's image `image`. */
static void file_add(const char *dir, const char *name, int severity, const char *class, int image)
{
    char path[256];

    snprintf(path, sizeof(path), "%s", name);
    folder_make(in(dir, path));
    snprintf(path, sizeof(path), "%s/%d", name, severity);
    folder_make(in(dir, path));
    snprintf(path, sizeof(path), "%s/%d/%s", name, severity, class);
    folder_make(in(dir, path));
    snprintf(path, sizeof(path), "%s/%d/%s/%05d.png", name, severity, class, image);
    png_write(in(dir, path), image, PNG_COLOR_TYPE_RGB, 8, false, 32, 32);
}

static void folders_arrive(void)
{
    static char *names[] = { (char *)"n01", (char *)"n02", (char *)"n05" };
    static const int two[] = { 1, 3 };
    struct dataset named = { .class_name = names, .num_classes = 3 };
    char *dir = check_tmpdir();
    struct corruption_request request = request_of(dir, "frost", "fog");
    const char *where;

    request.dataset = &named;
    request.severities = two;
    request.severity_count = 2;
    for (int s = 1; s <= 3; s += 2) {
        file_add(dir, "fog", s, "n05", s);
        file_add(dir, "fog", s, "n01", s + 1);
        file_add(dir, "frost", s, "n02", s + 2);
        file_add(dir, "frost", s, "n03", s + 3); /* not ours: frost was published with a thousand classes */
        file_add(dir, "frost", s, "n04", s + 4);
    }
    file_add(dir, "frost", 3, "n05", 77);
    struct corruption_data *data = opened(&request);
    if (data) {
        struct examples examples = loaded(data, 1, 1); /* fog, 3 */

        CHECK_INT(corruption_data_foreign(data, &where), 2);
        CHECK_STRING(where, "frost");
        CHECK_INT(corruption_data_count(data, 0, 0), 1);
        CHECK_INT(corruption_data_count(data, 0, 1), 2);
        CHECK_INT(examples.label[0], 0);
        CHECK_INT(examples.label[1], 2);
        CHECK_INT(examples.u8[1024 + 4 * 32 + 5], pixel_at(4, 1, 4, 5));
        CHECK_INT(examples.u8[3072 + 1024 + 4 * 32 + 5], pixel_at(3, 1, 4, 5));
        examples_done(&examples);
    }
    corruption_data_close(data);
    request.severities = ALL_FIVE;
    request.severity_count = 3;
    check_refused(&request, -ENOENT, "frost/2: No such file");
    check_rmdir(dir);
}

static void numbered_folders_arrive(void)
{
    static const int one[] = { 4 };
    char *dir = check_tmpdir();
    struct corruption_request request = request_of(dir, "fog", NULL);

    request.severities = one;
    request.severity_count = 1;
    file_add(dir, "fog", 4, "00007", 1);
    file_add(dir, "fog", 4, "00003", 2);
    file_add(dir, "fog", 4, "00010", 3); /* the model has 10 classes */
    struct corruption_data *data = opened(&request);
    struct examples examples = loaded(data, 0, 0);

    CHECK_INT(examples.count, 2);
    CHECK_INT(examples.label[0], 3);
    CHECK_INT(examples.label[1], 7);
    examples_done(&examples);
    corruption_data_close(data);
    request.num_classes = 3;
    check_refused(&request, -EINVAL, "none of its 3 folders is one of the data set's 3 classes (00003, ...)");
    check_rmdir(dir);
}

/* ---- what isn't right ----------------------------------------------------------------- */

static void wrong_copies_are_refused(void)
{
    static const int32_t zeros[5 * N];
    char *dir = check_tmpdir();
    struct corruption_request request = request_of(dir, "fog", "snow");

    check_refused(&request, -ENOENT, "holds neither snow.npy (as CIFAR-10-C) nor snow/ (as Tiny-ImageNet-C)");
    array_write(dir, "snow.npy", 1, 5, N, 32, 3);
    check_refused(&request, -ENOENT, "labels.npy: No such file");
    labels_write(dir, "|u1", 5, N);
    check_refused(&request, -ENOENT, "fog.npy: No such file");
    array_write(dir, "fog.npy", 1, 5, N - 1, 32, 3);
    check_refused(&request, -EINVAL, "fog.npy: 25 images, but labels.npy has 30 labels");
    array_write(dir, "fog.npy", 1, 5, N, 31, 3);
    check_refused(&request, -EINVAL, "fog.npy: 3x31x31 does not fit the model's input 3x32x32");
    array_write(dir, "fog.npy", 1, 5, N, 32, 2);
    check_refused(&request, -EINVAL, "fog.npy: 2x32x32 does not fit");
    array_write(dir, "fog.npy", 1, 5, N, 32, 3);
    request.num_classes = 5;
    check_refused(&request, -EINVAL, "labels.npy: label 6 of row 2; the model has 5 classes");
    request.num_classes = 10;
    npy_write(in(dir, "fog.npy"), 1, "{'descr': '<i4', 'fortran_order': False, 'shape': (30,)}", zeros, sizeof(zeros));
    check_refused(&request, -EINVAL, "fog.npy: must be |u1 of shape [N,H,W,C] or [N,H,W]");
    check_rmdir(dir);
}

static void wrong_headers_are_refused(void)
{
    static const struct {
        const char *header, *words;
        int code;
    } rows[] = {
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (8,)}", "", 0 },
        { " { \"shape\" :(2 , 4,) , 'fortran_order':False,'descr':'|u1' , } \n", "", 0 },
        { "{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", "", 0 },
        { "{'descr': '|u1', 'fortran_order': True, 'shape': (8,)}", "Fortran's order", -EINVAL },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "elements of type <f4", -EINVAL },
        { "{'descr': '>i4', 'fortran_order': False, 'shape': (2,)}", "elements of type >i4", -EINVAL },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': ()}", "a single number", -EINVAL },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (7,)}", "longer than its header says", -EBADMSG },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (9,)}", "truncated", -EBADMSG },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (0,)}", "without elements", -EBADMSG },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (8, 4611686018427387904, 4)}", "more than can be",
          -EBADMSG },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}", "header isn't", -EBADMSG },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,8)}", "header isn't", -EBADMSG },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (-8,)}", "header isn't", -EBADMSG },
        { "{'descr': '|u1', 'fortran_order': False}", "header isn't", -EBADMSG },
        { "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (8,)}", "header isn't", -EBADMSG },
        { "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (8,)}", "header isn't", -EBADMSG },
        { "{'descr': '|u1', 'fortran_order': 0, 'shape': (8,)}", "header isn't", -EBADMSG },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (8,)} x", "header isn't", -EBADMSG },
        { "{'descr': '|u1', 'fortran_order': False, 'shape': (8,)", "header isn't", -EBADMSG },
        { "__import__('os')", "header isn't", -EBADMSG },
        { "", "header isn't", -EBADMSG },
    };
    char *dir = check_tmpdir();
    const char *path = strdup(in(dir, "a.npy"));
    struct npy npy = { 0 };
    struct fault why = { 0 };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (int version = 1; version <= 2; version++) {
            npy_write(path, version, rows[i].header, "\0\1\2\3\4\5\6\7", 8);
            CHECK_INT(npy_open(path, &npy, &why), rows[i].code);
            CHECK_HOLDS(why.message, rows[i].words);
            npy_close(&npy);
        }
    npy_write(path, 3, rows[0].header, "\0\1\2\3\4\5\6\7", 8);
    CHECK_INT(npy_open(path, &npy, &why), -EBADMSG);
    CHECK_HOLDS(why.message, "version 3.0, understood are 1.0 and 2.0");
    file_write(path, "PK\3\4 and so on", 14); /* .npz */
    CHECK_INT(npy_open(path, &npy, &why), -EBADMSG);
    CHECK_HOLDS(why.message, "doesn't begin as a .npy file");
    free((char *)path);
    check_rmdir(dir);
}

static void damage_does_no_harm(void)
{
    char *dir = check_tmpdir();
    const char *path = strdup(in(dir, "fog.npy"));
    struct corruption_request request = request_of(dir, "fog", NULL);
    int refused = 0;
    size_t size;

    array_write(dir, "fog.npy", 1, 5, 1, 32, 3);
    labels_write(dir, "|u1", 5, 1);
    uint8_t *bytes = file_bytes(path, &size), *damaged = malloc(size);
    for (size_t cut = 0; cut < size; cut += cut < 100 ? 1 : 997) {
        file_write(path, bytes, cut);
        check_refused(&request, -EBADMSG, "fog.npy");
    }
    for (int round = 0; round < FLIP_ROUNDS; round++) {
        struct corruption_data *data = NULL;
        struct examples examples;
        struct fault why = { 0 };

        memcpy(damaged, bytes, size);
        for (int k = 0; k < 3; k++) {
            struct philox random = philox(78, 1, (uint32_t)round, (uint64_t)k, 0);

            damaged[random.word[0] % (k ? 90 : size)] = (uint8_t)random.word[1];
        }
        file_write(path, damaged, size);
        if (corruption_data_open(&request, &data, &why) < 0) {
            refused++;
            CHECK(why.code < 0 && why.message[0]);
        } else if (corruption_data_load(data, 0, 3, &examples, &why) == 0) {
            examples_done(&examples);
        }
        corruption_data_close(data);
    }
    printf("        %d of %d damaged files refused\n", refused, FLIP_ROUNDS);
    CHECK(refused > FLIP_ROUNDS / 2);
    free(bytes);
    free(damaged);
    free((char *)path);
    check_rmdir(dir);
}

static const struct check_case cases[] = {
    { "arrays arrive, severity after severity, with labels of every type", arrays_arrive },
    { "gray arrays, with and without a channel, fit colour models", gray_arrays_fit_colour_models },
    { "the limit leaves the places that it leaves of the test set", the_limit_leaves_what_it_leaves_of_the_test_set },
    { "corruptions.json says which severities the arrays hold", a_list_of_severities_counts },
    { "folders arrive, and classes that the data set lacks are left out and counted", folders_arrive },
    { "folders of numbered classes arrive", numbered_folders_arrive },
    { "copies that don't fit each other or the model are refused", wrong_copies_are_refused },
    { "headers that aren't NumPy's are refused", wrong_headers_are_refused },
    { "cut and damaged arrays do no harm", damage_does_no_harm },
};

CHECK_MAIN(cases)
