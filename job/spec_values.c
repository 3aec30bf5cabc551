/* Is this value one that its field may have?
 *
 * One function a field type, in a table; what a single field asks for beyond
 * its type (a device's name, an image's shape) stands in spec_extras.c. All
 * messages have one form: "must be WHAT WAS EXPECTED, is WHAT WAS GIVEN". */
#include "job/spec.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GREEDY_TOP = 3, ID_LENGTH = 36, TELL_MOST = 32 };

/* ---- words ------------------------------------------------------------------- */

struct shown {
    char *text;
    size_t room, used;
};

static int show_piece(const char *piece, size_t size, void *user)
{
    struct shown *shown = user;
    size_t take = size < shown->room - shown->used ? size : shown->room - shown->used;

    memcpy(shown->text + shown->used, piece, take);
    shown->used += take;
    return take < size ? -1 : 0; /* full: the rest isn't wanted */
}

void value_show(const json_t *value, char *ret, size_t size)
{
    struct shown shown = { .text = ret, .room = size - 4 };
    int cut = json_dump_callback(value, show_piece, &shown, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));

    ret[shown.used] = 0;
    text_clean(ret);
    if (cut < 0)
        strcat(ret, "...");
}

/* "a|b|c" as "a, b or c". */
static void show_values(const char *values, char *ret, size_t size)
{
    size_t used = 0;

    ret[0] = 0;
    for (const char *at = values; *at && used < size;) {
        int length = (int)strcspn(at, "|");
        bool last = at[length] == 0;

        used += (size_t)snprintf(ret + used, size - used, "%s%.*s",
                                 at == values ? ""
                                 : last       ? " or "
                                              : ", ",
                                 length, at);
        at += last ? length : length + 1;
    }
}

/* The words for each type; %s is the range. */
static const char *const type_words[] = {
    [FIELD_BOOL] = "true or false",
    [FIELD_INT] = "a whole number%s",
    [FIELD_REAL] = "a number%s",
    [FIELD_PIXEL] = "a number%s or a fraction such as \"8/255\"",
    [FIELD_STRING] = "text%s",
    [FIELD_PATH] = "text%s",
    [FIELD_ENUM] = "%s",
    [FIELD_INT_LIST] = "a list of whole numbers%s",
    [FIELD_REAL_LIST] = "a list of numbers%s",
    [FIELD_STRING_LIST] = "a list of different names%s",
    [FIELD_STRING_LISTS] = "a list of lists of at least two different names",
    [FIELD_JOB] = "the id of a job",
    [FIELD_BYTES] = "a whole number%s or text such as \"512MiB\" or \"4GiB\"",
    [FIELD_AFTER] = "a list of at most 64 {\"job\": ID, \"on\": \"success\", \"failure\" or \"any\"}, no job twice",
    [FIELD_WEIGHTS] = "a path or {\"job\": ID}",
    [FIELD_MODULES] = "a list of names, \"lowest\", \"highest\", \"last\", \"all\", {\"top\": NUMBER}, "
                      "{\"greedy\": 2 or 3} or {\"containing\": TEXT}",
    [FIELD_CHOICE_LIST] =
        "a list of different choices: names, lists of names, \"lowest\", \"highest\", \"last\", \"all\", "
        "{\"top\": NUMBER}, {\"greedy\": 2 or 3} or {\"containing\": TEXT}",
    [FIELD_ATTACK] = "an attack object",
    [FIELD_ATTACK_LIST] = "a list of attack objects",
    [FIELD_OBJECT] = "an object",
};

void value_expected(const struct spec_field *field, char *ret, size_t size)
{
    char range[400] = "";
    size_t used = 0;

    if (field->type == FIELD_STRING_LIST && field->values)
        used = (size_t)snprintf(range, sizeof(range), " out of ");
    if (field->values)
        show_values(field->values, range + used, sizeof(range) - used);
    else if (field->type == FIELD_STRING_LIST)
        range[0] = 0;
    else if (field->type == FIELD_STRING || field->type == FIELD_PATH)
        snprintf(range, sizeof(range), " of %.0f to %.0f characters", field->min, field->max);
    else
        snprintf(range, sizeof(range), " from %.16g to %.16g%s%s%s", field->min, field->max, *field->unit ? " (" : "",
                 field->unit, *field->unit ? ")" : "");
    /* One "%s" at the most, so this is a replacement and no format. */
    const char *words = type_words[field->type], *gap = strstr(words, "%s");
    used = gap ? (size_t)snprintf(ret, size, "%.*s%s%s", (int)(gap - words), words, range, gap + 2)
               : (size_t)snprintf(ret, size, "%s", words);
    if (field->nullable && used < size)
        snprintf(ret + used, size - used, " or null");
}

