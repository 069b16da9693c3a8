#include "eval/runs_diff.h"

#include "core/base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Facts that differ between any two runs and explain nothing. */
static const char *const left_out[] = {"created_ms"};

static bool tells_nothing(const char *key) {
    for (size_t i = 0; i < TS_COUNT(left_out); i++)
        if (strcmp(key, left_out[i]) == 0) return true;
    return false;
}

static char *value_of(const ts_json *run, const char *key) {
    const ts_json *v = ts_json_get(run, key);
    const char *text = ts_json_str(v, NULL);
    ts_buf out = TS_BUF_INIT;
    if (!v || ts_json_is_null(v) || (text && !*text))
        ts_buf_puts(&out, "-");
    else if (text)
        ts_buf_puts(&out, text);
    else
        ts_json_print(v, &out);
    return ts_buf_take(&out);
}

static void add_setting(ts_diff *d, ts_json *const *runs, const char *key) {
    ts_diff_row row = {.name = ts_strdup(key)};
    bool differs = false;
    for (size_t i = 0; i < d->n_runs; i++) {
        row.values[i] = value_of(runs[i], key);
        differs |= strcmp(row.values[i], row.values[0]) != 0;
    }
    TS_PUSH(d->rows, d->n, d->cap, row);
    if (differs && !tells_nothing(key)) return;
    d->n--;
    free(row.name);
    for (size_t i = 0; i < d->n_runs; i++)
        free(row.values[i]);
}

static ts_status add_settings(ts_diff *d, const char *const *dirs, ts_err *err) {
    ts_json *runs[TS_DIFF_RUNS] = {0};
    ts_status status = TS_OK;
    for (size_t i = 0; i < d->n_runs && status == TS_OK; i++) {
        ts_run_settings s;
        ts_buf text = TS_BUF_INIT;
        status = ts_run_settings_read(dirs[i], &s, err);
        if (status != TS_OK) break;
        ts_run_settings_write(&s, &text); /* what an older version left out has its default */
        runs[i] = ts_json_parse(text.data, text.len, err);
        if (!runs[i]) status = TS_FORMAT;
        ts_run_settings_release(&s);
        ts_buf_release(&text);
    }
    for (const ts_json *m = ts_json_child(runs[0]); m && status == TS_OK; m = ts_json_next(m))
        add_setting(d, runs, ts_json_key(m));
    for (size_t i = 0; i < d->n_runs; i++)
        ts_json_free(runs[i]);
    return status;
}

static char *number(double v, const char *format) {
    char text[48];
    if (!isfinite(v)) return ts_strdup("-");
    snprintf(text, sizeof text, strcmp(format, "whole") == 0 ? "%.0f" : "%.4f", v);
    return ts_strdup(text);
}

static char *duration(double seconds) {
    char text[32];
    ts_format_duration(seconds, text);
    return ts_strdup(text);
}

static const char *const results[] = {"state",     "steps",        "train loss", "held-out loss", "best held-out",
                                      "best step", "general loss", "time",       "tokens/s",      "memory"};

static char *result_of(const ts_follow *f, size_t i) {
    switch (i) {
    case 0:
        return ts_strdup(ts_run_state_names[f->state]);
    case 1:
        return ts_printf("%lld of %lld", (long long)f->step, (long long)f->steps);
    case 2:
        return number(f->train_loss, "");
    case 3:
        return number(f->valid_loss, "");
    case 4:
        return number(f->best_valid_loss, "");
    case 5:
        return number(f->best_step >= 0 ? (double)f->best_step : NAN, "whole");
    case 6:
        return number(f->general_loss, "");
    case 7:
        return duration(f->seconds);
    case 8:
        return number(f->n_points ? f->tokens_per_second : NAN, "whole");
    default:
        return f->peak_rss ? ts_printf("%.2f GB", (double)f->peak_rss / 1e9) : ts_strdup("-");
    }
}

static ts_status add_results(ts_diff *d, const char *const *dirs, ts_err *err) {
    size_t first = d->n;
    for (size_t k = 0; k < TS_COUNT(results); k++) {
        ts_diff_row row = {.name = ts_strdup(results[k]), .result = true};
        TS_PUSH(d->rows, d->n, d->cap, row);
    }
    for (size_t i = 0; i < d->n_runs; i++) {
        ts_follow f;
        bool changed;
        ts_follow_init(&f, dirs[i]);
        ts_status status = ts_follow_poll(&f, &changed, err);
        for (size_t k = 0; k < TS_COUNT(results); k++)
            d->rows[first + k].values[i] = result_of(&f, k);
        ts_follow_release(&f);
        TS_TRY(status);
    }
    return TS_OK;
}

ts_status ts_runs_diff(const char *const *dirs, size_t n, ts_diff *out, ts_err *err) {
    ts_assert(n >= 1 && n <= TS_DIFF_RUNS);
    *out = (ts_diff){.n_runs = n};
    for (size_t i = 0; i < n; i++)
        out->names[i] = ts_strdup(ts_path_base(dirs[i]));
    TS_TRY(add_settings(out, dirs, err));
    return add_results(out, dirs, err);
}

void ts_diff_release(ts_diff *d) {
    for (size_t i = 0; i < d->n; i++) {
        free(d->rows[i].name);
        for (size_t k = 0; k < d->n_runs; k++)
            free(d->rows[i].values[k]);
    }
    for (size_t k = 0; k < d->n_runs; k++)
        free(d->names[k]);
    free(d->rows);
    *d = (ts_diff){0};
}

/* A cell of `width` columns; what stands there is bytes, which for these texts are columns near enough. */
static void cell(ts_buf *out, const char *text, size_t width) {
    size_t n = strlen(text);
    if (n > width) {
        ts_buf_add(out, text, width - 1);
        ts_buf_puts(out, ">");
    } else {
        ts_buf_printf(out, "%-*s", (int)width, text);
    }
    ts_buf_puts(out, "  ");
}

static void end_line(ts_buf *out) {
    while (out->len && out->data[out->len - 1] == ' ')
        out->len--;
    ts_buf_putc(out, '\n');
}

void ts_diff_table(const ts_diff *d, size_t width, ts_buf *out) {
    enum { NAME = 19, LEAST = 8, MOST = 40 };
    size_t each = width > NAME + 2 ? (width - NAME - 2) / d->n_runs : 0;
    each = TS_MIN(TS_MAX(each > 2 ? each - 2 : 0, (size_t)LEAST), (size_t)MOST);
    cell(out, "", NAME);
    for (size_t k = 0; k < d->n_runs; k++)
        cell(out, d->names[k], each);
    end_line(out);
    for (size_t i = 0; i < d->n; i++) {
        if (d->rows[i].result && (i == 0 || !d->rows[i - 1].result)) {
            if (i == 0) ts_buf_puts(out, "the settings are the same\n");
            ts_buf_putc(out, '\n');
        }
        cell(out, d->rows[i].name, NAME);
        for (size_t k = 0; k < d->n_runs; k++)
            cell(out, d->rows[i].values[k] ? d->rows[i].values[k] : "-", each);
        end_line(out);
    }
}
