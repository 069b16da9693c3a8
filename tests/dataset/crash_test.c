/* kill -9 at many moments of every kind of act. A child works through a fixed list of acts and kills itself at the Nth
 * moment; then the workspace opens, is sound, and holds exactly what the last act that was reported as done left, or
 * what the act in progress would have left: never a part.
 *
 * A moment is a statement that begins, a file about to be synced, cut or written (at the end, or with half of the write
 * done), seen by a layer around SQLite's file system: the program under test knows nothing of it. A small page cache
 * and a checkpoint every few pages make the acts write in their middle too, as large ones do. */
#include "tests/support.h"

#include "core/base/file.h"
#include "dataset/db.h"
#include "dataset/dedupe.h"
#include "dataset/history.h"
#include "dataset/import.h"
#include "dataset/purge.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PER_ACT = 20, WANTED = 200, WANTED_INSIDE = 150, ROWS = 300, TWINS = 20 };

static ts_err err;

/* ---- what the child tells before it dies ---- */

enum how { AROUND, IMPORTING, MARKING, DEDUPING, UNDOING, REDOING, EDITING, PURGING, KINDS };
static const char *const how_names[KINDS] = {"around", "import", "set", "dedupe", "undo", "redo", "edit", "purge"};

static struct told {
    int64_t moment, kill_at; /* counted; the one to die at, 0: never */
    int acts;                /* done, and reported as done */
    enum how how;            /* what it is at */
    bool inside;             /* a write transaction was open when it died */
    bool torn;               /* in the middle of a write */
    char hashes[16][33];     /* after each act: filled by the run that is not killed */
    int64_t ends[16];        /* the last moment of each act, likewise */
} * told;

static sqlite3 *watched; /* the connection of the child's store */

static bool due(void) {
    return ++told->moment == told->kill_at;
}

static void die(bool torn) {
    told->inside = watched && sqlite3_txn_state(watched, "main") == SQLITE_TXN_WRITE;
    told->torn = torn;
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* ---- a layer around SQLite's file system ---- */

struct layer {
    sqlite3_file base;
    sqlite3_file *real; /* right behind this struct */
};

static sqlite3_vfs *real_vfs;

static sqlite3_file *real_of(sqlite3_file *f) {
    return ((struct layer *)f)->real;
}

#define PASS(name, params, args)                                                                                       \
    static int layer_##name params {                                                                                   \
        return real_of(f)->pMethods->x##name args;                                                                     \
    }
PASS(Read, (sqlite3_file * f, void *to, int n, sqlite3_int64 at), (real_of(f), to, n, at))
PASS(FileSize, (sqlite3_file * f, sqlite3_int64 *n), (real_of(f), n))
PASS(Lock, (sqlite3_file * f, int kind), (real_of(f), kind))
PASS(Unlock, (sqlite3_file * f, int kind), (real_of(f), kind))
PASS(CheckReservedLock, (sqlite3_file * f, int *out), (real_of(f), out))
PASS(FileControl, (sqlite3_file * f, int op, void *arg), (real_of(f), op, arg))
PASS(SectorSize, (sqlite3_file * f), (real_of(f)))
PASS(DeviceCharacteristics, (sqlite3_file * f), (real_of(f)))
PASS(ShmMap, (sqlite3_file * f, int page, int size, int extend, void volatile **out),
     (real_of(f), page, size, extend, out))
PASS(ShmLock, (sqlite3_file * f, int at, int n, int flags), (real_of(f), at, n, flags))
PASS(ShmUnmap, (sqlite3_file * f, int remove), (real_of(f), remove))

static void layer_ShmBarrier(sqlite3_file *f) {
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int layer_Write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at) {
    if (due()) die(false);
    if (due()) {
        real_of(f)->pMethods->xWrite(real_of(f), from, n / 2, at);
        die(true);
    }
    return real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
}

