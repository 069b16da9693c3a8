/* What a report is made from. */
#include "eval/report.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "dataset/card.h"
#include "eval/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BOOTSTRAP_SEED = 42 };

struct gather {
    ts_report *r;
    const ts_report_options *o;
};

static const char *copy(ts_report *r, ts_text t) {
    return t.s ? ts_arena_strndup(&r->arena, t.s, t.n) : NULL;
}

static void take_prompt(void *ctx, const ts_kept_prompt *p) {
    ts_report *r = ((struct gather *)ctx)->r;
    ts_buf text = TS_BUF_INIT;
    ts_prompt_text(p->messages, &text);
    ts_report_prompt kept = {.id = p->id,
                             .text = ts_arena_strndup(&r->arena, ts_buf_str(&text), text.len),
                             .reference = copy(r, p->reference),
                             .vote = ts_arena_strndup(&r->arena, p->vote, strlen(p->vote)),
                             .note = ts_arena_strndup(&r->arena, p->note, strlen(p->note)),
                             .blind = p->blind};
    TS_PUSH(r->prompts, r->n_prompts, r->cap_prompts, kept);
    ts_buf_release(&text);
}

static size_t side_index(const ts_report *r, const char *side) {
    size_t i = 0;
    while (i < r->n_sides && strcmp(r->sides[i], side) != 0)
        i++;
    return i;
}

/* The base first, then by name, numbers by their value. */
static int by_side(const void *a, const void *b) {
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    bool base_x = strcmp(x, "base") == 0, base_y = strcmp(y, "base") == 0;
    if (base_x != base_y) return base_x ? -1 : 1;
    return strverscmp(x, y);
}

static ts_status check_sides(ts_report *r, const ts_report_options *o, ts_err *err) {
    for (size_t i = 0; i < o->n_sides; i++) {
        if (side_index(r, o->sides[i]) < r->n_sides) continue;
        ts_buf names = TS_BUF_INIT;
        for (size_t k = 0; k < r->n_sides; k++)
            ts_buf_printf(&names, "%s%s", k ? ", " : "", r->sides[k]);
        ts_status status = ts_fail(err, TS_NOT_FOUND, "no answers of \"%.60s\" are kept in %s; those of: %s",
                                   o->sides[i], o->ws, names.len ? ts_buf_str(&names) : "nobody (compare keeps them)");
        ts_buf_release(&names);
        return status;
    }
    for (size_t i = 0; i < o->n_sides; i++)
        r->sides[i] = o->sides[i];
    if (o->n_sides) r->n_sides = o->n_sides;
    return TS_OK;
}

static ts_status find_sides(ts_report *r, ts_store *st, const ts_report_options *o, ts_err *err) {
    const char **sides;
    size_t n;
    TS_TRY(ts_answer_sides(st, &sides, &n, &r->arena, err));
    for (size_t i = 0; i < n; i++)
        TS_PUSH(r->sides, r->n_sides, r->cap_sides, sides[i]);
    if (r->n_sides) qsort(r->sides, r->n_sides, sizeof *r->sides, by_side);
    return check_sides(r, o, err);
}

/* What compare kept beside the text (eval/compare_keep.c). */
static void take_scores(ts_answer *a, const ts_json *robust) {
    a->score_by = ts_metric_find(ts_json_str(ts_json_get(robust, "by"), ""));
    a->perturbed = a->score_by != TS_METRIC_COUNT;
    a->own_score = ts_json_num(ts_json_get(robust, "own"), NAN);
    for (int k = 0; k < TS_P_COUNT; k++)
        a->changed_scores[k] = ts_json_num(ts_json_get(robust, ts_perturbations[k].name), NAN);
    a->took = ts_json_num(ts_json_get(robust, "took"), 0);
}

