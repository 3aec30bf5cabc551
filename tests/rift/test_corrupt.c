/* Does a corrupt job write what it says, whatever happens to it? */
#include "tests/rift/lab.h"

#include <sys/statvfs.h>

#define JOB(more) "{'kind':'corrupt','corrupt':{'names':['contrast','gaussian_noise','fog'],'contact_sheet':1" more "}}"

static char *path_of(const char *dir, const char *name)
{
    char *path;

    if (asprintf(&path, "%s/" JOBDIR_ARTIFACTS "/%s", dir, name) < 0)
        exit(1);
    return path;
}

/* A file of a job; free() it. */
static char *file_of(const char *dir, const char *name, size_t *ret_size)
{
    char *path = path_of(dir, name), *data = NULL;
    struct fault why = { 0 };

    if (file_read(path, 1 << 26, &data, ret_size, &why) < 0) {
        CHECK_FAIL("%s", why.message);
        exit(1);
    }
    free(path);
    return data;
}

/* What the job found, but for where it lies. */
static json_t *findings_of(const char *dir)
{
    json_t *findings = lab_findings(dir), *finding;
    size_t i;

    json_array_foreach(findings, i, finding) json_object_del(json_object_get(finding, "result"), "path");
    return findings;
}

/* Every artifact is there with the announced hash, and announced once. */
static int artifacts_check(const char *dir)
{
    json_t *findings = lab_findings(dir), *finding, *seen = json_object();
    size_t i;
    int count = 0;

    json_array_foreach(findings, i, finding)
    {
        const char *name = json_string_value(json_object_get(finding, "name"));
        char sha256[65], *path = name ? path_of(dir, name) : NULL;
        int64_t size;

        if (!path)
            continue;
        CHECK(artifact_name_valid(name));
        CHECK(!json_object_get(seen, name));
        json_object_set_new(seen, name, json_true());
        CHECK_INT(sha256_file(path, sha256, &size, NULL), 0);
        CHECK_STRING(sha256, lab_word(finding, "sha256"));
        CHECK_INT(size, (int64_t)lab_number(finding, "size"));
        free(path);
        count++;
    }
    json_decref(findings);
    json_decref(seen);
    return count;
}

static void arrays_are_as_published(void)
{
    char *dir = lab_job("arrays", JOB(",'severities':[1,4]"));
    json_t *result = lab_result(dir);
    size_t size, labels_size;
    char *contrast = file_of(dir, "contrast.npy", &size), *labels = file_of(dir, "labels.npy", &labels_size);
    const size_t image = LAB_PIXELS, rows = 2 * LAB_IMAGES;

    CHECK_INT(artifacts_check(dir), 6); /* three, labels, the sheet, corruptions.json */
    CHECK_STRING(lab_word(result, "format"), "npy");
    CHECK_STRING(lab_word(result, "parameters"), "cifar");
    CHECK_INT(json_array_size(json_object_get(result, "corruptions")), 3);
    CHECK_INT((int)lab_number(result, "images"), LAB_IMAGES);
    CHECK_HOLDS(lab_word(result, "path"), "/arrays/artifacts");
    CHECK(!json_object_get(result, "frost"));

    CHECK_INT(size, 128 + rows * image);
    CHECK(memcmp(contrast,
                 "\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False, 'shape': (80, 32, 32, 3), }",
                 70) == 0);
    CHECK_INT(contrast[127], '\n');
    CHECK_HOLDS(labels + 10, "'shape': (80,), }");
    CHECK_INT(labels_size % 64, rows % 64);
    for (int i = 0; i < LAB_IMAGES; i++) { /* severity-major, images in order */
        CHECK_INT(labels[labels_size - rows + i], i * 7 % LAB_CLASSES);
        CHECK_INT(labels[labels_size - LAB_IMAGES + i], i * 7 % LAB_CLASSES);
    }
    /* Interleaved: what varies in a plane (the stripes) varies from pixel to pixel. Contrast 0.75 and 0.3. */
    int low[2] = { 255, 255 }, high[2] = { 0, 0 };
    for (size_t e = 0; e < rows * image; e++) {
        int block = e >= LAB_IMAGES * image, value = (uint8_t)contrast[128 + e];

        low[block] = value < low[block] ? value : low[block];
        high[block] = value > high[block] ? value : high[block];
    }
    CHECK(high[1] - low[1] < high[0] - low[0]);
    json_decref(result);
    free(contrast);
    free(labels);
    free(dir);
}

