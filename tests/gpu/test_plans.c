/* Has every convolution that we ask cuDNN for a plan?
 *
 * Asked without a card: cuDNN makes plans for a device that is described in a
 * file (cards/), with a library in the driver's place that only says yes
 * (no_driver.c). What comes out can't run, but it says that the graph, its
 * types, strides and order of operations are ones that an engine takes, and
 * that its workspace stays below the cap.
 *
 * The questions are those of our architectures: every convolution of a model,
 * forward as evaluation wants it (batch norm folded: bias, ReLU, residual) and
 * as training does, and both gradients; in every number format.
 *
 *   test_gpu_plans                    a representative dozen
 *   test_gpu_plans all                every architecture, card and format
 *   test_gpu_plans list CARD FORMAT   who would run what, for resnet18 at batch 128 */
#include "gpu/backend/cuda/dnn_conv.h"
#include "gpu/backend/cuda/elements.h"
#include "gpu/nn/model.h"
#include "tests/check.h"

#include <errno.h>

/* ---- cards -------------------------------------------------------------------------- */

static cudnnBackendDescriptor_t card_open(const char *name)
{
    char path[512], json[4096], message[256] = "";

    snprintf(path, sizeof(path), "%s/%s.json", RIFT_CARDS, name);
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(json, 1, sizeof(json), file) : 0;
    if (file)
        fclose(file);
    cudnnBackendDescriptor_t card = dnn_properties(json, size, message, sizeof(message));
    if (!card)
        CHECK_FAIL("%s: cuDNN doesn't take it for a card: %s", path, message);
    return card;
}

/* ---- questions ------------------------------------------------------------------------ */

struct question {
    struct dnn_conv conv;
    enum dnn_direction direction;
    struct dnn_tail tail; /* forward */
};

static void question_print(const struct question *q, char *ret, size_t size)
{
    static const char *const names[] = { "forward", "data", "weights" };

    snprintf(ret, size, "%s%s%s%s %dx%dx%dx%d->%d %dx%d/%d", names[q->direction], q->tail.residual ? "+residual" : "",
             q->tail.bias ? "+bias" : "", q->tail.relu ? "+relu" : "", q->conv.n, q->conv.c, q->conv.h, q->conv.w,
             q->conv.out_c, q->conv.kernel, q->conv.kernel, q->conv.stride);
}

enum { QUESTIONS_MOST = 512 };
struct questions {
    struct question list[QUESTIONS_MOST];
    int count;
};

static void ask(struct questions *all, struct question q)
{
    for (int i = 0; i < all->count; i++)
        if (memcmp(&all->list[i], &q, sizeof(q)) == 0)
            return;
    if (all->count == QUESTIONS_MOST)
        CHECK_FAIL("more than %d questions", QUESTIONS_MOST);
    else
        all->list[all->count++] = q;
}

/* Every convolution of a model, in every role that plans give it. */
static void ask_model(struct questions *all, const char *arch, int side, int batch)
{
    struct model_spec spec = { .arch = arch,
                               .width = 64,
                               .depth = 34,
                               .widen_factor = 10,
                               .num_classes = 10,
                               .input = { 3, side, side },
                               .std = { 1, 1, 1 } };
    struct fault why = { 0 };
    model_auto *model = NULL;

    if (model_open(&spec, &model, &why) < 0) {
        CHECK_FAIL("%s: %s", arch, why.message);
        return;
    }
    for (int i = 0; i < model->op_count; i++) {
        const struct op *op = &model->ops[i];
        if (op->type != OP_CONV)
            continue;
        struct shape in = model->values[op->in[0]], out = model->values[op->out];
        struct question q;
        memset(&q, 0, sizeof(q)); /* padding too: they are compared */
        q.conv.n = batch;
        q.conv.c = channels_padded(in.c);
        q.conv.h = in.h;
        q.conv.w = in.w;
        q.conv.out_c = channels_padded(out.c);
        q.conv.out_h = out.h;
        q.conv.out_w = out.w;
        q.conv.kernel = op->kernel;
        q.conv.stride = op->stride;
        q.conv.pad = op->pad;
        static const struct dnn_tail tails[] = { { false, false, false }, { false, true, false }, { false, true, true },
                                                 { true, true, true }, { true, true, false } };
        for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++) {
            q.direction = DNN_FORWARD;
            memcpy(&q.tail, &tails[t], sizeof(q.tail));
            ask(all, q);
        }
        memset(&q.tail, 0, sizeof(q.tail));
        q.direction = DNN_BACKWARD_DATA;
        ask(all, q);
        q.direction = DNN_BACKWARD_WEIGHTS;
        ask(all, q);
    }
}

