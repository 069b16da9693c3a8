/* The store: opening and refusing, rows, marks, optimistic edits, settings, two programs at once. */
#include "tests/support.h"

#include "core/base/file.h"
#include "dataset/answers.h"
#include "dataset/db.h"
#include "dataset/history.h"
#include "dataset/import.h"
#include "dataset/view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static ts_err err;

static ts_store *new_store(char **folder) {
    ts_store *st = NULL;
    char *ws = ts_path_join(ts_test_dir(), "my voice");
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    if (folder)
        *folder = ws;
    else
        free(ws);
    return st;
}

static ts_text text(const char *s) {
    return (ts_text){s, strlen(s)};
}

static int64_t add(ts_store *st, const char *instruction, const char *output) {
    ts_draft d = {.instruction = text(instruction), .input = text(""), .output = text(output)};
    int64_t id = 0;
    assert_ok(ts_row_add(st, &d, &id, NULL, &err));
    return id;
}

static void adds_and_reads(void **state) {
    (void)state;
    ts_store *st = new_store(NULL);
    ts_arena arena = TS_ARENA_INIT;
    int64_t a = add(st, "Say hello", "Hello."), ids[2] = {a + 100, a};
    ts_row rows[2];
    assert_ok(ts_rows_read(st, ids, 2, rows, &arena, &err));
    assert_true(rows[0].gone);
    assert_string_equal(rows[1].instruction.s, "Say hello");
    assert_string_equal(rows[1].output.s, "Hello.");
    assert_string_equal(rows[1].origin, "typed");
    assert_null(rows[1].system.s);
    assert_int_equal(rows[1].tokens, -1);
    assert_true(rows[1].score != rows[1].score);
    assert_int_equal(ts_row_read(st, 77, rows, &arena, &err), TS_NOT_FOUND);
    assert_non_null(strstr(err.text, "77"));
    ts_arena_release(&arena);
    ts_store_close(st);
}

static void adds_conversations(void **state) {
    (void)state;
    ts_store *st = new_store(NULL);
    ts_arena arena = TS_ARENA_INIT;
    ts_row row;
    int64_t id;
    ts_draft d = {.messages = text("[ {\"role\":\"system\",\"content\":\"Be kind.\"}, {\"role\":\"user\",\"content\":"
                                   "\"Hi\\u00e9\"}, {\"role\":\"assistant\", \"content\":\"Yo\", \"weight\": 1.50} ]")};
    assert_ok(ts_row_add(st, &d, &id, NULL, &err));
    assert_ok(ts_row_read(st, id, &row, &arena, &err));
    assert_int_equal(row.shape, TS_MESSAGES);
    assert_string_equal(row.instruction.s, "Hi\xc3\xa9");
    assert_string_equal(row.output.s, "Yo");
    assert_string_equal(row.system.s, "Be kind.");
    ts_edit e = {TS_OUTPUT, text("Yo \"you\"")};
    assert_ok(ts_row_edit(st, id, row.revision, &e, 1, NULL, &err));
    assert_ok(ts_row_read(st, id, &row, &arena, &err));
    assert_string_equal(row.output.s, "Yo \"you\"");
    assert_non_null(strstr(row.messages.s, "\"content\":\"Yo \\\"you\\\"\",\"weight\":1.50}"));
    d.messages = text("[{\"role\":\"user\",\"content\":\"Hi\"}]");
    assert_int_equal(ts_row_add(st, &d, &id, NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "assistant"));
    ts_arena_release(&arena);
    ts_store_close(st);
}

