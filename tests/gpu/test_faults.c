/* Who hears first of a fault, and does it end as one?
 *
 * On the pretended card. A fault comes to light in whatever is called next, and
 * in cuDNN's calls our own runtime hears nothing of it. Each case in a child:
 * a broken card stays broken. */
#include "gpu/backend/backend.h"
#include "tests/check.h"

#include <errno.h>
#include <sys/wait.h>

static const struct shape SHAPE = { 2, 8, 4, 4 };

/* A card, a convolution on it and its memory. */
struct scene {
    struct device *dev;
    struct conv *conv;
    void *x, *w, *packed, *y, *scratch;
};

static void scene_open(struct scene *s)
{
    struct conv_request request = { .geometry = { .in = SHAPE, .out_c = 8, .kernel = 3, .stride = 1, .pad = 1 } };
    struct fault why = { 0 };
    size_t activation;

    if (device_open("cuda", PRECISION_FLOAT32, 1, &s->dev, &why) < 0 ||
        s->dev->ops->conv_open(s->dev, &request, &s->conv, &why) < 0) {
        CHECK_FAIL("%s", why.message);
        exit(1);
    }
    activation = s->dev->ops->activation_bytes(s->dev, SHAPE);
    s->x = s->dev->ops->alloc(s->dev, activation);
    s->y = s->dev->ops->alloc(s->dev, activation);
    s->w = s->dev->ops->alloc(s->dev, 8 * 8 * 9 * sizeof(float));
    s->packed = s->dev->ops->alloc(s->dev, s->dev->ops->conv_packed_bytes(s->conv));
    s->scratch = s->dev->ops->alloc(s->dev, s->dev->ops->conv_scratch_bytes(s->conv));
    CHECK(s->x && s->y && s->w && s->packed && s->scratch);
    CHECK_INT(s->dev->ops->conv_pack(s->conv, s->w, NULL, NULL, s->packed, s->scratch), 0);
}

static int convolve(struct scene *s)
{
    return s->dev->ops->conv_forward(s->conv, s->x, s->packed, NULL, NULL, s->y, s->scratch);
}

static void broken_scene(struct scene *s)
{
    setenv("RIFT_PRETEND_FAULT_AT", "1", 1);
    scene_open(s);
    CHECK_INT(convolve(s), 0); /* nobody knows yet */
}

static void child_library(void)
{
    struct scene s;

    broken_scene(&s);
    CHECK_INT(convolve(&s), -ENODEV);
    CHECK_HOLDS(device_errmsg(s.dev), "unspecified launch failure");
}

static void child_memory(void)
{
    struct scene s;
    float pixels[2 * 8 * 4 * 4] = { 0 };

    broken_scene(&s);
    CHECK_INT(s.dev->ops->activation_write(s.dev, SHAPE, s.x, pixels), -ENODEV);
    CHECK_HOLDS(device_errmsg(s.dev), "unspecified launch failure");
    CHECK(!s.dev->ops->alloc(s.dev, 64));
}

static int convolve_twice(void *user)
{
    int r = convolve(user);

    return r < 0 ? r : convolve(user);
}

static void child_recording(void)
{
    struct scene s;
    struct recording *recording = NULL;

    scene_open(&s);
    CHECK_INT(s.dev->ops->repeat(s.dev, &recording, 1, convolve_twice, &s), 0);
    setenv("RIFT_PRETEND_FAULT_AT", "3", 1);
    CHECK_INT(convolve(&s), 0);
    CHECK_INT(s.dev->ops->repeat(s.dev, &recording, 1, convolve_twice, &s), -ENODEV);
}

static void child_write(void)
{
    struct scene s;
    float there[4] = { 1, 2, 3, 4 }, back[4] = { 0 };

    scene_open(&s);
    CHECK_INT(s.dev->ops->write(s.dev, s.x, there, sizeof(there)), 0);
    memset(there, 0xff, sizeof(there));
    CHECK_INT(s.dev->ops->read(s.dev, back, s.x, sizeof(back)), 0);
    CHECK(back[0] == 1 && back[1] == 2 && back[2] == 3 && back[3] == 4);
}

static void in_child(void (*body)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        body();
        _exit(check_failures != 0);
    }
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
}

static void test_library(void)
{
    in_child(child_library);
}
static void test_memory(void)
{
    in_child(child_memory);
}
static void test_recording(void)
{
    in_child(child_recording);
}
static void test_write(void)
{
    in_child(child_write);
}

static const struct check_case cases[] = {
    { "a fault that comes to light in the library of convolutions is a lost device", test_library },
    { "a fault that comes to light when memory is taken isn't a lack of memory", test_memory },
    { "a fault that comes to light while recording is a lost device", test_recording },
    { "a host array may be changed when it has been written", test_write },
};

int main(int argc, char **argv)
{
    return check_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
