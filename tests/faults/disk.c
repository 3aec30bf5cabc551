/* How does SQLite's file system fail? A VFS in front of the real one that counts
 * the calls and, at the armed one, answers as a disk does that is full, broken
 * or held by somebody else. A failing write or sync really doesn't happen; of
 * what the real one would have done half is not pretended. */
#include "tests/faults/fault_point.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

const struct disk_fault disk_faults[] = {
    { "the disk is full", SQLITE_FULL, DISK_WRITE },
    { "a write fails", SQLITE_IOERR_WRITE, DISK_WRITE },
    { "a sync fails", SQLITE_IOERR_FSYNC, DISK_SYNC },
    { "a read fails", SQLITE_IOERR_READ, DISK_READ },
    { "truncating fails", SQLITE_IOERR_TRUNCATE, DISK_TRUNCATE },
    { "a lock is held by somebody", SQLITE_BUSY, DISK_LOCK },
    { "a lock fails", SQLITE_IOERR_LOCK, DISK_LOCK },
    { "opening fails", SQLITE_CANTOPEN, DISK_OPEN },
    { "shared memory fails", SQLITE_IOERR_SHMMAP, DISK_MAP },
    { "the size can't be told", SQLITE_IOERR_FSTAT, DISK_SIZE },
    { "deleting fails", SQLITE_IOERR_DELETE, DISK_DELETE },
};
const int disk_fault_count = sizeof(disk_faults) / sizeof(disk_faults[0]);

static const struct disk_fault *_Atomic chosen; /* while other threads are at work */
static sqlite3_vfs *real;

struct file {
    sqlite3_file base; /* first */
    sqlite3_file *under;
};
#define UNDER(file) (((struct file *)(file))->under)

void disk_fault_choose(const struct disk_fault *fault)
{
    chosen = fault;
}

/* SQLITE_OK, or what the call must answer. */
static int fails(unsigned call)
{
    const struct disk_fault *fault = chosen;

    return fault && (fault->calls & call) && fault_hits() ? fault->code : SQLITE_OK;
}

#define FORWARD(name, call, parameters, arguments)                                                                     \
    static int disk_##name parameters                                                                                  \
    {                                                                                                                  \
        int rc = fails(call);                                                                                          \
        return rc != SQLITE_OK ? rc : UNDER(file)->pMethods->x##name arguments;                                        \
    }
FORWARD(Read, DISK_READ, (sqlite3_file * file, void *to, int size, sqlite3_int64 at), (UNDER(file), to, size, at))
FORWARD(Write, DISK_WRITE, (sqlite3_file * file, const void *from, int size, sqlite3_int64 at),
        (UNDER(file), from, size, at))
FORWARD(Truncate, DISK_TRUNCATE, (sqlite3_file * file, sqlite3_int64 size), (UNDER(file), size))
FORWARD(Sync, DISK_SYNC, (sqlite3_file * file, int flags), (UNDER(file), flags))
FORWARD(FileSize, DISK_SIZE, (sqlite3_file * file, sqlite3_int64 *size), (UNDER(file), size))
FORWARD(Lock, DISK_LOCK, (sqlite3_file * file, int level), (UNDER(file), level))
FORWARD(Unlock, 0, (sqlite3_file * file, int level), (UNDER(file), level))
FORWARD(CheckReservedLock, 0, (sqlite3_file * file, int *held), (UNDER(file), held))
FORWARD(FileControl, 0, (sqlite3_file * file, int what, void *with), (UNDER(file), what, with))
FORWARD(ShmMap, DISK_MAP, (sqlite3_file * file, int page, int size, int extend, void volatile **ret),
        (UNDER(file), page, size, extend, ret))
FORWARD(ShmUnmap, 0, (sqlite3_file * file, int removes), (UNDER(file), removes))

/* Giving a lock back doesn't fail, taking one does. */
static int disk_ShmLock(sqlite3_file *file, int offset, int count, int flags)
{
    int rc = flags & SQLITE_SHM_LOCK ? fails(DISK_LOCK) : SQLITE_OK;

    return rc != SQLITE_OK ? rc : UNDER(file)->pMethods->xShmLock(UNDER(file), offset, count, flags);
}

static void disk_ShmBarrier(sqlite3_file *file)
{
    UNDER(file)->pMethods->xShmBarrier(UNDER(file));
}

static int disk_SectorSize(sqlite3_file *file)
{
    return UNDER(file)->pMethods->xSectorSize(UNDER(file));
}

static int disk_DeviceCharacteristics(sqlite3_file *file)
{
    return UNDER(file)->pMethods->xDeviceCharacteristics(UNDER(file));
}

static int disk_Close(sqlite3_file *file)
{
    sqlite3_file *under = UNDER(file);
    int rc = under->pMethods ? under->pMethods->xClose(under) : SQLITE_OK;

    free(under);
    return rc;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = disk_Close,
    .xRead = disk_Read,
    .xWrite = disk_Write,
    .xTruncate = disk_Truncate,
    .xSync = disk_Sync,
    .xFileSize = disk_FileSize,
    .xLock = disk_Lock,
    .xUnlock = disk_Unlock,
    .xCheckReservedLock = disk_CheckReservedLock,
    .xFileControl = disk_FileControl,
    .xSectorSize = disk_SectorSize,
    .xDeviceCharacteristics = disk_DeviceCharacteristics,
    .xShmMap = disk_ShmMap,
    .xShmLock = disk_ShmLock,
    .xShmBarrier = disk_ShmBarrier,
    .xShmUnmap = disk_ShmUnmap,
};

static int disk_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
    int rc = fails(DISK_OPEN);

    (void)vfs;
    file->pMethods = NULL;
    if (rc != SQLITE_OK)
        return rc;
    UNDER(file) = calloc(1, (size_t)real->szOsFile);
    if (!UNDER(file))
        return SQLITE_NOMEM;
    rc = real->xOpen(real, name, UNDER(file), flags, ret_flags);
    if (rc == SQLITE_OK)
        file->pMethods = &methods;
    else
        free(UNDER(file));
    return rc;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    int rc = fails(DISK_DELETE);

    (void)vfs;
    return rc != SQLITE_OK ? rc : real->xDelete(real, name, sync);
}

/* Somebody who waits for a lock counts how long. While a lock may be held by nobody
 * but the test no time passes; a real one is waited for. */
static int disk_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return fault_armed() ? us : real->xSleep(real, us);
}

void disk_faults_open(void)
{
    static sqlite3_vfs vfs;

    real = sqlite3_vfs_find(NULL);
    if (!real)
        abort();
    vfs = *real;
    vfs.zName = "faults";
    vfs.szOsFile = sizeof(struct file);
    vfs.pNext = NULL;
    vfs.xOpen = disk_open;
    vfs.xDelete = disk_delete;
    vfs.xSleep = disk_sleep;
    if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
        abort();
}