static int layer_Truncate(sqlite3_file *f, sqlite3_int64 size) {
    if (due()) die(false);
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int layer_Sync(sqlite3_file *f, int flags) {
    (void)f;
    (void)flags;
    if (due()) die(false);
    return SQLITE_OK; /* what was written outlives the process without it, and the test is four times as fast */
}

static int layer_Close(sqlite3_file *f) {
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int layer_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out) {
    static const sqlite3_io_methods methods = {2,
                                               layer_Close,
                                               layer_Read,
                                               layer_Write,
                                               layer_Truncate,
                                               layer_Sync,
                                               layer_FileSize,
                                               layer_Lock,
                                               layer_Unlock,
                                               layer_CheckReservedLock,
                                               layer_FileControl,
                                               layer_SectorSize,
                                               layer_DeviceCharacteristics,
                                               layer_ShmMap,
                                               layer_ShmLock,
                                               layer_ShmBarrier,
                                               layer_ShmUnmap,
                                               NULL,
                                               NULL};
    struct layer *l = (struct layer *)f;
    (void)vfs;
    l->real = (sqlite3_file *)(l + 1);
    int rc = real_vfs->xOpen(real_vfs, name, l->real, flags, out);
    l->base.pMethods = l->real->pMethods ? &methods : NULL;
    return rc;
}

static void layer_install(void) {
    static sqlite3_vfs layer;
    real_vfs = sqlite3_vfs_find(NULL);
    layer = *real_vfs;
    layer.zName = "killing";
    layer.szOsFile = (int)sizeof(struct layer) + real_vfs->szOsFile;
    layer.xOpen = layer_open;
    assert_int_equal(sqlite3_vfs_register(&layer, 1), SQLITE_OK);
}

static int on_statement(unsigned kind, void *ctx, void *statement, void *text) {
    (void)kind;
    (void)ctx;
    (void)statement;
    (void)text;
    if (due()) die(false);
    return 0;
}

/* ---- the acts ---- */

static const char *data; /* a file of ROWS rows, TWINS of them twins of others */

static void make_data(void) {
    ts_buf text = TS_BUF_INIT;
    for (int i = 0; i < ROWS; i++) {
        int n = i < ROWS - TWINS ? i : i - TWINS;
        ts_buf_printf(&text, "{\"instruction\":\"question %d about %d and %d\",\"output\":\"answer %d\"}\n", n, n * 7,
                      n * n, i);
    }
    data = ts_test_path("rows.jsonl");
    assert_ok(ts_file_write(data, text.data, text.len, &err));
    ts_buf_release(&text);
}

static ts_status act(ts_store *st, int i, int64_t *first) {
    ts_dedupe_options o = TS_DEDUPE_DEFAULTS;
    ts_dedupe_report report;
    ts_import_file f;
    ts_done done;
    int64_t ids[ROWS];
    ts_edit edit = {TS_OUTPUT, {"edited", 6}};
    static const enum how kinds[] = {IMPORTING, MARKING, EDITING,   DEDUPING, UNDOING, UNDOING, UNDOING,
                                     REDOING,   REDOING, IMPORTING, UNDOING,  PURGING, MARKING};
    if (i == (int)TS_COUNT(kinds)) return TS_NOT_FOUND;
    told->how = kinds[i];
    switch (kinds[i]) {
    case IMPORTING:
        *first = ts_db_int(st, "SELECT value+1 FROM counter WHERE name='example'", 1);
        return ts_import(st, &data, 1, NULL, NULL, &f, &done, &err);
    case MARKING: /* every other row first, so that there are many runs; then all */
        for (int k = 0; k < ROWS / 2; k++)
            ids[k] = 1 + 2 * k;
        return i < 5 ? ts_rows_set_status(st, ids, ROWS / 2, TS_ACCEPTED, &done, &err)
                     : ts_rows_tag(st, ids, ROWS / 2, "checked", true, &done, &err);
    case EDITING:
        return ts_row_edit(st, *first + 3, -1, &edit, 1, &done, &err);
    case DEDUPING:
        o.apply = true;
        return ts_dedupe(st, &o, NULL, NULL, NULL, &report, &err);
    case PURGING: /* every other row */
        for (int k = 0; k < ROWS / 2; k++)
            ids[k] = 2 + 2 * k;
        return ts_purge(st, ids, ROWS / 2, NULL, &done, &err);
    case UNDOING:
        return ts_undo(st, 0, &done, &err);
    default:
        return ts_redo(st, &done, &err);
    }
}

/* Works through the acts in a new workspace's copy. Exit code 0 when it came to the end. */
static int work(const char *ws, bool keep_hashes) {
    ts_store *st;
    int64_t first = 1;
    ts_status status = TS_OK;
    told->how = AROUND;
    if (ts_store_open(&st, ws, "child", &err) != TS_OK) return 1;
    watched = st->db;
    if (ts_db_run(st, "PRAGMA cache_size=12; PRAGMA wal_autocheckpoint=30", "use little memory", &err) != TS_OK)
        return 2;
    sqlite3_trace_v2(st->db, SQLITE_TRACE_STMT, on_statement, NULL);
    told->ends[0] = told->moment;
    for (int i = 0; status == TS_OK; i++) {
        status = act(st, i, &first);
        if (status != TS_OK) break;
        told->acts = i + 1;
        told->ends[i + 1] = told->moment;
        if (keep_hashes && ts_store_hash(st, told->hashes[i + 1], &err) != TS_OK) return 3;
    }
    told->how = AROUND;
    ts_store_close(st);
    watched = NULL;
    return status == TS_NOT_FOUND ? 0 : 4;
}

/* ---- the test ---- */

/* Without the syncs that ts_file_copy makes: 260 copies. */
static void copy_workspace(const char *from, const char *to) {
    char *a = ts_path_join(from, "tunesmith.db"), *b = ts_path_join(to, "tunesmith.db");
    ts_buf bytes = TS_BUF_INIT;
    assert_ok(ts_remove_tree(to, &err));
    assert_ok(ts_mkdirs(to, &err));
    assert_ok(ts_file_read(a, 1 << 26, &bytes, &err));
    FILE *f = fopen(b, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, f), bytes.len);
    assert_int_equal(fclose(f), 0);
    ts_buf_release(&bytes);
    free(a);
    free(b);
}

