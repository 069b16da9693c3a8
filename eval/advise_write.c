/* Advice as JSON and as text. */
#include "eval/advise.h"

#include <stdlib.h>
#include <string.h>

static const ts_choice *chosen(const ts_advise *a, int q) {
    return a->answers[q] < 0 ? NULL : &ts_questions[q].choices[a->answers[q]];
}

/* How much an answer spoke for what is advised (below 0: against it). */
static int weight_for(const ts_choice *c, const ts_verdict *v) {
    int sum = 0;
    for (int w = 0; w < TS_WAYS; w++)
        sum += v->way[w] ? c->points[w] : w != TS_RETRIEVAL ? -c->points[w] : 0;
    return sum;
}

/* Calls fn for every single other answer that would change the advice. */
static void each_change(const ts_advise *a, const ts_verdict *now,
                        void (*fn)(void *ctx, int q, const ts_choice *c, const ts_verdict *v), void *ctx) {
    int answers[TS_QUESTION_COUNT];
    memcpy(answers, a->answers, sizeof answers);
    for (int q = 0; q < TS_QUESTION_COUNT; q++) {
        for (int c = 0; c < TS_CHOICES && ts_questions[q].choices[c].name; c++) {
            answers[q] = c;
            ts_verdict v = ts_advise_decide(answers);
            if (c != a->answers[q] && strcmp(ts_verdict_name(&v), ts_verdict_name(now)) != 0)
                fn(ctx, q, &ts_questions[q].choices[c], &v);
        }
        answers[q] = a->answers[q];
    }
}

/* ---- JSON ---- */

static void write_change(void *ctx, int q, const ts_choice *c, const ts_verdict *v) {
    ts_jw *w = ctx;
    ts_jw_obj(w);
    ts_jw_kstr(w, "question", ts_questions[q].key);
    ts_jw_kstr(w, "answer", c->name);
    ts_jw_kstr(w, "advice", ts_verdict_name(v));
    ts_jw_end_obj(w);
}

static void write_answer(const ts_advise *a, int q, ts_jw *w) {
    const ts_choice *c = chosen(a, q);
    ts_jw_obj(w);
    ts_jw_kstr(w, "question", ts_questions[q].key);
    ts_jw_kstr(w, "answer", c ? c->name : NULL);
    ts_jw_kstr(w, "from", !c ? NULL : a->measured[q] ? "measured" : "said");
    ts_jw_kstr(w, "evidence", *a->evidence[q] ? a->evidence[q] : NULL);
    ts_jw_kstr(w, "reason", c ? c->reason : NULL);
    ts_jw_key(w, "points");
    ts_jw_obj(w);
    for (int k = 0; k < TS_WAYS; k++)
        ts_jw_kint(w, ts_way_names[k], c ? c->points[k] : 0);
    ts_jw_end_obj(w);
    ts_jw_end_obj(w);
}

void ts_advise_write_json(const ts_advise *a, ts_buf *out) {
    ts_verdict v = ts_advise_decide(a->answers);
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "advice", ts_verdict_name(&v));
    ts_jw_key(&w, "points");
    ts_jw_obj(&w);
    for (int k = 0; k < TS_WAYS; k++)
        ts_jw_kint(&w, ts_way_names[k], v.points[k]);
    ts_jw_end_obj(&w);
    ts_jw_key(&w, "answers");
    ts_jw_arr(&w);
    for (int q = 0; q < TS_QUESTION_COUNT; q++)
        write_answer(a, q, &w);
    ts_jw_end_arr(&w);
    ts_jw_key(&w, "would_change");
    ts_jw_arr(&w);
    each_change(a, &v, write_change, &w);
    ts_jw_end_arr(&w);
    ts_jw_key(&w, "examples");
    if (a->good >= 0) {
        ts_jw_obj(&w);
        ts_jw_kint(&w, "accepted", a->accepted);
        ts_jw_kint(&w, "good", a->good);
        ts_jw_kstr(&w, "advice", ts_example_advices[ts_example_band(a->good)].text);
        ts_jw_end_obj(&w);
    } else {
        ts_jw_null(&w);
    }
    ts_jw_end_obj(&w);
}

/* ---- text ---- */

static void put_reasons(const ts_advise *a, const ts_verdict *v, bool against, ts_buf *out) {
    bool any = false;
    for (int weight = 12; weight > 0; weight--) /* the weightiest first */
        for (int q = 0; q < TS_QUESTION_COUNT; q++) {
            const ts_choice *c = chosen(a, q);
            if (!c || weight_for(c, v) != (against ? -weight : weight)) continue;
            if (!any) ts_buf_puts(out, against ? "\nagainst it\n" : "\nbecause\n");
            any = true;
            ts_buf_printf(out, "  %c %s\n      %s: %s", against ? '-' : '+', c->reason, ts_questions[q].label, c->name);
            ts_buf_printf(out, a->measured[q] ? " (measured: %s)\n" : "\n", a->evidence[q]);
        }
}

static void put_change(void *ctx, int q, const ts_choice *c, const ts_verdict *v) {
    ts_buf_printf(ctx, "  %s: %s  ->  %s\n", ts_questions[q].label, c->name, ts_verdict_name(v));
}

static void put_open(const ts_advise *a, ts_buf *out) {
    bool any = false;
    for (int q = 0; q < TS_QUESTION_COUNT; q++) {
        if (a->answers[q] >= 0) continue;
        if (!any) ts_buf_puts(out, "\nnot known\n");
        any = true;
        ts_buf_printf(out, "  --%s ", ts_questions[q].key);
        for (int c = 0; c < TS_CHOICES && ts_questions[q].choices[c].name; c++)
            ts_buf_printf(out, "%s%s", c ? "|" : "", ts_questions[q].choices[c].name);
        ts_buf_printf(out, "  %s\n", ts_questions[q].ask);
        if (*a->evidence[q]) ts_buf_printf(out, "      measured so far: %s\n", a->evidence[q]);
    }
}

static void put_examples(const ts_advise *a, ts_buf *out) {
    ts_buf_puts(out, "\nhow many examples are good for what\n");
    for (int i = 0; i < TS_CHOICES; i++)
        ts_buf_printf(out, "%c %-12s %s\n", a->good >= 0 && i == ts_example_band(a->good) ? '>' : ' ',
                      ts_example_advices[i].range, ts_example_advices[i].text);
}

void ts_advise_write_text(const ts_advise *a, ts_buf *out) {
    ts_verdict v = ts_advise_decide(a->answers);
    ts_buf changes = TS_BUF_INIT;
    ts_buf_printf(out, "advice     %s\npoints     ", ts_verdict_name(&v));
    for (int k = 0; k < TS_WAYS; k++)
        ts_buf_printf(out, "%s%s %d", k ? ", " : "", ts_way_names[k], v.points[k]);
    ts_buf_puts(out, "   (3 count; fine-tuning above prompting)\n");
    put_reasons(a, &v, false, out);
    put_reasons(a, &v, true, out);
    each_change(a, &v, put_change, &changes);
    if (changes.len) ts_buf_printf(out, "\nwhat alone would change it\n%s", changes.data);
    put_open(a, out);
    put_examples(a, out);
    ts_buf_release(&changes);
}
