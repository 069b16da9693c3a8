/* Random acts of every kind (1,000; random_acts_full_test.c: 10,000), with undo and redo among them: undo to the start
 * gives the rows of the start, redo to the end those of the end, and on both ways the rows are what they were whenever
 * they were looked at. */
#include "tests/support.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "dataset/answers.h"
#include "dataset/apart.h"
#include "dataset/db.h"
#include "dataset/dedupe.h"
#include "dataset/history.h"
#include "dataset/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef TS_ACTS
#define TS_ACTS 1000
#endif

enum { ACTS = TS_ACTS, FILES = 6, LOOK_EVERY = ACTS / 50 };

static ts_err err;

static ts_text text(const char *s) {
    return (ts_text){s, strlen(s)};
}

struct world {
    ts_store *st;
    ts_rand r;
    const char *files[FILES];
    int64_t rows; /* ids given out */
    int done[16]; /* acts that changed something, by kind */
    char words[64];
    ts_buf messages;
};

static uint64_t below(struct world *w, uint64_t n) {
    return ts_rand_below(&w->r, n);
}

static const char *words(struct world *w) {
    snprintf(w->words, sizeof w->words, "text %llu of %llu", (unsigned long long)below(w, 40),
             (unsigned long long)below(w, 40));
    return w->words;
}

/* A conversation of 1 to 4 exchanges. */
static const char *conversation(struct world *w) {
    ts_buf *b = &w->messages;
    ts_buf_reset(b);
    ts_buf_puts(b, below(w, 3) ? "[" : "[{\"role\":\"system\",\"content\":\"be \xc3\xa9\"},");
    for (uint64_t i = 0, n = 1 + below(w, 4); i < n; i++) {
        ts_buf_puts(b, i ? ",{\"role\":\"user\",\"content\":" : "{\"role\":\"user\",\"content\":");
        ts_buf_printf(b, below(w, 2) ? "\"%s\"" : "[{\"type\":\"text\",\"text\":\"%s\"}]", words(w));
        ts_buf_printf(b, "},{\"role\":\"assistant\",\"content\":\"%s\",\"weight\":%llu}", words(w),
                      (unsigned long long)below(w, 2));
    }
    ts_buf_putc(b, ']');
    return ts_buf_str(b);
}

static void make_files(struct world *w) {
    ts_buf b = TS_BUF_INIT;
    for (int f = 0; f < FILES; f++) {
        ts_buf_reset(&b);
        for (int i = 0; i < 3 + f; i++) {
            if (f % 3 == 0)
                ts_buf_printf(&b, "{\"instruction\":\"%s\",\"output\":\"a\",\"source\":{\"n\":%d}}\n", words(w), i);
            else if (f % 3 == 1)
                ts_buf_printf(&b, "{\"messages\":%s}\n", conversation(w));
            else
                ts_buf_printf(&b, i % 2 ? "{\"question\":\"%s\",\"answer\":\"a\"}\n" : "{\"question\":\"%s\"\n",
                              words(w));
        }
        char name[32];
        snprintf(name, sizeof name, "file%d.jsonl", f);
        w->files[f] = ts_test_path(name);
        assert_ok(ts_file_write(w->files[f], b.data, b.len, &err));
    }
    ts_buf_release(&b);
}

static ts_status edit_row(struct world *w, int64_t id, ts_done *done) {
    static const ts_field fields[] = {TS_INSTRUCTION, TS_INPUT, TS_OUTPUT, TS_SYSTEM, TS_TAGS};
    ts_arena arena = TS_ARENA_INIT;
    ts_row row;
    ts_edit e[2] = {{fields[below(w, 5)], text(words(w))}, {TS_SYSTEM, {NULL, 0}}};
    ts_status status = ts_row_read(w->st, id, &row, &arena, &err);
    if (status == TS_OK && row.shape == TS_MESSAGES && below(w, 3))
        e[0] = (ts_edit){TS_MESSAGES_JSON, text(conversation(w))};
    bool two = status == TS_OK && row.shape == TS_ALPACA && e[0].field != TS_SYSTEM && below(w, 4) == 0;
    if (status == TS_OK) status = ts_row_edit(w->st, id, -1, e, two ? 2 : 1, done, &err);
    ts_arena_release(&arena);
    return status;
}

static ts_status add_row(struct world *w, ts_done *done) {
    bool turns = below(w, 3) == 0;
    ts_draft d = {.instruction = text(words(w)), .input = text(""), .output = text("answer")};
    if (turns) d = (ts_draft){.messages = text(conversation(w))};
    return ts_row_add(w->st, &d, NULL, done, &err);
}

static ts_status dedupe(struct world *w, ts_done *done) {
    ts_dedupe_options o = TS_DEDUPE_DEFAULTS;
    ts_dedupe_report report;
    o.near.exact = below(w, 2);
    o.keep = (ts_dup_keep)below(w, 3);
    o.apply = true;
    ts_status status = ts_dedupe(w->st, &o, NULL, NULL, NULL, &report, &err);
    *done = report.done;
    return status;
}