/* True when the child was killed, false when it came to its end before that. */
static bool run_child(const char *ws, int64_t kill_at, bool keep_hashes) {
    int status;
    told->moment = 0;
    told->kill_at = kill_at;
    told->acts = 0;
    pid_t child = fork();
    if (child == 0) _exit(work(ws, keep_hashes));
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) return true;
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static void check_workspace(const char *ws, int64_t moment) {
    ts_store *st;
    char now[33];
    if (ts_store_open(&st, ws, "test", &err) != TS_OK)
        fail_msg("moment %lld (%s): %s", (long long)moment, how_names[told->how], err.text);
    assert_ok(ts_store_check(st, &err));
    assert_ok(ts_store_hash(st, now, &err));
    bool before = strcmp(now, told->hashes[told->acts]) == 0, after = strcmp(now, told->hashes[told->acts + 1]) == 0;
    if (!before && !after)
        fail_msg("moment %lld (%s): the rows are neither those before act %d nor those after it", (long long)moment,
                 how_names[told->how], told->acts + 1);
    ts_counts c; /* what is derived fits together too: no group without its rows */
    assert_ok(ts_store_counts(st, &c, &err));
    assert_int_equal(ts_db_int(st, "SELECT count(*) FROM dup WHERE grp NOT IN (SELECT id FROM dup_group)", -1), 0);
    assert_int_equal(ts_db_int(st, "SELECT count(*) FROM example WHERE id NOT IN (SELECT id FROM body)", -1), 0);
    ts_draft d = {.instruction = {"after", 5}, .output = {"all", 3}}; /* and it can be worked with */
    assert_ok(ts_row_add(st, &d, NULL, NULL, &err));
    assert_ok(ts_undo(st, 0, NULL, &err));
    ts_store_close(st);
}

static void survives_kill_9_everywhere(void **state) {
    (void)state;
    char *start = ts_path_join(ts_test_dir(), "start"), *ws = ts_path_join(ts_test_dir(), "ws");
    int killed = 0, inside = 0, torn = 0, by_kind[KINDS] = {0};
    ts_store *st;
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told != MAP_FAILED);
    layer_install();
    make_data();
    assert_ok(ts_store_init(start, &err));
    assert_ok(ts_store_open(&st, start, "test", &err));
    assert_ok(ts_store_hash(st, told->hashes[0], &err));
    ts_store_close(st);
    copy_workspace(start, ws);
    assert_false(run_child(ws, 0, true));
    int acts = told->acts;
    copy_workspace(start, ws);
    assert_false(run_child(ws, 0, false)); /* without the statements that only made the hashes */
    told->ends[acts + 1] = told->moment;   /* and closing */
    int64_t ends[TS_COUNT(told->ends)], from = 0;
    memcpy(ends, told->ends, sizeof ends);
    for (int a = 0; a <= acts + 1; a++) { /* opening, the acts, closing */
        int64_t n = ends[a] - from, tries = TS_MIN(n, (int64_t)PER_ACT);
        for (int64_t i = 0; i < tries; i++) {
            int64_t at = from + 1 + n * i / tries;
            copy_workspace(start, ws);
            assert_true(run_child(ws, at, false));
            killed++;
            inside += told->inside;
            torn += told->torn;
            by_kind[told->how]++;
            check_workspace(ws, at);
        }
        from = ends[a];
    }
    print_message("killed %d times at %lld moments: %d inside a write transaction, %d within a write;", killed,
                  (long long)from, inside, torn);
    for (int k = 0; k < KINDS; k++)
        print_message(" %s %d", how_names[k], by_kind[k]);
    print_message("\n");
    assert_true(killed >= WANTED);
    assert_true(inside >= WANTED_INSIDE);
    for (int k = IMPORTING; k <= UNDOING; k++)
        assert_true(by_kind[k] >= PER_ACT);
    munmap(told, sizeof *told);
    free(start);
    free(ws);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_kill_9_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
