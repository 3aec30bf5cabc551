/* Does everybody who asks for a spec's places get all of them? */
#include "job/job.h"
#include "tests/check.h"
#include "tests/job/specs.h"

#include <errno.h>

/* Every field of text that is no place. A new one is put here, or gets the type FIELD_PATH: then
 * a worker may read what it names, and riftd asks whether it may. */
static const char *const no_places[] = { "/label", "/device", "/dataset/name", "/attack/name", "/model/arch" };

static void decided(void)
{
    for (int i = 0; i < spec_field_count; i++) {
        bool known = spec_fields[i].type != FIELD_STRING;

        for (size_t n = 0; n < sizeof(no_places) / sizeof(no_places[0]) && !known; n++)
            known = strcmp(spec_fields[i].pointer, no_places[n]) == 0;
        if (!known)
            CHECK_FAIL("is %s a place in the file system? Then its type is FIELD_PATH", spec_fields[i].pointer);
    }
}

static int path_note(const char *pointer, const char *path, void *user)
{
    char *seen = user;

    sprintf(seen + strlen(seen), "%s=%s ", pointer, path);
    return 0;
}

static int path_stop(const char *pointer, const char *path, void *user)
{
    (void)pointer;
    (void)path;
    (*(int *)user)++;
    return -ECANCELED;
}

static const struct {
    const char *spec, *places;
} specs[] = {
    { "{\"kind\":\"evaluate\",\"model\":{\"weights\":\"w\"},\"dataset\":{\"format\":\"tensors\",\"path\":\"/d\","
      "\"test_path\":\"t\"},\"evaluate\":{\"baseline\":\"b\",\"corruptions\":{\"path\":\"/c\"}}}",
      "/model/weights=w /dataset/path=/d /dataset/test_path=t /evaluate/baseline=b /evaluate/corruptions/path=/c " },
    { "{\"kind\":\"inspect\",\"dataset\":{\"format\":\"idx\",\"path\":\"/d\"},\"model\":{\"weights\":\"w\"},"
      "\"inspect\":{\"corruptions\":{\"path\":\"/c\"}}}",
      "/model/weights=w /dataset/path=/d /inspect/corruptions/path=/c " },
    { "{\"kind\":\"interpolate\",\"dataset\":{\"format\":\"idx\",\"path\":\"/d\"},\"interpolate\":{\"from\":\"f\","
      "\"to\":{\"job\":\"" UUID "\"}}}",
      "/dataset/path=/d /interpolate/from=f " },
    { "{\"kind\":\"finetune\",\"model\":{\"weights\":\"w\"},\"dataset\":{\"format\":\"idx\",\"path\":\"/d\"},"
      "\"finetune\":{\"modules\":\"lowest\",\"mrc_job\":\"../m\"}}",
      "/model/weights=w /dataset/path=/d /finetune/mrc_job=../m " },
    { "{\"kind\":\"train\",\"dataset\":{\"name\":\"/no/place\"}}", "" },
};

static void all_places(void)
{
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        spec_auto spec = { 0 };
        struct spec_errors errors;
        char seen[1000] = "";

        CHECK_INT(spec_parse(specs[i].spec, strlen(specs[i].spec), &spec, &errors), 0);
        CHECK_INT(spec_paths(spec.json, path_note, seen), 0);
        CHECK_STRING(seen, specs[i].places);
    }
}

static void stops(void)
{
    spec_auto spec = { 0 };
    struct spec_errors errors;
    int calls = 0;

    CHECK_INT(spec_parse(specs[0].spec, strlen(specs[0].spec), &spec, &errors), 0);
    CHECK_INT(spec_paths(spec.json, path_stop, &calls), -ECANCELED);
    CHECK_INT(calls, 1);
    json_auto_t *empty = json_object();
    CHECK_INT(spec_paths(empty, path_stop, &calls), -EINVAL);
}

static const struct check_case cases[] = {
    { "of every field of text it is decided whether it names a place", decided },
    { "all places of a spec are seen, and nothing else", all_places },
    { "whoever has seen enough stops", stops },
};
CHECK_MAIN(cases)