static ts_status import(struct world *w, ts_done *done) {
    ts_import_file results[2];
    const char *paths[2] = {w->files[below(w, FILES)], w->files[below(w, FILES)]};
    ts_import_options o = {.skip_known = below(w, 4) == 0};
    return ts_import(w->st, paths, 1 + below(w, 2), &o, NULL, results, done, &err);
}

static ts_status repair(struct world *w, ts_done *done) {
    ts_reject *list;
    size_t n;
    ts_arena arena = TS_ARENA_INIT;
    ts_buf b = TS_BUF_INIT;
    ts_import_file result;
    *done = (ts_done){0};
    ts_status status = ts_rejects_read(w->st, 0, 3, &list, &n, &arena, &err);
    for (size_t i = 0; i < n; i++)
        ts_buf_printf(&b, "{\"id\":%lld,\"row\":{\"question\":\"mended\",\"answer\":\"a\"}}\n", (long long)list[i].id);
    const char *path = w->files[0];
    char *mended = ts_printf("%s.mended.%d", path, (int)getpid());
    if (status == TS_OK && n) status = ts_file_write(mended, b.data, b.len, &err);
    if (status == TS_OK && n) status = ts_rejects_repair(w->st, mended, NULL, &result, done, &err);
    free(mended);
    ts_buf_release(&b);
    ts_arena_release(&arena);
    return status;
}

/* Up to 64 rows, near each other or anywhere. */
static size_t some_rows(struct world *w, int64_t ids[64]) {
    size_t n = 1 + below(w, 64);
    int64_t first = 1 + (int64_t)below(w, (uint64_t)w->rows);
    bool near = below(w, 2);
    for (size_t i = 0; i < n; i++)
        ids[i] = near ? first + (int64_t)i : 1 + (int64_t)below(w, (uint64_t)w->rows);
    return n;
}

static void random_act(struct world *w) {
    static const char *const tags[] = {"health", "diet", "code", "z\xc3\xbcrich"};
    int64_t ids[64];
    size_t n = some_rows(w, ids);
    ts_done done = {0};
    ts_status status;
    uint64_t kind = below(w, 1000);
    int k;
    if (kind < 250)
        k = 0, status = edit_row(w, ids[0], &done);
    else if (kind < 450)
        k = 1, status = ts_rows_set_status(w->st, ids, n, (ts_row_status)below(w, 4), &done, &err);
    else if (kind < 600)
        k = 2, status = ts_rows_tag(w->st, ids, n, tags[below(w, 4)], below(w, 3) > 0, &done, &err);
    else if (kind < 700)
        k = 3, status = ts_rows_set_rating(w->st, ids, n, (int)below(w, 6), &done, &err);
    else if (kind < 850)
        k = 4, status = add_row(w, &done);
    else if (kind < 910)
        k = 5, status = ts_row_dismiss(w->st, ids[0], "refusal", below(w, 2), &done, &err);
    else if (kind < 940)
        k = 6,
        status = ts_vote_set(w->st, 1 + (int64_t)below(w, 2), below(w, 2) ? "base" : "tie", false, NULL, &done, &err);
    else if (kind < 970)
        k = 7, status = import(w, &done);
    else if (kind < 980)
        k = 8, status = repair(w, &done);
    else if (kind < 985)
        k = 9, status = dedupe(w, &done);
    else
        k = 10, status = ts_rows_apart(w->st, ids[0], ids + 1, n - 1, below(w, 3) > 0, &done, &err);
    /* the row may have been undone; a field may not be that conversation's */
    if (status != TS_OK && status != TS_NOT_FOUND && status != TS_INVALID) fail_msg("act %d: %s", k, err.text);
    w->done[k] += status == TS_OK && done.step;
    w->rows = ts_db_int(w->st, "SELECT max(value,1) FROM counter WHERE name='example'", 1);
}

/* Some steps back, and perhaps some forth. */
static void wander(struct world *w) {
    for (uint64_t i = 0, n = 1 + below(w, 6); i < n; i++)
        if (ts_undo(w->st, 0, NULL, &err) != TS_OK) return;
    for (uint64_t i = 0, n = below(w, 7); i < n; i++)
        if (ts_redo(w->st, NULL, &err) != TS_OK) return;
}

/* What the rows were when `step` was the latest. */
struct look {
    int64_t step;
    char hash[33];
};

static void compare_look(struct world *w, const struct look *looks, size_t n, size_t *compared) {
    int64_t last = ts_history_last(w->st);
    char now[33];
    for (size_t i = 0; i < n; i++) {
        if (looks[i].step != last) continue;
        assert_ok(ts_store_hash(w->st, now, &err));
        assert_string_equal(now, looks[i].hash);
        (*compared)++;
    }
}

static void start_world(struct world *w, const char *ws) {
    int64_t prompt;
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&w->st, ws, "test", &err));
    assert_ok(ts_db_run(w->st, "PRAGMA synchronous=OFF", "be quick", &err)); /* kill -9 is crash_test's */
    ts_rand_seed(&w->r, 20261125);
    make_files(w);
    assert_ok(ts_prompt_keep(w->st, text("[1]"), text("wanted"), &prompt, &err));
    assert_ok(ts_prompt_keep(w->st, text("[2]"), text("wanted"), &prompt, &err));
    w->rows = 1;
}

