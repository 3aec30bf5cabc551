/* Does a look at a data set show what is there, and the same each time? */
#include "tests/rift/lab.h"

#include "gpu/data/sheet.h"

#define QUICK "'per_class':2,'corruptions':{'names':['fog','contrast'],'severities':[2,5],'images':2}"

/* inspect.json, new reference. */
static json_t *found_in(const char *dir)
{
    char *path, *text = NULL;
    size_t size = 0;
    struct fault why = { 0 };

    if (asprintf(&path, "%s/" JOBDIR_ARTIFACTS "/inspect.json", dir) < 0 ||
        file_read(path, 1 << 20, &text, &size, &why) < 0)
        CHECK_FAIL("%s", why.message);
    json_t *found = json_loadb(text ? text : "", size, 0, NULL);
    free(path);
    free(text);
    return found;
}

/* The hash of an artifact as it was announced, malloc'd; NULL: there is none. */
static char *hash_of(const char *dir, const char *name)
{
    json_t *events = lab_events(dir), *event;
    char *hash = NULL;
    size_t i;

    json_array_foreach(events, i, event) if (!hash && strcmp(lab_word(event, "name"), name) == 0) hash =
        strdup(lab_word(event, "sha256"));
    json_decref(events);
    return hash;
}

static json_t *member(const json_t *object, const char *key, const char *below)
{
    return json_object_get(json_object_get(object, key), below);
}

static double item(const json_t *list, size_t at)
{
    return json_number_value(json_array_get(list, at));
}

static void all_images_are_counted_and_few_are_read(void)
{
    char *dir = lab_job("counted", "{'kind':'inspect','protocol':'validation','model':{},'dataset':{'validation':0.25},"
                                   " 'inspect':{'images':20," QUICK "}}");
    json_t *result = lab_result(dir), *train = member(result, "splits", "train");
    const json_t *validation = member(result, "splits", "validation"), *test = member(result, "splits", "test");
    double sum = 0;

    CHECK_INT((int)lab_number(train, "images"), 30);
    CHECK_INT((int)lab_number(validation, "images"), 10);
    CHECK_INT((int)lab_number(test, "images"), LAB_IMAGES);
    CHECK_INT((int)lab_number(train, "measured"), 15);
    CHECK_INT((int)lab_number(validation, "measured"), 5);
    CHECK_INT((int)lab_number(test, "measured"), 20);
    CHECK_INT((int)lab_number(result, "classes"), LAB_CLASSES);
    CHECK(json_is_null(json_object_get(result, "class_names")));
    CHECK_INT(json_array_size(json_object_get(train, "histogram")), LAB_CLASSES);
    for (int k = 0; k < LAB_CLASSES; k++) {
        CHECK_INT((int)item(json_object_get(test, "histogram"), (size_t)k), LAB_IMAGES / LAB_CLASSES);
        sum += item(json_object_get(train, "histogram"), (size_t)k);
    }
    CHECK_INT((int)sum, 30);
    json_decref(result);
    free(dir);
}

static void mean_and_deviation_are_those_of_the_pixels(void)
{
    char *dir = lab_job("moments", "{'kind':'inspect','dataset':{'split':'test'},'inspect':{'per_class':0,"
                                   " 'corruptions':null}}");
    json_t *result = lab_result(dir), *test = member(result, "splits", "test"), *found = found_in(dir);
    double sum = 0, squares = 0, count = (double)LAB_IMAGES * 32 * 32;
    uint32_t noise = 12345;

    for (int i = 0; i < LAB_IMAGES; i++) /* as lab_data makes them; only the first channel counts here */
        for (int p = 0; p < LAB_PIXELS; p++) {
            int label = i * 7 % LAB_CLASSES, stripe = (p % 32 / 4 + label) % 4 == 0 ? 70 : 0;

            noise = noise * 1664525u + 1013904223u;
            double pixel = (40 + 25 * label + stripe + (int)((noise >> 24) % 48)) / 255.0;
            if (p < 32 * 32) {
                sum += pixel;
                squares += pixel * pixel;
            }
        }
    CHECK_NEAR(item(json_object_get(test, "mean"), 0), sum / count, 1e-9);
    CHECK_NEAR(item(json_object_get(test, "std"), 0), sqrt(squares / count - sum / count * (sum / count)), 1e-9);
    CHECK_INT(json_array_size(json_object_get(test, "mean")), 3);
    CHECK(member(result, "splits", "train") == NULL); /* only the split that is asked for is read */
    CHECK(json_object_get(found, "samples") == NULL);
    CHECK(json_object_get(found, "corruptions") == NULL);
    CHECK(json_object_get(found, "adversarial") == NULL);
    json_decref(result);
    json_decref(found);
    free(dir);
}

