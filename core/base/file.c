#include "core/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_regular(const char *path, int flags, struct stat *st, ts_status *status, ts_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) {
        *status = ts_fail_errno(err, "cannot open %s", path);
        return -1;
    }
    if (fstat(fd, st) != 0)
        *status = ts_fail_errno(err, "cannot examine %s", path);
    else if (S_ISDIR(st->st_mode))
        *status = ts_fail(err, TS_INVALID, "%s is a folder; a file is needed here", path);
    else
        return fd;
    close(fd);
    return -1;
}

ts_status ts_file_read(const char *path, size_t max, ts_buf *out, ts_err *err) {
    struct stat st;
    ts_status status = TS_OK;
    int fd = open_regular(path, 0, &st, &status, err);
    if (fd < 0) return status;
    size_t start = out->len;
    if (S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size <= max)
        ts_buf_reserve(out, (size_t)st.st_size + 1);
    for (;;) {
        ts_buf_reserve(out, 64 * 1024);
        ssize_t n = read(fd, out->data + out->len, out->cap - out->len - 1);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = ts_fail_errno(err, "cannot read %s", path);
        if (n <= 0) break;
        out->len += (size_t)n;
        if (out->len - start > max) {
            status = ts_fail(err, TS_LIMIT, "%s is larger than the %zu bytes taken here", path, max);
            break;
        }
    }
    out->data[out->len] = 0;
    close(fd);
    return status;
}

/* The files that are mapped now, with the sentence for each ready: a signal handler cannot make one. A file beyond the
 * last slot is mapped all the same, only without a sentence. */
enum { SLOTS = 256 };
static struct slot {
    _Atomic(const unsigned char *) at; /* NULL: free; written last */
    size_t len;
    char *words;
} slots[SLOTS];
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;

static void remember_map(const ts_map *m, const char *path) {
    ts_err words;
    ts_fail(&words, TS_IO,
            "%.300s became shorter while it was in use (another program writes to it); fetch the file again and start "
            "over",
            path);
    pthread_mutex_lock(&slots_lock);
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].at) continue;
        slots[i].len = m->len;
        slots[i].words = ts_printf("tunesmith: %s\n", words.text);
        slots[i].at = m->data;
        break;
    }
    pthread_mutex_unlock(&slots_lock);
}

static void forget_map(const ts_map *m) {
    pthread_mutex_lock(&slots_lock);
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].at != m->data) continue;
        slots[i].at = NULL;
        free(slots[i].words);
        break;
    }
    pthread_mutex_unlock(&slots_lock);
}

static void on_bus_error(int signal_number, siginfo_t *info, void *context) {
    const unsigned char *where = info->si_addr;
    (void)context;
    for (size_t i = 0; i < SLOTS; i++) {
        const unsigned char *at = slots[i].at;
        if (!at || where < at || where >= at + slots[i].len) continue;
        if (write(STDERR_FILENO, slots[i].words, strlen(slots[i].words)) < 0) _exit(1);
        _exit(1);
    }
    signal(signal_number, SIG_DFL); /* not ours: the instruction runs again and ends the process */
}

void ts_map_guard(void) {
    struct sigaction act = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &act, NULL);
}

ts_status ts_map_open(ts_map *m, const char *path, ts_err *err) {
    struct stat st;
    ts_status status = TS_OK;
    *m = (ts_map){(const unsigned char *)"", 0};
    int fd = open_regular(path, O_NONBLOCK, &st, &status, err); /* a pipe nobody writes to is refused, not waited for */
    if (fd < 0) return status;
    if (!S_ISREG(st.st_mode)) {
        status = ts_fail(err, TS_INVALID, "%s is not a regular file", path);
    } else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            status = ts_fail_errno(err, "cannot map %s", path);
        else
            *m = (ts_map){p, (size_t)st.st_size};
    }
    close(fd);
    if (m->len) remember_map(m, path);
    return status;
}

void ts_map_close(ts_map *m) {
    if (m->len) forget_map(m);
    if (m->len) munmap((void *)(uintptr_t)m->data, m->len);
    *m = (ts_map){(const unsigned char *)"", 0};
}

