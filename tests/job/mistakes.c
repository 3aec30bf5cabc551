/* Does every mistake get its name? */
#include "job/job.h"
#include "tests/check.h"
#include "tests/job/specs.h"

#include <errno.h>

static const struct {
    const char *text;
    const char *pointer;
    const char *message; /* part of it */
} wrong[] = {
    /* the document */
    { "", "", "isn't JSON" },
    { "{\"kind\":\"train\"", "", "line 1" },
    { "{\"kind\":\"train\",\"kind\":\"mrc\"}", "", "duplicate" },
    { "[1]", "", "must be a JSON object" },
    { "{\"kind\":\"train\"} x", "", "isn't JSON" },
    { TRAIN ",\"seed\":99999999999999999999}", "", "isn't JSON" },
    { TRAIN ",\"checkpoint_every_s\":1e999}", "", "isn't JSON" },
    { TRAIN ",\"label\":\"\xFF\"}", "", "isn't JSON" },
    /* kind */
    { "{}", "/kind", "is required: train, mrc, finetune, interpolate, evaluate, rift, corrupt, sweep or inspect" },
    { "{\"kind\":\"trian\"}", "/kind", "is \"trian\"; did you mean \"train\"?" },
    { "{\"kind\":5}", "/kind",
      "must be train, mrc, finetune, interpolate, evaluate, rift, corrupt, sweep or inspect, is 5" },
    { "{\"kind\":null}", "/kind", "is null" },
    /* members that aren't fields */
    { TRAIN ",\"batchsize\":5}", "/batchsize", "isn't a known field; did you mean \"batch_size\"?" },
    { TRAIN ",\"train\":{\"epoch\":5}}", "/train/epoch", "did you mean \"epochs\"?" },
    { TRAIN ",\"optimiser\":{}}", "/optimiser", "did you mean \"optimizer\"?" },
    { TRAIN ",\"zzzzzzzzzzzz\":1}", "/zzzzzzzzzzzz", "isn't a known field" },
    { TRAIN ",\"a/b~c\":1}", "/a~1b~0c", "isn't a known field" },
    { TRAIN ",\"model/width\":1}", "/model~1width", "isn't a known field" },
    { TRAIN ",\"\":1}", "/", "isn't a known field" },
    /* fields of other kinds are left out, but they must be good */
    { TRAIN ",\"mrc\":{\"epsilon\":-0.1}}", "/mrc/epsilon", "must be" },
    { MRC ",\"train\":{\"epochs\":0}}", "/train/epochs", "must be" },
    { MRC ",\"train\":{\"epoch\":1}}", "/train/epoch", "isn't a known field" },
    { EVALUATE ",\"augment\":\"some\"}", "/augment", "none or standard" },
    { RIFT ",\"evaluate\":{\"baseline\":5}}", "/evaluate/baseline", "{\"job\": ID}" },
    { TRAIN ",\"attack\":{\"eps\":0.1}}", "/attack/eps", "isn't a known field" },
    { TRAIN ",\"attack\":{\"step\":1}}", "/attack/step", "did you mean \"steps\"?" },
    /* sections that aren't objects */
    { TRAIN ",\"train\":5}", "/train", "must be an object, is 5" },
    { TRAIN ",\"optimizer\":null}", "/optimizer", "must be an object, is null" },
    { TRAIN ",\"optimizer\":{\"schedule\":[]}}", "/optimizer/schedule", "must be an object, is []" },
    /* whole numbers */
    { TRAIN ",\"batch_size\":-3}", "/batch_size", "must be a whole number from 1 to 65536 (images), is -3" },
    { TRAIN ",\"batch_size\":0}", "/batch_size", "is 0" },
    { TRAIN ",\"batch_size\":65537}", "/batch_size", "is 65537" },
    { TRAIN ",\"batch_size\":1.5}", "/batch_size", "must be a whole number from 1 to 65536 (images), is 1.5" },
    { TRAIN ",\"batch_size\":\"128\"}", "/batch_size", "is \"128\"" },
    { TRAIN ",\"batch_size\":null}", "/batch_size", "is null" },
    { TRAIN ",\"batch_size\":true}", "/batch_size", "is true" },
    { TRAIN ",\"seed\":-1}", "/seed", "must be a whole number from 0 to 9007199254740992, is -1" },
    { TRAIN ",\"seed\":9007199254740993}", "/seed", "is 9007199254740993" },
    { TRAIN ",\"seed\":1e300}", "/seed", "is 1e" },
    { TRAIN ",\"priority\":101}", "/priority", "must be a whole number from -100 to 100, is 101" },
    { TRAIN ",\"memory\":\"4GB\"}", "/memory",
      "must be a whole number from 1 to 9007199254740992 (bytes) or text such as \"512MiB\" or \"4GiB\" or null, is "
      "\"4GB\"" },
    { TRAIN ",\"memory\":\"0KiB\"}", "/memory", "is \"0KiB\"" },
    { TRAIN ",\"time_limit_s\":0}", "/time_limit_s", "is 0" },
    { TRAIN ",\"after\":[{\"job\":\"5\"}]}", "/after", "must be a list of at most 64 {\"job\": ID" },
    { TRAIN ",\"after\":[{\"job\":\"" UUID "\",\"on\":\"end\"}]}", "/after", "is [{" },
    { TRAIN ",\"after\":[{\"job\":\"" UUID "\"},{\"job\":\"" UUID "\",\"on\":\"any\"}]}", "/after", "no job twice" },
    { TRAIN ",\"threads\":1025}", "/threads", "from 0 to 1024 (threads)" },
    { TRAIN ",\"train\":{\"epochs\":0}}", "/train/epochs", "from 1 to 100000 (epochs), is 0" },
    { "{\"kind\":\"train\",\"dataset\":{\"format\":\"idx\",\"path\":\"d\",\"train_limit\":0}}", "/dataset/train_limit",
      "or null, is 0" },
    /* numbers */
    { TRAIN ",\"checkpoint_every_s\":-1}", "/checkpoint_every_s", "from 0 to 86400 (seconds), is -1" },
    { TRAIN ",\"optimizer\":{\"lr\":\"0.1\"}}", "/optimizer/lr", "must be a number from 0 to 1000, is \"0.1\"" },
    { TRAIN ",\"optimizer\":{\"momentum\":1.01}}", "/optimizer/momentum", "is 1.01" },
    { MRC ",\"mrc\":{\"epsilon\":-0.1}}", "/mrc/epsilon", "is -0.1" },
    { "{\"kind\":\"train\",\"dataset\":{\"format\":\"idx\",\"path\":\"d\",\"validation\":0.95}}", "/dataset/validation",
      "from 0.001 to 0.9" },
    /* pixels */
    { TRAIN ",\"attack\":{\"epsilon\":8}}", "/attack/epsilon",
      "must be a number from 0 to 1 (pixel in [0,1]) or a fraction such as \"8/255\", is 8" },
    { TRAIN ",\"attack\":{\"epsilon\":\"8/0\"}}", "/attack/epsilon", "is \"8/0\"" },
    { TRAIN ",\"attack\":{\"epsilon\":\"8/\"}}", "/attack/epsilon", "is \"8/\"" },
    { TRAIN ",\"attack\":{\"epsilon\":\"/255\"}}", "/attack/epsilon", "is \"/255\"" },
    { TRAIN ",\"attack\":{\"epsilon\":\"-8/255\"}}", "/attack/epsilon", "is \"-8/255\"" },
    { TRAIN ",\"attack\":{\"epsilon\":\"8/255 \"}}", "/attack/epsilon", "is \"8/255 \"" },
    { TRAIN ",\"attack\":{\"epsilon\":\"0.03\"}}", "/attack/epsilon", "is \"0.03\"" },
    { TRAIN ",\"attack\":{\"epsilon\":\"nan/inf\"}}", "/attack/epsilon", "is \"nan/inf\"" },
    { TRAIN ",\"attack\":{\"epsilon\":\"300/255\"}}", "/attack/epsilon", "is \"300/255\"" },
    { TRAIN ",\"attack\":{\"step_size\":\"1/1/1\"}}", "/attack/step_size", "is \"1/1/1\"" },
    /* names and words */
    { TRAIN ",\"protocol\":\"test\"}", "/protocol", "must be validation or paper, is \"test\"" },
    { TRAIN ",\"protocol\":\"\"}", "/protocol", "is \"\"" },
    { TRAIN ",\"protocol\":\"validation|paper\"}", "/protocol", "is \"validation|paper\"" },
    { TRAIN ",\"precision\":\"fp16\"}", "/precision", "must be float32, bf16 or tf32, is \"fp16\"" },
    { TRAIN ",\"train\":{\"method\":\"trade\"}}", "/train/method",
      "must be standard, pgd-at, trades, mart, awp or score, is \"trade\"; did you mean \"trades\"?" },
    { TRAIN ",\"train\":{\"awp\":{\"base\":\"mart\"}}}", "/train/awp/base", "must be pgd-at or trades" },
    { TRAIN ",\"train\":{\"trades\":{\"betta\":5}}}", "/train/trades/betta", "did you mean \"beta\"?" },
    { TRAIN ",\"train\":{\"mart\":{\"beta\":-1}}}", "/train/mart/beta", "must be a number from 0 to 1000, is -1" },
    { TRAIN ",\"train\":{\"score\":{\"c\":2}}}", "/train/score/c", "from 0 to 1 (probability) or null, is 2" },
    { TRAIN ",\"train\":{\"start_noise\":0}}", "/train/start_noise", "must be a number from 1e-06 to 1" },
    { TRAIN ",\"train\":{\"method\":\"mart\"},\"attack\":null}", "/attack",
      "must be an attack object when /train/method is mart, is null" },
    /* a start without a slope */
    { TRAIN ",\"train\":{\"method\":\"trades\"},\"attack\":{\"random_start\":false}}", "/attack/random_start",
      "must be true when training goes by the distance of adversarial from clean predictions (trades)" },
    { RIFT ",\"train\":{\"method\":\"score\"},\"attack\":{\"random_start\":false}}", "/attack/random_start",
      "(score on trades)" },
    { TRAIN ",\"train\":{\"method\":\"awp\",\"awp\":{\"base\":\"trades\"}},\"attack\":{\"random_start\":false}}",
      "/attack/random_start", "(awp on trades)" },
    { TRAIN ",\"model\":{\"arch\":\"vgg\"}}", "/model/arch",
      "must be resnet18, resnet34, preactresnet18 or wideresnet, is \"vgg\"" },
    { TRAIN ",\"model\":{\"arch\":\"wideresnt\"}}", "/model/arch", "did you mean \"wideresnet\"?" },
    { TRAIN ",\"model\":{\"depth\":33}}", "/model/depth",
      "must be 10, 16, 22, 28, 34, 40 or another whole number of the form 6n + 4 up to 1000, is 33" },
    { TRAIN ",\"model\":{\"depth\":4}}", "/model/depth", "up to 1000, is 4" },
    { TRAIN ",\"model\":{\"widen_factor\":0}}", "/model/widen_factor", "must be a whole number from 1 to 64, is 0" },
    { TRAIN ",\"attack\":{\"type\":\"fgsm\"}}", "/attack/type", "must be pgd, apgd-ce" },
    { TRAIN ",\"attack\":{\"type\":\"autoatack\"}}", "/attack/type", "did you mean \"autoattack\"?" },
    { TRAIN ",\"shuffle\":1}", "/shuffle", "must be true or false, is 1" },
    { TRAIN ",\"device\":\"gpu\"}", "/device", "must be auto, cpu, ref, cuda or cuda:N, is \"gpu\"" },
    { TRAIN ",\"device\":\"cuda:\"}", "/device", "is \"cuda:\"" },
    { TRAIN ",\"device\":\"cuda:-1\"}", "/device", "is \"cuda:-1\"" },
    { TRAIN ",\"device\":\"cuda:1x\"}", "/device", "is \"cuda:1x\"" },
    { TRAIN ",\"label\":\"\"}", "/label", "must be text of 1 to 100 characters or null, is \"\"" },
    { TRAIN ",\"label\":\"a\\nb\"}", "/label", "text of 1 to 100 characters" },
    { TRAIN ",\"label\":\"a\xC2\x9B"
            "2J\"}",
      "/label", "text of 1 to 100 characters" },
    { TRAIN ",\"label\":\"\\u0080\"}", "/label", "text of 1 to 100 characters" },
    { TRAIN ",\"label\":\"01234567890123456789012345678901234567890123456789"
            "012345678901234567890123456789012345678901234567890\"}",
      "/label", "is \"0123456789" },
    { TRAIN ",\"label\":\"a\\u0000b\"}", "", "isn't JSON" },
    /* the model */
    { TRAIN ",\"model\":{\"input\":[3,28,28]}}", "/model/input", "32x32 or 64x64 pixels, is [3,28,28]" },
    { TRAIN ",\"model\":{\"input\":[2,32,32]}}", "/model/input", "1 or 3 channels" },
    { TRAIN ",\"model\":{\"input\":[3,32,64]}}", "/model/input", "is [3,32,64]" },
    { TRAIN ",\"model\":{\"input\":[3,32]}}", "/model/input", "is [3,32]" },
    { TRAIN ",\"model\":{\"input\":[]}}", "/model/input", "is []" },
    { TRAIN ",\"model\":{\"num_classes\":1}}", "/model/num_classes", "from 2 to 10000" },
    { TRAIN ",\"model\":{\"normalize\":5}}", "/model/normalize", "must be an object or null, is 5" },
    { TRAIN ",\"model\":{\"normalize\":{\"mean\":[0,0,0]}}}", "/model/normalize/std",
      "is required: a list of numbers" },
    { TRAIN ",\"model\":{\"normalize\":{\"mean\":[0,0],\"std\":[1,1,1]}}}", "/model/normalize/mean",
      "one number for each of the 3 channels of /model/input, has 2" },
    { TRAIN ",\"model\":{\"normalize\":{\"mean\":[0,0,0],\"std\":[1,0,1]}}}", "/model/normalize/std",
      "from 1e-06 to 1000" },
    { TRAIN ",\"model\":{\"normalize\":{\"mean\":[0,0,0],\"std\":[1,1,1],\"men\":1}}}", "/model/normalize/men",
      "\"mean\"" },
    /* weights */
    { "{\"kind\":\"mrc\"," DATA "}", "/model/weights", "is required: a path or {\"job\": ID}" },
    { "{\"kind\":\"evaluate\"," DATA ",\"model\":{\"weights\":null}}", "/model/weights", "is null" },
    { TRAIN ",\"model\":{\"weights\":\"\"}}", "/model/weights", "is \"\"" },
    { TRAIN ",\"model\":{\"weights\":{}}}", "/model/weights", "is {}" },
    { TRAIN ",\"model\":{\"weights\":{\"job\":\"5\"}}}", "/model/weights", "is {\"job\":\"5\"}" },
    { TRAIN ",\"model\":{\"weights\":{\"job\":\"step:6\"}}}", "/model/weights", "{\"job\": ID}" },
    { TRAIN ",\"model\":{\"weights\":{\"job\":\"0198c0de00000-7000-8000-00000000abcd\"}}}", "/model/weights",
      "{\"job\": ID}" },
    { TRAIN ",\"model\":{\"weights\":{\"job\":\"" UUID "\",\"model\":\"" UUID "\"}}}", "/model/weights",
      "{\"job\": ID}" },
    { TRAIN ",\"model\":{\"weights\":{\"model\":\"" UUID "\",\"artifact\":\"a\"}}}", "/model/weights",
      "{\"job\": ID}" },
    { TRAIN ",\"model\":{\"weights\":{\"artifact\":\"a\"}}}", "/model/weights", "{\"job\": ID}" },
    { TRAIN ",\"model\":{\"weights\":{\"job\":\"" UUID "\",\"artifact\":\"../a\"}}}", "/model/weights",
      "{\"job\": ID}" },
    { TRAIN ",\"model\":{\"weights\":{\"job\":\"" UUID "\",\"file\":\"a\"}}}", "/model/weights", "{\"job\": ID}" },
    { INTERPOLATE ",\"interpolate\":{\"from\":\"a\"}}", "/interpolate/to", "is required: a path" },
    { TRAIN ",\"model\":{\"weights\":{\"job\":\"01a20a1b-7c98\"}}}", "/model/weights", "a full UUID is needed" },
    { EVALUATE ",\"evaluate\":{\"corruptions\":{\"job\":\"01a20a1b-7c98\"}}}", "/evaluate/corruptions/job",
      "a full UUID is needed" },
    /* data */
    { "{\"kind\":\"train\"}", "/dataset",
      "either the name of a registered data set, or format and path; has none of them" },
    { "{\"kind\":\"train\",\"dataset\":{\"path\":\"d\"}}", "/dataset", "has a path but no format" },
    { "{\"kind\":\"train\",\"dataset\":{\"format\":\"idx\"}}", "/dataset", "has a format but no path" },
    { "{\"kind\":\"train\",\"dataset\":{\"format\":\"png\",\"path\":\"d\"}}", "/dataset/format",
      "must be cifar10, cifar100, idx, image-folder, tiny-imagenet or tensors or null, is \"png\"" },
    { "{\"kind\":\"train\",\"dataset\":{\"format\":\"idx\",\"path\":\"d\",\"split\":\"all\"}}", "/dataset/split",
      "must be train, validation or test or null" },
    /* attacks */
    { TRAIN ",\"attack\":\"pgd\"}", "/attack", "must be an attack object or null, is \"pgd\"" },
    { TRAIN ",\"attack\":null}", "/attack", "must be an attack object when /train/method is pgd-at, is null" },
    { TRAIN ",\"attack\":{\"restarts\":0}}", "/attack/restarts", "from 1 to 100 (runs), is 0" },
    { TRAIN ",\"attack\":{\"name\":\"clean\"}}", "/attack/name", "other than \"clean\"" },
    { EVALUATE ",\"evaluate\":{\"attacks\":[{\"name\":\"baseline/clean\"}]}}", "/evaluate/attacks/0/name",
      "without /" },
    { EVALUATE ",\"evaluate\":{\"attacks\":{}}}", "/evaluate/attacks",
      "must be a list of attack objects or null, is {}" },
    { EVALUATE ",\"evaluate\":{\"attacks\":[{},{\"steps\":0}]}}", "/evaluate/attacks/1/steps",
      "from 1 to 10000 (steps) or null, is 0" },
    { EVALUATE ",\"evaluate\":{\"attacks\":[{\"epsilom\":0}]}}", "/evaluate/attacks/0/epsilom",
      "did you mean \"epsilon\"?" },
    { TRAIN ",\"attack\":{\"type\":\"square\"}}", "/attack/type", "must be pgd in a train job" },
    { MRC ",\"attack\":{\"type\":\"apgd-ce\"}}", "/attack/type", "must be pgd in a mrc job" },
    { INSPECT ",\"attack\":{\"type\":\"square\"}}", "/attack/type", "must be pgd in an inspect job" },
    { INSPECT ",\"attack\":null,\"model\":{\"weights\":\"w\"}}", "/attack", "must be an attack object where" },
    { INSPECT ",\"inspect\":{\"corruptions\":{\"path\":\"c\",\"job\":\"" UUID "\"}}}", "/inspect/corruptions",
      "has both" },
    { "{\"kind\":\"inspect\",\"dataset\":{\"format\":\"idx\",\"path\":\"d\",\"split\":\"train\"},"
      "\"inspect\":{\"corruptions\":{\"path\":\"c\"}}}",
      "/dataset/split", "must be test or null where" },
    { INSPECT ",\"inspect\":{\"corruptions\":{\"severities\":[]}}}", "/inspect/corruptions/severities",
      "an ascending list" },
    { "{\"kind\":\"evaluate\"," DATA ",\"model\":{\"num_classes\":3,\"weights\":\"w\"},\"evaluate\":{\"attacks\":[{},"
      "{\"type\":\"autoattack\"}]}}",
      "/evaluate/attacks/1/type", "\"autoattack\" looks at the 4 largest logits, and /model/num_classes is 3" },
    { "{\"kind\":\"evaluate\"," DATA ",\"model\":{\"num_classes\":2,\"weights\":\"w\"},\"evaluate\":{\"attacks\":["
      "{\"type\":\"apgd-dlr\"}]}}",
      "/evaluate/attacks/0/type", "\"apgd-dlr\" looks at the 3 largest logits" },
    { EVALUATE ",\"evaluate\":{\"attacks\":[{\"type\":\"autoattack\",\"restarts\":2}]}}",
      "/evaluate/attacks/0/restarts", "must be 1 for autoattack, is 2" },
    { EVALUATE ",\"evaluate\":{\"attacks\":[{\"type\":\"square\",\"querys\":5}]}}", "/evaluate/attacks/0/querys",
      "did you mean \"queries\"?" },
    { EVALUATE ",\"evaluate\":{\"corruptions\":{}}}", "/evaluate/corruptions",
      "either the path of corrupted copies or the corrupt job that makes them; has none" },
    { RIFT ",\"evaluate\":{\"corruptions\":{\"path\":\"x\",\"job\":\"" UUID "\"}}}", "/evaluate/corruptions",
      "has both" },
    { RIFT ",\"evaluate\":{\"generate_corruptions\":true,\"corruptions\":{\"path\":\"/x\"}}}",
      "/evaluate/generate_corruptions", "must be false where" },
    { EVALUATE ",\"evaluate\":{\"corruptions\":{\"job\":\"x\"}}}", "/evaluate/corruptions/job",
      "the id of a job or null" },
    { EVALUATE ",\"evaluate\":{\"corruptions\":{\"path\":\"x\",\"names\":[\"fog\",\"snwo\"]}}}",
      "/evaluate/corruptions/names", "did you mean \"snow\"?" },
    /* a name alone, a name far from all, a list that lost its quotation marks */
    { RIFT ",\"sweep\":{\"methods\":\"pgd-at\"}}", "/sweep/methods", "is \"pgd-at\"; did you mean [\"pgd-at\"]?" },
    { RIFT ",\"sweep\":{\"methods\":[\"pgd\",\"trades\"]}}", "/sweep/methods", "; \"pgd\" is none of them" },
    { RIFT ",\"mrc\":{\"modules\":\"layer9\"}}", "/mrc/modules", "is \"layer9\"; did you mean [\"layer9\"]?" },
    { RIFT ",\"finetune\":{\"modules\":\"layer4.0.conv1\"}}", "/finetune/modules",
      "did you mean [\"layer4.0.conv1\"]?" },
    { RIFT ",\"finetune\":{\"modules\":\"lowst\"}}", "/finetune/modules", "did you mean \"lowest\"?" },
    { EVALUATE ",\"evaluate\":{\"corruptions\":{\"path\":\"x\",\"set\":\"standart\"}}}", "/evaluate/corruptions/set",
      "must be standard, code or all, is \"standart\"; did you mean \"standard\"?" },
    { EVALUATE ",\"evaluate\":{\"corruptions\":{\"path\":\"x\",\"severities\":[5,1]}}}",
      "/evaluate/corruptions/severities", "an ascending list of at least one severity from 1 to 5" },
    { EVALUATE ",\"evaluate\":{\"corruptions\":{\"path\":\"x\",\"severities\":[]}}}",
      "/evaluate/corruptions/severities", "at least one severity" },
    { EVALUATE ",\"evaluate\":{\"corruptions\":{\"path\":\"x\",\"severity\":[1]}}}", "/evaluate/corruptions/severity",
      "did you mean \"severities\"?" },
    { "{\"kind\":\"train\",\"dataset\":{\"format\":\"tiny-imagnet\",\"path\":\"x\"}}", "/dataset/format",
      "did you mean \"tiny-imagenet\"?" },
    { EVALUATE ",\"evaluate\":{\"attacks\":[null]}}", "/evaluate/attacks/0", "must be an attack object, is null" },
    { EVALUATE ",\"evaluate\":{\"attacks\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"a\"}]}}",
      "/evaluate/attacks/2/name", "must be different from the name of attack 0, is \"a\"" },
    /* lists */
    { TRAIN ",\"optimizer\":{\"schedule\":{\"milestones\":[5,5]}}}", "/optimizer/schedule/milestones",
      "must be an ascending list of epochs" },
    { TRAIN ",\"optimizer\":{\"schedule\":{\"milestones\":[0,5]}}}", "/optimizer/schedule/milestones", "is [0,5]" },
    { TRAIN ",\"optimizer\":{\"schedule\":{\"milestones\":5}}}", "/optimizer/schedule/milestones", "is 5" },
    { RIFT ",\"finetune\":{\"optimizer\":{\"schedule\":{\"milestones\":[2,1]}}}}",
      "/finetune/optimizer/schedule/milestones", "is [2,1]" },
    { INTERPOLATE ",\"interpolate\":{" FROM_TO ",\"alphas\":[]}}", "/interpolate/alphas", "is []" },
    { INTERPOLATE ",\"interpolate\":{" FROM_TO ",\"alphas\":[0,0.5,0.5]}}", "/interpolate/alphas",
      "must be an ascending list of at least one number from 0 to 1, is [0,0.5,0.5]" },
    { INTERPOLATE ",\"interpolate\":{" FROM_TO ",\"alphas\":[0,1.1]}}", "/interpolate/alphas", "is [0,1.1]" },
    { INTERPOLATE ",\"interpolate\":{" FROM_TO ",\"alphas\":\"all\"}}", "/interpolate/alphas", "is \"all\"" },
    /* modules */
    { MRC ",\"mrc\":{\"modules\":[]}}", "/mrc/modules", "must be a list of different names or null, is []" },
    { MRC ",\"mrc\":{\"modules\":[\"conv1\",\"conv1\"]}}", "/mrc/modules", "different names" },
    { MRC ",\"mrc\":{\"modules\":[\"conv1\",5]}}", "/mrc/modules", "is [\"conv1\",5]" },
    { MRC ",\"mrc\":{\"modules\":\"lowest\"}}", "/mrc/modules", "is \"lowest\"" },
    { FINETUNE "}", "/finetune/mrc_job", "is required when /finetune/modules is \"lowest\"" },
    { FINETUNE ",\"finetune\":{\"modules\":\"least\"}}", "/finetune/modules", "is \"least\"" },
    { FINETUNE ",\"finetune\":{\"modules\":{\"top\":0}}}", "/finetune/modules", "is {\"top\":0}" },
    { FINETUNE ",\"finetune\":{\"modules\":{\"greedy\":1},\"mrc_job\":\"d\"}}", "/finetune/modules",
      "is {\"greedy\":1}" },
    { FINETUNE ",\"finetune\":{\"modules\":{\"greedy\":4},\"mrc_job\":\"d\"}}", "/finetune/modules",
      "{\"greedy\": 2 or 3}" },
    { FINETUNE ",\"finetune\":{\"modules\":{\"greedy\":2}}}", "/finetune/mrc_job", "is required when" },
    { FINETUNE ",\"finetune\":{\"modules\":{\"containing\":\"\"}}}", "/finetune/modules", "is {\"containing\":\"\"}" },
    { EVALUATE ",\"evaluate\":{\"alphas\":[0.5],\"baseline\":\"b\"}}", "/evaluate/toward", "is required when" },
    { EVALUATE ",\"evaluate\":{\"alphas\":[0.5,0.1]}}", "/evaluate/alphas", "ascending" },
    { MRC ",\"mrc\":{\"joint\":[]}}", "/mrc/joint", "must be a list of lists of at least two different names" },
    { MRC ",\"mrc\":{\"joint\":[[\"conv1\"]]}}", "/mrc/joint", "at least two" },
    { MRC ",\"mrc\":{\"joint\":[[\"conv1\",\"conv1\"]]}}", "/mrc/joint", "different" },
    { MRC ",\"mrc\":{\"joint\":[\"conv1\",\"linear\"]}}", "/mrc/joint", "a list of lists" },
    { FINETUNE ",\"finetune\":{\"modules\":\"lowst\"}}", "/finetune/modules", "did you mean \"lowest\"?" },
    { RIFT ",\"finetune\":{\"modules\":{\"greedy\":2}}}", "/finetune/modules", "needs mrc.greedy of at least 2, is 0" },
    { RIFT ",\"mrc\":{\"greedy\":2},\"finetune\":{\"modules\":{\"greedy\":3}}}", "/finetune/modules",
      "needs mrc.greedy of at least 3, is 2" },
    { RIFT ",\"mrc\":{\"modules\":[\"conv1\"]},\"finetune\":{\"modules\":{\"top\":2}}}", "/finetune/modules",
      "needs mrc.modules of at least 2 names or null, has 1" },
    { MRC ",\"mrc\":{\"greedy\":4}}", "/mrc/greedy", "from 0 to 3 (modules), is 4" },
    { FINETUNE ",\"finetune\":{\"modules\":{\"top\":3,\"x\":1},\"mrc_job\":\"d\"}}", "/finetune/modules",
      "{\"top\": NUMBER}" },
    { FINETUNE ",\"finetune\":{\"modules\":\"lowest\"}}", "/finetune/mrc_job",
      "is required when /finetune/modules is \"lowest\"" },
    { FINETUNE ",\"finetune\":{\"modules\":{\"top\":2}}}", "/finetune/mrc_job",
      "is required when /finetune/modules is {\"top\":2}" },
    { FINETUNE ",\"finetune\":{\"modules\":\"lowest\",\"mrc_job\":{\"model\":\"" UUID "\"}}}", "/finetune/mrc_job",
      "must be the path of an mrc job's directory, {\"job\": ID} or null" },
    { FINETUNE ",\"finetune\":{\"modules\":\"lowest\",\"mrc_job\":{\"job\":\"" UUID "\",\"artifact\":\"a\"}}}",
      "/finetune/mrc_job", "must be the path" },
};
enum { WRONG = sizeof(wrong) / sizeof(wrong[0]) };

