/* What the workspace tells of the questions: its examples, and the comparisons that were kept. */
#include "core/text/cells.h"
#include "dataset/stats.h"
#include "eval/advise.h"
#include "eval/report_private.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GOOD_SCORE "0.8"
#define PASSES 0.9 /* share of prompts from which on a side does it; nearly does it */
#define NEARLY 0.6

static void answer(ts_advise *a, ts_question_id q, const char *choice, const char *evidence) {
    ts_err ignored;
    if (ts_advise_say(a, q, choice, &ignored) != TS_OK) return;
    a->measured[q] = true;
    snprintf(a->evidence[q], sizeof a->evidence[q], "%s", evidence);
}

/* ---- examples ---- */

static ts_status measure_examples(ts_advise *a, ts_store *st, ts_progress *progress, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_stats all, good;
    char words[200];
    ts_status status;
    TS_GOTO(ts_stats_make(st, "status=accepted", progress, &all, &arena, err));
    a->accepted = a->good = all.rows;
    snprintf(words, sizeof words, "%lld accepted rows; they are not scored", (long long)all.rows);
    if (all.scored) {
        TS_GOTO(ts_stats_make(st, "status=accepted score>=" GOOD_SCORE, progress, &good, &arena, err));
        a->good = good.rows;
        snprintf(words, sizeof words,
                 "%lld accepted rows, mean score %.2f; %lld of " GOOD_SCORE " or more, %lld in groups of duplicates",
                 (long long)all.rows, all.score, (long long)good.rows, (long long)all.in_groups);
    }
    answer(a, TS_Q_EXAMPLES, ts_example_advices[ts_example_band(a->good)].name, words);
out:
    ts_arena_release(&arena);
    return status;
}

/* ---- comparisons ---- */

/* The number that tells: passing the check, else the loss on references, else the words shared with them. */
static int telling(const ts_report *r, size_t a, size_t b) {
    static const ts_metric_id ids[] = {TS_M_PASS_RATE, TS_M_REFERENCE_NLL, TS_M_F1};
    for (size_t i = 0; i < TS_COUNT(ids); i++)
        if (isfinite(r->metrics[a].m[ids[i]].value) && isfinite(r->metrics[b].m[ids[i]].value)) return ids[i];
    return -1;
}

static int compare_sides(const ts_report *r, size_t a, size_t b, int id) {
    const ts_measure *x = &r->metrics[a].m[id], *y = &r->metrics[b].m[id];
    int how =
        ts_advise_compare(x->value, x->interval.low, x->interval.high, y->value, y->interval.low, y->interval.high);
    return ts_metrics[id].better < 0 ? -how : how;
}

static bool begins(const char *side, const char *with) {
    return strncmp(side, with, strlen(with)) == 0;
}

enum kind { PROMPTED, RETRIEVING, TUNED };
static enum kind kind_of(const char *side) {
    if (begins(side, "retrieval")) return RETRIEVING;
    if (strcmp(side, "base") == 0 || begins(side, "few-shot") || begins(side, "system") || begins(side, "url=") ||
        begins(side, "model"))
        return PROMPTED;
    return TUNED; /* run:3, an adapter's folder */
}

/* The best side of a kind by the pass rate, else by the loss on references, else the first; n_sides: there is none. */
static size_t best_of(const ts_report *r, enum kind kind) {
    size_t best = r->n_sides;
    for (size_t i = 0; i < r->n_sides; i++) {
        if (kind_of(r->sides[i]) != kind) continue;
        int id = best < r->n_sides ? telling(r, i, best) : -1;
        double gain = id < 0 ? 0 : (r->metrics[i].m[id].value - r->metrics[best].m[id].value) * ts_metrics[id].better;
        if (best == r->n_sides || gain > 0) best = i;
    }
    return best;
}

static void side_words(const ts_report *r, size_t side, int id, ts_buf *out) {
    ts_report_visible(out, r->sides[side], ts_cells_fit(r->sides[side], strlen(r->sides[side]), 40, NULL));
    ts_buf_printf(out, " %s ", ts_metrics[id].label);
    ts_report_measure((ts_metric_id)id, &r->metrics[side].m[id], out);
}

static void answer_compared(ts_advise *a, const ts_report *r, ts_question_id q, size_t side, size_t against) {
    static const char *const words[] = {"worse", "same", "better"};
    ts_buf text = TS_BUF_INIT;
    int id = side < r->n_sides && against < r->n_sides ? telling(r, side, against) : -1;
    if (id < 0) return;
    side_words(r, side, id, &text);
    ts_buf_puts(&text, ", ");
    side_words(r, against, id, &text);
    ts_buf_printf(&text, ", %zu prompts", r->metrics[side].m[id].n);
    answer(a, q, words[compare_sides(r, side, against, id) + 1], text.data);
    ts_buf_release(&text);
}

/* How often prompting passes the person's own check says whether a prompt does it; a base that was given no examples
 * can only say that it does. */
static void answer_prompt(ts_advise *a, const ts_report *r, size_t side) {
    ts_buf text = TS_BUF_INIT;
    double rate = side < r->n_sides ? r->metrics[side].m[TS_M_PASS_RATE].value : NAN;
    if (isnan(rate)) return;
    side_words(r, side, TS_M_PASS_RATE, &text);
    ts_buf_printf(&text, " of %zu prompts", r->metrics[side].m[TS_M_PASS_RATE].n);
    if (strcmp(r->sides[side], "base") != 0 || rate >= PASSES) {
        answer(a, TS_Q_PROMPT, rate >= PASSES ? "yes" : rate >= NEARLY ? "nearly" : "no", text.data);
    } else {
        ts_buf_puts(&text, " without examples; compare it with --side few-shot");
        snprintf(a->evidence[TS_Q_PROMPT], sizeof a->evidence[TS_Q_PROMPT], "%s", text.data);
    }
    ts_buf_release(&text);
}

static ts_status measure_comparisons(ts_advise *a, const char *ws, ts_progress *progress, ts_err *err) {
    ts_report r;
    ts_status status = ts_report_make(&r, &(ts_report_options){.ws = ws}, progress, err);
    if (status == TS_OK && r.n_sides) {
        size_t prompted = best_of(&r, PROMPTED), base = 0;
        while (base < r.n_sides && strcmp(r.sides[base], "base") != 0)
            base++;
        answer_prompt(a, &r, prompted);
        answer_compared(a, &r, TS_Q_TUNED, best_of(&r, TUNED), prompted);
        answer_compared(a, &r, TS_Q_RETRIEVED, best_of(&r, RETRIEVING), base);
    }
    ts_report_release(&r);
    return status;
}

ts_status ts_advise_measure(ts_advise *a, const char *ws, ts_progress *progress, ts_err *err) {
    ts_store *st = NULL;
    ts_buf check = TS_BUF_INIT;
    TS_TRY(ts_store_open(&st, ws, "advise", err));
    ts_status status = measure_examples(a, st, progress, err);
    if (status == TS_OK && ts_setting_get(st, "check", &check) && check.len)
        answer(a, TS_Q_FORM, "some", "the workspace has a check file for the form of answers");
    ts_buf_release(&check);
    ts_store_close(st);
    return status == TS_OK ? measure_comparisons(a, ws, progress, err) : status;
}
