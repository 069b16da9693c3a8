#include "eval/plan_check.h"

#include "core/base/hash.h"
#include "core/base/machine.h"
#include "core/work/child.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Fewer examples than `few` teach at most how answers look; with fewer steps than `steps` the rate has hardly risen. A
 * whole model forgets and overfits on so few as `few_whole`. */
enum { TOO_FEW = 10, FEW = 50, FEW_WHOLE = 1000, FEW_STEPS = 10 };

/* Where people train and papers sweep: LoRA 1e-5 to 2e-3 (QLoRA: 1e-4, 2e-4; the LoRA paper: 2e-4 and above), whole
 * models 1e-6 to 1e-4. */
static const double usual_lora[2] = {1e-5, 2e-3}, usual_whole[2] = {1e-6, 1e-4};

static void TS_PRINTF(2, 3) warn(ts_names *out, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    TS_PUSH(out->items, out->n, out->cap, ts_strdup(text));
}

/* --- the rows themselves --- */

struct row {
    uint64_t all, prompt; /* hashes; prompt 0: it has none */
    int64_t line;
};

struct rows {
    struct row *items;
    size_t n, cap;
};

/* Of everything before the last turn. */
static uint64_t prompt_hash(const ts_json *row) {
    ts_buf text = TS_BUF_INIT;
    for (const ts_json *m = ts_json_child(ts_json_get(row, "messages")); m && ts_json_next(m); m = ts_json_next(m))
        ts_json_print(m, &text);
    uint64_t hash = text.len ? ts_hash64(text.data, text.len, 1) : 0;
    ts_buf_release(&text);
    return hash;
}

static ts_status read_rows(const char *path, struct rows *out, ts_err *err) {
    ts_lines l = {0};
    ts_status status = TS_OK;
    const char *line;
    size_t n;
    int64_t number = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ts_fail_errno(err, "cannot open %s", path);
    while (status == TS_OK && !l.eof) {
        status = ts_lines_fill(&l, fd, err);
        if (l.eof && l.buf.len > l.next) ts_buf_putc(&l.buf, '\n'); /* a last line without its newline */
        while (status == TS_OK && ts_lines_next(&l, &line, &n)) {
            number++;
            if (strspn(line, " \t\r") >= n) continue;
            ts_json *row = ts_json_parse(line, n, NULL);
            struct row r = {ts_hash64(line, n, 0), prompt_hash(row), number};
            ts_json_free(row);
            TS_PUSH(out->items, out->n, out->cap, r);
        }
    }
    close(fd);
    ts_lines_release(&l);
    return status;
}

static int by_all(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->all != y->all) return x->all < y->all ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int by_prompt(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    return x->prompt < y->prompt ? -1 : x->prompt > y->prompt;
}

/* --- names --- */

/* "rows 3, 8 and 2 more", or lines where the rows have no number. lines: the first n_lines of `total`. */
static void put_names(const ts_plan_data *d, const int64_t *lines, size_t n_lines, int64_t total, ts_buf *out) {
    ts_buf_puts(out, d->ids ? (total == 1 ? "row" : "rows") : total == 1 ? "line" : "lines");
    for (size_t i = 0; i < n_lines; i++) {
        size_t at = (size_t)(lines[i] - 1);
        ts_buf_printf(out, "%s %lld", i ? "," : "", (long long)(d->ids && at < d->n_ids ? d->ids[at] : lines[i]));
    }
    if ((int64_t)n_lines < total) ts_buf_printf(out, " and %lld more", (long long)total - (long long)n_lines);
}

static void name_lines(const ts_plan_data *d, const int64_t *lines, int64_t total, const char *what, ts_names *out) {
    ts_buf names = TS_BUF_INIT;
    if (total == 0) return;
    put_names(d, lines, TS_MIN((size_t)total, (size_t)TS_LINES_NAMED), total, &names);
    warn(out, "%lld %s %s: %s", (long long)total, total == 1 ? "example" : "examples", what, ts_buf_str(&names));
    ts_buf_release(&names);
}

/* --- the checks --- */