static void the_layout_says_which_image_stands_where(void)
{
    char *dir = lab_job("layout", "{'kind':'inspect','inspect':{'classes':3," QUICK "}}");
    json_decref(lab_result(dir));
    json_t *found = found_in(dir), *samples = json_object_get(found, "samples"), *cell;
    const json_t *corruptions = json_object_get(found, "corruptions");
    size_t i;

    CHECK_INT((int)lab_number(samples, "rows"), 3);
    CHECK_INT((int)lab_number(samples, "columns"), 2);
    CHECK_INT((int)lab_number(samples, "cell"), 64);
    CHECK_INT((int)lab_number(samples, "gap"), SHEET_GAP);
    CHECK_STRING(lab_word(samples, "split"), "train");
    CHECK_INT(json_array_size(json_object_get(samples, "cells")), 6);
    json_array_foreach(json_object_get(samples, "cells"), i, cell)
    {
        int index = (int)lab_number(cell, "index"), label = (int)lab_number(cell, "label");

        CHECK_INT(label, index * 7 % LAB_CLASSES);
        CHECK_INT((int)lab_number(cell, "row"), label);
        CHECK_INT((int)lab_number(cell, "column"), index / LAB_CLASSES); /* the first two of each class */
    }
    CHECK_INT((int)lab_number(corruptions, "rows"), 2);
    CHECK_INT((int)lab_number(corruptions, "columns"), 2 * 3);
    CHECK_STRING(json_string_value(json_array_get(json_object_get(corruptions, "names"), 0)), "fog");
    CHECK_STRING(lab_word(corruptions, "source"), "made");
    CHECK_STRING(lab_word(corruptions, "split"), "test");
    CHECK_INT(json_array_size(json_object_get(corruptions, "images")), 2);
    json_decref(found);
    free(dir);
}

static void one_seed_gives_one_picture_and_others_others(void)
{
    static const char *const specs[] = { "{'kind':'inspect','inspect':{" QUICK "}}",
                                         "{'kind':'inspect','threads':2,'inspect':{" QUICK "}}",
                                         "{'kind':'inspect','seed':4,'inspect':{" QUICK "}}" };
    char *hash[3], *samples[3], name[32];

    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "seed-%d", i);
        char *dir = lab_job(name, specs[i]);
        json_decref(lab_result(dir));
        hash[i] = hash_of(dir, "corruptions.png");
        samples[i] = hash_of(dir, "samples.png");
        free(dir);
    }
    CHECK_STRING(hash[0], hash[1]);
    CHECK(strcmp(hash[0], hash[2]) != 0); /* fog is drawn at random */
    CHECK_STRING(samples[0], samples[2]); /* which images are shown isn't */
    for (int i = 0; i < 3; i++) {
        free(hash[i]);
        free(samples[i]);
    }
}

