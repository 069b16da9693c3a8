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

static void write_interval(ts_jw *w, const char *key, ts_interval i) {
    ts_jw_key(w, key);
    ts_jw_arr(w);
    ts_jw_num(w, i.low);
    ts_jw_num(w, i.high);
    ts_jw_end_arr(w);
}

void ts_side_votes_write(const ts_side_votes *v, ts_jw *w) {
    double decided = (double)(v->wins + v->losses);
    ts_jw_obj(w);
    ts_jw_kint(w, "wins", v->wins);
    ts_jw_kint(w, "losses", v->losses);
    ts_jw_kint(w, "ties", v->ties);
    ts_jw_kint(w, "none", v->none);
    ts_jw_kint(w, "blind", v->blind);
    ts_jw_knum(w, "win_rate", decided > 0 ? (double)v->wins / decided : NAN);
    write_interval(w, "win_rate_interval", ts_wilson((double)v->wins, decided));
    ts_jw_knum(w, "sign_test", decided > 0 ? ts_sign_test(v->wins, v->losses) : NAN);
    ts_jw_end_obj(w);
}

static bool has_choices(const ts_compare *c) {
    for (size_t i = 0; i < c->n_prompts; i++)
        if (c->prompts[i].choices) return true;
    return false;
}

static void write_metrics(const ts_compare *c, ts_jw *w) {
    ts_jw_key(w, "metrics");
    ts_jw_obj(w);
    for (size_t i = 0; i < c->n_sides; i++) {
        const ts_measure *m = c->metrics[i].m;
        ts_jw_key(w, c->sides[i]);
        ts_jw_obj(w);
        for (int id = 0; id < TS_METRIC_COUNT; id++)
            ts_jw_knum(w, ts_metrics[id].name, m[id].value);
        ts_jw_key(w, "intervals");
        ts_jw_obj(w);
        for (int id = 0; id < TS_METRIC_COUNT; id++)
            write_interval(w, ts_metrics[id].name, m[id].interval);
        ts_jw_end_obj(w);
        if (c->robust && c->robust[i].by != TS_METRIC_COUNT) {
            ts_jw_key(w, "robust");
            ts_robust_write(&c->robust[i], w);
        }
        if (has_choices(c)) ts_jw_kstr(w, "no_choices", ts_compare_no_choices(&c->specs[i]));
        if (c->general) {
            ts_jw_knum(w, "general_loss", c->general[i].loss.value);
            write_interval(w, "general_loss_interval", c->general[i].loss.interval);
            ts_jw_knum(w, "general_change", c->general[i].change);
        }
        if (c->votes) {
            ts_jw_key(w, "votes");
            ts_side_votes_write(&c->votes[i], w);
        }
        ts_jw_end_obj(w);
    }
    ts_jw_end_obj(w);
}

static void write_chosen(const ts_answer *x, ts_jw *w) {
    ts_jw_key(w, "choices");
    ts_jw_arr(w);
    for (size_t i = 0; i < x->n_choices; i++)
        ts_jw_num(w, x->choices[i]);
    ts_jw_end_arr(w);
    ts_jw_kint(w, "chosen", (int64_t)x->chosen);
    ts_jw_kint(w, "chosen_norm", (int64_t)x->chosen_norm);
}

static void write_answer(const ts_answer *x, ts_jw *w) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "text", x->text ? x->text : "");
    ts_jw_kstr(w, "error", x->error);
    ts_jw_kstr(w, "unscored", x->unscored);
    ts_jw_kstr(w, "context", x->context);
    ts_jw_knum(w, "left_out", x->shots ? (double)x->left_out : NAN);
    ts_jw_knum(w, "cost", x->cost > 0 ? x->cost : NAN);
    ts_jw_knum(w, "seconds", x->seconds > 0 ? x->seconds : NAN);
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
    if (x->chose) write_chosen(x, w);
    ts_jw_key(w, "metrics");
    ts_jw_obj(w);
    for (int id = 0; id < TS_METRIC_COUNT; id++)
        ts_jw_knum(w, ts_metrics[id].name, x->values[id]);
    ts_jw_end_obj(w);
    ts_jw_end_obj(w);
}

