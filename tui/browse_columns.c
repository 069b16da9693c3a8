/* The columns of Browse's list: chosen by a person, kept in the workspace as setting `columns`. */
#include "dataset/lmscore.h"
#include "dataset/score.h"
#include "tui/browse.h"
#include "tui/row.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *head;
    int width;
    bool right;
} known[] = {[TS_COL_SCORE] = {"score", "score", 5, false},    [TS_COL_TOKENS] = {"tokens", "tok", 5, true},
             [TS_COL_RATING] = {"rating", "rate", 4, true},    [TS_COL_CHARS] = {"chars", "chars", 7, true},
             [TS_COL_TAGS] = {"tags", "tags", 12, false},      [TS_COL_ORIGIN] = {"origin", "origin", 16, false},
             [TS_COL_INPUT] = {"input", "input", 18, false},   [TS_COL_OUTPUT] = {"output", "output", 24, false},
             [TS_COL_SYSTEM] = {"system", "system", 16, false}};

static bool column_of(const char *word, size_t n, ts_column *out) {
    for (int i = 0; i < TS_COL_RULE; i++)
        if (strlen(known[i].name) == n && memcmp(known[i].name, word, n) == 0) {
            *out = (ts_column){.kind = (ts_column_kind)i, .width = known[i].width};
            return true;
        }
    bool lm = ts_lm_field_find(word, n) != NULL;
    if (n >= sizeof out->rule || (!lm && !ts_rule_exists(word, n))) return false;
    *out = (ts_column){.kind = lm ? TS_COL_LM : TS_COL_RULE, .width = (int)TS_MAX((size_t)5, TS_MIN(n, (size_t)10))};
    memcpy(out->rule, word, n);
    return true;
}

/* Reads "score tokens refusal"; the first word that is none, NULL when all are. */
static const char *parse(const char *text, ts_columns *out) {
    static char wrong[40];
    *out = (ts_columns){0};
    for (const char *word = text + strspn(text, " ,"); *word;) {
        size_t n = strcspn(word, " ,");
        ts_column c;
        if (!column_of(word, n, &c)) {
            snprintf(wrong, sizeof wrong, "%.*s", (int)n, word);
            return wrong;
        }
        if (out->n < TS_COLUMNS_MAX) out->items[out->n++] = c;
        word += n + strspn(word + n, " ,");
    }
    return NULL;
}

void browse_columns_read(struct browse *b) {
    ts_buf text = TS_BUF_INIT;
    b->chosen = (ts_columns){0};
    b->columns_set = ts_setting_get(b->screen.app->reader, "columns", &text) && !parse(text.data, &b->chosen);
    ts_buf_release(&text);
}

ts_columns browse_columns_shown(const struct browse *b) {
    ts_columns out = b->chosen;
    if (b->columns_set) return out;
    out.n = 0;
    if (b->counts.scored) out.items[out.n++] = (ts_column){.kind = TS_COL_SCORE, .width = 5};
    if (b->counts.tokens_counted) out.items[out.n++] = (ts_column){.kind = TS_COL_TOKENS, .width = 4};
    return out;
}

void browse_column_head(ts_canvas *c, int x, int y, const ts_column *k) {
    const char *head = k->kind >= TS_COL_RULE ? k->rule : known[k->kind].head;
    if (k->kind < TS_COL_RULE && known[k->kind].right)
        ts_put_right(c, x, y, k->width, TS_R_DIM, head);
    else
        ts_put(c, x, y, k->width, TS_R_DIM, head);
}

static void draw_rule(const struct browse *b, ts_canvas *c, int x, int y, const ts_column *k, const ts_row *row) {
    ts_app *app = b->screen.app;
    ts_rule_value *rules;
    size_t n;
    if (isnan(row->score) || ts_row_scores(app->reader, row->id, &rules, &n, &app->frame, NULL) != TS_OK) return;
    for (size_t i = 0; i < n; i++)
        if (strcmp(rules[i].rule, k->rule) == 0)
            ts_putf(c, x, y, k->width, rules[i].dismissed ? TS_R_DIM : TS_R_WARN, "%.2f", rules[i].value);
}

static void draw_lm(const struct browse *b, ts_canvas *c, int x, int y, const ts_column *k, const ts_row *row) {
    double values[TS_LM_FIELDS];
    const ts_lm_field *f = ts_lm_field_find(k->rule, strlen(k->rule));
    ts_lm_values(b->screen.app->reader, row->id, values);
    double v = f ? values[f - ts_lm_fields] : NAN;
    if (!isnan(v)) ts_putf(c, x, y, k->width, TS_R_DIM, fabs(v) < 100 ? "%.2f" : "%.0f", v);
}

