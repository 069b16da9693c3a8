/* Comparisons as JSON and as text for a terminal. */
#include "core/text/cells.h"
#include "core/text/worddiff.h"
#include "core/text/wrap.h"
#include "eval/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_COLUMN = 24, MAX_LINES = 400, SHOWN_PROMPT_LINES = 6 };

/* --- JSON --- */

static void write_metrics(const ts_compare *c, ts_jw *w) {
    ts_jw_key(w, "metrics");
    ts_jw_obj(w);
    for (size_t i = 0; i < c->n_sides; i++) {
        const ts_compare_metrics *m = &c->metrics[i];
        ts_jw_key(w, c->sides[i]);
        ts_jw_obj(w);
        ts_jw_knum(w, "pass_rate", m->pass_rate);
        ts_jw_knum(w, "reference_nll", m->reference_nll);
        ts_jw_knum(w, "tokens", m->mean_tokens);
        ts_jw_knum(w, "repetition", m->repetition);
        ts_jw_knum(w, "ended", m->ended);
        ts_jw_end_obj(w);
    }
    ts_jw_end_obj(w);
}

static void write_answer(const ts_answer *x, ts_jw *w) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "text", x->text ? x->text : "");
    ts_jw_key(w, "ids");
    ts_jw_arr(w);
    for (size_t i = 0; i < x->n_ids; i++)
        ts_jw_int(w, x->ids[i]);
    ts_jw_end_arr(w);
    ts_jw_kstr(w, "stop", x->stop);
    ts_jw_knum(w, "reference_nll", x->reference_nll);
    ts_jw_knum(w, "reference_tokens", isfinite(x->reference_nll) ? (double)x->reference_tokens : NAN);
    ts_jw_knum(w, "repetition", x->repetition);
    ts_jw_key(w, "passed");
    if (x->checked)
        ts_jw_bool(w, x->passed);
    else
        ts_jw_null(w);
    ts_jw_knum(w, "failed_line", x->failed_line ? (double)x->failed_line : NAN);
    ts_jw_end_obj(w);
}

void ts_compare_write_json(const ts_compare *c, ts_buf *out) {
    ts_jw w = ts_jw_to(out);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "model", c->model);
    ts_jw_key(&w, "sides");
    ts_jw_arr(&w);
    for (size_t i = 0; i < c->n_sides; i++)
        ts_jw_str(&w, c->sides[i]);
    ts_jw_end_arr(&w);
    write_metrics(c, &w);
    ts_jw_knum(&w, "seconds", c->seconds);
    ts_jw_key(&w, "rows");
    ts_jw_arr(&w);
    for (size_t p = 0; p < c->n_prompts; p++) {
        ts_jw_obj(&w);
        ts_jw_kstr(&w, "prompt", c->prompts[p].text);
        ts_jw_knum(&w, "id", c->prompts[p].kept ? (double)c->prompts[p].kept : NAN);
        ts_jw_kstr(&w, "reference", c->prompts[p].reference);
        ts_jw_key(&w, "answers");
        ts_jw_obj(&w);
        for (size_t i = 0; i < c->n_sides; i++) {
            ts_jw_key(&w, c->sides[i]);
            write_answer(&c->answers[p * c->n_sides + i], &w);
        }
        ts_jw_end_obj(&w);
        ts_jw_end_obj(&w);
    }
    ts_jw_end_arr(&w);
    ts_jw_end_obj(&w);
}

/* --- text --- */

/* s[0..n) as it may be drawn, cut or filled up to `width` columns. */
static void put_cell(ts_buf *out, const char *s, size_t n, size_t width) {
    ts_cells cells;
    ts_glyph g;
    size_t used = 0;
    ts_cells_init(&cells, s, n);
    while (ts_cells_next(&cells, &g) && used + g.width <= width) {
        ts_buf_add(out, g.text, g.len);
        used += g.width;
    }
    for (; used < width; used++)
        ts_buf_putc(out, ' ');
}

