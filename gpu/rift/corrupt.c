/* How does a data set get its corrupted copy?
 *
 *   artifacts/labels.npy  NAME.npy ...                  [severities * images, H, W, C], severity-major
 *   artifacts/NAME/SEVERITY/CLASS/00000.jpg ...         or a folder a corruption
 *   artifacts/contact-sheet.png  corruptions.json       what it looks like, what is there
 *
 * Images are taken as they lie on disk, not padded for a model; there is no
 * model. Each corruption appears under its name only when it is whole, so that
 * going on needs no checkpoint: what has its name is done, the rest is made
 * anew, with the same bytes because random numbers are keyed by (seed,
 * corruption, severity, image).
 *
 * A folder has too many files to announce each; its manifest is announced, and
 * names them all with their hashes. */
#include "gpu/rift/kinds.h"

#include "gpu/data/corrupt/corrupt.h"
#include "gpu/data/corruption_data.h"
#include "gpu/data/folder_write.h"
#include "gpu/data/image_write.h"
#include "gpu/data/npy_write.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { IMAGES_AT_ONCE = 256, PUBLISHED_QUALITY = 85, BYTE_LABELS = 256 };

#define SHEET_FILE "contact-sheet.png"

/* What is to be made. */
struct plan_of_copies {
    int which[CORRUPTION_COUNT], which_count;
    const int *severities;
    int severity_count;
    enum corruption_parameters parameters;
    bool folder;
    int shape[3]; /* C, H, W */
};

struct copying {
    struct run *run;
    struct plan_of_copies plan;
    struct examples *images;
    char *artifacts; /* path */
    uint8_t *chunk;  /* [IMAGES_AT_ONCE,H,W,C] */
    int threads;
    int64_t done, total; /* images */
};

static size_t image_bytes(const struct plan_of_copies *plan)
{
    return (size_t)plan->shape[0] * plan->shape[1] * plan->shape[2];
}

/* ---- planning ------------------------------------------------------------------- */

/* Formats that are folders on disk get folders. */
static bool lies_in_folders(enum dataset_format format)
{
    return format == DATASET_IMAGE_FOLDER || format == DATASET_TINY_IMAGENET;
}

static void plan_fill(const struct job_spec *spec, struct plan_of_copies *plan)
{
    plan->which_count =
        corruptions_choose(spec->corrupt.set, spec->corrupt.names, spec->corrupt.name_count, plan->which);
    plan->severities = spec->corrupt.severities;
    plan->severity_count = spec->corrupt.severity_count;
    plan->parameters = spec->corrupt.parameters == CORRUPTION_BY_SIDE ? corruption_parameters_of(plan->shape[1])
                                                                      : spec->corrupt.parameters;
    plan->folder = spec->corrupt.format == CORRUPT_BY_DATA ? lies_in_folders(spec->dataset.format)
                                                           : spec->corrupt.format == CORRUPT_FOLDER;
}

/* At most so many images of the files are wanted. */
static int images_most(const struct job_spec *spec, enum dataset_split split, int count)
{
    int limit = split == SPLIT_TEST ? spec->dataset.test_limit : spec->dataset.train_limit;
    int most = limit > 0 && limit < count ? limit : count;

    return split == SPLIT_VALIDATION ? (int)ceil(spec->dataset.validation * most) : most;
}

