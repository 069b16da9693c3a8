/* dedupe */
#include "core/base/json.h"
#include "dataset/dedupe.h"
#include "eval/embed.h"
#include "tui/cli_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dedupe_opts {
    const char *method, *field, *common_lines, *keep, *search, *model;
    double threshold; /* NAN: by the method */
    int64_t shingle;
    bool apply, pairs;
};

static const char *const methods[] = {"near", "exact", "semantic", NULL};
static const char *const fields[] = {"prompt", "answer", "both", NULL};
static const char *const searches[] = {"auto", "join", "minhash", NULL};
static const char *const keeps[] = {"best", "longest", "first", NULL};

/* Index of `value` among the names; -1 after usage was printed. */
static int choice(const ts_cmd *cmd, const char *option, const char *value, const char *const *names) {
    ts_buf list = TS_BUF_INIT;
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], value) == 0) {
            ts_buf_release(&list);
            return i;
        }
        ts_buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    }
    ts_cmd_usage(cmd, "--%s is one of %s, not \"%s\"", option, list.data, value);
    ts_buf_release(&list);
    return -1;
}

static bool parse_common_lines(const ts_cmd *cmd, const char *text, double *per_cent) {
    char *end;
    *per_cent = 0;
    if (strcmp(text, "off") == 0) return true;
    *per_cent = strtod(text, &end);
    if (end != text && (!*end || strcmp(end, "%") == 0) && *per_cent > 0 && *per_cent <= 100) return true;
    ts_cmd_usage(cmd, "--common-lines is a share in per cent above 0, up to 100, or off, not \"%s\"", text);
    return false;
}

static bool read_options(const ts_cmd *cmd, const struct dedupe_opts *o, ts_dedupe_options *d) {
    int method = choice(cmd, "method", o->method, methods);
    int field = method < 0 ? -1 : choice(cmd, "field", o->field, fields);
    int keep = field < 0 ? -1 : choice(cmd, "keep", o->keep, keeps);
    int search = keep < 0 ? -1 : choice(cmd, "search", o->search, searches);
    if (search < 0 || !parse_common_lines(cmd, o->common_lines, &d->near.common_lines)) return false;
    if (method == 2) d->near.threshold = TS_SEMANTIC_THRESHOLD;
    if (!isnan(o->threshold)) d->near.threshold = o->threshold;
    if (!(d->near.threshold > 0 && d->near.threshold <= 1)) {
        ts_cmd_usage(cmd, "--threshold is a similarity above 0, up to 1");
        return false;
    }
    if (o->shingle < 1 || o->shingle > 64) {
        ts_cmd_usage(cmd, "--shingle is a number of words from 1 to 64");
        return false;
    }
    d->near.exact = method == 1;
    d->near.shingle = (int)o->shingle;
    d->near.keep_pairs = o->pairs;
    d->near.search = (ts_near_search)search;
    d->field = (ts_dup_field)field;
    d->keep = (ts_dup_keep)keep;
    d->apply = o->apply;
    return true;
}

static void print_pair(void *ctx, int64_t a, int64_t b, double similarity) {
    ts_buf *line = ctx;
    ts_jw w = ts_jw_to(line);
    ts_jw_obj(&w);
    ts_jw_kint(&w, "a", a);
    ts_jw_kint(&w, "b", b);
    ts_jw_key(&w, "similarity");
    ts_jw_num(&w, (double)(int64_t)(similarity * 1e6 + 0.5) / 1e6);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(line);
}

/* How it was searched, where that was not the exact way. */
static void print_search(const ts_dedupe_report *r, ts_buf *line) {
    if (r->search != TS_NEAR_MINHASH) return;
    ts_buf_puts(line, "searched by MinHash, every pair verified");
    if (r->uncompared)
        ts_buf_printf(line, "; %lld candidates were left, so pairs may be missing", (long long)r->uncompared);
    else
        ts_buf_printf(line, "; a pair just at the threshold is found with chance %.3f", r->recall);
    ts_cmd_print_line(line);
}