static void refuses_what_is_no_workspace(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    char *file = ts_path_join(dir, "file"), *ws = ts_path_join(dir, "ws"), *db = ts_path_join(ws, "tunesmith.db");
    ts_store *st;
    assert_int_equal(ts_store_open(&st, ws, "test", &err), TS_NOT_FOUND);
    assert_non_null(strstr(err.text, "tunesmith init"));
    assert_int_equal(ts_store_open(&st, dir, "test", &err), TS_INVALID);
    assert_non_null(strstr(err.text, "not a workspace"));
    assert_ok(ts_file_write(file, "x", 1, &err));
    assert_int_equal(ts_store_open(&st, file, "test", &err), TS_INVALID);
    assert_ok(ts_mkdirs(ws, &err));
    assert_ok(ts_file_write(db, "this is not a database, it is a plain text file", 47, &err));
    assert_int_equal(ts_store_open(&st, ws, "test", &err), TS_CORRUPT);
    assert_int_equal(ts_store_init(ws, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "already"));
    free(db);
    free(ws);
    free(file);
}

/* A workspace as the program of that version left it, with a row in it. */
static void make_old(const char *ws, int version) {
    char *path = ts_path_join(ws, "tunesmith.db");
    sqlite3 *db = NULL;
    assert_ok(ts_mkdirs(ws, &err));
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_ok(ts_schema_upgrade(db, 0, version, &err));
    assert_int_equal(sqlite3_exec(db,
                                  "PRAGMA application_id=0x54534d54; UPDATE counter SET value=1 WHERE name='example';"
                                  "INSERT INTO example(id,batch,line,shape,hash) VALUES(1,0,0,0,5);"
                                  "INSERT INTO body VALUES(1,'old','','row',NULL,NULL,NULL)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    free(path);
}

static void migrates_with_a_copy_from_every_version(void **state) {
    (void)state;
    for (int v = 1; v < TS_SCHEMA_VERSION; v++) {
        char *ws = ts_path_join(ts_test_dir(), "ws"), *copy = ts_printf("%s/tunesmith.db.v%d.bak", ws, v);
        ts_arena arena = TS_ARENA_INIT;
        ts_store *st, *old;
        ts_row row;
        make_old(ws, v);
        assert_ok(ts_store_open(&st, ws, "test", &err));
        assert_int_equal(ts_db_int(st, "PRAGMA user_version", 0), TS_SCHEMA_VERSION);
        assert_ok(ts_row_read(st, 1, &row, &arena, &err));
        assert_string_equal(row.output.s, "row");
        int64_t id = add(st, "new", "row"); /* all tables are there: it works as a new one does */
        assert_int_equal(id, 2);
        assert_ok(ts_undo(st, 0, NULL, &err));
        assert_int_equal(ts_db_int(st, "SELECT count(*) FROM vote", -1), 0);
        assert_int_equal(ts_db_int(st, "SELECT count(*) FROM snapshot", -1), 0);
        assert_ok(ts_store_check(st, &err));
        ts_store_close(st);
        /* the copy is the old workspace, whole: as one of its own it opens and is migrated again */
        char *other = ts_path_join(ts_test_dir(), "other"), *db = ts_path_join(other, "tunesmith.db");
        assert_ok(ts_mkdirs(other, &err));
        assert_ok(ts_file_copy(copy, db, &err));
        assert_ok(ts_store_open(&old, other, "test", &err));
        assert_ok(ts_row_read(old, 1, &row, &arena, &err));
        ts_store_close(old);
        ts_arena_release(&arena);
        free(db);
        free(other);
        free(copy);
        free(ws);
    }
}

static void refuses_a_newer_version_and_leaves_it(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_buf before = TS_BUF_INIT, after = TS_BUF_INIT;
    add(st, "q", "a");
    assert_ok(ts_db_run(st, "PRAGMA user_version=999", "make it new", &err));
    ts_store_close(st);
    char *db = ts_path_join(ws, "tunesmith.db");
    assert_ok(ts_file_read(db, 1 << 24, &before, &err));
    assert_int_equal(ts_store_open(&st, ws, "test", &err), TS_UNSUPPORTED);
    assert_null(st);
    assert_non_null(strstr(err.text, "newer tunesmith (format 999"));
    assert_non_null(strstr(err.text, "nothing was changed"));
    assert_ok(ts_file_read(db, 1 << 24, &after, &err));
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    ts_buf_release(&before);
    ts_buf_release(&after);
    free(db);
    free(ws);
}

/* From now on the kernel answers every request for a lock on a file with `answer`: ENOLCK as some network file systems
 * do, or 0, which grants everything. False where such a filter cannot be set. */
static bool fake_locks(uint32_t answer) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_OFD_SETLK, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_SETLK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {TS_COUNT(code), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void refuses_a_file_system_without_locks(void **state) {
    (void)state;
    static const struct {
        uint32_t answer;
        const char *words;
    } cases[] = {{ENOLCK, "has no locks"}, {0, "do not work"}};
    char *ws;
    ts_store *st = new_store(&ws);
    ts_store_close(st);
    char *fresh = ts_path_join(ts_test_dir(), "fresh");
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        pid_t child = fork();
        if (child == 0) {
            if (!fake_locks(cases[i].answer)) _exit(77);
            if (ts_store_open(&st, ws, "test", &err) != TS_UNSUPPORTED) _exit(1);
            if (!strstr(err.text, cases[i].words) || !strstr(err.text, "local disk")) _exit(2);
            if (ts_store_init(fresh, &err) != TS_UNSUPPORTED || ts_file_exists(fresh)) _exit(3);
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) skip(); /* a kernel without filters */
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    ts_names names = {0}; /* and the trial leaves nothing behind */
    assert_ok(ts_dir_list(ws, &names, &err));
    for (size_t i = 0; i < names.n; i++)
        assert_null(strstr(names.items[i], ".locks"));
    ts_names_release(&names);
    free(fresh);
    free(ws);
}

/* As another user, for whom the folder is read-only; root may write everywhere. */
static void reads_a_read_only_folder(void **state) {
    (void)state;
    if (geteuid() != 0) skip();
    char *ws;
    ts_store *st = new_store(&ws);
    int64_t id = add(st, "a", "b");
    ts_store_close(st);
    for (char *p = strchr(ws + 1, '/'); p; p = strchr(p + 1, '/')) { /* mkdtemp's folder is private */
        *p = 0;
        if (strncmp(ws, "/tmp/", 5) == 0) chmod(ws, 0755);
        *p = '/';
    }
    pid_t child = fork();
    if (child == 0) {
        ts_arena arena = TS_ARENA_INIT;
        ts_row row;
        if (setuid(65534) != 0) _exit(9);
        if (ts_store_open(&st, ws, "test", &err) != TS_OK) _exit(1);
        if (!ts_store_read_only(st) || ts_row_read(st, id, &row, &arena, &err) != TS_OK) _exit(2);
        if (ts_rows_set_status(st, &id, 1, TS_ACCEPTED, NULL, &err) != TS_IO) _exit(3);
        _exit(strstr(err.text, "may only be read") ? 0 : 4);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    free(ws);
}

static void marks_and_finds(void **state) {
    (void)state;
    ts_store *st = new_store(NULL);
    ts_done done;
    int64_t ids[5];
    for (int i = 0; i < 5; i++)
        ids[i] = add(st, "q", "a");
    assert_ok(ts_rows_set_status(st, ids + 1, 3, TS_REJECTED, &done, &err));
    assert_int_equal(done.rows, 3);
    assert_string_equal(done.text, "rejected 3 rows");
    assert_ok(ts_rows_set_status(st, ids, 5, TS_REJECTED, &done, &err));
    assert_int_equal(done.rows, 2);
    assert_ok(ts_rows_set_status(st, ids, 5, TS_REJECTED, &done, &err));
    assert_int_equal(done.step, 0);
    assert_ok(ts_rows_tag(st, ids, 2, "health", true, &done, &err));
    assert_ok(ts_rows_tag(st, ids + 1, 2, "diet", true, &done, &err));
    assert_string_equal(done.text, "tagged 2 rows with diet");
    assert_int_equal(ts_rows_tag(st, ids, 1, "two words", true, NULL, &err), TS_INVALID);
    assert_int_equal(ts_rows_set_rating(st, ids, 1, 6, NULL, &err), TS_INVALID);
    ts_arena arena = TS_ARENA_INIT;
    ts_row row;
    assert_ok(ts_row_read(st, ids[1], &row, &arena, &err));
    assert_string_equal(row.tags, "diet health");
    assert_ok(ts_rows_tag(st, ids, 5, "health", false, &done, &err));
    assert_int_equal(done.rows, 2);
    assert_ok(ts_row_read(st, ids[1], &row, &arena, &err));
    assert_string_equal(row.tags, "diet");
    ts_counts c;
    assert_ok(ts_store_counts(st, &c, &err));
    assert_int_equal(c.rows, 5);
    assert_int_equal(c.by_status[TS_REJECTED], 5);
    ts_arena_release(&arena);
    ts_store_close(st);
}

static void refuses_an_edit_of_a_changed_row(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws), *other;
    ts_arena arena = TS_ARENA_INIT;
    ts_row row;
    ts_done done;
    int64_t id = add(st, "q", "a");
    assert_ok(ts_store_open(&other, ws, "cli", &err));
    assert_ok(ts_row_read(st, id, &row, &arena, &err));
    int64_t version = ts_store_version(st);
    ts_edit e = {TS_OUTPUT, text("theirs")};
    assert_ok(ts_row_edit(other, id, -1, &e, 1, &done, &err));
    assert_true(ts_store_version(st) > version);
    e.text = text("mine");
    assert_int_equal(ts_row_edit(st, id, row.revision, &e, 1, &done, &err), TS_BUSY);
    assert_non_null(strstr(err.text, "cli edited output of row 1"));
    /* after their change is taken back, the row is what we saw */
    assert_ok(ts_undo(other, 0, &done, &err));
    assert_ok(ts_row_edit(st, id, row.revision, &e, 1, &done, &err));
    assert_int_equal(ts_undo(other, done.step - 1, &done, &err), TS_BUSY);
    assert_non_null(strstr(err.text, "test edited output"));
    ts_edit bad = {TS_OUTPUT, {"a\xff", 2}};
    assert_int_equal(ts_row_edit(st, id, -1, &bad, 1, NULL, &err), TS_INVALID);
    ts_store_close(other);
    ts_store_close(st);
    ts_arena_release(&arena);
    free(ws);
}

static void waits_for_another_program_only_so_long(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws), *other;
    int64_t id = add(st, "q", "a");
    assert_ok(ts_store_open(&other, ws, "cli", &err));
    assert_ok(ts_db_begin(other, "hold it", &err));
    ts_store_patience(st, 50);
    assert_int_equal(ts_rows_set_status(st, &id, 1, TS_ACCEPTED, NULL, &err), TS_BUSY);
    assert_non_null(strstr(err.text, "another program is changing"));
    ts_counts c; /* reading goes on */
    assert_ok(ts_store_counts(st, &c, &err));
    assert_int_equal(c.rows, 1);
    ts_db_rollback(other);
    assert_ok(ts_rows_set_status(st, &id, 1, TS_ACCEPTED, NULL, &err));
    ts_store_close(other);
    ts_store_close(st);
    free(ws);
}

static void two_programs_write_at_once(void **state) {
    (void)state;
    enum { EACH = 60 };
    char *ws;
    ts_store *st = new_store(&ws);
    ts_store_close(st);
    pid_t children[2];
    for (int c = 0; c < 2; c++) {
        children[c] = fork();
        if (children[c]) continue;
        if (ts_store_open(&st, ws, c ? "one" : "two", &err) != TS_OK) _exit(1);
        ts_store_patience(st, 60000);
        for (int i = 0; i < EACH; i++) {
            ts_draft d = {.instruction = text("q"), .output = text("a")};
            int64_t id;
            if (ts_row_add(st, &d, &id, NULL, &err) != TS_OK) _exit(2);
            if (ts_rows_set_status(st, &id, 1, TS_ACCEPTED, NULL, &err) != TS_OK) _exit(3);
        }
        ts_store_close(st);
        _exit(0);
    }
    for (int c = 0; c < 2; c++) {
        int status;
        waitpid(children[c], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_ok(ts_store_open(&st, ws, "test", &err));
    ts_counts counts;
    assert_ok(ts_store_counts(st, &counts, &err));
    assert_int_equal(counts.rows, 2 * EACH);
    assert_int_equal(counts.by_status[TS_ACCEPTED], 2 * EACH);
    assert_ok(ts_store_check(st, &err));
    ts_store_close(st);
    free(ws);
}

static void full_disk_changes_nothing(void **state) {
    (void)state;
    ts_store *st = new_store(NULL);
    char before[33], after[33];
    add(st, "q", "a");
    assert_ok(ts_store_hash(st, before, &err));
    char *big = ts_malloc(4000001);
    memset(big, 'x', 4000000);
    big[4000000] = 0;
    assert_ok(ts_db_run(st, "PRAGMA max_page_count=100", "limit the file", &err));
    ts_draft d = {.instruction = text("q"), .output = text(big)};
    assert_int_equal(ts_row_add(st, &d, NULL, NULL, &err), TS_IO);
    assert_non_null(strstr(err.text, "no room is left"));
    assert_ok(ts_store_hash(st, after, &err));
    assert_string_equal(before, after);
    free(big);
    ts_store_close(st);
}

/* A limit on the size of files does what a full disk does, and can be lifted. */
static void goes_on_when_the_disk_has_room_again(void **state) {
    (void)state;
    char *ws;
    ts_store *st = new_store(&ws);
    ts_buf text = TS_BUF_INIT;
    for (int i = 0; i < 4000; i++)
        ts_buf_printf(&text, "{\"instruction\":\"question %d\",\"output\":\"an answer of some length, number %d\"}\n",
                      i, i);
    const char *path = ts_test_path("rows.jsonl");
    assert_ok(ts_file_write(path, text.data, text.len, &err));
    ts_store_close(st);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit;
        ts_import_file f;
        char before[33], after[33];
        int64_t id = 1;
        signal(SIGXFSZ, SIG_IGN);
        if (ts_store_open(&st, ws, "test", &err) != TS_OK) _exit(1);
        add(st, "q", "a");
        if (ts_store_hash(st, before, &err) != TS_OK || getrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
        rlim_t all = limit.rlim_cur;
        limit.rlim_cur = 200 * 1024;
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(3);
        if (ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err) != TS_IO) _exit(4);
        if (!strstr(err.text, "no room is left")) _exit(5);
        if (ts_store_hash(st, after, &err) != TS_OK || strcmp(before, after) != 0) _exit(6);
        if (ts_rows_set_status(st, &id, 1, TS_ACCEPTED, NULL, &err) != TS_OK) _exit(7); /* a small act may still fit */
        limit.rlim_cur = all;
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(8);
        if (ts_import(st, &path, 1, NULL, NULL, &f, NULL, &err) != TS_OK || f.imported != 4000) _exit(9);
        if (ts_store_check(st, &err) != TS_OK) _exit(10);
        ts_store_close(st);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    ts_buf_release(&text);
    free(ws);
}

static void keeps_settings(void **state) {
    (void)state;
    ts_store *st = new_store(NULL);
    ts_buf value = TS_BUF_INIT;
    assert_false(ts_setting_get(st, "model", &value));
    assert_ok(ts_setting_set(st, "model", "smollm", &err));
    assert_true(ts_setting_get(st, "model", &value));
    assert_string_equal(value.data, "smollm");
    assert_ok(ts_setting_set(st, "model", NULL, &err));
    ts_buf_reset(&value);
    assert_false(ts_setting_get(st, "model", &value));
    ts_buf_release(&value);
    ts_store_close(st);
}

/* "side wins losses ties none blind;" of every side. */
static void tell_sides(ts_store *st, ts_buf *out) {
    ts_arena arena = TS_ARENA_INIT;
    ts_side_votes *v;
    size_t n;
    ts_buf_reset(out);
    assert_ok(ts_votes_by_side(st, &v, &n, &arena, &err));
    for (size_t i = 0; i < n; i++)
        ts_buf_printf(out, "%s %d %d %d %d %d;", v[i].side, (int)v[i].wins, (int)v[i].losses, (int)v[i].ties,
                      (int)v[i].none, (int)v[i].blind);
    ts_arena_release(&arena);
}

static void keeps_answers(void **state) {
    (void)state;
    ts_store *st = new_store(NULL);
    ts_arena arena = TS_ARENA_INIT;
    int64_t a, b, again;
    assert_ok(ts_prompt_keep(st, text("[1]"), text("wanted"), &a, &err));
    assert_ok(ts_prompt_keep(st, text("[2]"), (ts_text){NULL, 0}, &b, &err));
    assert_ok(ts_prompt_keep(st, text("[1]"), (ts_text){NULL, 0}, &again, &err));
    assert_int_equal(a, again);
    assert_int_not_equal(a, b);
    ts_kept_answer answer = {"run:3", text("new"), text("{}")}, *list;
    size_t n;
    assert_ok(ts_answer_keep(st, a, &(ts_kept_answer){"run:3", text("old"), {NULL, 0}}, &err));
    assert_ok(ts_answer_keep(st, a, &answer, &err));
    assert_ok(ts_answer_keep(st, a, &(ts_kept_answer){"base", text("plain"), {NULL, 0}}, &err));
    assert_ok(ts_answers_read(st, a, &list, &n, &arena, &err));
    assert_int_equal(n, 2);
    assert_string_equal(list[0].side, "base");
    assert_null(list[0].detail.s);
    assert_string_equal(list[1].text.s, "new");
    assert_int_equal(ts_prompt_find(st, text("[2]")), b);
    assert_int_equal(ts_prompt_find(st, text("[3]")), 0);
    ts_arena_release(&arena);
    ts_store_close(st);
}

/* What the vote on a prompt, or the note with it, is. */
static void expect_vote(ts_store *st, int64_t prompt, const char *side) {
    ts_buf out = TS_BUF_INIT;
    assert_int_equal(ts_vote_get(st, prompt, &out), side != NULL);
    if (side) assert_string_equal(out.data, side);
    ts_buf_release(&out);
}

static void expect_note(ts_store *st, int64_t prompt, const char *note) {
    ts_buf out = TS_BUF_INIT;
    assert_true(ts_vote_note_get(st, prompt, &out));
    assert_string_equal(out.data, note);
    ts_buf_release(&out);
}

static void keeps_votes(void **state) {
    (void)state;
    ts_store *st = new_store(NULL);
    ts_done done;
    ts_buf out = TS_BUF_INIT;
    int64_t a, b;
    assert_ok(ts_prompt_keep(st, text("[1]"), text("wanted"), &a, &err));
    assert_ok(ts_prompt_keep(st, text("[2]"), (ts_text){NULL, 0}, &b, &err));
    assert_ok(ts_answer_keep(st, a, &(ts_kept_answer){"run:3", text("new"), {NULL, 0}}, &err));
    assert_ok(ts_answer_keep(st, a, &(ts_kept_answer){"base", text("plain"), {NULL, 0}}, &err));
    assert_ok(ts_answer_keep(st, b, &(ts_kept_answer){"base", text("x"), {NULL, 0}}, &err));
    assert_ok(ts_vote_set(st, a, "base", false, NULL, NULL, &err));
    assert_ok(ts_vote_set(st, a, "run:3", true, "clearer", &done, &err));
    assert_ok(ts_vote_set(st, b, "tie", false, NULL, NULL, &err));
    expect_vote(st, a, "run:3");
    tell_sides(st, &out);
    assert_string_equal(out.data, "run:3 1 0 0 0 1;base 0 1 1 0 1;");
    ts_buf_release(&out);
    assert_ok(ts_vote_set(st, a, "run:3", false, NULL, &done, &err));
    assert_int_equal(done.step, 0); /* nothing to do, nothing to undo */
    assert_ok(ts_vote_set(st, b, NULL, false, NULL, NULL, &err));
    expect_vote(st, b, NULL);
    assert_int_equal(ts_vote_set(st, 99, "base", false, NULL, NULL, &err), TS_NOT_FOUND);
    assert_int_equal(ts_vote_note(st, b, "why", NULL, &err), TS_NOT_FOUND);
    assert_ok(ts_vote_note(st, a, "shorter", NULL, &err));
    expect_note(st, a, "shorter");
    assert_ok(ts_undo(st, 0, NULL, &err));
    expect_note(st, a, "clearer");

    /* a vote is a step: undo and redo, back to the vote before it */
    assert_ok(ts_undo(st, 0, &done, &err));
    expect_vote(st, b, "tie");
    assert_ok(ts_undo(st, 0, &done, &err));
    expect_vote(st, b, NULL);
    assert_ok(ts_undo(st, 0, &done, &err));
    expect_vote(st, a, "base");
    assert_ok(ts_redo(st, &done, &err));
    expect_vote(st, a, "run:3");
    ts_store_close(st);
}

/* Where a held-out prompt with its reference came from. */
static void rows_are_found_by_what_they_ask_and_answer(void **state) {
    (void)state;
    char *folder;
    ts_store *st = new_store(&folder);
    int64_t id = 0;
    const ts_draft rows[] = {{.instruction = text("Sum up"), .input = text("A long text"), .output = text("Short.")},
                             {.instruction = text("Sum up"), .input = text("A long text"), .output = text("Else.")},
                             {.instruction = text("Who?"), .input = text(""), .output = text("Me.")}};
    for (size_t i = 0; i < TS_COUNT(rows); i++)
        assert_ok(ts_row_add(st, &rows[i], NULL, NULL, &err));
    assert_ok(ts_row_find_pair(st, text("Sum up\nA long text"), text("Else."), &id, &err));
    assert_int_equal(id, 2);
    assert_ok(ts_row_find_pair(st, text("Who?"), text("Me."), &id, &err));
    assert_int_equal(id, 3);
    assert_int_equal(ts_row_find_pair(st, text("Who?"), text("You."), &id, &err), TS_NOT_FOUND);
    ts_store_close(st);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_and_reads),
        cmocka_unit_test(adds_conversations),
        cmocka_unit_test(refuses_what_is_no_workspace),
        cmocka_unit_test(migrates_with_a_copy_from_every_version),
        cmocka_unit_test(refuses_a_newer_version_and_leaves_it),
        cmocka_unit_test(refuses_a_file_system_without_locks),
        cmocka_unit_test(reads_a_read_only_folder),
        cmocka_unit_test(marks_and_finds),
        cmocka_unit_test(refuses_an_edit_of_a_changed_row),
        cmocka_unit_test(waits_for_another_program_only_so_long),
        cmocka_unit_test(two_programs_write_at_once),
        cmocka_unit_test(full_disk_changes_nothing),
        cmocka_unit_test(goes_on_when_the_disk_has_room_again),
        cmocka_unit_test(keeps_settings),
        cmocka_unit_test(keeps_answers),
        cmocka_unit_test(keeps_votes),
        cmocka_unit_test(rows_are_found_by_what_they_ask_and_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