static void copies_that_are_there_look_as_those_made_here(void)
{
    lab_copies();
    char *made = lab_job("made", "{'kind':'inspect','inspect':{" QUICK "}}");
    char *read = lab_job("read", "{'kind':'inspect','inspect':{'corruptions':{'path':'../copies/artifacts',"
                                 " 'names':['fog','contrast'],'severities':[2,5],'images':2}}}");
    json_decref(lab_result(made));
    json_decref(lab_result(read));
    char *hash[2] = { hash_of(made, "corruptions.png"), hash_of(read, "corruptions.png") };
    json_t *found = found_in(read);

    CHECK_STRING(hash[0], hash[1]);
    CHECK_STRING(lab_word(json_object_get(found, "corruptions"), "source"), "read");
    CHECK_INT(json_array_size(member(found, "corruptions", "unlike")), 0);
    json_decref(found);
    free(hash[0]);
    free(hash[1]);
    free(made);
    free(read);
}

static void copies_that_arent_there_are_missed_by_name(void)
{
    char *dir = lab_job("missed", "{'kind':'inspect','inspect':{'corruptions':{'path':'nowhere','names':['fog']}}}");
    CHECK_INT(lab_run(dir, "run", 0), WORKER_BAD_INPUT);
    json_t *last = lab_last(dir);

    CHECK_STRING(lab_word(last, "code"), "bad_data");
    CHECK_HOLDS(lab_word(last, "message"), "nowhere");
    json_decref(last);
    free(dir);
}

/* What adversarial.png tells of each image. */
static void the_examples_shown_are_those_that_evaluate_finds(void)
{
    char spec[600];

    snprintf(spec, sizeof(spec),
             "{'kind':'inspect','batch_size':5,'model':{'weights':'../%s'},'inspect':{'adversarial':%d,'per_class':0,"
             " 'corruptions':null}}",
             lab_robust(), LAB_IMAGES);
    char *dir = lab_job("attacked", spec);
    snprintf(spec, sizeof(spec), "{'kind':'evaluate','batch_size':5,'model':{'weights':'../%s'}}", lab_robust());
    char *judge = lab_job("judge", spec);
    json_t *result = lab_result(dir), *measured = lab_result(judge), *found = found_in(dir), *image;
    const json_t *attacked = json_object_get(found, "adversarial");
    const json_t *pgd = json_array_get(json_object_get(measured, "attacks"), 0);
    int before = 0, after = 0;
    size_t i;

    CHECK_INT(json_array_size(json_object_get(attacked, "images")), LAB_IMAGES);
    json_array_foreach(json_object_get(attacked, "images"), i, image)
    {
        before += lab_number(image, "label") == json_number_value(member(image, "before", "class"));
        after += lab_number(image, "label") == json_number_value(member(image, "after", "class"));
        CHECK(lab_number(image, "largest_change") <= 8 / 255.0 + 1e-6);
        CHECK(json_number_value(member(image, "before", "probability")) > 1.0 / LAB_CLASSES - 1e-6);
    }
    CHECK_INT((int)lab_number(attacked, "right_before"), before);
    CHECK_INT((int)lab_number(attacked, "right_after"), after);
    CHECK_NEAR((double)before / LAB_IMAGES, lab_number(json_object_get(measured, "clean"), "accuracy"), 1e-9);
    CHECK_NEAR((double)after / LAB_IMAGES, lab_number(pgd, "accuracy"), 1e-9);
    CHECK_INT((int)lab_number(attacked, "factor"), 15); /* 8/255 becomes 120/255, less than a half */
    CHECK_STRING(lab_word(attacked, "attack"), "pgd-2");
    CHECK_INT((int)lab_number(member(result, "splits", "test"), "images"), LAB_IMAGES);
    CHECK(member(result, "adversarial", "images") == NULL); /* of each image the file tells */
    json_decref(result);
    json_decref(measured);
    json_decref(found);
    free(dir);
    free(judge);
}