static void one_mistake_each(void)
{
    CHECK(WRONG >= 45);
    for (int i = 0; i < WRONG; i++) {
        struct spec_errors errors;
        struct job_spec spec = { .batch_size = 77 };
        int r = spec_parse(wrong[i].text, strlen(wrong[i].text), &spec, &errors);

        if (r != -EINVAL || errors.total != 1 || errors.count != 1)
            CHECK_FAIL("%s gives %d with %d errors, first %s: %s", wrong[i].text, r, errors.total,
                       errors.list[0].pointer, errors.list[0].message);
        if (r == 0) {
            spec_done(&spec);
            continue;
        }
        CHECK_STRING(errors.list[0].pointer, wrong[i].pointer);
        CHECK_HOLDS(errors.list[0].message, wrong[i].message);
        CHECK_INT(spec.batch_size, 77); /* untouched */
    }
}

static void all_mistakes_at_once(void)
{
    static const char text[] = "{\"kind\":\"train\",\"batch_size\":0,\"sed\":1,\"model\":{\"width\":0,\"arch\":\"x\"},"
                               "\"attack\":{\"steps\":0},\"optimizer\":5}";
    static const char *const pointers[] = { "/sed",         "/optimizer",    "/batch_size", "/model/arch",
                                            "/model/width", "/attack/steps", "/dataset" };
    struct spec_errors errors;
    struct job_spec spec;

    CHECK_INT(spec_parse(text, strlen(text), &spec, &errors), -EINVAL);
    CHECK_INT(errors.total, 7);
    for (int i = 0; i < 7; i++)
        CHECK_STRING(errors.list[i].pointer, pointers[i]);
}

static void more_than_the_list_holds(void)
{
    json_auto_t *json = json_pack("{s:s}", "kind", "train");
    struct spec_errors errors;
    struct job_spec spec;

    for (int i = 0; i < 100; i++) {
        char name[200];
        snprintf(name, sizeof(name), "%0150d\xE2\x82\xAC%d", i, i);
        json_object_set_new(json, name, json_null());
    }
    CHECK_INT(spec_from_json(json, &spec, &errors), -EINVAL);
    CHECK_INT(errors.count, 32);
    CHECK_INT(errors.total, 101); /* and no dataset */
    for (int i = 0; i < errors.count; i++) {
        json_auto_t *pointer = json_string(errors.list[i].pointer), *message = json_string(errors.list[i].message);
        CHECK(pointer && message);
    }
}

static const struct check_case cases[] = {
    { "every mistake is one error with its pointer and its words", one_mistake_each },
    { "all mistakes are told at once", all_mistakes_at_once },
    { "more errors than the list holds are counted", more_than_the_list_holds },
};
CHECK_MAIN(cases)
