/* snapshot */
#include "core/base/clock.h"
#include "core/base/json.h"
#include "dataset/frozen.h"
#include "tui/cli_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct snapshot_opts {
    const char *where, *compare;
    double valid;
    int64_t seed;
    bool delete, rows;
};

static void put_snapshot(const ts_cmd *cmd, ts_buf *out, const ts_frozen *f) {
    char when[32];
    ts_wall_iso(f->at_ms, when);
    if (cmd->json) {
        ts_jw w = ts_jw_to(out);
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "name", f->name);
        ts_jw_kstr(&w, "at", when);
        ts_jw_kstr(&w, "who", f->who);
        ts_jw_kstr(&w, "where", f->query);
        ts_jw_kint(&w, "rows", f->rows);
        ts_jw_kint(&w, "valid", f->valid);
        ts_jw_knum(&w, "fraction", f->fraction);
        ts_jw_kint(&w, "seed", (int64_t)f->seed);
        ts_jw_kstr(&w, "hash", f->hash);
        ts_jw_end_obj(&w);
        return;
    }
    ts_buf_printf(out, "%-16s  %s  %lld rows", f->name, when, (long long)f->rows);
    if (f->fraction > 0)
        ts_buf_printf(out, ", %lld held out (seed %llu)", (long long)f->valid, (unsigned long long)f->seed);
    ts_buf_printf(out, "  %.12s  ", f->hash);
    ts_cmd_safe(out, *f->query ? f->query : "all rows", *f->query ? strlen(f->query) : 8, false, 60);
}