static void stopped_and_killed_looks_begin_anew(void)
{
    char *whole = lab_job("whole", "{'kind':'inspect','inspect':{" QUICK "}}");
    json_decref(lab_result(whole));
    json_t *expected = lab_findings(whole), *all = lab_events(whole);
    size_t events = json_array_size(all);

    for (size_t at = 1; at < events; at++) {
        char name[64];

        snprintf(name, sizeof(name), "disturbed-%zu", at);
        char *dir = lab_job(name, "{'kind':'inspect','inspect':{" QUICK "}}");
        CHECK_INT(lab_run(dir, "kill", (long)at), -SIGKILL);
        int code = lab_run(dir, "stop", 1);
        CHECK(code == WORKER_INTERRUPTED || code == WORKER_FINISHED);
        CHECK_INT(lab_run(dir, "run", 0), WORKER_FINISHED);
        json_t *findings = lab_findings(dir);
        if (!json_equal(findings, expected))
            CHECK_FAIL("%s: other findings than undisturbed", dir);
        json_decref(findings);
        free(dir);
    }
    json_decref(expected);
    json_decref(all);
    free(whole);
}

static void a_check_reads_labels_and_writes_nothing(void)
{
    char *dir = lab_job("check", "{'kind':'inspect'}");

    CHECK_INT(lab_run(dir, "check", 0), WORKER_FINISHED);
    CHECK(access(dir, F_OK) == 0);
    char *path;
    if (asprintf(&path, "%s/" JOBDIR_ARTIFACTS "/inspect.json", dir) > 0)
        CHECK(access(path, F_OK) < 0);
    free(path);
    free(dir);
}

static void large_images_are_shrunk_and_small_ones_magnified(void)
{
    static const struct {
        int side, magnified, shrunk, cell;
    } rows[] = { { 16, 4, 1, 64 },   { 28, 2, 1, 56 },  { 32, 2, 1, 64 },   { 64, 1, 1, 64 },
                 { 128, 1, 1, 128 }, { 129, 1, 2, 64 }, { 224, 1, 2, 112 }, { 1024, 1, 8, 128 } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int side = rows[i].side;
        uint8_t *image = malloc((size_t)side * side), *png;
        struct sheet sheet;
        size_t size;

        memset(image, 0, (size_t)side * side);
        for (int x = 0; x < side; x++)
            image[x] = 100; /* the first line */
        CHECK_INT(sheet_open(1, 2, 1, side, &sheet), 0);
        sheet_put(&sheet, 0, 1, image);
        CHECK_INT(sheet.magnified, rows[i].magnified);
        CHECK_INT(sheet.shrunk, rows[i].shrunk);
        CHECK_INT(sheet.cell, rows[i].cell);
        int corner = SHEET_GAP * sheet.w + 2 * SHEET_GAP + sheet.cell;
        CHECK_INT(sheet.pixel[corner], (100 + rows[i].shrunk / 2) / rows[i].shrunk);
        CHECK_INT(sheet.pixel[corner + sheet.magnified * sheet.w], 0);
        CHECK_INT(sheet.pixel[corner - 1], 255);
        CHECK_INT(sheet.pixel[SHEET_GAP * sheet.w + SHEET_GAP], 255); /* nobody's cell stays paper */
        CHECK_INT(sheet_encode(&sheet, &png, &size), 0);
        free(png);
        sheet_done(&sheet);
        free(image);
    }
}

static const struct check_case cases[] = {
    { "all images are counted, however few are read", all_images_are_counted_and_few_are_read },
    { "mean and deviation are those of the pixels", mean_and_deviation_are_those_of_the_pixels },
    { "the layout says which image stands where", the_layout_says_which_image_stands_where },
    { "one seed gives one picture, whatever the threads, and another seed another",
      one_seed_gives_one_picture_and_others_others },
    { "copies that are there look like those that are made", copies_that_are_there_look_as_those_made_here },
    { "copies that aren't there are missed by name", copies_that_arent_there_are_missed_by_name },
    { "the adversarial examples shown are those that evaluate finds",
      the_examples_shown_are_those_that_evaluate_finds },
    { "a look that was stopped or killed at any event begins anew and finds the same",
      stopped_and_killed_looks_begin_anew },
    { "a check writes nothing", a_check_reads_labels_and_writes_nothing },
    { "large images are shrunk and small ones magnified", large_images_are_shrunk_and_small_ones_magnified },
};
LAB_MAIN(cases)
