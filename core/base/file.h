/* Files and folders. Every failure names the path. Any thread. */
#ifndef TS_BASE_FILE_H
#define TS_BASE_FILE_H

#include "core/base/buf.h"

/* Whole file into `out` (appended). More than `max` bytes: TS_LIMIT. A folder, a missing file: an error that says so.
 */
TS_MUST_USE ts_status ts_file_read(const char *path, size_t max, ts_buf *out, ts_err *err);

/* A file mapped read-only. data is page-aligned (not NULL even for an empty file). A file that another program cuts
 * short while mapped raises SIGBUS, so map only model files, never data that people edit; see ts_map_guard. */
typedef struct ts_map {
    const unsigned char *data;
    size_t len;
} ts_map;
TS_MUST_USE ts_status ts_map_open(ts_map *m, const char *path, ts_err *err);
void ts_map_close(ts_map *m); /* an empty one is fine */
/* For processes that calculate (the engine, a training run), never for one with a screen: from now on a mapped file
 * that becomes shorter ends the process with exit code 1 and one sentence on stderr that names the file. Without it the
 * process is killed by SIGBUS. */
void ts_map_guard(void);

/* Written to a temporary name beside `path`, fsynced, renamed, folder fsynced: readers see the old file or the new
 * one, never a part; a full disk leaves the old one. Through a symbolic link the file it names is written; a device or
 * pipe is written directly. */
TS_MUST_USE ts_status ts_file_write(const char *path, const void *data, size_t n, ts_err *err);

/* The same in pieces: open, add, then commit or drop. `f` zeroed = nothing open. */
typedef struct ts_out {
    int fd;
    char *path, *temp;
    ts_buf pending;
    bool failed;
    uint64_t written;
    ts_err first; /* the first failure, reported by commit */
} ts_out;
TS_MUST_USE ts_status ts_out_open(ts_out *f, const char *path, ts_err *err);
void ts_out_add(ts_out *f, const void *data, size_t n);
TS_MUST_USE ts_status ts_out_commit(ts_out *f, ts_err *err); /* on failure the temporary file is gone */
void ts_out_drop(ts_out *f);                                 /* safe after commit */

/* Appends to a file that stays open elsewhere too (events.jsonl): one write call, so lines do not mix. */
TS_MUST_USE ts_status ts_file_append(int fd, const char *path, const void *data, size_t n, ts_err *err);

bool ts_file_exists(const char *path); /* anything is there */
bool ts_is_dir(const char *path);
bool ts_is_file(const char *path);                              /* a regular file (links followed) */
int64_t ts_file_size(const char *path);                         /* -1 when there is none */
TS_MUST_USE ts_status ts_mkdirs(const char *path, ts_err *err); /* with parents; there already is fine */
TS_MUST_USE ts_status ts_dir_sync(const char *path, ts_err *err);
TS_MUST_USE ts_status ts_remove_tree(const char *path,
                                     ts_err *err); /* a missing path is fine; links are not followed */
TS_MUST_USE ts_status ts_file_copy(const char *from, const char *to, ts_err *err);

/* dir + "/" + name, new, the caller's. */
char *ts_path_join(const char *dir, const char *name);
const char *ts_path_base(const char *path); /* points behind the last slash */
char *ts_path_dir(const char *path);        /* new; "." where there is no slash */
char *ts_path_absolute(const char *path);   /* new; symbolic links resolved where the path exists */

/* Names in a folder, sorted bytewise, without "." and "..". free each and the list: ts_names_release. */
typedef struct ts_names {
    char **items;
    size_t n, cap;
} ts_names;
TS_MUST_USE ts_status ts_dir_list(const char *path, ts_names *out, ts_err *err);
void ts_names_release(ts_names *names);

/* An exclusive lock on the file `path` (made if missing), held until ts_lock_release or the end of the process: an
 * open-file-description lock, so a dead process never leaves it behind. `words` is written into the file for people.
 * TS_BUSY names what the file says about the holder. */
typedef struct ts_lock {
    int fd;
} ts_lock;
#define TS_LOCK_INIT                                                                                                   \
    { -1 }
TS_MUST_USE ts_status ts_lock_take(ts_lock *lock, const char *path, const char *words, ts_err *err);
/* Do locks on files in this folder keep a second holder out? Tried with a file that is gone afterwards. TS_UNSUPPORTED:
 * the file system (some network and FUSE mounts) has none, or grants everything. */
TS_MUST_USE ts_status ts_locks_work(const char *folder, ts_err *err);
/* Other words into the file of a lock that is held; on a full disk too, as far as they replace those before. */
void ts_lock_words(const ts_lock *lock, const char *words);
bool ts_lock_is_held(const char *path); /* by anybody, asked without taking it */
void ts_lock_release(ts_lock *lock);

#endif
