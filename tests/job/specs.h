/* The shortest good specs of each kind, open at their end, to build cases from. */
#ifndef RIFT_TESTS_JOB_SPECS_H
#define RIFT_TESTS_JOB_SPECS_H

#define DATA        "\"dataset\":{\"format\":\"cifar10\",\"path\":\"data\"}"
#define WEIGHTS     "\"model\":{\"weights\":\"model.safetensors\"}"
#define TRAIN       "{\"kind\":\"train\"," DATA
#define MRC         "{\"kind\":\"mrc\"," DATA "," WEIGHTS
#define FINETUNE    "{\"kind\":\"finetune\"," DATA "," WEIGHTS
#define INTERPOLATE "{\"kind\":\"interpolate\"," DATA
#define EVALUATE    "{\"kind\":\"evaluate\"," DATA "," WEIGHTS
#define INSPECT     "{\"kind\":\"inspect\"," DATA
#define RIFT        "{\"kind\":\"rift\"," DATA
#define FROM_TO     "\"from\":\"a\",\"to\":\"b\""
#define UUID        "0198c0de-0000-7000-8000-00000000abcd"

#endif