/* ---- one function a type ------------------------------------------------------
 * 0 with a new reference, -EINVAL (no words yet: value_take finds them), -ENOMEM. */

typedef int take_function(const struct spec_field *field, const json_t *value, json_t **ret);

static int give(json_t *copy, json_t **ret)
{
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

static bool in_range(const struct spec_field *field, double value)
{
    return isfinite(value) && value >= field->min && value <= field->max;
}

static int take_bool(const struct spec_field *field, const json_t *value, json_t **ret)
{
    (void)field;
    return json_is_boolean(value) ? give(json_boolean(json_is_true(value)), ret) : -EINVAL;
}

/* 110.0 and 1e3 are whole numbers too, and become 110 and 1000. Integers are
 * compared as such: a double can't tell 2^53 + 1 from 2^53. */
static int take_int(const struct spec_field *field, const json_t *value, json_t **ret)
{
    double real = json_real_value(value);
    json_int_t whole;

    if (!json_is_number(value) || (json_is_real(value) && (!in_range(field, real) || real != floor(real))))
        return -EINVAL;
    whole = json_is_real(value) ? (json_int_t)real : json_integer_value(value);
    if (whole < (json_int_t)field->min || whole > (json_int_t)field->max)
        return -EINVAL;
    return give(json_integer(whole), ret);
}

static int take_real(const struct spec_field *field, const json_t *value, json_t **ret)
{
    if (!json_is_number(value) || !in_range(field, json_number_value(value)))
        return -EINVAL;
    return give(json_deep_copy(value), ret);
}

/* Digits, perhaps with a point, up to `end`; few enough to be exact. */
static bool decimal(const char *text, size_t length, double *ret)
{
    double value = 0, place = 1;
    bool point = false, digits = false;

    if (length > 15)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.' && !point) {
            point = true;
        } else if (text[i] >= '0' && text[i] <= '9') {
            value = value * 10 + (text[i] - '0');
            place *= point ? 10 : 1;
            digits = true;
        } else {
            return false;
        }
    }
    *ret = value / place;
    return digits;
}

int value_pixel(const json_t *value, double *ret)
{
    const char *text = json_string_value(value), *slash = text ? strchr(text, '/') : NULL;
    double above, under;

    if (json_is_number(value)) {
        *ret = json_number_value(value);
        return 0;
    }
    if (!slash || !decimal(text, (size_t)(slash - text), &above) || !decimal(slash + 1, strlen(slash + 1), &under) ||
        under == 0)
        return -EINVAL;
    *ret = above / under;
    return 0;
}

static int take_pixel(const struct spec_field *field, const json_t *value, json_t **ret)
{
    double pixel;

    if (value_pixel(value, &pixel) < 0 || !in_range(field, pixel))
        return -EINVAL;
    return give(json_deep_copy(value), ret);
}

/* Text without control characters, as long as the row allows. */
static bool text_fits(const struct spec_field *field, const json_t *value)
{
    const char *text = json_string_value(value);

    return text && text_valid(text) && in_range(field, text_characters(text));
}

static int take_string(const struct spec_field *field, const json_t *value, json_t **ret)
{
    return text_fits(field, value) ? give(json_deep_copy(value), ret) : -EINVAL;
}

int value_enum(const char *values, const char *text)
{
    size_t length = strlen(text);
    int place = 0;

    for (const char *at = values; *at; place++) {
        size_t here = strcspn(at, "|");
        if (here == length && memcmp(at, text, length) == 0)
            return place;
        at += at[here] ? here + 1 : here;
    }
    return -ENOENT;
}

