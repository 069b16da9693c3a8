/* select */
#include "core/base/json.h"
#include "dataset/select.h"
#include "tui/cli_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct select_opts {
    int64_t count;
    const char *by, *where, *method, *quota;
    double gate;
    bool apply;
};

static const char *const methods[] = {"gate", "facility", "farthest"};

static bool read_options(const ts_cmd *cmd, const struct select_opts *o, ts_select_options *s) {
    ts_err err;
    size_t method = 0;
    while (method < TS_COUNT(methods) && strcmp(methods[method], o->method) != 0)
        method++;
    if (o->count < 1)
        ts_cmd_usage(cmd, "--count says how many rows are wanted");
    else if (method == TS_COUNT(methods))
        ts_cmd_usage(cmd, "--method is one of gate, facility, farthest, not \"%s\"", o->method);
    else if (!(o->gate > 0))
        ts_cmd_usage(cmd, "--gate is a likeness above 0 (1: only equal texts are alike)");
    else if (o->quota && ts_select_quotas(s, o->quota, &err) != TS_OK)
        ts_cmd_usage(cmd, "%s", err.text);
    else {
        s->count = o->count;
        s->by = o->by;
        s->where = o->where;
        s->method = (ts_select_method)method;
        s->gate = o->gate;
        s->apply = o->apply;
        return true;
    }
    return false;
}

static void put_pick_json(ts_jw *w, const ts_pick *p, const ts_select_options *s) {
    ts_jw_obj(w);
    ts_jw_kint(w, "id", p->id);
    ts_jw_kint(w, "rank", p->rank);
    ts_jw_knum(w, "score", p->score);
    ts_jw_key(w, "nearest");
    if (p->nearest)
        ts_jw_int(w, p->nearest);
    else
        ts_jw_null(w);
    ts_jw_knum(w, "similarity", p->likeness);
    ts_jw_knum(w, "gain", p->gain);
    ts_jw_kstr(w, "quota", p->quota < 0 ? NULL : s->quotas[p->quota].tag);
    ts_jw_end_obj(w);
}

static void print_json(const ts_select_options *s, const char *method, const ts_selection *r, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "method", method);
    ts_jw_kint(&w, "rows", r->rows);
    ts_jw_kint(&w, "considered", r->considered);
    ts_jw_kint(&w, "too_alike", r->too_alike);
    ts_jw_kint(&w, "quota_full", r->quota_full);
    ts_jw_key(&w, "picks");
    ts_jw_arr(&w);
    for (size_t i = 0; i < r->n; i++)
        put_pick_json(&w, &r->picks[i], s);
    ts_jw_end_arr(&w);
    if (s->apply) ts_jw_kint(&w, "accepted", r->done.rows);
    ts_jw_end_obj(&w);
    ts_cmd_print_line(out);
}

/* "#12  number 3 by score (0.98); most like #7 (.31)" */
static void print_pick(const ts_select_options *s, const ts_pick *p, ts_buf *out) {
    ts_buf_printf(out, "%7lld  number %lld by %s", (long long)p->id, (long long)p->rank, s->by);
    if (!isnan(p->score)) ts_buf_printf(out, " (score %.2f)", p->score);
    if (p->nearest) ts_buf_printf(out, "; most like %lld, %.2f", (long long)p->nearest, p->likeness);
    if (!isnan(p->gain)) ts_buf_printf(out, "; stands for %.2f%% more of the rows", 100 * p->gain);
    if (p->quota >= 0) ts_buf_printf(out, "; for tag %s", s->quotas[p->quota].tag);
    ts_cmd_print_line(out);
}

static void print_text(const ts_cmd *cmd, const ts_select_options *s, const ts_selection *r, ts_buf *out) {
    for (size_t i = 0; i < r->n; i++)
        print_pick(s, &r->picks[i], out);
    ts_buf_printf(out, "%zu of %lld rows; %lld looked at", r->n, (long long)r->rows, (long long)r->considered);
    if (r->too_alike)
        ts_buf_printf(out, ", %lld passed over for being %.2f or more like a better one", (long long)r->too_alike,
                      s->gate);
    if (r->quota_full) ts_buf_printf(out, ", %lld for full quotas", (long long)r->quota_full);
    ts_cmd_print_line(out);
    if (r->done.step) ts_buf_puts(out, r->done.text);
    if (r->done.step) ts_cmd_print_line(out);
    if (!s->apply && r->n) ts_cmd_note(cmd, "nothing was changed; --apply accepts these rows (can be undone)");
}

static int run_select(const ts_cmd *cmd, const void *opts) {
    const struct select_opts *o = opts;
    ts_select_options s = TS_SELECT_DEFAULTS;
    ts_selection r;
    ts_progress progress = {0};
    ts_buf out = TS_BUF_INIT;
    ts_err err;
    if (!read_options(cmd, o, &s)) return TS_EXIT_USAGE;
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    ts_meter *meter = ts_meter_start(cmd, &progress, "choosing", "rows");
    ts_status status = ts_select_rows(st, &s, &progress, &r, &err);
    ts_meter_stop(meter);
    int code = TS_EXIT_OK;
    if (status == TS_INVALID)
        code = ts_cmd_usage(cmd, "%s", err.text);
    else if (status != TS_OK)
        code = ts_cmd_fail(cmd, &err);
    else if (cmd->json)
        print_json(&s, o->method, &r, &out);
    else
        print_text(cmd, &s, &r, &out);
    if (status == TS_OK) free(r.picks);
    ts_buf_release(&out);
    ts_store_close(st);
    return code;
}

#define AT(member) offsetof(struct select_opts, member)
static const ts_opt opts_table[] = {
    {"count", TS_OPT_INT, AT(count), "N", "how many rows"},
    {"by", TS_OPT_TEXT, AT(by), "FIELD", "what is best: score or another field, higher is better"},
    {"where", TS_OPT_TEXT, AT(where), "QUERY", "choose among these rows (default status!=rejected)"},
    {"method", TS_OPT_TEXT, AT(method), "NAME",
     "gate: the best that are not alike; facility: those that stand best for all; farthest: as different as can be"},
    {"gate", TS_OPT_NUM, AT(gate), "T", "gate: how much alike two rows may be"},
    {"quota", TS_OPT_TEXT, AT(quota), "TAG:N,..", "places kept for rows with a tag"},
    {"apply", TS_OPT_FLAG, AT(apply), NULL, "accept the chosen rows (can be undone)"},
};
static const struct select_opts defaults = {0, "score", NULL, "gate", NULL, 0.7, false};
const ts_verb ts_verb_select = {"select",
                                "WS",
                                "choose the best rows that are not alike",
                                "Rows are alike when they use the same words (cosine of TF-IDF vectors of prompt and "
                                "answer): a likeness of words,\n"
                                "not of meaning. Score the rows first (tunesmith score WS).",
                                1,
                                1,
                                opts_table,
                                TS_COUNT(opts_table),
                                sizeof(struct select_opts),
                                &defaults,
                                run_select,
                                false};