/* ---- answers ---------------------------------------------------------------------------- */

enum { WORKSPACE_MOST = 256 << 20 };

struct answer {
    bool found;
    bool compiled_at_run_time;
    size_t workspace_bytes;
    int candidates, ahead; /* how many engines, and of them compiled ahead */
    char name[96];
};

/* The first engine that makes a plan; only among those compiled ahead when asked so. */
static struct answer answer(const struct question *q, cudnnBackendDescriptor_t card, enum precision precision,
                            bool ahead_only)
{
    struct dnn_wish wish = { .full_float = precision == PRECISION_FLOAT32,
                             .deterministic = true,
                             .workspace_bytes_max = WORKSPACE_MOST };
    struct dnn_conv conv = q->conv;
    struct dnn_candidates *candidates = calloc(1, sizeof(*candidates));
    struct answer ret = { 0 };
    struct dnn_graph graph;
    char name[128];

    conv.bf16 = precision == PRECISION_BF16;
    question_print(q, name, sizeof(name));
    dnn_start(&graph, (struct dnn_target){ .properties = card });
    dnn_conv_graph(&graph, &conv, q->direction, q->direction == DNN_FORWARD ? &q->tail : NULL);
    dnn_candidates(&graph, &wish, candidates);
    if (graph.status != CUDNN_STATUS_SUCCESS)
        CHECK_FAIL("%s: the graph is refused: %s", name, graph.message);
    ret.candidates = candidates->count;
    for (int i = 0; i < candidates->count; i++)
        ret.ahead += !candidates->list[i].compiled_at_run_time;
    for (int i = 0; i < candidates->count && !ret.found; i++) {
        if (ahead_only && candidates->list[i].compiled_at_run_time)
            continue;
        cudnnBackendDescriptor_t plan = dnn_plan(&graph, &candidates->list[i], &wish, &ret.workspace_bytes);
        if (!plan)
            continue;
        ret.found = true;
        ret.compiled_at_run_time = candidates->list[i].compiled_at_run_time;
        snprintf(ret.name, sizeof(ret.name), "%s", candidates->list[i].name);
        cudnnBackendDestroyDescriptor(plan);
    }
    dnn_candidates_done(candidates);
    free(candidates);
    dnn_done(&graph);
    return ret;
}

static bool has_tail(const struct question *q)
{
    return q->tail.residual || q->tail.bias || q->tail.relu;
}

/* As conv_open decides without a clock: what has a tail may also be split, everything else must have a plan. */
static void must_have_plan(const struct question *q, cudnnBackendDescriptor_t card, const char *card_name,
                           enum precision precision)
{
    struct answer a = answer(q, card, precision, has_tail(q));
    char name[128];

    question_print(q, name, sizeof(name));
    if (!has_tail(q) && !a.found)
        CHECK_FAIL("%s in %s on %s: none of %d engines makes a plan", name, job_precisions[precision], card_name,
                   a.candidates);
}