static void take_detail(ts_report *r, ts_answer *a, ts_text detail) {
    ts_json *root = detail.s ? ts_json_parse(detail.s, detail.n, NULL) : NULL;
    const ts_json *passed = ts_json_get(root, "passed");
    int64_t n;
    snprintf(a->stop, sizeof a->stop, "%s", ts_json_str(ts_json_get(root, "stop"), ""));
    a->tokens = ts_json_int(ts_json_get(root, "tokens"), 0, INT32_MAX, &n) ? n : -1;
    a->reference_nll = ts_json_num(ts_json_get(root, "reference_nll"), NAN);
    a->reference_tokens = ts_json_int(ts_json_get(root, "reference_tokens"), 1, INT32_MAX, &n) ? n : 0;
    a->cost = ts_json_num(ts_json_get(root, "cost"), 0);
    take_scores(a, ts_json_get(root, "robust"));
    a->chose = ts_json_is_bool(ts_json_get(root, "acc"));
    a->right = ts_json_is_true(ts_json_get(root, "acc"));
    a->right_norm = ts_json_is_true(ts_json_get(root, "acc_norm"));
    a->checked = ts_json_is_bool(passed);
    a->passed = ts_json_is_true(passed);
    a->failed_line = ts_json_int(ts_json_get(root, "failed_line"), 1, INT32_MAX, &n) ? (size_t)n : 0;
    const char *context = ts_json_str(ts_json_get(root, "context"), NULL);
    if (context) a->context = ts_arena_strndup(&r->arena, context, strlen(context));
    ts_json_free(root);
}

static ts_status take_answers(ts_report *r, ts_store *st, size_t prompt, ts_err *err) {
    ts_kept_answer *kept;
    ts_arena arena = TS_ARENA_INIT;
    const ts_answer *some = NULL;
    size_t n = 0;
    ts_status status = ts_answers_read(st, r->prompts[prompt].id, &kept, &n, &arena, err);
    for (size_t i = 0; i < n && status == TS_OK; i++) {
        size_t side = side_index(r, kept[i].side);
        if (side == r->n_sides) continue;
        ts_answer *a = &r->answers[prompt * r->n_sides + side];
        a->text = ts_arena_strndup(&r->arena, kept[i].text.s, kept[i].text.n);
        a->repetition = ts_repetition(a->text, kept[i].text.n);
        take_detail(r, a, kept[i].detail);
        r->answered[side]++;
        if (some && strcmp(some->text, a->text) != 0) r->prompts[prompt].differ = true;
        some = a;
    }
    ts_arena_release(&arena);
    return status;
}

/* Prompts that none of the sides answered are of no use here. */
static void drop_unanswered(ts_report *r) {
    size_t kept = 0, k = r->n_sides;
    for (size_t p = 0; p < r->n_prompts; p++) {
        bool any = false;
        for (size_t i = 0; i < k; i++)
            any |= r->answers[p * k + i].text != NULL;
        if (!any) continue;
        r->prompts[kept] = r->prompts[p];
        if (kept != p) memcpy(&r->answers[kept * k], &r->answers[p * k], k * sizeof *r->answers);
        kept++;
    }
    r->n_prompts = kept;
}

static ts_status measure(ts_report *r, ts_err *err) {
    ts_measurer *m = NULL;
    ts_asked *asked = ts_calloc(r->n_prompts + 1, sizeof *asked);
    ts_status status = ts_measurer_new(&m, NULL, err);
    for (size_t p = 0; p < r->n_prompts; p++)
        asked[p] = (ts_asked){r->prompts[p].text, r->prompts[p].reference};
    for (size_t i = 0; i < r->n_sides && status == TS_OK; i++) {
        ts_robust_side(r->answers + i, r->n_prompts, r->n_sides, BOOTSTRAP_SEED, &r->robust[i]);
        ts_measure_side(m, asked, r->answers + i, r->n_prompts, r->n_sides, 1, BOOTSTRAP_SEED, &r->metrics[i]);
        for (size_t p = 0; p < r->n_prompts; p++)
            ts_measure_answer(m, &asked[p], &r->answers[p * r->n_sides + i]);
    }
    ts_measurer_free(m);
    free(asked);
    return status;
}

static ts_status take_votes(ts_report *r, ts_store *st, ts_err *err) {
    ts_side_votes *all;
    size_t n = 0;
    TS_TRY(ts_votes_by_side(st, &all, &n, &r->arena, err));
    for (size_t i = 0; i < r->n_sides; i++) {
        for (size_t k = 0; k < n; k++)
            if (strcmp(all[k].side, r->sides[i]) == 0) r->votes[i] = all[k];
        r->votes[i].side = r->sides[i];
    }
    return TS_OK;
}