static void stopped_and_killed_jobs_go_on(void)
{
    char *whole = lab_job("whole", JOB(""));
    json_decref(lab_result(whole));
    json_t *expected = findings_of(whole), *all = lab_events(whole);
    size_t events = json_array_size(all);

    for (size_t at = 2; at < events; at++)
        for (int kill = 0; kill < 2; kill++) {
            char name[64];

            snprintf(name, sizeof(name), "disturbed-%zu-%d", at, kill);
            char *dir = lab_job(name, JOB(""));
            int code = lab_run(dir, kill ? "kill" : "stop", (long)at);
            if (kill)
                CHECK_INT(code, -SIGKILL);
            else
                CHECK(code == WORKER_INTERRUPTED || code == WORKER_FINISHED);
            CHECK_INT(lab_run(dir, "run", 0), WORKER_FINISHED);
            json_t *findings = findings_of(dir);
            if (!json_equal(findings, expected))
                CHECK_FAIL("%s: other findings than undisturbed", dir);
            CHECK_INT(artifacts_check(dir), 6);
            json_decref(findings);
            free(dir);
        }
    json_decref(expected);
    json_decref(all);
    free(whole);
}

static void what_is_whole_is_kept(void)
{
    char *dir = lab_job("kept", JOB("")), *path, *torn;
    struct stat before, after;

    json_decref(lab_result(dir));
    json_t *all = lab_events(dir);
    size_t at = 0, i;
    json_t *event;
    json_array_foreach(all, i, event) /* the announcement of the first array */
        if (strcmp(lab_word(event, "name"), "gaussian_noise.npy") == 0) at = i + 1;
    free(dir);

    dir = lab_job("kept-2", JOB(""));
    path = path_of(dir, "gaussian_noise.npy");
    torn = path_of(dir, ".fog.npy.part");
    CHECK_INT(lab_run(dir, "kill", (long)at), -SIGKILL);
    CHECK_INT(stat(path, &before), 0);
    FILE *half = fopen(torn, "w");
    CHECK(half && fputs("torn", half) >= 0 && fclose(half) == 0);
    CHECK_INT(lab_run(dir, "run", 0), WORKER_FINISHED);
    CHECK_INT(stat(path, &after), 0);
    CHECK_INT(after.st_ino, before.st_ino);
    CHECK(access(torn, F_OK) != 0);
    json_decref(all);
    free(path);
    free(torn);
    free(dir);
}

static void threads_and_choice_change_no_byte(void)
{
    char *one = lab_job("one", JOB("")),
         *two = lab_job("two", "{'kind':'corrupt','threads':2,'corrupt':{'names':['fog'],"
                               " 'severities':[2,5],'contact_sheet':0}}");
    size_t size, size_two;

    json_decref(lab_result(one));
    json_decref(lab_result(two));
    char *fog = file_of(one, "fog.npy", &size), *some = file_of(two, "fog.npy", &size_two);
    size_t block = (size_t)LAB_IMAGES * LAB_PIXELS;
    CHECK(memcmp(fog + 128 + block, some + 128, block) == 0);
    CHECK(memcmp(fog + 128 + 4 * block, some + 128 + block, block) == 0);
    free(fog);
    free(some);
    free(one);
    free(two);
}

static void folders_are_whole_and_have_a_manifest(void)
{
    char *dir = lab_job("folders", "{'kind':'corrupt','corrupt':{'names':['fog','frost'],'severities':[3],"
                                   " 'format':'folder','image_type':'png','contact_sheet':0}}");
    json_t *result = lab_result(dir);
    size_t size;
    char *manifest = file_of(dir, "fog/MANIFEST.sha256", &size), *line = manifest, sha256[65];
    int lines = 0;

    CHECK_INT(artifacts_check(dir), 3);
    CHECK_HOLDS(lab_word(result, "frost"), "not comparable");
    for (; *line; line = strchr(line, '\n') + 1, lines++) {
        char name[200];
        int64_t bytes;

        snprintf(name, sizeof(name), "fog/%.*s", (int)strcspn(line + 66, "\n"), line + 66);
        char *path = path_of(dir, name);
        CHECK_INT(sha256_file(path, sha256, &bytes, NULL), 0);
        CHECK(memcmp(sha256, line, 64) == 0);
        free(path);
    }
    CHECK_INT(lines, LAB_IMAGES);
    CHECK_HOLDS(manifest, "  3/00000/00000.png\n"); /* image 0 is of class 0 */
    CHECK_HOLDS(manifest, "  3/00003/00001.png\n"); /* 7 % 4 */
    free(manifest);
    json_decref(result);

    char *killed = lab_job("folders-killed", "{'kind':'corrupt','corrupt':{'names':['fog','frost'],'severities':[3],"
                                             " 'format':'folder','image_type':'png','contact_sheet':0}}");
    CHECK_INT(lab_run(killed, "kill", 2), -SIGKILL);
    CHECK_INT(lab_run(killed, "run", 0), WORKER_FINISHED);
    json_t *left = findings_of(dir), *right = findings_of(killed);
    CHECK(json_equal(left, right));
    json_decref(left);
    json_decref(right);
    free(killed);
    free(dir);
}

