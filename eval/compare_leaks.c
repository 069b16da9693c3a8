/* Prompts that the model may have seen in training. */
#include "core/base/file.h"
#include "dataset/contamination.h"
#include "dataset/view.h"
#include "eval/compare_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The prompts as a file, one object a line: what the search reads. */
static ts_status write_prompts(const ts_compare *c, char **path, ts_err *err) {
    const char *tmp = getenv("TMPDIR");
    ts_buf text = TS_BUF_INIT;
    for (size_t i = 0; i < c->n_prompts; i++) {
        ts_jw w = ts_jw_to(&text);
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "prompt", c->prompts[i].text);
        ts_jw_end_obj(&w);
        ts_buf_putc(&text, '\n');
    }
    *path = ts_printf("%s/tunesmith-prompts-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    int fd = mkstemp(*path);
    ts_status status = fd < 0 ? ts_fail_errno(err, "cannot write the prompts to %s", *path)
                              : ts_file_append(fd, *path, ts_buf_str(&text), text.len, err);
    if (fd >= 0) close(fd);
    ts_buf_release(&text);
    return status;
}

/* What was trained on: the rows that a run's split put there; before there is one, what a run would take. */
static const char *trained_rows(ts_store *st) {
    ts_view *v = NULL;
    ts_err ignored;
    bool split = ts_view_new(&v, st, "split=train", NULL, NULL, NULL, &ignored) == TS_OK && ts_view_count(v) > 0;
    ts_view_free(v);
    return split ? "split=train" : "status=accepted and not split=valid";
}

static void take_leaks(ts_compare *c, const ts_leak_report *r) {
    for (size_t i = 0; i < r->n; i++) {
        const ts_leak *leak = &r->leaks[i];
        ts_prompt *p = &c->prompts[leak->line - 1]; /* a line each */
        if (leak->words <= p->leak || leak->id == p->example) continue;
        p->leak = leak->words;
        p->leak_row = leak->id;
    }
}

ts_status ts_compare_leaks(ts_compare *c, const char *ws, ts_progress *progress, ts_err *err) {
    ts_store *st = NULL;
    ts_arena arena = TS_ARENA_INIT;
    ts_leak_report report = {0};
    char *path = NULL, *db = ws ? ts_path_join(ws, "tunesmith.db") : NULL;
    ts_status status = TS_OK;
    if (!db || !ts_file_exists(db)) goto out;
    TS_GOTO(ts_store_open(&st, ws, "compare", err));
    TS_GOTO(write_prompts(c, &path, err));
    ts_progress_what(progress, "looking for the prompts in what was trained on");
    TS_GOTO(ts_contamination(st, path, trained_rows(st), TS_LEAK_LEAST, progress, &report, &arena, err));
    take_leaks(c, &report);
out:
    if (path) unlink(path);
    free(path);
    free(db);
    ts_arena_release(&arena);
    ts_store_close(st);
    return status;
}