static void write_choices(const ts_prompt *p, ts_jw *w) {
    ts_jw_key(w, "choices");
    ts_jw_arr(w);
    for (size_t i = 0; i < p->n_choices; i++)
        ts_jw_str(w, p->choices[i]);
    ts_jw_end_arr(w);
    ts_jw_kint(w, "right", (int64_t)p->right);
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
        if (c->prompts[p].choices) write_choices(&c->prompts[p], &w);
        ts_jw_kint(&w, "sample", c->prompts[p].sample);
        ts_jw_knum(&w, "leak_words", c->prompts[p].leak ? (double)c->prompts[p].leak : NAN);
        ts_jw_knum(&w, "leak_row", c->prompts[p].leak ? (double)c->prompts[p].leak_row : NAN);
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
    if (x->error) {
        ts_buf_printf(out, "no answer: %s", x->error);
        return;
    }
    if (x->tokens >= 0) ts_buf_printf(out, "%lld tok, ", (long long)x->tokens);
    ts_buf_puts(out, x->stop);
    if (isfinite(x->reference_nll) && x->reference_tokens)
        ts_buf_printf(out, ", ref %.3f", x->reference_nll / (double)x->reference_tokens);
    if (x->repetition > 0) ts_buf_printf(out, ", repeats %.2f", x->repetition);
    if (x->checked) ts_buf_puts(out, x->passed ? ", pass" : ", FAIL");
    if (x->chose)
        ts_buf_printf(out, ", choice %c %s%s", (int)('A' + x->chosen), x->right ? "right" : "WRONG",
                      x->right_norm == x->right ? ""
                      : x->right                ? ", a byte WRONG"
                                                : ", a byte right");
    if (x->cost > 0) ts_buf_printf(out, ", cost %.6f", x->cost);
    if (x->unscored) ts_buf_printf(out, "\n%s", x->unscored);
    if (x->context) ts_buf_printf(out, "\nshown: %s", x->context);
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
    if (c->samples > 1) ts_buf_printf(out, "   sample %lld", (long long)c->prompts[prompt].sample + 1);
    if (c->prompts[prompt].leak)
        ts_buf_printf(out, "   %zu words in a row are in row #%lld, which is trained on", c->prompts[prompt].leak,
                      (long long)c->prompts[prompt].leak_row);
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

/* Text of one cell of the table of metrics: "1.087 [0.92, 1.31]". */
static void put_measure(ts_buf *out, ts_metric_id id, const ts_measure *m) {
    ts_metric_print(id, m->value, out);
    if (!isfinite(m->interval.low)) return;
    ts_buf_puts(out, " [");
    ts_metric_print(id, m->interval.low, out);
    ts_buf_puts(out, ", ");
    ts_metric_print(id, m->interval.high, out);
    ts_buf_putc(out, ']');
}

void ts_side_votes_print(const ts_side_votes *v, ts_buf *out) {
    double decided = (double)(v->wins + v->losses);
    ts_buf_printf(out, "%lld of %lld", (long long)v->wins, (long long)decided);
    if (!(decided > 0)) return;
    ts_interval w = ts_wilson((double)v->wins, decided);
    ts_buf_printf(out, " = %.0f%% [%.0f%%, %.0f%%]", 100 * (double)v->wins / decided, 100 * w.low, 100 * w.high);
}

enum { LABEL = 16, CELL = 27 };

static void end_line(ts_buf *out) {
    while (out->len && out->data[out->len - 1] == ' ')
        out->data[--out->len] = 0;
    ts_buf_putc(out, '\n');
}

static bool measured(const ts_compare *c, int id) {
    for (size_t i = 0; i < c->n_sides; i++)
        if (isfinite(c->metrics[i].m[id].value)) return true;
    return false;
}

static bool voted(const ts_compare *c) {
    for (size_t i = 0; c->votes && i < c->n_sides; i++)
        if (c->votes[i].wins + c->votes[i].losses + c->votes[i].ties + c->votes[i].none) return true;
    return false;
}

/* The rows of --general: the loss, and how much it is above the model's own. */
static void put_general(const ts_compare *c, size_t first, size_t last, ts_buf *out) {
    ts_buf cell = TS_BUF_INIT;
    bool tuned = false;
    for (size_t i = 0; i < c->n_sides; i++)
        tuned |= isfinite(c->general[i].change) != 0;
    for (int change = 0; change < 1 + tuned; change++) {
        put_cell(out, change ? "forgotten" : "general loss", change ? 9 : 12, LABEL);
        for (size_t i = first; i < last; i++) {
            const ts_general *g = &c->general[i];
            ts_buf_reset(&cell);
            if (!change)
                put_measure(&cell, TS_M_REFERENCE_NLL, &g->loss);
            else if (isfinite(g->change))
                ts_buf_printf(&cell, "%+.3f", g->change);
            else
                ts_buf_putc(&cell, '-');
            put_cell(out, ts_buf_str(&cell), cell.len, CELL - 1);
            ts_buf_putc(out, ' ');
        }
        end_line(out);
    }
    ts_buf_release(&cell);
}

/* What --robust adds. */
static void put_robust(const ts_compare *c, size_t first, size_t last, ts_buf *out) {
    ts_buf cell = TS_BUF_INIT;
    for (size_t row = 0; row < TS_ROBUST_ROWS; row++) {
        if (!ts_robust_measured(c->robust, c->n_sides, row)) continue;
        for (size_t i = first; i < last; i++) {
            const ts_robust_row *r = &c->robust[i].rows[row];
            if (i == first) put_cell(out, ts_robust_label(row), strlen(ts_robust_label(row)), LABEL);
            ts_buf_reset(&cell);
            put_measure(&cell, r->format, &r->m);
            put_cell(out, ts_buf_str(&cell), cell.len, CELL - 1);
            ts_buf_putc(out, ' ');
        }
        end_line(out);
    }
    ts_buf_release(&cell);
}

/* The sides [first, last) as columns, the metrics as rows. */
static void put_table(const ts_compare *c, size_t first, size_t last, ts_buf *out) {
    ts_buf cell = TS_BUF_INIT;
    put_cell(out, "side", 4, LABEL);
    for (size_t i = first; i < last; i++)
        put_cell(out, c->sides[i], strlen(c->sides[i]), CELL - 1), ts_buf_putc(out, ' ');
    end_line(out);
    for (int id = 0; id < TS_METRIC_COUNT; id++) {
        if (!measured(c, id)) continue;
        put_cell(out, ts_metrics[id].label, strlen(ts_metrics[id].label), LABEL);
        for (size_t i = first; i < last; i++) {
            ts_buf_reset(&cell);
            put_measure(&cell, (ts_metric_id)id, &c->metrics[i].m[id]);
            put_cell(out, ts_buf_str(&cell), cell.len, CELL - 1);
            ts_buf_putc(out, ' ');
        }
        end_line(out);
    }
    if (c->general) put_general(c, first, last, out);
    if (c->robust) put_robust(c, first, last, out);
    if (voted(c)) put_cell(out, "votes won", 9, LABEL);
    for (size_t i = first; i < last && voted(c); i++) {
        ts_buf_reset(&cell);
        ts_side_votes_print(&c->votes[i], &cell);
        put_cell(out, ts_buf_str(&cell), cell.len, CELL - 1);
        ts_buf_putc(out, ' ');
    }
    if (voted(c)) end_line(out);
    ts_buf_release(&cell);
}

static void put_summary(const ts_compare *c, size_t width, ts_buf *out) {
    size_t fit = TS_MAX((width - LABEL) / CELL, (size_t)1);
    for (size_t i = 0; i < c->n_sides; i += fit) {
        if (i) ts_buf_putc(out, '\n');
        put_table(c, i, TS_MIN(i + fit, c->n_sides), out);
    }
    ts_buf_puts(out, "[ , ]: in 95 of 100 such samples of prompts the number lies there (bootstrap; shares: Wilson)\n");
    for (size_t i = 0; i < c->n_sides && has_choices(c); i++)
        if (ts_compare_no_choices(&c->specs[i]))
            ts_buf_printf(out, "%s: no choice right or wrong: %s\n", c->sides[i], ts_compare_no_choices(&c->specs[i]));
    if (c->robust) {
        ts_robust_explain(c->robust, c->n_sides, out);
        ts_buf_putc(out, '\n');
    }
    size_t leaks = 0;
    for (size_t i = 0; i < c->n_prompts; i++)
        leaks += c->prompts[i].leak > 0 && c->prompts[i].sample == 0;
    if (leaks)
        ts_buf_printf(out, "%zu of %zu prompts share 8 words in a row or more with rows that are trained on\n", leaks,
                      c->n_prompts / TS_MAX(c->samples, (size_t)1));
    if (voted(c) && c->n_sides == 2)
        ts_buf_printf(out, "sign test: p = %.3g that votes are so uneven when neither side is better\n",
                      ts_sign_test(c->votes[0].wins, c->votes[0].losses));
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
    put_summary(c, width, out);
    for (size_t i = 0; i < c->n_sides; i++)
        ts_buf_release(&names[i]);
    free(names);
}