static bool copy_there(const struct copying *copying, int which)
{
    char *path;
    const char *name = corruption_infos[which].name;
    int r = copying->plan.folder ? asprintf(&path, "%s/%s/" FOLDER_MANIFEST, copying->artifacts, name)
                                 : asprintf(&path, "%s/%s.npy", copying->artifacts, name);

    if (r < 0)
        return false;
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

/* Before an hour's work: is there clearly too little room? An array's size is known; a file takes a block
 * at least. */
static int space_check(struct copying *copying, int images)
{
    const struct plan_of_copies *plan = &copying->plan;
    struct run *run = copying->run;
    struct statvfs disk;
    int missing = 0;

    /* A check may run before the job's directories are there. */
    if (statvfs(copying->artifacts, &disk) < 0 && statvfs(run->dir, &disk) < 0)
        return run_blame(run, FAILURE_INTERNAL,
                         fault_set(&run->why, -errno, "%s: %s", copying->artifacts, strerror(errno)));
    for (int i = 0; i < plan->which_count; i++)
        missing += !copy_there(copying, plan->which[i]);
    uint64_t one = plan->folder ? disk.f_frsize : image_bytes(plan);
    uint64_t wanted = (uint64_t)missing * (uint64_t)plan->severity_count * (uint64_t)images * one;
    uint64_t there = (uint64_t)disk.f_bavail * disk.f_frsize;

    if (wanted <= there)
        return 0;
    return run_blame(
        run, FAILURE_NO_SPACE,
        fault_set(&run->why, -ENOSPC,
                  "%s: the corrupted copies need %llu bytes (%d corruptions, %d severities, up to %d images), "
                  "%llu are free",
                  copying->artifacts, (unsigned long long)wanted, missing, plan->severity_count, images,
                  (unsigned long long)there));
}

/* Float pixels become bytes: corruptions are defined on those. */
static int bytes_make(struct run *run, struct examples *images)
{
    size_t count = (size_t)images->count * images->c * images->h * images->w;

    if (images->u8)
        return 0;
    images->u8 = malloc(count);
    if (!images->u8)
        return run_blame(run, FAILURE_INTERNAL,
                         fault_set(&run->why, -ENOMEM, "no memory for %zu bytes of images", count));
    for (size_t i = 0; i < count; i++)
        images->u8[i] = (uint8_t)(images->f32[i] * 255 + 0.5f);
    free(images->f32);
    images->f32 = NULL;
    return 0;
}

static int copying_open(struct copying *copying)
{
    struct run *run = copying->run;
    enum dataset_split split = run_split(run, SPLIT_TEST);
    const struct examples *images;
    int count, r = run_dataset_shape(run, split, &count, copying->plan.shape);

    copying->artifacts = run_path(run, JOBDIR_ARTIFACTS);
    if (r == 0 && !copying->artifacts)
        r = run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory for a path"));
    if (r < 0)
        return r;
    plan_fill(&run->spec, &copying->plan);
    r = space_check(copying, images_most(&run->spec, split, count));
    if (r == 0)
        r = run_dataset_as_is(run, split, copying->plan.shape);
    if (r == 0)
        r = run_examples(run, split, &images);
    if (r < 0)
        return r;
    copying->images = (struct examples *)images;
    copying->threads = corrupt_threads(run->spec.threads);
    copying->total = (int64_t)images->count * copying->plan.which_count * copying->plan.severity_count;
    copying->chunk = malloc(IMAGES_AT_ONCE * image_bytes(&copying->plan));
    if (!copying->chunk)
        return run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, -ENOMEM, "no memory for images"));
    return bytes_make(run, copying->images);
}

/* ---- making ------------------------------------------------------------------------ */

/* Where a corruption's images go. */
struct sink {
    struct npy_writer *array;
    struct folder_writer *folder;
};

/* Image `at` of a severity, as a file. */
static int file_add(struct copying *copying, struct sink *sink, int severity, int at, const uint8_t *pixel)
{
    struct run *run = copying->run;
    const struct plan_of_copies *plan = &copying->plan;
    bool png = run->spec.corrupt.image_type == IMAGE_PNG;
    int32_t label = copying->images->label[at];
    char below[300], file[32];
    uint8_t *data;
    size_t size;
    int r = png ? png_encode(pixel, plan->shape[0], plan->shape[1], plan->shape[2], &data, &size)
                : jpeg_encode(pixel, plan->shape[0], plan->shape[1], plan->shape[2], PUBLISHED_QUALITY, &data, &size);

    if (r < 0)
        return fault_set(&run->why, r, "no memory for an image");
    if (run->dataset.class_name)
        snprintf(below, sizeof(below), "%d/%s", severity, run->dataset.class_name[label]);
    else
        snprintf(below, sizeof(below), "%d/%05d", severity, label);
    snprintf(file, sizeof(file), "%05d.%s", at, png ? "png" : "jpg");
    r = folder_add(sink->folder, below, file, data, size, &run->why);
    free(data);
    return r;
}

static int chunk_add(struct copying *copying, struct sink *sink, int severity, int first, int n)
{
    size_t image = image_bytes(&copying->plan);
    int r = 0;

    if (sink->array)
        return npy_add(sink->array, copying->chunk, (size_t)n * image, &copying->run->why);
    for (int i = 0; i < n && r == 0; i++)
        r = file_add(copying, sink, severity, first + i, copying->chunk + (size_t)i * image);
    return r;
}

