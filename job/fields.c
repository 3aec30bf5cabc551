/* What can be said in a spec?
 *
 * THE table: parsing, defaults, error messages, `riftctl fields`, the form of
 * the dashboard and a test against openapi.yaml read it, so a new field is one
 * row here, one member in job.h and one line in spec_read.c.
 *
 * The order is the order of the normalised spec. A field whose default or
 * obligation depends on the kind has several rows with disjoint kinds. The
 * rows under /attack also describe each item of /evaluate/attacks. */
#include "job/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRAIN       (1u << JOB_TRAIN)
#define MRC         (1u << JOB_MRC)
#define FINETUNE    (1u << JOB_FINETUNE)
#define INTERPOLATE (1u << JOB_INTERPOLATE)
#define EVALUATE    (1u << JOB_EVALUATE)
#define RIFT        (1u << JOB_RIFT | 1u << JOB_SWEEP) /* a sweep has the fields of its rift jobs */
#define CORRUPT     (1u << JOB_CORRUPT)
#define SWEEP       (1u << JOB_SWEEP)
#define INSPECT     (1u << JOB_INSPECT)
#define ALL         ((1u << JOB_KIND_COUNT) - 1)
#define NETWORK     (ALL & ~CORRUPT)     /* kinds that have a model, or may have one */
#define WALKING     (NETWORK & ~INSPECT) /* kinds that go over all examples with it, for long */

#define INT_TOP    2147483647
#define EPOCHS_TOP 100000

#define TRAIN_METHODS "standard|pgd-at|trades|mart|awp|score"

/* Rows read better as rows. */
/* clang-format off */
#define OPTIMIZER_ROWS(at, kinds, lr)                                                                                  \
    { at "/lr", FIELD_REAL, kinds, lr, 0, 1000, NULL, false, "",                                                       \
      "Learning rate of SGD at the first epoch." },                                                                    \
    { at "/momentum", FIELD_REAL, kinds, "0.9", 0, 1, NULL, false, "",                                                 \
      "Momentum of SGD, without Nesterov and dampening." },                                                            \
    { at "/weight_decay", FIELD_REAL, kinds, "0.0005", 0, 1, NULL, false, "",                                          \
      "Multiple of the weights that is added to their gradient." },                                                    \
    { at "/schedule/type", FIELD_ENUM, kinds, "\"step\"", 0, 0, "constant|step|cosine|linear", false, "",              \
      "How the learning rate changes from epoch to epoch: step multiplies it by gamma at each milestone, cosine and "  \
      "linear go down to 0 at the end." },                                                                             \
    { at "/schedule/milestones", FIELD_INT_LIST, kinds, "null", 1, EPOCHS_TOP, NULL, true, "epochs",                   \
      "After how many epochs a step happens, ascending. null: for training at 100/110 and 105/110 of the epochs, for " \
      "fine-tuning at half of them." },                                                                                \
    { at "/schedule/gamma", FIELD_REAL, kinds, "0.1", 0, 10, NULL, false, "",                                          \
      "Factor of one step." }