static void undo_to_the_start_and_redo_to_the_end(void **state) {
    (void)state;
    struct world w = {0};
    struct look looks[ACTS / LOOK_EVERY];
    size_t n_looks = 0, compared = 0, undone = 0, redone = 0;
    char *ws = ts_path_join(ts_test_dir(), "ws"), start[33], end[33], now[33];
    start_world(&w, ws);
    assert_ok(ts_store_hash(w.st, start, &err));
    for (int i = 0; i < ACTS; i++) {
        random_act(&w);
        if (below(&w, 40) == 0) wander(&w);
        if (i % LOOK_EVERY) continue;
        looks[n_looks].step = ts_history_last(w.st);
        assert_ok(ts_store_hash(w.st, looks[n_looks++].hash, &err));
    }
    assert_ok(ts_store_hash(w.st, end, &err));
    ts_store_close(w.st);
    assert_ok(ts_store_open(&w.st, ws, "test", &err)); /* a restart between */
    assert_ok(ts_db_run(w.st, "PRAGMA synchronous=OFF", "be quick", &err));
    for (; ts_undo(w.st, 0, NULL, &err) == TS_OK; undone++)
        compare_look(&w, looks, n_looks, &compared);
    if (err.code != TS_NOT_FOUND) fail_msg("after %zu steps back: %s", undone, err.text);
    assert_ok(ts_store_hash(w.st, now, &err));
    assert_string_equal(now, start);
    for (; ts_redo(w.st, NULL, &err) == TS_OK; redone++)
        compare_look(&w, looks, n_looks, &compared);
    if (err.code != TS_NOT_FOUND) fail_msg("after %zu steps forth: %s", redone, err.text);
    assert_ok(ts_store_hash(w.st, now, &err));
    assert_string_equal(now, end);
    assert_int_equal(undone, redone);
    assert_ok(ts_store_check(w.st, &err));
    print_message(
        "%d acts, %zu steps back and forth, %lld rows, looked at %zu times; edits %d status %d tags %d ratings "
        "%d new rows %d dismissals %d votes %d imports %d repairs %d dedupes %d apart %d\n",
        ACTS, undone, (long long)w.rows, compared, w.done[0], w.done[1], w.done[2], w.done[3], w.done[4], w.done[5],
        w.done[6], w.done[7], w.done[8], w.done[9], w.done[10]);
    for (int k = 0; k <= 10; k++)
        assert_true(w.done[k] > 0);
    assert_true(undone > ACTS / 2 && compared > 20);
    ts_buf_release(&w.messages);
    ts_store_close(w.st);
    free(ws);
}

/* Two programs work at random on one workspace, undoing each other's steps too: nobody is hurt, and all of it can be
 * undone. */
static void two_programs_at_once(void **state) {
    (void)state;
    enum { EACH = ACTS / 4 };
    struct world w = {0};
    char *ws = ts_path_join(ts_test_dir(), "ws"), start[33], end[33], now[33];
    start_world(&w, ws);
    assert_ok(ts_store_hash(w.st, start, &err));
    ts_store_close(w.st);
    pid_t children[2];
    for (int c = 0; c < 2; c++) {
        children[c] = fork();
        if (children[c]) continue;
        assert_ok(ts_store_open(&w.st, ws, c ? "one" : "two", &err)); /* a failure in a child is its exit code */
        assert_ok(ts_db_run(w.st, "PRAGMA synchronous=OFF", "be quick", &err));
        ts_store_patience(w.st, 60000);
        ts_rand_seed(&w.r, (uint64_t)c);
        for (int i = 0; i < EACH; i++) {
            random_act(&w);
            if (below(&w, 20) == 0) wander(&w);
        }
        ts_store_close(w.st);
        _exit(0);
    }
    for (int c = 0; c < 2; c++) {
        int status;
        waitpid(children[c], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_ok(ts_store_open(&w.st, ws, "test", &err));
    assert_ok(ts_db_run(w.st, "PRAGMA synchronous=OFF", "be quick", &err));
    assert_ok(ts_store_check(w.st, &err));
    assert_ok(ts_store_hash(w.st, end, &err));
    size_t steps = 0;
    while (ts_undo(w.st, 0, NULL, &err) == TS_OK)
        steps++;
    assert_int_equal(err.code, TS_NOT_FOUND);
    assert_ok(ts_store_hash(w.st, now, &err));
    assert_string_equal(now, start);
    for (size_t i = 0; i < steps; i++)
        assert_ok(ts_redo(w.st, NULL, &err));
    assert_ok(ts_store_hash(w.st, now, &err));
    assert_string_equal(now, end);
    assert_true(steps > EACH / 2);
    ts_buf_release(&w.messages);
    ts_store_close(w.st);
    free(ws);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(undo_to_the_start_and_redo_to_the_end),
        cmocka_unit_test(two_programs_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