static int take_enum(const struct spec_field *field, const json_t *value, json_t **ret)
{
    if (!json_is_string(value) || value_enum(field->values, json_string_value(value)) < 0)
        return -EINVAL;
    return give(json_deep_copy(value), ret);
}

static int take_list(const struct spec_field *field, const json_t *value, take_function *take_item, json_t **ret)
{
    json_auto_t *list = json_array();
    size_t i;
    json_t *item;

    if (!json_is_array(value) || json_array_size(value) > LIST_TOP)
        return -EINVAL;
    if (!list)
        return -ENOMEM;
    json_array_foreach((json_t *)value, i, item)
    {
        json_t *taken;
        int r = take_item(field, item, &taken);
        if (r < 0)
            return r;
        if (json_array_append_new(list, taken) < 0)
            return -ENOMEM;
    }
    return give(json_incref(list), ret);
}

static int take_int_list(const struct spec_field *field, const json_t *value, json_t **ret)
{
    return take_list(field, value, take_int, ret);
}

static int take_real_list(const struct spec_field *field, const json_t *value, json_t **ret)
{
    return take_list(field, value, take_real, ret);
}

/* Names: at least one, none twice, all known where the row knows them. */
static int take_string_list(const struct spec_field *field, const json_t *value, json_t **ret)
{
    json_auto_t *seen = json_object();
    size_t i;
    json_t *item;

    if (!seen)
        return -ENOMEM;
    if (json_array_size(value) == 0)
        return -EINVAL;
    json_array_foreach((json_t *)value, i, item)
    {
        if (!json_is_string(item) || json_object_get(seen, json_string_value(item)))
            return -EINVAL;
        if (field->values && value_enum(field->values, json_string_value(item)) < 0)
            return -EINVAL;
        if (json_object_set_new(seen, json_string_value(item), json_true()) < 0)
            return -ENOMEM;
    }
    return take_list(field, value, take_string, ret);
}

/* Sets of names: at least one set, at least two names each. */
static int take_string_lists(const struct spec_field *field, const json_t *value, json_t **ret)
{
    size_t i;
    json_t *item;

    if (json_array_size(value) == 0)
        return -EINVAL;
    json_array_foreach((json_t *)value, i, item) if (json_array_size(item) < 2) return -EINVAL;
    return take_list(field, value, take_string_list, ret);
}

/* An id: a UUID's text, or "step:N" for a step of the rift job that is being expanded. */
static bool id_valid(const json_t *value)
{
    const char *id = json_string_value(value);

    if (!id)
        return false;
    if (strncmp(id, "step:", 5) == 0)
        return id[5] >= '0' && id[5] < '0' + RIFT_STEPS && id[6] == 0;
    if (strlen(id) != ID_LENGTH)
        return false;
    for (int i = 0; i < ID_LENGTH; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? id[i] != '-' : !strchr("0123456789abcdefABCDEF", id[i]))
            return false;
    }
    return true;
}

static int take_weights(const struct spec_field *field, const json_t *value, json_t **ret)
{
    const json_t *job = json_object_get(value, "job"), *model = json_object_get(value, "model");
    const json_t *artifact = json_object_get(value, "artifact");
    size_t known = (job ? 1 : 0) + (model ? 1 : 0) + (artifact ? 1 : 0);
    bool valid;

    if (json_is_string(value))
        return take_string(field, value, ret);
    valid = json_is_object(value) && json_object_size(value) == known && id_valid(job ? job : model) &&
            !(model && known > 1) &&
            (!artifact || (json_is_string(artifact) && artifact_name_valid(json_string_value(artifact))));
    return valid ? give(json_deep_copy(value), ret) : -EINVAL;
}

static int take_job(const struct spec_field *field, const json_t *value, json_t **ret)
{
    (void)field;
    return id_valid(value) ? give(json_deep_copy(value), ret) : -EINVAL;
}

/* "512MiB", "1.5GiB". -EINVAL when it is neither that nor whole. */
static int bytes_of(const char *text, double *ret)
{
    static const char units[] = "KMGT";
    size_t digits = strspn(text, "0123456789.");
    const char *unit = text[digits] ? strchr(units, text[digits]) : NULL;

    if (!unit || strcmp(text + digits + 1, "iB") != 0 || !decimal(text, digits, ret))
        return -EINVAL;
    *ret = ldexp(*ret, 10 * (int)(unit - units + 1));
    return 0;
}