const struct spec_field spec_fields[] = {
    { "/kind", FIELD_ENUM, ALL, NULL, 0, 0, "train|mrc|finetune|interpolate|evaluate|rift|corrupt|sweep|inspect",
      false, "",
      "What to do. rift is the whole method; it expands into one job of each kind before it. sweep becomes rift jobs. "
      "inspect shows what a data set holds." },
    { "/label", FIELD_STRING, ALL, "null", 1, LABEL_CHARACTERS_MAX, NULL, true, "characters",
      "A name for people, and for filtering lists." },
    { "/priority", FIELD_INT, ALL, "0", -100, 100, NULL, false, "",
      "Jobs of higher priority start first; equal ones in order of submission. What waits long gains on it." },
    { "/after", FIELD_AFTER, ALL, "[]", 0, AFTER_TOP, NULL, false, "jobs",
      "Jobs that must have ended first, over HTTP: a list of {\"job\": ID, \"on\": HOW}. success (unless said otherwise): "
      "it succeeded; failure: it failed or was cancelled; any: however it ended. A job that can't run any more is "
      "cancelled. Of rift and sweep jobs all steps wait." },
    { "/memory", FIELD_BYTES, ALL, "null", 1, 9007199254740992.0, NULL, true, "bytes",
      "Memory of its device that the job needs, so that several share one. null: an equal share of the device by its "
      "number of slots." },
    { "/time_limit_s", FIELD_INT, ALL, "null", 1, 315360000, NULL, true, "seconds",
      "How long the job may run, over all attempts; of rift and sweep jobs each step. Then it writes a checkpoint and "
      "fails; a retry gives it as much again. null: as long as the server allows." },
    { "/device", FIELD_STRING, ALL, "\"auto\"", 1, 16, NULL, false, "",
      "auto: the best there is. cpu, cuda or cuda:N: that one. ref: the plain and slow reference." },
    { "/precision", FIELD_ENUM, NETWORK, "\"float32\"", 0, 0, "float32|bf16|tf32", false, "",
      "Number format of the computation; weights, statistics, sums and losses are float32 in each. What a device can do "
      "is in its list of precisions; it refuses the others." },
    { "/deterministic", FIELD_BOOL, NETWORK, "true", 0, 0, NULL, false, "",
      "The same seed on the same device gives the same bits. false: whatever is fastest, chosen by the clock and perhaps "
      "adding in another order each time. The CPU is deterministic anyway." },
    { "/seed", FIELD_INT, ALL & ~SWEEP, "0", 0, 9007199254740992.0, NULL, false, "",
      "Every random number follows from it: initial weights, order, augmentation, attacks." },
    { "/batch_size", FIELD_INT, NETWORK, "128", 1, 65536, NULL, false, "images",
      "Images of one step; the last, smaller batch is kept." },
    { "/threads", FIELD_INT, ALL, "0", 0, 1024, NULL, false, "threads",
      "CPU threads of the worker; 0, or more than it has processors for: as many as it may use." },
    { "/checkpoint_every_s", FIELD_REAL, WALKING, "60", 0, 86400, NULL, false, "seconds",
      "Time between two checkpoints inside an epoch; 0: only at the end of epochs, modules, alphas and attacks." },
    { "/protocol", FIELD_ENUM, ALL, "\"validation\"", 0, 0, "validation|paper", false, "",
      "What chooses epoch, module and alpha. validation: a held-out part of the training data. paper: nothing is held "
      "out and the test data choose, as published." },

    { "/model/arch", FIELD_ENUM, NETWORK, "\"resnet18\"", 0, 0, "resnet18|resnet34|preactresnet18|wideresnet", false, "",
      "Architecture. The resnets are as wide as width says, a wideresnet is as deep as depth and as wide as widen_factor." },
    { "/model/width", FIELD_INT, NETWORK, "64", 1, 1024, NULL, false, "channels",
      "Channels of the first stage of a resnet; each later one has twice as many." },
    { "/model/depth", FIELD_INT, NETWORK, "34", 10, 1000, NULL, false, "convolutions",
      "Depth of a wideresnet, 4 more than a multiple of 6: three groups of (depth - 4)/6 blocks." },
    { "/model/widen_factor", FIELD_INT, NETWORK, "10", 1, 64, NULL, false, "",
      "A wideresnet's groups have 16, 32 and 64 times as many channels." },
    { "/model/num_classes", FIELD_INT, NETWORK, "10", 2, 10000, NULL, false, "classes", "Classes to tell apart." },
    { "/model/input", FIELD_INT_LIST, NETWORK, "[3,32,32]", 1, 64, NULL, false, "channels, rows, columns",
      "Shape of one image; smaller images are padded with zeros." },
    { "/model/normalize", FIELD_OBJECT, NETWORK, "null", 0, 0, NULL, true, "",
      "Mean and standard deviation a channel, part of the model: attacks live in pixel space. null: not normalised." },
    { "/model/normalize/mean", FIELD_REAL_LIST, NETWORK, NULL, -10, 10, NULL, false, "pixel in [0,1]",
      "What is subtracted from each channel." },
    { "/model/normalize/std", FIELD_REAL_LIST, NETWORK, NULL, 1e-6, 1000, NULL, false, "pixel in [0,1]",
      "What each channel is divided by afterwards." },
    { "/model/weights", FIELD_WEIGHTS, TRAIN | RIFT, "null", 1, 4096, NULL, true, "",
      "Weights to start from. null: initialise from the seed." },
    { "/model/weights", FIELD_WEIGHTS, MRC | FINETUNE | EVALUATE, NULL, 1, 4096, NULL, false, "",
      "Weights of the model." },
    { "/model/weights", FIELD_WEIGHTS, INSPECT, "null", 1, 4096, NULL, true, "",
      "Weights of the model whose adversarial examples are shown. null: none are, and the rest of model doesn't "
      "matter." },

    { "/dataset/name", FIELD_STRING, ALL, "null", 1, 100, NULL, true, "characters",
      "A registered data set, instead of format and path." },
    { "/dataset/format", FIELD_ENUM, ALL, "null", 0, 0, "cifar10|cifar100|idx|image-folder|tiny-imagenet|tensors", true,
      "",
      "How the data lie on disk." },
    { "/dataset/path", FIELD_PATH, ALL, "null", 1, 4096, NULL, true, "characters",
      "Where the data lie: a path, absolute unless the spec lies in a job directory of your own." },
    { "/dataset/test_path", FIELD_PATH, ALL, "null", 1, 4096, NULL, true, "characters",
      "Where the test data lie, as path. null: found inside path by the rule of the format." },
    { "/dataset/train_limit", FIELD_INT, ALL, "null", 1, INT_TOP, NULL, true, "images",
      "Use only that many training images, the held-out ones included. null: all." },
    { "/dataset/test_limit", FIELD_INT, ALL, "null", 1, INT_TOP, NULL, true, "images",
      "Use only that many test images. null: all." },
    { "/dataset/validation", FIELD_REAL, ALL, "0.1", 0.001, 0.9, NULL, false, "part of the training data",
      "How much is held out under the validation protocol; the same images for every seed, and whatever train_limit, "
      "which only makes both parts smaller." },
    { "/dataset/split", FIELD_ENUM, ALL, "null", 0, 0, "train|validation|test", true, "",
      "What mrc, interpolate, evaluate, corrupt and inspect look at. null: what fits the kind and the protocol, as always "
      "in the steps of rift; corrupt takes the test data; inspect counts all, shows samples of the training data and "
      "corrupts and attacks the test data." },

    { "/augment", FIELD_ENUM, TRAIN | FINETUNE | RIFT, "\"standard\"", 0, 0, "none|standard", false, "",
      "standard: pad, crop at random and flip training images." },
    { "/augment_padding", FIELD_ENUM, TRAIN | FINETUNE | RIFT, "\"reflect\"", 0, 0, "reflect|zero", false, "",
      "What the padding of the random crop holds." },
    { "/shuffle", FIELD_BOOL, WALKING, "true", 0, 0, NULL, false, "", "Take images in a new order every epoch." },

    { "/attack", FIELD_ATTACK, NETWORK, "{}", 0, 0, NULL, true, "",
      "How adversarial examples are made. null: examples are taken as they are." },
    { "/attack/type", FIELD_ENUM, NETWORK, "\"pgd\"", 0, 0, "pgd|apgd-ce|apgd-dlr|apgd-t|fab-t|square|autoattack", false,
      "", "The algorithm. autoattack is the standard one: apgd-ce, apgd-t, fab-t and square, each on what still stands. "
      "Training, mrc and inspect craft with pgd." },
    { "/attack/epsilon", FIELD_PIXEL, NETWORK, "\"8/255\"", 0, 1, NULL, false, "pixel in [0,1]",
      "Radius of the ball (largest change of any pixel)." },
    { "/attack/step_size", FIELD_PIXEL, NETWORK, "\"2/255\"", 0, 1, NULL, false, "pixel in [0,1]",
      "How far one step goes." },
    { "/attack/steps", FIELD_INT, NETWORK, "null", 1, 10000, NULL, true, "steps",
      "Gradient steps. null: 10 of pgd, 100 of the others; square has none." },
    { "/attack/random_start", FIELD_BOOL, NETWORK, "true", 0, 0, NULL, false, "",
      "Start anywhere in the ball rather than at the image." },
    { "/attack/restarts", FIELD_INT, NETWORK, "1", 1, 100, NULL, false, "runs",
      "How often to start again. pgd: whole runs, and the worst one counts. Others: on what still stands; once for fab-t "
      "and autoattack." },
    { "/attack/targets", FIELD_INT, NETWORK, "9", 1, 9999, NULL, false, "classes",
      "apgd-t, fab-t: how many classes to aim at, likeliest first; never more than there are beside the true one." },
    { "/attack/rho", FIELD_REAL, NETWORK, "0.75", 0, 1, NULL, false, "part of the steps",
      "apgd: the step is halved unless more steps than this raised the loss since the last look." },
    { "/attack/momentum", FIELD_REAL, NETWORK, "0.75", 0, 1, NULL, false, "part of a step",
      "apgd: how much of a step goes to the new point; the rest repeats the step before." },
    { "/attack/alpha_max", FIELD_REAL, NETWORK, "0.1", 0, 1, NULL, false, "",
      "fab-t: the largest weight of the image itself in a step." },
    { "/attack/eta", FIELD_REAL, NETWORK, "1.05", 1, 10, NULL, false, "",
      "fab-t: how far a step goes, 1 being onto the boundary." },
    { "/attack/beta", FIELD_REAL, NETWORK, "0.9", 0, 1, NULL, false, "",
      "fab-t: after a success, the part of the way from the image that is kept." },
    { "/attack/queries", FIELD_INT, NETWORK, "5000", 1, 1000000, NULL, false, "queries",
      "square: how many windows are tried." },
    { "/attack/p_init", FIELD_REAL, NETWORK, "0.8", 0, 1, NULL, false, "part of the pixels",
      "square: size of the first windows; it is halved after 10, 50, 200, ... queries." },
    { "/attack/name", FIELD_STRING, NETWORK, "null", 1, 60, NULL, true, "characters",
      "Name of the measurement, without /. null: the type, and for pgd the number of steps: pgd-10." },

    { "/train/method", FIELD_ENUM, TRAIN | RIFT, "\"pgd-at\"", 0, 0,
      TRAIN_METHODS, false, "",
      "standard: on the images as they are. pgd-at: on adversarial examples of them. trades, mart, score: on both at "
      "once. awp: on top of pgd-at or trades, at weights that are perturbed too. Sizes of the ball and of steps are "
      "those of attack for every method (8/255 and 2/255); trades and mart were published with 0.031 and 0.007." },
    { "/train/epochs", FIELD_INT, TRAIN | RIFT, "110", 1, EPOCHS_TOP, NULL, false, "epochs",
      "Length of the training." },
    { "/train/evaluate_every", FIELD_INT, TRAIN | RIFT, "1", 0, EPOCHS_TOP, NULL, false, "epochs",
      "How often accuracies are measured to find the best epoch; 0: never, the last epoch is the best." },
    { "/train/attack_batch_norm", FIELD_ENUM, TRAIN | RIFT, "null", 0, 0, "train|frozen", true, "",
      "Batch statistics or running statistics while adversarial examples are made. null: the method's own, train for "
      "pgd-at and what is built on it, frozen for trades, mart and what is built on trades." },
    { "/train/start_noise", FIELD_REAL, TRAIN | RIFT, "0.001", 1e-6, 1, NULL, false, "pixel in [0,1]",
      "Standard deviation of the normal noise from which trades, mart and what is built on trades start an attack that "
      "has random_start." },
    { "/train/trades/beta", FIELD_REAL, TRAIN | RIFT, "6", 0, 1000, NULL, false, "",
      "trades, and awp on trades: weight of the divergence of adversarial from clean predictions." },
    { "/train/mart/beta", FIELD_REAL, TRAIN | RIFT, "5", 0, 1000, NULL, false, "",
      "mart: weight of the divergence; published as 5 for ResNet18 and 6 for WideResNet." },
    { "/train/awp/base", FIELD_ENUM, TRAIN | RIFT, "\"pgd-at\"", 0, 0, "pgd-at|trades", false, "",
      "awp: the method whose loss is climbed by the weights and then descended." },
    { "/train/awp/gamma", FIELD_REAL, TRAIN | RIFT, "null", 0, 1, NULL, true, "part of the weight's norm",
      "awp: how far each weight tensor is perturbed. null: 0.01 on pgd-at, 0.005 on trades." },
    { "/train/awp/warmup", FIELD_INT, TRAIN | RIFT, "0", 0, EPOCHS_TOP, NULL, false, "epochs",
      "awp: how long the base method trains alone; published as 0 on pgd-at and 10 on trades." },
    { "/train/score/base", FIELD_ENUM, TRAIN | RIFT, "\"trades\"", 0, 0, "pgd-at|trades", false, "",
      "score: trades has a clean part and one of adversarial from clean predictions, pgd-at one of adversarial "
      "predictions from labels." },
    { "/train/score/lambda", FIELD_REAL, TRAIN | RIFT, "6", 0, 1000, NULL, false, "",
      "score on trades: weight of the distance of adversarial from clean predictions." },
    { "/train/score/c", FIELD_REAL, TRAIN | RIFT, "null", 0, 1, NULL, true, "probability",
      "score: as much may be missing from the true class before an example counts. null: 0.3 on trades, 0.4 on pgd-at." },
    { "/train/score/clip_clean", FIELD_BOOL, TRAIN | RIFT, "true", 0, 0, NULL, false, "",
      "score on trades: whether the clean part is clipped with the other, or counts in full." },
    { "/train/weights", FIELD_WEIGHTS, RIFT, "null", 1, 4096, NULL, true, "",
      "Weights that are trained already: nothing is trained then. null: train." },
    OPTIMIZER_ROWS("/optimizer", TRAIN | RIFT, "0.1"),
    OPTIMIZER_ROWS("/optimizer", FINETUNE, "0.001"),

    { "/mrc/epsilon", FIELD_REAL, MRC | RIFT, "0.1", 0, 10, NULL, false, "part of the weight's norm",
      "How far a module's weight may be moved." },
    { "/mrc/steps", FIELD_INT, MRC | RIFT, "10", 1, 10000, NULL, false, "passes", "Passes of ascent over the data." },
    { "/mrc/lr", FIELD_REAL, MRC | RIFT, "1.0", 0, 1000, NULL, false, "", "Learning rate of the ascent." },
    { "/mrc/projection", FIELD_ENUM, MRC | RIFT, "\"pass\"", 0, 0, "pass|step", false, "",
      "When the weight is put back into the ball: after each pass, as published, or after each step." },
    { "/mrc/examples", FIELD_ENUM, MRC | RIFT, "\"adversarial\"", 0, 0, "adversarial|clean", false, "",
      "What the loss is of: examples that the attack makes at the given weights, or the images as they are, which "
      "measures how critical a module is to clean accuracy." },
    { "/mrc/split", FIELD_ENUM, MRC | RIFT, "null", 0, 0, "train|validation|test", true, "",
      "Which examples. null: /dataset/split in an mrc job, and without it what chooses under the protocol." },
    { "/mrc/modules", FIELD_STRING_LIST, MRC | RIFT, "null", 1, 63, NULL, true, "",
      "Modules to measure. null: all." },
    { "/mrc/joint", FIELD_STRING_LISTS, MRC | RIFT, "null", 1, 63, NULL, true, "",
      "Sets of modules to measure as one, each module free within its own epsilon: [[\"conv1\", \"linear\"]]." },
    { "/mrc/greedy", FIELD_INT, MRC | RIFT, "0", 0, 3, NULL, false, "modules",
      "Search for the least critical set of so many modules: the lowest one, then with each other, and so on. "
      "0 or 1: no search." },

    { "/finetune/modules", FIELD_MODULES, FINETUNE, "\"lowest\"", 1, 63, NULL, false, "",
      "What is trained; lowest, highest and top go by the robust criticality that mrc_job found." },
    { "/finetune/modules", FIELD_MODULES, RIFT, "\"lowest\"", 1, 63, NULL, false, "",
      "What is trained; lowest, highest and top go by the robust criticality found before." },
    { "/finetune/mrc_job", FIELD_WEIGHTS, FINETUNE, "null", 1, 4096, NULL, true, "",
      "The mrc job whose result is looked at: the path of its directory or {\"job\": ID}." },
    { "/finetune/mrc_job", FIELD_WEIGHTS, RIFT, "null", 1, 4096, NULL, true, "",
      "An mrc job of the weights of train.weights whose result is used: the path of its directory or {\"job\": ID}. "
      "null: measure." },
    { "/finetune/epochs", FIELD_INT, FINETUNE | RIFT, "10", 1, EPOCHS_TOP, NULL, false, "epochs",
      "Length of the fine-tuning." },
    { "/finetune/evaluate_every", FIELD_INT, FINETUNE | RIFT, "1", 0, EPOCHS_TOP, NULL, false, "epochs",
      "How often accuracy is measured to find the best epoch; 0: never, the last epoch is the best." },
    { "/finetune/batch_norm", FIELD_ENUM, FINETUNE | RIFT, "\"train\"", 0, 0, "train|frozen", false, "",
      "train: batch statistics, and running ones drift, as published. frozen: they stay." },
    OPTIMIZER_ROWS("/finetune/optimizer", RIFT, "0.001"),

    { "/interpolate/from", FIELD_WEIGHTS, INTERPOLATE, NULL, 1, 4096, NULL, false, "", "Weights at alpha 0." },
    { "/interpolate/to", FIELD_WEIGHTS, INTERPOLATE, NULL, 1, 4096, NULL, false, "", "Weights at alpha 1." },
    { "/interpolate/alphas", FIELD_REAL_LIST, INTERPOLATE | RIFT, "[0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0]", 0, 1,
      NULL, false, "", "Points to measure, ascending." },
    { "/interpolate/tolerance", FIELD_REAL, INTERPOLATE | RIFT, "0.001", 0, 1, NULL, false, "fraction of the images",
      "Robust accuracy that may be given up for clean accuracy." },

    { "/evaluate/attacks", FIELD_ATTACK_LIST, EVALUATE | RIFT, "null", 0, 100, NULL, true, "attacks",
      "Attacks to measure, each under its own name. null: the one under /attack." },
    { "/evaluate/baseline", FIELD_WEIGHTS, EVALUATE, "null", 1, 4096, NULL, true, "",
      "Other weights, measured the same way beside the model." },
    { "/evaluate/toward", FIELD_WEIGHTS, EVALUATE, "null", 1, 4096, NULL, true, "",
      "Where the line goes that starts at baseline; needed for alphas." },
    { "/evaluate/alphas", FIELD_REAL_LIST, EVALUATE | RIFT, "null", 0, 1, NULL, true, "",
      "Points of the line that are measured too, ascending; in a rift job the line goes from the trained to the fine-tuned "
      "weights. null: none." },
    { "/evaluate/corruptions", FIELD_OBJECT, EVALUATE | RIFT, "null", 0, 0, NULL, true, "",
      "Accuracy on corrupted copies of the test images. null: not measured." },
    { "/evaluate/corruptions/path", FIELD_PATH, EVALUATE | RIFT, "null", 1, 4096, NULL, true, "characters",
      "Where the copies lie: a directory of NAME.npy and labels.npy, as CIFAR-10-C, or of NAME/SEVERITY/CLASS/, as "
      "Tiny-ImageNet-C." },
    { "/evaluate/corruptions/job", FIELD_JOB, EVALUATE | RIFT, "null", 0, 0, NULL, true, "",
      "The corrupt job that makes the copies, instead of path." },
    { "/evaluate/corruptions/set", FIELD_ENUM, EVALUATE | RIFT, "\"standard\"", 0, 0, "standard|code|all", false, "",
      "Which corruptions: the 15 of the benchmark and of the paper's text, the 18 that the paper's code evaluates, or all "
      "19." },
    { "/evaluate/corruptions/names", FIELD_STRING_LIST, EVALUATE | RIFT, "null", 1, 63, CORRUPTION_NAMES, true, "",
      "These corruptions instead of a set." },
    { "/evaluate/corruptions/severities", FIELD_INT_LIST, EVALUATE | RIFT, "[1,2,3,4,5]", 1, SEVERITY_COUNT, NULL,
      false, "severity", "How strong, ascending." },

    { "/evaluate/generate_corruptions", FIELD_BOOL, RIFT, "false", 0, 0, NULL, false, "",
      "Make the copies that corruptions is about, in a step of kind corrupt, instead of reading them from path or job." },

    { "/corrupt/set", FIELD_ENUM, CORRUPT, "\"standard\"", 0, 0, "standard|code|all", false, "",
      "Which corruptions: the 15 of the benchmark and of the paper's text, the 18 that the paper's code evaluates, or all "
      "19." },
    { "/corrupt/names", FIELD_STRING_LIST, CORRUPT, "null", 1, 63, CORRUPTION_NAMES, true, "",
      "These corruptions instead of a set. frost is frost-like: without the published photographs, its accuracies don't "
      "compare with published ones." },
    { "/corrupt/severities", FIELD_INT_LIST, CORRUPT, "[1,2,3,4,5]", 1, SEVERITY_COUNT, NULL, false, "severity",
      "How strong, ascending." },
    { "/corrupt/parameters", FIELD_ENUM, CORRUPT, "null", 0, 0, "cifar|tiny", true, "",
      "The published numbers for 32-pixel (cifar) or for 64-pixel images (tiny). null: by the side, cifar below 48." },
    { "/corrupt/format", FIELD_ENUM, CORRUPT, "null", 0, 0, "npy|folder", true, "",
      "npy: one array a corruption and labels.npy, as CIFAR-10-C. folder: NAME/SEVERITY/CLASS/NUMBER.jpg, as "
      "Tiny-ImageNet-C. null: folder for data that lie in folders, else npy." },
    { "/corrupt/image_type", FIELD_ENUM, CORRUPT, "\"jpeg\"", 0, 0, "jpeg|png", false, "",
      "Files of a folder: jpeg of quality 85, as published, or png, which keeps every pixel." },
    { "/corrupt/contact_sheet", FIELD_INT, CORRUPT, "2", 0, 8, NULL, false, "images",
      "So many images in all corruptions and severities on one picture, contact-sheet.png. 0: none." },

    { "/inspect/images", FIELD_INT, INSPECT, "10000", 1, INT_TOP, NULL, false, "images",
      "Pixels are read, for samples, means and deviations, of at most so many images of the training and of the test data "
      "each, evenly at random. Counted are all." },
    { "/inspect/classes", FIELD_INT, INSPECT, "20", 1, 100, NULL, false, "classes",
      "Samples of the first so many classes are shown." },
    { "/inspect/per_class", FIELD_INT, INSPECT, "8", 0, 16, NULL, false, "images",
      "So many samples of each class. 0: none." },
    { "/inspect/corruptions", FIELD_OBJECT, INSPECT, "{}", 0, 0, NULL, true, "",
      "Which corrupted variants are shown beside the images. null: none." },
    { "/inspect/corruptions/path", FIELD_PATH, INSPECT, "null", 1, 4096, NULL, true, "characters",
      "Where corrupted copies lie that are there already. null: they are made here, as corrupt would make them with this "
      "seed." },
    { "/inspect/corruptions/job", FIELD_JOB, INSPECT, "null", 0, 0, NULL, true, "",
      "The corrupt job whose copies are shown, instead of path." },
    { "/inspect/corruptions/set", FIELD_ENUM, INSPECT, "\"standard\"", 0, 0, "standard|code|all", false, "",
      "Which corruptions, as corrupt.set." },
    { "/inspect/corruptions/names", FIELD_STRING_LIST, INSPECT, "null", 1, 63, CORRUPTION_NAMES, true, "",
      "These corruptions instead of a set." },
    { "/inspect/corruptions/severities", FIELD_INT_LIST, INSPECT, "[1,2,3,4,5]", 1, SEVERITY_COUNT, NULL, false,
      "severity", "How strong, ascending." },
    { "/inspect/corruptions/images", FIELD_INT, INSPECT, "3", 1, 8, NULL, false, "images", "Of so many images." },
    { "/inspect/adversarial", FIELD_INT, INSPECT, "12", 0, 64, NULL, false, "images",
      "Where weights are given: so many images are attacked, and shown before and after with what was changed." },

    { "/modules_expected", FIELD_STRING_LIST, TRAIN | MRC | 1u << JOB_RIFT, "null", 1, 65, NULL, true, "",
      "Modules that the model must have, because later jobs name them; *TEXT*: a parameter with TEXT in its name. A job "
      "that lacks one fails at its start. In the steps of rift jobs and in the rift jobs of sweeps it is filled in." },

    { "/sweep/seeds", FIELD_INT_LIST, SWEEP, "[0,1,2]", 0, 9007199254740992.0, NULL, false, "",
      "The seeds; each row of the table is a mean over them." },
    { "/sweep/methods", FIELD_STRING_LIST, SWEEP, "null", 1, 63, TRAIN_METHODS, true, "",
      "Values for train.method. null: the one that is there." },
    { "/sweep/modules", FIELD_CHOICE_LIST, SWEEP, "null", 1, 63, NULL, true, "",
      "Values for finetune.modules; a string that is no such value is the name of a module. Choices of one method and "
      "seed share training and criticality. null: the one that is there." },
    { "/sweep/limit", FIELD_INT, SWEEP, "100", 1, 1000, NULL, false, "rift jobs",
      "More jobs than that are a mistake." },
};
/* clang-format on */