static void check_size(const ts_run_settings *s, const ts_train_plan *p, ts_names *out) {
    long long own = (long long)(p->examples - p->replayed);
    const ts_method_facts *method = ts_run_method(s);
    if (p->examples == 0) return;
    if (own < TOO_FEW)
        warn(out, "%lld %s to learn from: the model will repeat them, not learn from them", own,
             own == 1 ? "example" : "examples");
    else if (own < FEW)
        warn(out, "%lld examples: enough for how an answer looks, few for a task and too few for facts", own);
    if (method && method->whole && own < FEW_WHOLE)
        warn(out, "%lld examples for a whole model: it learns them by heart and forgets; --method lora is safer", own);
    if (p->steps < FEW_STEPS)
        warn(out, "only %lld steps: --epochs or a smaller --batch-size gives more", (long long)p->steps);
    if (s->replay && *s->replay && (double)p->replayed < 0.9 * s->replay_fraction * (double)p->examples)
        warn(out, "%s has too few rows: %lld are mixed in, less than a share of %g", s->replay, (long long)p->replayed,
             s->replay_fraction);
}

static void check_memory(const ts_train_plan *p, ts_names *out) {
    ts_memory memory;
    ts_memory_read(&memory);
    if (memory.available < 0 || p->memory_bytes <= memory.available) return;
    warn(out,
         "about %.2f GB of memory are needed and %.2f GB are free here; --gradient-checkpointing, a shorter "
         "--max-length "
         "and --method qlora take less",
         (double)p->memory_bytes / 1e9, (double)memory.available / 1e9);
}

static void check_rate(const ts_run_settings *s, ts_names *out) {
    const ts_method_facts *method = ts_run_method(s);
    const double *usual = method && method->whole ? usual_whole : usual_lora;
    if (s->learning_rate < usual[0] || s->learning_rate > usual[1])
        warn(out, "--learning-rate %g is %s than is usual for %s (%g to %g)", s->learning_rate,
             s->learning_rate > usual[1] ? "higher" : "lower", method ? method->name : s->method, usual[0], usual[1]);
}

static void check_twice(const ts_plan_data *d, const struct rows *sorted, ts_names *out) {
    int64_t lines[TS_LINES_NAMED] = {0}, twice = 0;
    for (size_t i = 1; i < sorted->n; i++) {
        if (sorted->items[i].all != sorted->items[i - 1].all) continue;
        if (twice < TS_LINES_NAMED) lines[twice] = sorted->items[i].line;
        twice++;
    }
    name_lines(d, lines, twice, twice == 1 ? "is there a second time" : "are there a second time", out);
}

/* Held-out rows whose prompt is trained on: the validation would measure memory. `train` is sorted by prompt here. */
static void check_leaks(const struct rows *train, const struct rows *valid, ts_names *out) {
    int64_t leaks = 0;
    for (size_t i = 0; i < valid->n && train->n; i++)
        leaks += valid->items[i].prompt &&
                 bsearch(&valid->items[i], train->items, train->n, sizeof *train->items, by_prompt) != NULL;
    if (leaks)
        warn(out, "%lld of %zu held-out examples have a prompt that is trained on too: their loss says little",
             (long long)leaks, valid->n);
}

ts_status ts_plan_check(const ts_run_settings *s, const ts_train_plan *p, const ts_plan_data *data, ts_names *out,
                        ts_err *err) {
    struct rows train = {0}, valid = {0};
    ts_plan_data named = *data;
    if (p->replayed) named.ids = NULL; /* lines are those of the mixed file */
    ts_status status = read_rows(data->train, &train, err);
    if (status == TS_OK && data->valid) status = read_rows(data->valid, &valid, err);
    if (status == TS_OK) {
        check_size(s, p, out);
        check_memory(p, out);
        if (train.n) qsort(train.items, train.n, sizeof *train.items, by_all);
        check_twice(data, &train, out);
        if (train.n) qsort(train.items, train.n, sizeof *train.items, by_prompt);
        check_leaks(&train, &valid, out);
        check_rate(s, out);
        if (p->context && TS_MIN(p->longest, s->max_length) > p->context)
            warn(out,
                 "the longest example has %lld tokens, more than the %lld the model was made for; --max-length %lld",
                 (long long)TS_MIN(p->longest, s->max_length), (long long)p->context, (long long)p->context);
        char cut[80];
        snprintf(cut, sizeof cut, "longer than %lld tokens, cut at the end", (long long)s->max_length);
        name_lines(&named, p->truncated_lines, p->truncated, cut, out);
        name_lines(&named, p->unsupervised_lines, p->unsupervised, "without a supervised token, left out", out);
    }
    free(train.items);
    free(valid.items);
    return status;
}