static int take_bytes(const struct spec_field *field, const json_t *value, json_t **ret)
{
    double bytes;

    if (!json_is_string(value))
        return take_int(field, value, ret);
    if (bytes_of(json_string_value(value), &bytes) < 0 || !in_range(field, bytes))
        return -EINVAL;
    return give(json_integer((json_int_t)bytes), ret);
}

static int take_after_item(const struct spec_field *field, const json_t *value, json_t **ret)
{
    const json_t *job = json_object_get(value, "job"), *on = json_object_get(value, "on");

    (void)field;
    if (json_object_size(value) != 1 + (on ? 1 : 0) || !id_valid(job) ||
        (on && (!json_is_string(on) || value_enum(AFTER_WORDS, json_string_value(on)) < 0)))
        return -EINVAL;
    return give(json_pack("{s:O, s:s}", "job", job, "on", on ? json_string_value(on) : "success"), ret);
}

static int take_after(const struct spec_field *field, const json_t *value, json_t **ret)
{
    json_t *taken = NULL;
    int r = json_array_size(value) <= AFTER_TOP ? take_list(field, value, take_after_item, &taken) : -EINVAL;

    for (size_t i = 1; r == 0 && i < json_array_size(taken); i++)
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_object_get(json_array_get(taken, i), "job"),
                           json_object_get(json_array_get(taken, k), "job")))
                r = -EINVAL;
    if (r == 0)
        return give(taken, ret);
    json_decref(taken);
    return r;
}

static bool whole_between(const json_t *value, json_int_t least, json_int_t most)
{
    return json_is_integer(value) && json_integer_value(value) >= least && json_integer_value(value) <= most;
}

static int take_modules(const struct spec_field *field, const json_t *value, json_t **ret)
{
    const json_t *top = json_object_get(value, "top"), *greedy = json_object_get(value, "greedy");
    const json_t *containing = json_object_get(value, "containing");

    if (json_is_array(value))
        return take_string_list(field, value, ret);
    if (json_is_object(value)) {
        bool valid = json_object_size(value) == 1 && (top          ? whole_between(top, 1, LIST_TOP)
                                                      : greedy     ? whole_between(greedy, 2, GREEDY_TOP)
                                                      : containing ? text_fits(field, containing)
                                                                   : false);
        return valid ? give(json_deep_copy(value), ret) : -EINVAL;
    }
    if (!json_is_string(value) || value_enum(MODULE_WORDS, json_string_value(value)) < 0)
        return -EINVAL;
    return give(json_deep_copy(value), ret);
}

/* "linear" alone is short for ["linear"]. */
static int take_choice(const struct spec_field *field, const json_t *value, json_t **ret)
{
    const char *word = json_string_value(value);

    if (!word || value_enum(MODULE_WORDS, word) >= 0)
        return take_modules(field, value, ret);
    json_auto_t *list = json_pack("[s]", word);
    return list ? take_string_list(field, list, ret) : -ENOMEM;
}

bool values_differ(const json_t *list)
{
    for (size_t i = 1; i < json_array_size(list); i++)
        for (size_t j = 0; j < i; j++)
            if (json_equal(json_array_get(list, i), json_array_get(list, j)))
                return false;
    return json_array_size(list) > 0;
}

static int take_choice_list(const struct spec_field *field, const json_t *value, json_t **ret)
{
    json_t *taken = NULL;
    int r = take_list(field, value, take_choice, &taken);

    if (r == 0 && values_differ(taken))
        return give(taken, ret);
    json_decref(taken);
    return r < 0 ? r : -EINVAL;
}

static take_function *const takers[] = {
    [FIELD_BOOL] = take_bool,
    [FIELD_INT] = take_int,
    [FIELD_REAL] = take_real,
    [FIELD_PIXEL] = take_pixel,
    [FIELD_STRING] = take_string,
    [FIELD_PATH] = take_string,
    [FIELD_ENUM] = take_enum,
    [FIELD_INT_LIST] = take_int_list,
    [FIELD_REAL_LIST] = take_real_list,
    [FIELD_STRING_LIST] = take_string_list,
    [FIELD_STRING_LISTS] = take_string_lists,
    [FIELD_WEIGHTS] = take_weights,
    [FIELD_JOB] = take_job,
    [FIELD_BYTES] = take_bytes,
    [FIELD_AFTER] = take_after,
    [FIELD_MODULES] = take_modules,
    [FIELD_CHOICE_LIST] = take_choice_list,
};