const int spec_field_count = sizeof(spec_fields) / sizeof(spec_fields[0]);

const struct spec_field *field_find(const char *pointer, unsigned kinds)
{
    for (int i = 0; i < spec_field_count; i++)
        if ((spec_fields[i].kinds & kinds) && strcmp(spec_fields[i].pointer, pointer) == 0)
            return &spec_fields[i];
    return NULL;
}

/* What follows `pointer` in the field's own pointer, "/width" for example; NULL
 * when the field isn't below it. */
static const char *below(const struct spec_field *field, const char *pointer)
{
    size_t length = strlen(pointer);

    return strncmp(field->pointer, pointer, length) == 0 && field->pointer[length] == '/' ? field->pointer + length
                                                                                          : NULL;
}

bool field_has_members(const char *pointer, unsigned kinds)
{
    for (int i = 0; i < spec_field_count; i++)
        if ((spec_fields[i].kinds & kinds) && below(&spec_fields[i], pointer))
            return true;
    return false;
}

const char *field_owner(const struct spec_field *field)
{
    for (int i = 0; i < spec_field_count; i++)
        if ((spec_fields[i].type == FIELD_OBJECT || spec_fields[i].type == FIELD_ATTACK) &&
            below(field, spec_fields[i].pointer))
            return spec_fields[i].pointer;
    return "";
}