static void print_report(const ts_cmd *cmd, const struct dedupe_opts *o, const ts_dedupe_options *d,
                         const ts_dedupe_report *r, ts_buf *line) {
    if (!cmd->json) {
        ts_buf_printf(line, "%lld rows: %lld groups of duplicates, %lld rows could go (largest group %lld)",
                      (long long)r->rows, (long long)r->groups, (long long)r->removable, (long long)r->largest);
        if (r->lines_skipped)
            ts_buf_printf(line, "; %lld lines common to many rows were left out", (long long)r->lines_skipped);
        ts_cmd_print_line(line);
        print_search(r, line);
        if (r->done.step) ts_buf_printf(line, "%s", r->done.text);
        if (r->done.step) ts_cmd_print_line(line);
        return;
    }
    bool exact = strcmp(o->method, "exact") == 0;
    ts_jw w = ts_jw_to(line);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "method", o->method);
    ts_jw_kstr(&w, "field", o->field);
    ts_jw_knum(&w, "threshold", exact ? 1 : d->near.threshold);
    ts_jw_kint(&w, "rows", r->rows);
    ts_jw_kint(&w, "groups", r->groups);
    ts_jw_kint(&w, "pairs", r->pairs);
    ts_jw_kint(&w, "removable", r->removable);
    ts_jw_kint(&w, "largest", r->largest);
    ts_jw_kint(&w, "lines_skipped", r->lines_skipped);
    ts_jw_knum(&w, "seconds", r->seconds);
    ts_jw_kstr(&w, "search", exact ? "hash" : d->vectors ? "vectors" : ts_near_search_name(r->search));
    ts_jw_knum(&w, "recall", r->recall);
    ts_jw_kint(&w, "uncompared", r->uncompared);
    if (o->apply) ts_jw_kint(&w, "rejected", r->done.rows);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(line);
}

static int run_dedupe(const ts_cmd *cmd, const void *opts) {
    const struct dedupe_opts *o = opts;
    ts_dedupe_options d = TS_DEDUPE_DEFAULTS;
    ts_dedupe_report report;
    ts_progress progress = {0};
    ts_buf line = TS_BUF_INIT;
    ts_err err;
    if (!read_options(cmd, o, &d)) return TS_EXIT_USAGE;
    ts_store *st = ts_cmd_store(cmd);
    ts_buf model = TS_BUF_INIT;
    ts_embedder embedder = {o->model, NULL};
    if (!st) return TS_EXIT_FAILED;
    if (strcmp(o->method, "semantic") == 0) {
        if (!o->model && ts_setting_get(st, "model", &model)) embedder.model = model.data;
        if (!embedder.model) {
            ts_store_close(st);
            return ts_cmd_usage(cmd,
                                "--method semantic reads the rows with a model; say --model, or set one: config WS "
                                "model NAME");
        }
        d.vectors = ts_embed_texts;
        d.vectors_ctx = &embedder;
    }
    ts_meter *meter = ts_meter_start(cmd, &progress, "looking for duplicates", "rows");
    ts_status status = ts_dedupe(st, &d, &progress, o->pairs ? print_pair : NULL, &line, &report, &err);
    ts_meter_stop(meter);
    if (status == TS_OK && !o->pairs) print_report(cmd, o, &d, &report, &line);
    if (status == TS_OK && report.removable && !o->apply)
        ts_cmd_note(cmd, "nothing was changed; --apply rejects them, `tunesmith list %s --where dup=yes` lists them",
                    cmd->args[0]);
    ts_buf_release(&line);
    ts_buf_release(&model);
    ts_store_close(st);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static const ts_opt opts_table[] = {
    {"method", TS_OPT_TEXT, offsetof(struct dedupe_opts, method), "NAME",
     "near: by shared words; exact: but for case and blanks; semantic: by a model's hidden states"},
    {"model", TS_OPT_TEXT, offsetof(struct dedupe_opts, model), "MODEL", "for semantic (the workspace's)"},
    {"field", TS_OPT_TEXT, offsetof(struct dedupe_opts, field), "NAME", "prompt, answer or both"},
    {"threshold", TS_OPT_NUM, offsetof(struct dedupe_opts, threshold), "T",
     "least likeness: of words (0.7), of a model's vectors (0.8)"},
    {"shingle", TS_OPT_INT, offsetof(struct dedupe_opts, shingle), "N", "words per shingle"},
    {"common-lines", TS_OPT_TEXT, offsetof(struct dedupe_opts, common_lines), "PCT",
     "leave out lines that are in so many per cent of the rows; off"},
    {"keep", TS_OPT_TEXT, offsetof(struct dedupe_opts, keep), "WHICH", "of each group: best, longest or first"},
    {"search", TS_OPT_TEXT, offsetof(struct dedupe_opts, search), "HOW",
     "join: all pairs; minhash: nearly all, where join would take too long; auto: chooses"},
    {"apply", TS_OPT_FLAG, offsetof(struct dedupe_opts, apply), NULL, "reject the others (can be undone)"},
    {"pairs", TS_OPT_FLAG, offsetof(struct dedupe_opts, pairs), NULL, "print every pair instead"},
};
static const struct dedupe_opts defaults = {.method = "near",
                                            .field = "prompt",
                                            .common_lines = "5",
                                            .keep = "best",
                                            .search = "auto",
                                            .threshold = NAN,
                                            .shingle = 2};
const ts_verb ts_verb_dedupe = {"dedupe",
                                "WS",
                                "find duplicate examples",
                                NULL,
                                1,
                                1,
                                opts_table,
                                TS_COUNT(opts_table),
                                sizeof(struct dedupe_opts),
                                &defaults,
                                run_dedupe,
                                false};