static void all_of(const struct questions *questions, const char *card_name, enum precision precision, int every)
{
    cudnnBackendDescriptor_t card = card_open(card_name);

    for (int i = 0; card && i < questions->count; i += every)
        must_have_plan(&questions->list[i], card, card_name, precision);
    if (card)
        cudnnBackendDestroyDescriptor(card);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void test_dozen(void)
{
    static struct questions questions;

    ask_model(&questions, "resnet18", 32, 128);
    CHECK(questions.count > 40);
    all_of(&questions, "sm_90", PRECISION_BF16, 9);
    all_of(&questions, "sm_90", PRECISION_FLOAT32, 11);
    all_of(&questions, "sm_86", PRECISION_BF16, 17);
}

/* The chain that evaluation runs on has kernels that were compiled ahead; that is why its order is what it is. */
static void test_fused_ahead(void)
{
    static const char *const cards[] = { "sm_80", "sm_86", "sm_90" };
    struct question q = { { false, 128, 128, 16, 16, 128, 16, 16, 3, 1, 1 }, DNN_FORWARD, { true, true, true } };

    for (size_t i = 0; i < sizeof(cards) / sizeof(cards[0]); i++) {
        cudnnBackendDescriptor_t card = card_open(cards[i]);
        if (!card)
            continue;
        struct answer a = answer(&q, card, PRECISION_BF16, true);
        if (!a.found)
            CHECK_FAIL("%s: none of %d engines for conv + residual + bias + relu was compiled ahead", cards[i],
                       a.candidates);
        cudnnBackendDestroyDescriptor(card);
    }
}

/* What isn't possible is refused with words and not with a crash. */
static void test_refused(void)
{
    cudnnBackendDescriptor_t card = card_open("sm_90");
    struct dnn_conv conv = { true, 2, 8, 8, 8, 8, 3, 3, 3, 1, 1 }; /* a 3x3 image doesn't come out */
    struct dnn_graph graph;
    struct dnn_candidates *candidates = calloc(1, sizeof(*candidates));
    struct dnn_wish wish = { .workspace_bytes_max = WORKSPACE_MOST };

    dnn_start(&graph, (struct dnn_target){ .properties = card });
    dnn_conv_graph(&graph, &conv, DNN_FORWARD, NULL);
    dnn_candidates(&graph, &wish, candidates);
    CHECK(graph.status != CUDNN_STATUS_SUCCESS || candidates->count == 0);
    if (graph.status != CUDNN_STATUS_SUCCESS)
        CHECK(*graph.message);
    dnn_candidates_done(candidates);
    free(candidates);
    dnn_done(&graph);
    if (card)
        cudnnBackendDestroyDescriptor(card);
}

static void everything(void)
{
    static const char *const cards[] = { "sm_90", "sm_80", "sm_86" };
    static struct questions questions;

    ask_model(&questions, "resnet18", 32, 128);
    ask_model(&questions, "resnet18", 64, 128);
    ask_model(&questions, "resnet34", 32, 80);
    ask_model(&questions, "wideresnet", 32, 128);
    printf("%d questions a card and format\n", questions.count);
    for (size_t i = 0; i < sizeof(cards) / sizeof(cards[0]); i++)
        for (int p = 0; p < PRECISION_COUNT; p++)
            all_of(&questions, cards[i], (enum precision)p, 1);
}

static int list(const char *card_name, const char *format)
{
    static struct questions questions;
    cudnnBackendDescriptor_t card = card_open(card_name);
    int precision = 0;

    while (precision < PRECISION_COUNT && strcmp(format, job_precisions[precision]) != 0)
        precision++;
    if (!card || precision == PRECISION_COUNT)
        return 2;
    ask_model(&questions, "resnet18", 32, 128);
    for (int i = 0; i < questions.count; i++) {
        struct answer a = answer(&questions.list[i], card, (enum precision)precision, has_tail(&questions.list[i]));
        char name[128];

        question_print(&questions.list[i], name, sizeof(name));
        printf("%-52s %3d engines, %3d ahead: %s, workspace %zu kB %s\n", name, a.candidates, a.ahead,
               a.found ? a.name : "none", a.workspace_bytes >> 10, a.compiled_at_run_time ? "(run time)" : "");
        fflush(stdout);
    }
    return 0;
}

static const struct check_case cases[] = {
    { "a dozen of the convolutions of our architectures have plans on cards that aren't here", test_dozen },
    { "convolution, residual, bias and ReLU are one kernel that was compiled ahead", test_fused_ahead },
    { "a graph that makes no sense is refused with words", test_refused },
};
static const struct check_case slow_cases[] = {
    { "every convolution of our architectures has a plan on every card in every format", everything },
};

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "list") == 0)
        return list(argv[2], argv[3]);
    if (argc == 2 && strcmp(argv[1], "all") == 0)
        return check_main(slow_cases, 1, 1, argv);
    return check_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