static void draw_number(ts_canvas *c, int x, int y, int w, int64_t v) {
    char number[32];
    snprintf(number, sizeof number, "%lld", (long long)v);
    ts_put_right(c, x, y, w, TS_R_DIM, number);
}

static void draw_text(ts_canvas *c, int x, int y, int w, ts_text t) {
    if (t.n) ts_putn(c, x, y, w, TS_R_DIM, t.s, TS_MIN(t.n, (size_t)400));
}

void browse_column_draw(const struct browse *b, ts_canvas *c, int x, int y, const ts_column *k, const ts_row *row) {
    switch (k->kind) {
    case TS_COL_SCORE:
        if (!isnan(row->score)) ts_putf(c, x, y, 5, row->score < 0.5 ? TS_R_WARN : TS_R_TEXT, "%.2f", row->score);
        break;
    case TS_COL_TOKENS:
        if (row->tokens >= 0) draw_number(c, x, y, k->width, row->tokens);
        break;
    case TS_COL_RATING:
        if (row->rating) draw_number(c, x, y, k->width, row->rating);
        break;
    case TS_COL_CHARS:
        draw_number(c, x, y, k->width, (int64_t)(row->instruction.n + row->input.n + row->output.n));
        break;
    case TS_COL_TAGS:
        ts_put(c, x, y, k->width, TS_R_TAG, row->tags);
        break;
    case TS_COL_ORIGIN:
        ts_put(c, x, y, k->width, TS_R_DIM, row->origin ? row->origin : "");
        break;
    case TS_COL_INPUT:
        draw_text(c, x, y, k->width, row->input);
        break;
    case TS_COL_OUTPUT:
        draw_text(c, x, y, k->width, row->output);
        break;
    case TS_COL_SYSTEM:
        draw_text(c, x, y, k->width, row->system);
        break;
    case TS_COL_RULE:
        draw_rule(b, c, x, y, k, row);
        break;
    case TS_COL_LM:
        draw_lm(b, c, x, y, k, row);
        break;
    }
}

/* ---- choosing ---- */

static ts_status run_columns(ts_act *a, ts_store *st, ts_err *err) {
    snprintf(a->done.text, sizeof a->done.text,
             *a->text ? "these columns are kept in the workspace" : "score and tokens are shown where they are known");
    return ts_setting_set(st, "columns", *a->text ? a->text : NULL, err);
}

static void columns_kept(ts_act *a) {
    browse_columns_read((struct browse *)a->app->screens[TS_SCREEN_BROWSE]);
}

static void columns_entered(ts_app *app, void *ctx, const char *text) {
    ts_columns columns;
    const char *wrong = parse(text, &columns);
    (void)ctx;
    if (wrong) {
        ts_app_say(app, TS_R_WARN,
                   "there is no column %s: score tokens rating chars tags origin input output system, "
                   "the name of a rule (3 lists them), loss, ifd_loss, learning ..",
                   wrong);
        return;
    }
    if (ts_store_read_only(app->reader)) { /* for as long as it is open */
        struct browse *b = (struct browse *)app->screens[TS_SCREEN_BROWSE];
        b->chosen = columns;
        b->columns_set = columns.n > 0;
        return;
    }
    ts_act *a = ts_act_new(app, run_columns);
    a->text = ts_strdup(text + strspn(text, " ,"));
    a->after = columns_kept;
    ts_act_push(a);
}

void browse_choose_columns(struct browse *b, const char *arg) {
    ts_columns now = browse_columns_shown(b);
    ts_buf words = TS_BUF_INIT;
    for (size_t i = 0; i < now.n; i++)
        ts_buf_printf(&words, "%s%s", i ? " " : "",
                      now.items[i].kind >= TS_COL_RULE ? now.items[i].rule : known[now.items[i].kind].name);
    if (arg)
        columns_entered(b->screen.app, b, arg);
    else
        ts_prompt_open(b->screen.app, &(ts_prompt_options){
                                          .label = "columns:",
                                          .initial = ts_buf_str(&words),
                                          .hint = "score tokens rating chars tags origin input output system, rules   "
                                                  "empty: as at first",
                                          .done = columns_entered,
                                          .ctx = b});
    ts_buf_release(&words);
}