static void put_rule(ts_buf *out, size_t width, size_t n_sides, size_t column) {
    for (size_t i = 0; i < width; i++)
        ts_buf_putc(out, n_sides > 1 && (i + 2) % (column + 3) == 0 && i / (column + 3) + 1 < n_sides ? '+' : '-');
    ts_buf_putc(out, '\n');
}

static void put_marked(ts_buf *out, const char *text, const ts_spans *spans, const char *open, const char *close) {
    size_t at = 0, n = strlen(text);
    for (size_t i = 0; i < spans->n; i++) {
        const ts_span *s = &spans->items[i];
        ts_buf_add(out, text + at, s->from - at);
        ts_buf_puts(out, open);
        ts_buf_add(out, text + s->from, s->to - s->from);
        ts_buf_puts(out, close);
        at = s->to;
    }
    ts_buf_add(out, text + at, n - at);
}

/* The answers of a prompt with their differing words marked: with two sides on both, else against the first. */
static void mark_answers(const ts_compare *c, size_t prompt, ts_buf *marked) {
    const ts_answer *x = &c->answers[prompt * c->n_sides];
    const char *first = x[0].text ? x[0].text : "";
    for (size_t i = 1; i < c->n_sides; i++) {
        ts_spans gone = {0}, added = {0};
        const char *text = x[i].text ? x[i].text : "";
        ts_worddiff(first, strlen(first), text, strlen(text), &gone, &added);
        put_marked(&marked[i], text, &added, "{+", "+}");
        if (i == 1 && c->n_sides == 2) put_marked(&marked[0], first, &gone, "[-", "-]");
        ts_spans_release(&gone);
        ts_spans_release(&added);
    }
    if (c->n_sides != 2) ts_buf_puts(&marked[0], first);
}

/* What is said under an answer: length, stop, loss of the reference, verdict. */
static void put_facts(const ts_answer *x, ts_buf *out) {
    ts_buf_printf(out, "%zu tok, %s", x->n_ids, x->stop);
    if (isfinite(x->reference_nll) && x->reference_tokens)
        ts_buf_printf(out, ", ref %.3f", x->reference_nll / (double)x->reference_tokens);
    if (x->repetition > 0) ts_buf_printf(out, ", repeats %.2f", x->repetition);
    if (x->checked) ts_buf_puts(out, x->passed ? ", pass" : ", FAIL");
}

static void put_columns(ts_buf *out, const ts_buf *texts, size_t n, size_t column) {
    ts_wrapped *lines = ts_calloc(n, sizeof *lines);
    size_t most = 0;
    for (size_t i = 0; i < n; i++) {
        ts_wrap_all(ts_buf_str(&texts[i]), texts[i].len, column, MAX_LINES, &lines[i]);
        most = TS_MAX(most, lines[i].n);
    }
    for (size_t k = 0; k < most; k++) {
        for (size_t i = 0; i < n; i++) {
            ts_line l = k < lines[i].n ? lines[i].items[k] : (ts_line){0, 0, true};
            if (i) ts_buf_puts(out, " | ");
            put_cell(out, ts_buf_str(&texts[i]) + l.from, l.to - l.from, column);
        }
        while (out->len && out->data[out->len - 1] == ' ')
            out->data[--out->len] = 0;
        ts_buf_putc(out, '\n');
    }
    for (size_t i = 0; i < n; i++)
        ts_wrapped_release(&lines[i]);
    free(lines);
}

static void put_prompt(const ts_compare *c, size_t prompt, size_t width, ts_buf *out) {
    ts_wrapped lines = {0};
    const char *text = c->prompts[prompt].text;
    ts_buf_printf(out, "prompt %zu / %zu", prompt + 1, c->n_prompts);
    if (c->prompts[prompt].kept) ts_buf_printf(out, "   #%lld", (long long)c->prompts[prompt].kept);
    ts_buf_putc(out, '\n');
    ts_wrap_all(text, strlen(text), width - 1, SHOWN_PROMPT_LINES, &lines);
    for (size_t i = 0; i < lines.n; i++) {
        ts_buf_putc(out, ' ');
        put_cell(out, text + lines.items[i].from, lines.items[i].to - lines.items[i].from, width - 1);
        while (out->data[out->len - 1] == ' ')
            out->data[--out->len] = 0;
        ts_buf_putc(out, '\n');
    }
    ts_wrapped_release(&lines);
}