static int severity_make(struct copying *copying, const struct corruption *corruption, struct sink *sink)
{
    struct run *run = copying->run;
    int count = copying->images->count, r = 0;

    for (int first = 0; first < count && r == 0; first += IMAGES_AT_ONCE) {
        int n = count - first < IMAGES_AT_ONCE ? count - first : IMAGES_AT_ONCE;

        if (run->stop && *run->stop)
            return -EINTR;
        r = corrupt_images(copying->images, first, n, corruption, copying->threads, copying->chunk);
        if (r < 0)
            return fault_set(&run->why, r, "no memory to corrupt images");
        r = chunk_add(copying, sink, corruption->severity, first, n);
        copying->done += n;
        if (r == 0)
            r = run_progress(run, "corrupt", copying->done, copying->total, false);
    }
    return r;
}

static int sink_open(struct copying *copying, int which, struct sink *ret)
{
    const struct plan_of_copies *plan = &copying->plan;
    const int64_t shape[] = { (int64_t)plan->severity_count * copying->images->count, plan->shape[1], plan->shape[2],
                              plan->shape[0] };
    const char *name = corruption_infos[which].name;
    char file[80];

    *ret = (struct sink){ 0 };
    if (plan->folder)
        return folder_begin(copying->artifacts, name, &ret->folder, &copying->run->why);
    snprintf(file, sizeof(file), "%s.npy", name);
    return npy_begin(copying->artifacts, file, "|u1", shape, 4, &ret->array, &copying->run->why);
}

/* The name of what is announced of a corruption. */
static void copy_name(const struct copying *copying, int which, char ret[100])
{
    snprintf(ret, 100, copying->plan.folder ? "%s/" FOLDER_MANIFEST : "%s.npy", corruption_infos[which].name);
}

static int copy_write(struct copying *copying, int which, char ret_sha256[65], int64_t *ret_size)
{
    struct run *run = copying->run;
    struct sink sink;
    int r = sink_open(copying, which, &sink);

    for (int s = 0; s < copying->plan.severity_count && r == 0; s++) {
        const struct corruption corruption = { which, copying->plan.severities[s], copying->plan.parameters,
                                               run->spec.seed };

        r = severity_make(copying, &corruption, &sink);
    }
    if (r < 0) {
        npy_abandon(sink.array);
        folder_abandon(sink.folder);
        return r;
    }
    return sink.array ? npy_end(sink.array, ret_sha256, ret_size, &run->why)
                      : folder_end(sink.folder, ret_sha256, ret_size, &run->why);
}

/* What was written so far goes when there is no room for the rest, so that all of it is made anew. */
static int copy_make(struct copying *copying, int which)
{
    struct run *run = copying->run;
    int64_t size = 0, done = copying->done;
    char name[100], sha256[65];
    int r;

    do {
        copying->done = done;
        r = copy_write(copying, which, sha256, &size);
    } while (run_waits(run, &r));
    copy_name(copying, which, name);
    return r < 0 ? run_blame(run, FAILURE_INTERNAL, r) : run_artifact_say(run, name, sha256, size);
}

/* It was whole when the job was stopped; it may not have been announced yet. */
static int copy_keep(struct copying *copying, int which)
{
    struct run *run = copying->run;
    char name[100], sha256[65], *path;
    int64_t size;

    copy_name(copying, which, name);
    if (asprintf(&path, "%s/%s", copying->artifacts, name) < 0)
        return -ENOMEM;
    int r = sha256_file(path, sha256, &size, &run->why);
    free(path);
    copying->done += (int64_t)copying->images->count * copying->plan.severity_count;
    return r < 0 ? run_blame(run, FAILURE_INTERNAL, r) : run_artifact_say(run, name, sha256, size);
}

/* Every label once for each severity: bytes when they fit. */
static int labels_write(struct copying *copying, char ret_sha256[65], int64_t *ret_size)
{
    struct run *run = copying->run;
    const struct examples *images = copying->images;
    const int64_t rows = (int64_t)images->count * copying->plan.severity_count;
    struct npy_writer *writer;
    bool bytes = true;

    for (int i = 0; i < images->count; i++)
        bytes = bytes && images->label[i] < BYTE_LABELS;
    int r = npy_begin(copying->artifacts, CORRUPTION_LABELS, bytes ? "|u1" : "<i8", &rows, 1, &writer, &run->why);
    if (r < 0)
        return r;
    for (int64_t i = 0; i < rows && r == 0; i++) {
        int64_t label = images->label[i % images->count]; /* little-endian, as all machines this is built for */

        r = npy_add(writer, &label, bytes ? 1 : sizeof(label), &run->why);
    }
    if (r < 0)
        npy_abandon(writer);
    else
        r = npy_end(writer, ret_sha256, ret_size, &run->why);
    return r;
}