static ts_status write_all(int fd, const char *path, const char *data, size_t n, ts_err *err) {
    while (n > 0) {
        ssize_t w = write(fd, data, n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return ts_fail_errno(err, "cannot write %s", path);
        data += w;
        n -= (size_t)w;
    }
    return TS_OK;
}

ts_status ts_file_append(int fd, const char *path, const void *data, size_t n, ts_err *err) {
    return write_all(fd, path, data, n, err);
}

ts_status ts_out_open(ts_out *f, const char *path, ts_err *err) {
    *f = (ts_out){.fd = -1};
    if (ts_is_dir(path)) return ts_fail(err, TS_INVALID, "cannot write %s: it is a folder", path);
    if (!*path) return ts_fail(err, TS_INVALID, "the name of the file to write is empty");
    struct stat st;
    bool there = stat(path, &st) == 0;
    f->path = there && !S_ISREG(st.st_mode) ? ts_strdup(path) : ts_path_absolute(path);
    if (there && !S_ISREG(st.st_mode)) { /* /dev/stdout, a pipe: a rename would put a file in its place */
        f->fd = open(path, O_WRONLY | O_CLOEXEC);
    } else {
        f->temp = ts_printf("%s.tmp%ld", f->path, (long)getpid());
        f->fd = open(f->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    }
    if (f->fd < 0) {
        ts_status status = ts_fail_errno(err, "cannot write %s", path);
        ts_out_drop(f);
        return status;
    }
    return TS_OK;
}

static void flush_pending(ts_out *f) {
    if (!f->failed && f->pending.len)
        f->failed = write_all(f->fd, f->path, f->pending.data, f->pending.len, &f->first) != TS_OK;
    ts_buf_reset(&f->pending);
}

void ts_out_add(ts_out *f, const void *data, size_t n) {
    enum { PIECE = 1 << 18 };
    f->written += n;
    if (f->pending.len + n > PIECE) flush_pending(f);
    if (n < PIECE)
        ts_buf_add(&f->pending, data, n);
    else if (!f->failed)
        f->failed = write_all(f->fd, f->path, data, n, &f->first) != TS_OK;
}

ts_status ts_out_commit(ts_out *f, ts_err *err) {
    ts_status status = TS_OK;
    flush_pending(f);
    if (f->failed) {
        if (err) *err = f->first;
        status = f->first.code;
    } else if (!f->temp) {
        status = TS_OK; /* a device or pipe has it already */
    } else if (fsync(f->fd) != 0) {
        status = ts_fail_errno(err, "cannot write %s", f->path);
    } else if (rename(f->temp, f->path) != 0) {
        status = ts_fail_errno(err, "cannot give %s its name", f->path);
    } else {
        free(f->temp);
        f->temp = NULL;
        char *dir = ts_path_dir(f->path);
        status = ts_dir_sync(dir, err);
        free(dir);
    }
    ts_out_drop(f);
    return status;
}

void ts_out_drop(ts_out *f) {
    if (!f->path) return;
    if (f->fd >= 0) close(f->fd);
    if (f->temp) unlink(f->temp);
    free(f->path);
    free(f->temp);
    ts_buf_release(&f->pending);
    *f = (ts_out){.fd = -1};
}

ts_status ts_file_write(const char *path, const void *data, size_t n, ts_err *err) {
    ts_out f;
    TS_TRY(ts_out_open(&f, path, err));
    ts_out_add(&f, data, n);
    return ts_out_commit(&f, err);
}

bool ts_file_exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

bool ts_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool ts_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int64_t ts_file_size(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

ts_status ts_mkdirs(const char *path, ts_err *err) {
    char *copy = ts_strdup(path);
    ts_status status = TS_OK;
    for (char *p = copy + 1; *copy && status == TS_OK; p++) {
        char c = *p;
        if (c != '/' && c != 0) continue;
        *p = 0;
        int why = mkdir(copy, 0777) != 0 ? errno : 0;
        if (why && !ts_is_dir(copy)) {
            errno = why; /* not what looking for the folder left there */
            if (why == EEXIST)
                status = ts_fail(err, TS_INVALID, "cannot make the folder %s: a file of that name is there", copy);
            else
                status = ts_fail_errno(err, "cannot make the folder %s", copy);
        }
        *p = c;
        if (!c) break;
    }
    free(copy);
    return status;
}

ts_status ts_dir_sync(const char *path, ts_err *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ts_fail_errno(err, "cannot open the folder %s", path);
    /* some file systems cannot sync a folder (EINVAL): the data itself is synced by then */
    ts_status status =
        fsync(fd) != 0 && errno != EINVAL ? ts_fail_errno(err, "cannot sync the folder %s", path) : TS_OK;
    close(fd);
    return status;
}

ts_status ts_remove_tree(const char *path, ts_err *err) {
    struct stat st;
    if (lstat(path, &st) != 0) return errno == ENOENT ? TS_OK : ts_fail_errno(err, "cannot remove %s", path);
    if (S_ISDIR(st.st_mode)) {
        ts_names names = {0};
        TS_TRY(ts_dir_list(path, &names, err));
        ts_status status = TS_OK;
        for (size_t i = 0; i < names.n && status == TS_OK; i++) {
            char *child = ts_path_join(path, names.items[i]);
            status = ts_remove_tree(child, err);
            free(child);
        }
        ts_names_release(&names);
        TS_TRY(status);
    }
    return remove(path) == 0 || errno == ENOENT ? TS_OK : ts_fail_errno(err, "cannot remove %s", path);
}

ts_status ts_file_copy(const char *from, const char *to, ts_err *err) {
    ts_map in;
    TS_TRY(ts_map_open(&in, from, err));
    ts_status status = ts_file_write(to, in.data, in.len, err);
    ts_map_close(&in);
    return status;
}

char *ts_path_join(const char *dir, const char *name) {
    size_t n = strlen(dir);
    return ts_printf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

const char *ts_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *ts_path_dir(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return ts_strdup(".");
    return slash == path ? ts_strdup("/") : ts_strndup(path, (size_t)(slash - path));
}

char *ts_path_absolute(const char *path) {
    char *real = realpath(path, NULL);
    if (real) return real;
    if (path[0] == '/') return ts_strdup(path);
    char *cwd = getcwd(NULL, 0);
    char *joined = ts_path_join(cwd ? cwd : ".", path);
    free(cwd);
    return joined;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

ts_status ts_dir_list(const char *path, ts_names *out, ts_err *err) {
    DIR *dir = opendir(path);
    if (!dir) return ts_fail_errno(err, "cannot list the folder %s", path);
    struct dirent *entry;
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            TS_PUSH(out->items, out->n, out->cap, ts_strdup(entry->d_name));
    closedir(dir);
    if (out->n) qsort(out->items, out->n, sizeof *out->items, by_bytes);
    return TS_OK;
}

void ts_names_release(ts_names *names) {
    for (size_t i = 0; i < names->n; i++)
        free(names->items[i]);
    free(names->items);
    *names = (ts_names){0};
}

static int try_lock(int fd) {
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &l);
}

ts_status ts_locks_work(const char *folder, ts_err *err) {
    char *name = ts_printf("%s/.locks-XXXXXX", folder);
    int a = mkostemp(name, O_CLOEXEC), b = a < 0 ? -1 : open(name, O_RDWR | O_CLOEXEC);
    ts_status status = TS_OK;
    if (a < 0 || b < 0)
        status = ts_fail_errno(err, "cannot write into %s", folder);
    else if (try_lock(a) != 0)
        status = ts_fail(err, TS_UNSUPPORTED, "the file system of %s has no locks (%s)", folder, strerror(errno));
    else if (try_lock(b) == 0)
        status = ts_fail(err, TS_UNSUPPORTED,
                         "the locks of the file system of %s do not work: two programs get the same", folder);
    if (a >= 0) unlink(name);
    if (a >= 0) close(a);
    if (b >= 0) close(b);
    free(name);
    return status;
}

ts_status ts_lock_take(ts_lock *lock, const char *path, const char *words, ts_err *err) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    lock->fd = -1;
    if (fd < 0) return ts_fail_errno(err, "cannot open the lock %s", path);
    if (try_lock(fd) != 0) {
        char holder[128] = "";
        ssize_t n = errno == EAGAIN || errno == EACCES ? read(fd, holder, sizeof holder - 1) : -1;
        ts_status status = n < 0 ? ts_fail_errno(err, "cannot lock %s", path)
                                 : ts_fail(err, TS_BUSY, "%s is locked by another process (%.*s)", path,
                                           (int)strcspn(holder, "\n"), holder);
        close(fd);
        return status;
    }
    if (ftruncate(fd, 0) != 0 || write(fd, words, strlen(words)) < 0) {
        /* the words are a courtesy to people; the lock itself holds on a full disk too */
    }
    lock->fd = fd;
    return TS_OK;
}

void ts_lock_words(const ts_lock *lock, const char *words) {
    size_t n = strlen(words);
    if (lock->fd < 0 || pwrite(lock->fd, words, n, 0) != (ssize_t)n || ftruncate(lock->fd, (off_t)n) != 0) {
        /* a courtesy to people, as in ts_lock_take */
    }
}

bool ts_lock_is_held(const char *path) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return false;
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool held = fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
    close(fd);
    return held;
}

void ts_lock_release(ts_lock *lock) {
    if (lock->fd >= 0) close(lock->fd);
    lock->fd = -1;
}
