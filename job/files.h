/* What lies in a job directory, and how is it read and written?
 *
 * The second half of job/job.h, which includes it: journal, directory, hashes and
 * safetensors. Nobody else includes it by itself. */
#ifndef RIFT_JOB_FILES_H
#define RIFT_JOB_FILES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fault;

/* ---- journal ---------------------------------------------------------------- */

struct journal;

/* Open DIR/journal.ndjson for appending, creating it if needed. A torn last
 * line (no newline, or not JSON) is cut off first; `seq` goes on from the last
 * whole line. One writer at a time: takes an exclusive flock, -EBUSY if held. */
int journal_open(const char *path, struct journal **ret, struct fault *why);
void journal_close(struct journal *journal);

/* Append one event: {"seq":n,"time_ms":now_ms,"type":type, ...fields}. Steals
 * `fields` (an object, or NULL). One write(2) a line. 0 or negative errno. */
int journal_append(struct journal *journal, int64_t now_ms, const char *type, json_t *fields);
/* Leave the last whole line alone, in one step: what is read of a job that has ended (its result) can be
 * read still, and seq goes on from it. Returns the bytes that are left; -ENOENT; -EBUSY while somebody writes it. */
int64_t journal_trim(const char *path, struct fault *why);
int journal_sync(struct journal *journal);          /* fdatasync */
int64_t journal_seq(const struct journal *journal); /* of the last event, 0 when empty */

/* Read whole lines from byte `*offset` on, once they are on the disk, and hand
 * each event to `see`, which gets the offset after its line; *offset moves past
 * what was seen. A torn last line is left for later. A whole line that isn't an
 * event is -EBADMSG with its line's offset in `why`; a file that has no such
 * offset, or no line that ends there, is another one than before: -ESTALE.
 * Returns the number of events. */
int journal_read(const char *path, int64_t *offset, int (*see)(json_t *event, int64_t end_offset, void *user),
                 void *user, struct fault *why);

/* ---- job directory ------------------------------------------------------------ */

/* Names inside a job directory. */
#define JOBDIR_SPEC       "spec.json"
#define JOBDIR_JOURNAL    "journal.ndjson"
#define JOBDIR_CHECKPOINT "checkpoint"
#define JOBDIR_ARTIFACTS  "artifacts"
#define JOBDIR_LOG        "log.txt"
#define JOBDIR_EXIT       "exit" /* how a worker ended that may have had no last word: PID and exit code */

/* What a registered model's file is called in riftd's models/. */
#define MODEL_FILE_SIZE 80
void model_file(const char *sha256, char ret[MODEL_FILE_SIZE]);

/* Exit codes of `rift-worker run`. */
enum worker_exit {
    WORKER_FINISHED = 0,
    WORKER_BAD_INPUT = 65,
    WORKER_DEVICE_LOST = 69,
    WORKER_INTERNAL = 70,
    WORKER_INTERRUPTED = 75,
};

/* How a worker is told to shut itself in: `rift-worker run --sandbox MODE DIR`. */
enum sandbox_mode {
    SANDBOX_TRY,     /* as far as the kernel can */
    SANDBOX_REQUIRE, /* wholly, or the job fails */
    SANDBOX_OFF,
    SANDBOX_MODE_COUNT,
};
extern const char *const sandbox_modes[SANDBOX_MODE_COUNT];
#define SANDBOX_MODES "try|require|off" /* the same, in this order */

/* A directory of that name is there afterwards, and stays after a power cut. */
int directory_make(const char *path, mode_t mode, struct fault *why);

/* Create DIR, its sub-directories and DIR/spec.json (written aside, fsynced,
 * renamed). Doing it again is harmless. */
int jobdir_create(const char *dir, const json_t *spec, struct fault *why);

/* Before a worker exits: its code, for who isn't its parent. */
int jobdir_exit_write(const char *dir, int code);
/* What process pid wrote there. -ENOENT: it wrote nothing. */
int jobdir_exit_read(const char *dir, pid_t pid, int *ret_code);

/* Replace dir/name by data: written aside, fsynced, renamed, directory fsynced. */
int file_replace(const char *dir, const char *name, const void *data, size_t size, struct fault *why);

/* Remove what processes that were killed while they replaced a file have left in dir. For whoever
 * knows, by the job's lock, that nobody is replacing one there now. What can't be removed stays. */
void file_leftovers_remove(const char *dir);

/* The whole file, with a NUL after it; free() it. More than `limit` bytes: -EFBIG. */
int file_read(const char *path, size_t limit, char **ret_data, size_t *ret_size, struct fault *why);

/* True for a name that an artifact may have: segments [A-Za-z0-9._-]{1,100}
 * separated by '/', none starting with a dot, at most 8, 512 bytes in all. */
bool artifact_name_valid(const char *name);

/* ---- SHA-256 (FIPS 180-4) -------------------------------------------------------
 * Written here because floor 0 has no library that brings it. */
struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};
void sha256_start(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *data, size_t size);
void sha256_finish(struct sha256 *sha, char ret_hex[65]);
/* All three at once. */
void sha256_of(const void *data, size_t size, char ret_hex[65]);
int sha256_file(const char *path, char ret_hex[65], int64_t *ret_size, struct fault *why);

/* ---- safetensors -----------------------------------------------------------------
 * https://github.com/huggingface/safetensors#format: 8-byte little-endian
 * header length, JSON header, data. The exchange format of weights, examples
 * and checkpoints. The reader trusts nothing: offsets must be in the file,
 * ascending and without holes, sizes must match shapes, names must be unique. */

enum dtype { DTYPE_U8, DTYPE_I32, DTYPE_I64, DTYPE_F32, DTYPE_F64 };
size_t dtype_size(enum dtype dtype);

struct safetensor {
    const char *name;
    enum dtype dtype;
    int rank;
    int64_t shape[8];
    const void *data; /* inside the mapping, aligned as the file has it: use memcpy */
    size_t size;      /* bytes */
};

struct safetensors; /* a mapped file */
int safetensors_open(const char *path, struct safetensors **ret, struct fault *why);
void safetensors_close(struct safetensors *file);
int safetensors_count(const struct safetensors *file);
const struct safetensor *safetensors_at(const struct safetensors *file, int index);
const struct safetensor *safetensors_find(const struct safetensors *file, const char *name);
/* The __metadata__ string of that key, or NULL. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* Write dir/name with these tensors in this order (written aside, fsynced,
 * renamed). metadata: an object of strings, or NULL. The header is padded so
 * that data starts at a multiple of 8. Optionally returns hash and size. */
int safetensors_write(const char *dir, const char *name, const struct safetensor *tensors, int count,
                      const json_t *metadata, char ret_sha256[65], int64_t *ret_size, struct fault *why);

#endif