/* A job that fails says these words, and has this code. */
static void check_fails(const char *name, const char *spec, const char *code, const char *words)
{
    char *dir = lab_job(name, spec);

    CHECK_INT(lab_run(dir, "check", 0), WORKER_BAD_INPUT);
    CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
    json_t *last = lab_last(dir);
    CHECK_STRING(lab_word(last, "code"), code);
    CHECK_HOLDS(lab_word(last, "message"), words);
    json_decref(last);
    free(dir);
}

/* A file of zeros with as many images as the disk can't hold copies of. It is sparse: only its header and its
 * labels' places are real. */
static void a_disk_that_is_too_small_is_known_beforehand(void)
{
    enum { SIDE = 1024 };
    struct statvfs disk;
    char *path, header[512];

    if (asprintf(&path, "%s/huge.safetensors", lab()) < 0 || statvfs(lab(), &disk) < 0)
        exit(1);
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize, image = (uint64_t)3 * SIDE * SIDE;
    uint64_t count = room / (75 * image) + 2, pixels = count * image;
    int used = snprintf(header, sizeof(header),
                        "{\"x\":{\"dtype\":\"U8\",\"shape\":[%llu,3,%d,%d],\"data_offsets\":[0,%llu]},"
                        "\"y\":{\"dtype\":\"I64\",\"shape\":[%llu],\"data_offsets\":[%llu,%llu]}}",
                        (unsigned long long)count, SIDE, SIDE, (unsigned long long)pixels, (unsigned long long)count,
                        (unsigned long long)pixels, (unsigned long long)(pixels + 8 * count));
    while (used % 8)
        header[used++] = ' ';
    FILE *file = fopen(path, "wb");
    uint64_t length = (uint64_t)used;
    if (!file || fwrite(&length, 8, 1, file) != 1 || fwrite(header, 1, (size_t)used, file) != (size_t)used ||
        fflush(file) != 0 || ftruncate(fileno(file), (off_t)(8 + length + pixels + 8 * count)) < 0) {
        CHECK_FAIL("%s: can't be made", path);
        exit(1);
    }
    fclose(file);
    check_fails("huge", "{'kind':'corrupt','dataset':{'path':'../huge.safetensors'}}", "no_space", "are free");
    /* A hundredth of the images has room. */
    char *dir = lab_job("less", "{'kind':'corrupt','dataset':{'path':'../huge.safetensors','test_limit':1},"
                                " 'corrupt':{'names':['contrast'],'severities':[1],'contact_sheet':0}}");
    CHECK_INT(lab_run(dir, "run", 0), WORKER_FINISHED);
    free(dir);
    unlink(path);
    free(path);
}

static void what_is_wrong_is_named(void)
{
    check_fails("no-kind", "{'kind':'corrupt','corrupt':{'names':['fogg']}}", "bad_spec", "did you mean \"fog\"?");
    check_fails("no-data", "{'kind':'corrupt','dataset':{'path':'../nothing'}}", "bad_data", "nothing");
    check_fails("no-split", "{'kind':'corrupt','dataset':{'split':'validation'}}", "bad_data",
                "no validation examples");
}

static void a_split_and_a_limit_choose_images(void)
{
    char *dir = lab_job("split", "{'kind':'corrupt','protocol':'validation','dataset':{'split':'validation',"
                                 " 'validation':0.25},'corrupt':{'names':['contrast'],'contact_sheet':0}}");
    json_t *result = lab_result(dir);

    CHECK_INT((int)lab_number(result, "images"), LAB_IMAGES / 4);
    CHECK_STRING(lab_word(result, "protocol"), "validation");
    json_decref(result);
    free(dir);
}

static const struct check_case cases[] = {
    { "arrays, labels and their headers are as the published ones", arrays_are_as_published },
    { "a job stopped or killed at any event goes on to the same bytes", stopped_and_killed_jobs_go_on },
    { "a corruption that was whole is not made again", what_is_whole_is_kept },
    { "threads and the choice of severities change no byte", threads_and_choice_change_no_byte },
    { "folders appear whole, with a manifest that names every file", folders_are_whole_and_have_a_manifest },
    { "a disk without room is refused before the work, with the bytes wanted and free",
      a_disk_that_is_too_small_is_known_beforehand },
    { "unknown names, missing data and empty splits are named", what_is_wrong_is_named },
    { "a split or limit chooses the images", a_split_and_a_limit_choose_images },
};

LAB_MAIN(cases)