enum { NAME_TOP = 48 }; /* longer names aren't compared */

/* How many letters have to be added, dropped, changed or swapped with their
 * neighbour to make one word the other. One row of the usual table a letter
 * of `left`; three rows are kept. */
static int distance(const char *left, const char *right)
{
    int rows[3][NAME_TOP + 1], width = (int)strlen(right);

    for (int j = 0; j <= width; j++)
        rows[0][j] = j;
    for (int i = 1; left[i - 1]; i++) {
        int *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];

        now[0] = i;
        for (int j = 1; j <= width; j++) {
            bool same = left[i - 1] == right[j - 1];
            int best = before[j - 1] + !same;

            best = before[j] + 1 < best ? before[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] &&
                earlier[j - 2] + 1 < best)
                best = earlier[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[strlen(left) % 3][width];
}

bool field_nearest(const char *pointer, const char *name, unsigned kinds, char *ret, size_t size)
{
    int nearest = 1 + (int)strlen(name) / 2;
    bool found = false;

    if (strlen(name) > NAME_TOP)
        return false;
    for (int i = 0; i < spec_field_count; i++) {
        const char *rest = below(&spec_fields[i], pointer);
        char member[NAME_TOP + 1];

        if (!rest || !(spec_fields[i].kinds & kinds))
            continue;
        snprintf(member, sizeof(member), "%.*s", (int)strcspn(rest + 1, "/"), rest + 1);
        int far = distance(name, member);
        if (far < nearest) {
            nearest = far;
            snprintf(ret, size, "%s", member);
            found = true;
        }
    }
    return found;
}

bool word_nearest(const char *values, const char *word, char *ret, size_t size)
{
    int nearest = 1 + (int)strlen(word) / 2;
    bool found = false;

    if (strlen(word) > NAME_TOP)
        return false;
    for (const char *at = values; *at; at += strcspn(at, "|"), at += *at == '|') {
        char name[NAME_TOP + 1] = "";

        strncat(name, at, strcspn(at, "|") < NAME_TOP ? strcspn(at, "|") : NAME_TOP);
        int far = distance(word, name);
        if (far < nearest) {
            nearest = far;
            snprintf(ret, size, "%s", name);
            found = true;
        }
    }
    return found;
}