/* ---- the whole ----------------------------------------------------------------- */

/* The words of a row that takes words, or NULL. */
static const char *words_of(const struct spec_field *field)
{
    return field->type == FIELD_MODULES ? MODULE_WORDS : field->values;
}

/* The word that should have been one of the row's, or NULL. */
static const char *wrong_word(const struct spec_field *field, const json_t *value)
{
    size_t i;
    json_t *item;

    if (!words_of(field) || json_is_string(value))
        return words_of(field) ? json_string_value(value) : NULL;
    json_array_foreach((json_t *)value, i, item)
    {
        const char *word = json_string_value(item);
        if (word && field->values && value_enum(field->values, word) < 0)
            return word;
    }
    return NULL;
}

/* Does the value name a job by something that isn't its whole id? */
static bool id_cut(const struct spec_field *field, const json_t *value)
{
    const json_t *id = field->type == FIELD_JOB       ? value
                       : field->type == FIELD_WEIGHTS ? json_object_get(value, "job")
                                                      : NULL;

    return json_is_string(id) && !id_valid(id);
}

/* Short, and of letters that can be told as they are. */
static bool tellable(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strlen(name);

    return length > 0 && length <= TELL_MOST && strspn(name, letters) == length;
}

/* The name that was given alone where a list of names is meant, or NULL. */
static const char *lone_name(const struct spec_field *field, const json_t *value)
{
    bool lists = field->type == FIELD_STRING_LIST || field->type == FIELD_MODULES;
    const char *name = lists ? json_string_value(value) : NULL;
    bool fits = name && (!field->values || value_enum(field->values, name) >= 0);

    return fits && tellable(name) ? name : NULL;
}

/* What may have been meant; "" when nothing comes to mind. */
static void hint_make(const struct spec_field *field, const json_t *value, char *ret, size_t size)
{
    const char *word = wrong_word(field, value), *name = lone_name(field, value);
    char near[64];
    bool meant = word && word_nearest(words_of(field), word, near, sizeof(near));

    ret[0] = 0;
    if (name && (!meant || field->type == FIELD_STRING_LIST))
        snprintf(ret, size, "; did you mean [\"%s\"]?", name);
    else if (meant)
        snprintf(ret, size, "; did you mean \"%s\"?", near);
    else if (word && json_is_array(value) && tellable(word))
        snprintf(ret, size, "; \"%s\" is none of them", word);
    else if (id_cut(field, value))
        snprintf(ret, size, "; a full UUID is needed: %d characters, as in the list of jobs", ID_LENGTH);
}

int value_take(const struct spec_field *field, const json_t *value, const char *pointer, struct spec_errors *errors,
               json_t **ret)
{
    char expected[400], given[40], hint[96];
    json_t *taken = NULL;
    int r = takers[field->type](field, value, &taken);

    value_expected(field, expected, sizeof(expected));
    const struct value_extra *extra = value_extra_find(field->pointer);
    if (extra)
        snprintf(expected, sizeof(expected), "%s", extra->expected);
    if (r == 0 && extra && !extra->valid(taken))
        r = -EINVAL;
    if (r == 0) {
        *ret = taken;
        return 0;
    }
    json_decref(taken);
    if (r == -EINVAL) {
        value_show(value, given, sizeof(given));
        hint_make(field, value, hint, sizeof(hint));
        spec_wrong(errors, pointer, "must be %s, is %s%s", expected, given, hint);
    }
    return r;
}

int spec_value_check(const char *pointer, const json_t *value, struct spec_errors *errors)
{
    const struct spec_field *field = field_find(pointer, ~0u);
    json_t *taken = NULL;

    *errors = (struct spec_errors){ 0 };
    if (json_is_null(value) && field->nullable)
        return 0;
    int r = value_take(field, value, pointer, errors, &taken);
    if (r == 0)
        json_decref(taken);
    return r;
}