/* One row of texts beside each other, or below each other when the columns would be too narrow. */
static void put_row(ts_buf *out, const ts_buf *texts, size_t n, size_t width, size_t column) {
    if (column >= LEAST_COLUMN) {
        put_columns(out, texts, n, column);
        return;
    }
    for (size_t i = 0; i < n; i++)
        put_columns(out, &texts[i], 1, width);
}

static void put_comparison(const ts_compare *c, size_t prompt, size_t width, size_t column, ts_buf *out) {
    size_t n = c->n_sides;
    ts_buf *texts = ts_calloc(n, sizeof *texts), *facts = ts_calloc(n, sizeof *facts);
    mark_answers(c, prompt, texts);
    for (size_t i = 0; i < n; i++) {
        if (column < LEAST_COLUMN) ts_buf_printf(&facts[i], "%s: ", c->sides[i]);
        put_facts(&c->answers[prompt * n + i], &facts[i]);
    }
    put_rule(out, width, 1, column);
    put_prompt(c, prompt, width, out);
    put_rule(out, width, column >= LEAST_COLUMN ? n : 1, column);
    put_row(out, texts, n, width, column);
    put_rule(out, width, column >= LEAST_COLUMN ? n : 1, column);
    put_row(out, facts, n, width, column);
    for (size_t i = 0; i < n; i++) {
        ts_buf_release(&texts[i]);
        ts_buf_release(&facts[i]);
    }
    free(texts);
    free(facts);
}

static void put_number(ts_buf *out, double v, const char *fmt_unit, double factor) {
    if (isfinite(v))
        ts_buf_printf(out, "%10.*f%s", factor == 1 ? 3 : 0, v * factor, fmt_unit);
    else
        ts_buf_printf(out, "%10s%s", "-", *fmt_unit ? " " : "");
}

static void put_summary(const ts_compare *c, ts_buf *out) {
    ts_buf_printf(out, "%-28s %10s %12s %10s %10s %10s\n", "side", "pass", "reference", "tokens", "repeats", "ended");
    for (size_t i = 0; i < c->n_sides; i++) {
        const ts_compare_metrics *m = &c->metrics[i];
        put_cell(out, c->sides[i], strlen(c->sides[i]), 28);
        put_number(out, m->pass_rate, "%", 100);
        put_number(out, m->reference_nll, "  ", 1);
        ts_buf_printf(out, " %10.1f", m->mean_tokens);
        ts_buf_printf(out, " %10.3f", m->repetition);
        put_number(out, m->ended, "%", 100);
        ts_buf_putc(out, '\n');
    }
    ts_buf_puts(out,
                "reference: mean loss a token of the reference answers; ended: answers that stopped by themselves\n");
}

void ts_compare_write_text(const ts_compare *c, size_t width, ts_buf *out) {
    width = TS_MAX(width, (size_t)40);
    size_t column = (width - 3 * (c->n_sides - 1)) / c->n_sides;
    ts_buf *names = ts_calloc(c->n_sides, sizeof *names);
    for (size_t i = 0; i < c->n_sides; i++)
        ts_buf_puts(&names[i], c->sides[i]);
    put_row(out, names, c->n_sides, width, column);
    for (size_t p = 0; p < c->n_prompts; p++)
        put_comparison(c, p, width, column, out);
    put_rule(out, width, 1, column);
    put_summary(c, out);
    for (size_t i = 0; i < c->n_sides; i++)
        ts_buf_release(&names[i]);
    free(names);
}