static ts_status take_comparison(ts_report *r, ts_store *st, const ts_report_options *o, ts_progress *progress,
                                 ts_err *err) {
    struct gather g = {r, o};
    TS_TRY(find_sides(r, st, o, err));
    if (r->n_sides == 0) return TS_OK;
    TS_TRY(ts_kept_prompts_each(st, take_prompt, &g, err));
    if (o->limit > 0 && r->n_prompts > (size_t)o->limit) {
        memmove(r->prompts, r->prompts + (r->n_prompts - (size_t)o->limit), (size_t)o->limit * sizeof *r->prompts);
        r->n_prompts = (size_t)o->limit;
    }
    r->answers = ts_calloc(r->n_prompts * r->n_sides + 1, sizeof *r->answers);
    r->metrics = ts_calloc(r->n_sides, sizeof *r->metrics);
    r->robust = ts_calloc(r->n_sides, sizeof *r->robust);
    r->votes = ts_calloc(r->n_sides, sizeof *r->votes);
    r->answered = ts_calloc(r->n_sides, sizeof *r->answered);
    for (size_t p = 0; p < r->n_prompts; p++) {
        if (ts_cancelled(progress)) return ts_fail(err, TS_CANCELLED, "stopped");
        TS_TRY(take_answers(r, st, p, err));
        ts_progress_set(progress, (int64_t)p + 1, (int64_t)r->n_prompts);
    }
    drop_unanswered(r);
    TS_TRY(measure(r, err));
    return take_votes(r, st, err);
}

static ts_status take_card(ts_report *r, ts_store *st, const ts_report_options *o, ts_progress *progress, ts_err *err) {
    ts_buf card = TS_BUF_INIT;
    ts_status status = ts_data_card(st, r->name, "they are in the workspace", o->where ? o->where : "status=accepted",
                                    progress, &card, err);
    const char *second = status == TS_OK ? strchr(ts_buf_str(&card), '\n') : NULL;
    if (second) ts_buf_puts(&r->card, second + strspn(second, "\n"));
    ts_buf_release(&card);
    return status;
}

ts_status ts_report_make(ts_report *r, const ts_report_options *o, ts_progress *progress, ts_err *err) {
    ts_store *st = NULL;
    ts_status status;
    *r = (ts_report){.made_ms = ts_wall_ms()};
    TS_TRY(ts_store_open(&st, o->ws, "report", err));
    char *folder = ts_path_absolute(ts_store_folder(st));
    r->name = ts_arena_printf(&r->arena, "%s", ts_path_base(folder));
    free(folder);
    TS_GOTO(take_card(r, st, o, progress, err));
    TS_GOTO(ts_runs_list(o->ws, &r->runs, err));
    status = take_comparison(r, st, o, progress, err);
out:
    ts_store_close(st);
    return status;
}

void ts_report_release(ts_report *r) {
    ts_runs_release(&r->runs);
    ts_buf_release(&r->card);
    free(r->sides);
    free(r->prompts);
    free(r->answers);
    free(r->metrics);
    free(r->robust);
    free(r->votes);
    free(r->answered);
    ts_arena_release(&r->arena);
    *r = (ts_report){0};
}

void ts_report_marks(const ts_report *r, size_t prompt, size_t side, ts_spans *marks) {
    const ts_answer *row = &r->answers[prompt * r->n_sides];
    size_t other = side == 0 && r->n_sides == 2 ? 1 : 0;
    ts_spans gone = {0};
    if (other == side || !row[side].text || !row[other].text) return;
    ts_worddiff(row[other].text, strlen(row[other].text), row[side].text, strlen(row[side].text), &gone, marks);
    ts_spans_release(&gone);
}

typedef void form_fn(const ts_report *r, ts_buf *out);

static form_fn *form_of(const char *path) {
    static const struct {
        const char *ending;
        form_fn *fn;
    } forms[] = {
        {".html", ts_report_html}, {".htm", ts_report_html}, {".md", ts_report_markdown}, {".json", ts_report_json}};
    size_t n = strlen(path);
    for (size_t i = 0; i < TS_COUNT(forms); i++) {
        size_t k = strlen(forms[i].ending);
        if (n > k && strcasecmp(path + n - k, forms[i].ending) == 0) return forms[i].fn;
    }
    return NULL;
}

ts_status ts_report_write(const ts_report_options *o, const char *path, ts_progress *progress, ts_err *err) {
    form_fn *form = form_of(path);
    ts_report r;
    ts_buf out = TS_BUF_INIT;
    if (!form)
        return ts_fail(err, TS_INVALID, "a report is written as .html, .md or .json; \"%s\" ends in none of them",
                       path);
    ts_status status = ts_report_make(&r, o, progress, err);
    if (status == TS_OK) {
        form(&r, &out);
        status = ts_file_write(path, out.data, out.len, err);
    }
    ts_buf_release(&out);
    ts_report_release(&r);
    return status;
}