static int labels_make(struct copying *copying)
{
    struct run *run = copying->run;
    char sha256[65];
    int64_t size = 0;
    int r;

    do
        r = labels_write(copying, sha256, &size);
    while (run_waits(run, &r));
    return r < 0 ? run_blame(run, FAILURE_INTERNAL, r) : run_artifact_say(run, CORRUPTION_LABELS, sha256, size);
}

static int sheet_make(struct copying *copying)
{
    struct run *run = copying->run;
    const struct plan_of_copies *plan = &copying->plan;
    const struct contact_sheet sheet = { plan->which,
                                         plan->severities,
                                         plan->which_count,
                                         plan->severity_count,
                                         plan->parameters,
                                         run->spec.seed,
                                         run->spec.corrupt.contact_sheet };
    uint8_t *png;
    size_t size;

    if (sheet.images == 0)
        return 0;
    int r = contact_sheet_draw(&sheet, copying->images, &png, &size);
    if (r < 0)
        return run_blame(run, FAILURE_INTERNAL, fault_set(&run->why, r, "no memory for " SHEET_FILE));
    r = run_artifact_write(run, SHEET_FILE, png, size);
    free(png);
    return r;
}

/* What there is, for people and for whoever evaluates on it. */
static json_t *content_json(const struct copying *copying)
{
    const struct plan_of_copies *plan = &copying->plan;
    const struct job_spec *spec = &copying->run->spec;
    json_t *names = json_array(), *severities = json_array();

    for (int i = 0; i < plan->which_count; i++)
        json_array_append_new(names, json_string(corruption_infos[plan->which[i]].name));
    for (int i = 0; i < plan->severity_count; i++)
        json_array_append_new(severities, json_integer(plan->severities[i]));
    json_t *content =
        json_pack("{s:o, s:o, s:i, s:[i,i,i], s:s, s:s, s:I, s:O}", "corruptions", names, "severities", severities,
                  "images", copying->images->count, "shape", plan->shape[1], plan->shape[2], plan->shape[0], "format",
                  plan->folder ? "folder" : "npy", "parameters", plan->parameters == CORRUPTION_TINY ? "tiny" : "cifar",
                  "seed", (json_int_t)spec->seed, "protocol", json_object_get(spec->json, "protocol"));
    for (int i = 0; i < plan->which_count; i++)
        if (strcmp(corruption_infos[plan->which[i]].name, "frost") == 0)
            json_object_set_new(content, "frost", json_string("frost-like, not comparable with published numbers"));
    return content;
}

static int content_make(struct copying *copying, json_t **ret_content)
{
    json_t *content = content_json(copying);
    char *text = content ? json_dumps(content, JSON_INDENT(2)) : NULL;
    int r = text ? run_artifact_write(copying->run, CORRUPTION_CONTENT, text, strlen(text))
                 : run_fail(copying->run, FAILURE_OUT_OF_MEMORY, "no memory for " CORRUPTION_CONTENT);

    free(text);
    if (r < 0)
        json_decref(content);
    else
        *ret_content = content;
    return r;
}

/* The same, and where it lies: that may change, so that it isn't in the file. */
static int result_make(struct copying *copying, json_t **ret_result)
{
    json_t *content;
    int r = content_make(copying, &content);
    char *path = r == 0 ? realpath(copying->artifacts, NULL) : NULL;

    if (r < 0)
        return r;
    json_object_set_new(content, "path", json_string(path ? path : copying->artifacts));
    free(path);
    *ret_result = content;
    return 0;
}

static int copies_make(struct copying *copying, json_t **ret_result)
{
    struct run *run = copying->run;
    json_t *started = run_started(run, run_no_device());

    json_object_update_new(started,
                           json_pack("{s:i, s:i}", "threads", copying->threads, "images", copying->images->count));
    int r = run_event(run, "started", started);

    if (r == 0 && !copying->plan.folder)
        r = labels_make(copying);
    if (r == 0)
        r = sheet_make(copying);
    for (int i = 0; i < copying->plan.which_count && r == 0; i++) {
        int which = copying->plan.which[i];

        r = copy_there(copying, which) ? copy_keep(copying, which) : copy_make(copying, which);
    }
    if (r == 0)
        r = run_progress(run, "corrupt", copying->total, copying->total, true);
    return r < 0 ? r : result_make(copying, ret_result);
}

int corruption(struct run *run, json_t **ret_result)
{
    struct copying copying = { .run = run };
    int r = copying_open(&copying);

    if (r == 0)
        r = run->check_only ? -ECANCELED : copies_make(&copying, ret_result);
    free(copying.artifacts);
    free(copying.chunk);
    return r;
}