static int list_all(const ts_cmd *cmd, ts_store *st) {
    ts_arena arena = TS_ARENA_INIT;
    ts_buf line = TS_BUF_INIT;
    ts_frozen *list;
    size_t n = 0;
    ts_err err;
    ts_status status = ts_frozen_list(st, &list, &n, &arena, &err);
    for (size_t i = 0; i < n; i++) {
        put_snapshot(cmd, &line, &list[i]);
        ts_cmd_print_line(&line);
    }
    if (status == TS_OK && !n && !cmd->json)
        ts_cmd_note(cmd, "there are no snapshots; `tunesmith snapshot %s NAME` makes one", cmd->args[0]);
    ts_buf_release(&line);
    ts_arena_release(&arena);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static int make(const ts_cmd *cmd, const struct snapshot_opts *o, ts_store *st) {
    ts_arena arena = TS_ARENA_INIT;
    ts_buf line = TS_BUF_INIT;
    ts_progress progress = {0};
    ts_frozen f;
    ts_err err;
    ts_meter *meter = ts_meter_start(cmd, &progress, "freezing", "rows");
    ts_status status =
        ts_frozen_make(st, cmd->args[1], o->where, o->valid, (uint64_t)o->seed, &progress, &f, &arena, &err);
    ts_meter_stop(meter);
    if (status == TS_OK) {
        put_snapshot(cmd, &line, &f);
        ts_cmd_print_line(&line);
    }
    ts_buf_release(&line);
    ts_arena_release(&arena);
    if (status == TS_INVALID) return ts_cmd_usage(cmd, "%s", err.text);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

/* ---- comparing ---- */

static const char *const kind_names[TS_FROZEN_KINDS] = {"same", "changed", "moved", "left", "came"};
static const char *const kind_words[TS_FROZEN_KINDS] = {"the same", "with other texts", "on another side of the split",
                                                        "left out since", "new since"};

struct listing {
    const ts_cmd *cmd;
    ts_buf ids[TS_FROZEN_KINDS]; /* "1,2,3" */
};

static void note_id(void *ctx, int64_t id, ts_frozen_kind kind) {
    ts_buf *b = &((struct listing *)ctx)->ids[kind];
    ts_buf_printf(b, "%s%lld", b->len ? "," : "", (long long)id);
}

static void put_comparison(const ts_cmd *cmd, const struct snapshot_opts *o, const int64_t *counts,
                           const struct listing *l, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    if (cmd->json) ts_jw_obj(&w);
    for (int k = 0; k < TS_FROZEN_KINDS && cmd->json; k++)
        ts_jw_kint(&w, kind_names[k], counts[k]);
    for (int k = 1; k < TS_FROZEN_KINDS && cmd->json && o->rows; k++) {
        char *key = ts_printf("%s_ids", kind_names[k]), *ids = ts_printf("[%s]", ts_buf_str(&l->ids[k]));
        ts_jw_key(&w, key);
        ts_jw_raw(&w, ids, strlen(ids));
        free(key);
        free(ids);
    }
    if (cmd->json) ts_jw_end_obj(&w);
    for (int k = 0; k < TS_FROZEN_KINDS && !cmd->json; k++) {
        if (!counts[k] && k != TS_FROZEN_SAME) continue;
        ts_buf_printf(out, "%s%6lld  %s", out->len ? "\n" : "", (long long)counts[k], kind_words[k]);
        if (o->rows && l->ids[k].len) ts_buf_printf(out, ": %s", l->ids[k].data);
    }
    ts_cmd_print_line(out);
}

static int compare(const ts_cmd *cmd, const struct snapshot_opts *o, ts_store *st) {
    struct listing l = {.cmd = cmd};
    int64_t counts[TS_FROZEN_KINDS];
    ts_buf out = TS_BUF_INIT;
    ts_progress progress = {0};
    ts_err err;
    const char *other = strcmp(o->compare, "now") == 0 ? NULL : o->compare;
    ts_meter *meter = ts_meter_start(cmd, &progress, "comparing", "rows");
    ts_status status =
        ts_frozen_compare(st, cmd->args[1], other, counts, o->rows ? note_id : NULL, &l, &progress, &err);
    ts_meter_stop(meter);
    if (status == TS_OK) put_comparison(cmd, o, counts, &l, &out);
    for (int k = 0; k < TS_FROZEN_KINDS; k++)
        ts_buf_release(&l.ids[k]);
    ts_buf_release(&out);
    return status == TS_OK ? TS_EXIT_OK : ts_cmd_fail(cmd, &err);
}

static int delete_one(const ts_cmd *cmd, ts_store *st) {
    ts_err err;
    if (ts_frozen_delete(st, cmd->args[1], &err) != TS_OK) return ts_cmd_fail(cmd, &err);
    ts_cmd_note(cmd, "deleted the snapshot %s; its rows stay as they are", cmd->args[1]);
    return TS_EXIT_OK;
}

static int run_snapshot(const ts_cmd *cmd, const void *opts) {
    const struct snapshot_opts *o = opts;
    if (cmd->n_args == 1 && (o->compare || o->delete || o->where)) return ts_cmd_usage(cmd, "the NAME is missing");
    if (!(o->valid >= 0 && o->valid < 1)) return ts_cmd_usage(cmd, "--valid is a share from 0 to below 1");
    if (o->seed < 0) return ts_cmd_usage(cmd, "--seed is a number from 0 on");
    if (o->rows && !o->compare) return ts_cmd_usage(cmd, "--rows belongs to --compare");
    if (o->compare && o->delete) return ts_cmd_usage(cmd, "--compare or --delete, not both");
    ts_store *st = ts_cmd_store(cmd);
    if (!st) return TS_EXIT_FAILED;
    int code = cmd->n_args == 1 ? list_all(cmd, st)
               : o->delete      ? delete_one(cmd, st)
               : o->compare     ? compare(cmd, o, st)
                                : make(cmd, o, st);
    ts_store_close(st);
    return code;
}

static const struct snapshot_opts snapshot_defaults = {.seed = 42};
static const ts_opt snapshot_opts[] = {
    {"where", TS_OPT_TEXT, offsetof(struct snapshot_opts, where), "QUERY", "which rows; all without it"},
    {"valid", TS_OPT_NUM, offsetof(struct snapshot_opts, valid), "SHARE",
     "split: hold so much out, near duplicates on one side, each tag in its share"},
    {"seed", TS_OPT_INT, offsetof(struct snapshot_opts, seed), "N", "of the split's draw"},
    {"compare", TS_OPT_TEXT, offsetof(struct snapshot_opts, compare), "OTHER",
     "what differs from the snapshot OTHER, or from what its query finds `now`"},
    {"rows", TS_OPT_FLAG, offsetof(struct snapshot_opts, rows), NULL, "with --compare: which rows"},
    {"delete", TS_OPT_FLAG, offsetof(struct snapshot_opts, delete), NULL, "forget it; its rows stay"},
};
const ts_verb ts_verb_snapshot = {
    "snapshot",
    "WS [NAME]",
    "freeze which rows a query finds, list snapshots, compare them",
    "A snapshot keeps the rows' numbers, the hashes of their texts and their side of the split; it never changes.\n"
    "--where snapshot:NAME finds its rows again, in every verb and in Browse. Without NAME all are listed.",
    1,
    2,
    snapshot_opts,
    TS_COUNT(snapshot_opts),
    sizeof(struct snapshot_opts),
    &snapshot_defaults,
    run_snapshot,
    false};
