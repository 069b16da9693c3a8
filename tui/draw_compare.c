#include "core/text/cells.h"
#include "tui/compare.h"
#include "tui/row.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static char sign_of(const struct compare *k, const struct shown_prompt *p) {
    size_t done = 0;
    for (size_t i = 0; i < k->n_sides; i++)
        done += p->answers[i].complete;
    return done == k->n_sides ? '+' : done || p->answers[0].text.len ? '~' : '.';
}

/* The key of the vote; 0: none. A side that is not asked any more is '*'. */
static char vote_sign(const struct compare *k, const struct shown_prompt *p) {
    if (!*p->vote) return 0;
    if (strcmp(p->vote, TS_VOTE_TIE) == 0) return '=';
    if (strcmp(p->vote, TS_VOTE_NONE) == 0) return '0';
    for (size_t i = 0; i < k->n_sides; i++)
        if (strcmp(p->vote, k->sides[i]) == 0) return (char)('1' + compare_column_of(k, p, i));
    return '*';
}

static void draw_prompts(struct compare *k, ts_canvas *c, ts_rect r) {
    if (k->metric >= 0)
        ts_putf(c, r.x + 2, r.y, r.w - 3, TS_R_DIM, "by %s, %.12s", ts_metrics[k->metric].label,
                k->sides[k->metric_side]);
    else
        ts_putf(c, r.x + 2, r.y, r.w - 3, TS_R_DIM, "prompts%s%s%s", k->from ? " of " : "",
                k->from ? ts_path_base(k->from) : "", k->different ? " that differ" : "");
    ts_list_fit(&k->list, k->n_order, r.h - 1);
    for (int i = 0; i < r.h - 1 && k->list.top + (size_t)i < k->n_order; i++) {
        size_t at = k->list.top + (size_t)i;
        const struct shown_prompt *p = &k->prompts[k->order[at]];
        int y = r.y + 1 + i;
        bool here = at == k->list.cursor;
        ts_put(c, r.x, y, 1, TS_R_KEY, here ? ">" : " ");
        char vote = vote_sign(k, p), sign = vote ? vote : sign_of(k, p);
        ts_putf(c, r.x + 2, y, 1, vote ? TS_R_MARK : sign == '+' ? TS_R_OK : TS_R_DIM, "%c", sign);
        ts_putf(c, r.x + 4, y, 3, TS_R_DIM, "%3zu", k->order[at] + 1);
        ts_put(c, r.x + 8, y, r.w - 9, here ? TS_R_STRONG : TS_R_TEXT, p->text);
        if (here && k->on_list) ts_select(c, r.x, y, r.w);
    }
}

/* The words of the answer in this column that the first one lacks, or the reference; for the first column: what the
 * second lacks. */
static bool find_marks(const struct compare *k, const struct shown_prompt *p, size_t column, ts_spans *out) {
    const ts_buf *here = &p->answers[compare_side_at(k, p, column)].text;
    ts_spans other = {0};
    bool marks = false;
    if (k->words == WORDS_REFERENCE && p->reference && here->len) {
        marks = ts_worddiff(p->reference, strlen(p->reference), here->data, here->len, &other, out);
    } else if (k->words == WORDS_FIRST && k->n_sides > 1 && here->len) {
        const ts_buf *b = &p->answers[compare_side_at(k, p, column ? 0 : 1)].text;
        if (b->len)
            marks = column ? ts_worddiff(b->data, b->len, here->data, here->len, &other, out)
                           : ts_worddiff(here->data, here->len, b->data, b->len, out, &other);
    }
    ts_spans_release(&other);
    return marks;
}

/* Three lines that fit narrow columns: how it ended, what it repeats and passes, how it knows the reference. */
static void fact_lines(const struct shown_answer *a, bool running, char lines[3][80]) {
    lines[0][0] = lines[1][0] = lines[2][0] = 0;
    if (!a->complete) {
        snprintf(lines[0], 80, "%s",
                 running       ? a->text.len ? "writing" : "waiting"
                 : a->text.len ? "broken off"
                               : "no answer");
        return;
    }
    snprintf(lines[0], 80, "%lld tokens   end: %s", (long long)a->tokens, a->stop);
    snprintf(lines[1], 80, "repeats %.2f%s", a->repetition,
             a->checked ? a->passed ? "   check passed" : "   check failed" : "");
    if (!isnan(a->reference_loss)) snprintf(lines[2], 80, "loss on reference %.3f", a->reference_loss);
}

static void draw_facts(const struct compare *k, const struct shown_prompt *p, size_t side, ts_canvas *c, ts_rect r) {
    const struct shown_answer *a = &p->answers[side];
    char lines[3][80];
    fact_lines(a, k->running, lines);
    if (r.h == 1) ts_putf(c, r.x, r.y, r.w, TS_R_DIM, "%s   %s   %s", lines[0], lines[1], lines[2]);
    for (int i = 0; i < 3 && r.h == 3; i++)
        ts_put(c, r.x, r.y + i, r.w, i == 1 && a->checked && !a->passed ? TS_R_WARN : TS_R_DIM, lines[i]);
}

static size_t draw_side(struct compare *k, const struct shown_prompt *p, size_t column, ts_canvas *c, ts_rect r) {
    ts_arena *arena = &k->screen.app->frame;
    size_t side = compare_side_at(k, p, column);
    const struct shown_answer *a = &p->answers[side];
    bool mono = k->screen.app->term->mono, named = compare_named(k, p);
    int facts = (named || !a->complete) && r.h >= 12 ? 3 : 1;
    size_t scroll = k->scroll;
    ts_spans *marks = ts_arena_alloc(arena, sizeof *marks);
    *marks = (ts_spans){0};
    bool marked = find_marks(k, p, column, marks), gone = column == 0 && k->words == WORDS_FIRST;
    bool chosen = vote_sign(k, p) == (char)('1' + column);
    ts_putf(c, r.x + 1, r.y, 2, TS_R_KEY, "%zu", column + 1);
    ts_putf(c, r.x + 3, r.y, r.w - 4, TS_R_TITLE, "%s%s", named ? k->sides[side] : "?", chosen ? "   your vote" : "");
    ts_doc d = ts_doc_new(arena, r.w - 2);
    size_t n = a->text.len;
    const char *text = ts_buf_str(&a->text);
    if (marked && mono)
        text = ts_marked_text(arena, a->text.data, a->text.len, marks, gone ? "[-" : "{+", gone ? "-]" : "+}", &n);
    if (a->failed)
        ts_doc_text(&d, 0, TS_R_ERROR, text, n, NULL, TS_R_TEXT);
    else if (n)
        ts_doc_text(&d, 0, TS_R_TEXT, text, n, marked && !mono ? marks : NULL, gone ? TS_R_GONE : TS_R_ADDED);
    else if (a->complete)
        ts_doc_line_put(&d, 0, TS_R_DIM, "(an empty answer)");
    if (named && a->context.len) {
        ts_doc_blank(&d);
        ts_doc_line_put(&d, 0, TS_R_LABEL, "it was shown");
        ts_doc_text(&d, 0, TS_R_DIM, a->context.data, a->context.len, NULL, TS_R_TEXT);
    }
    bool more = ts_doc_draw(&d, c, (ts_rect){r.x + 1, r.y + 2, r.w - 2, r.h - 3 - facts}, &scroll);
    if (more) ts_put(c, r.x + 1, r.y + r.h - 1 - facts, r.w - 2, TS_R_DIM, "more below: j");
    ts_rect below = {r.x + 1, r.y + r.h - facts, r.w - 2, facts};
    if (named || !a->complete)
        draw_facts(k, p, side, c, below);
    else
        ts_put(c, below.x, below.y, below.w, TS_R_DIM, "its measures wait for your vote");
    size_t height = d.n;
    ts_doc_release(&d);
    ts_spans_release(marks);
    return height;
}

static int draw_question(struct compare *k, const struct shown_prompt *p, ts_canvas *c, ts_rect r) {
    char from[48] = "", leak[80] = "", number[32];
    size_t scroll = 0;
    if (p->example) snprintf(from, sizeof from, "   held out, row #%s", ts_thousands(p->example, number));
    char sign = vote_sign(k, p);
    const char *vote = sign == '=' ? "   your vote: a tie" : sign == '0' ? "   your vote: all bad" : "";
    if (p->leak)
        snprintf(leak, sizeof leak, "   %zu words of it were trained on, row #%s", p->leak,
                 ts_thousands(p->leak_row, number));
    const char *before = *p->note ? "   note: " : "";
    ts_putf(c, r.x + 1, r.y, r.w - 2, p->leak ? TS_R_WARN : TS_R_LABEL, "prompt %zu of %zu%s%s%s%s%s",
            k->order[k->list.cursor] + 1, k->n_prompts, from, leak, vote, before, p->note);
    ts_doc d = ts_doc_new(&k->screen.app->frame, r.w - 3);
    ts_doc_text(&d, 0, TS_R_STRONG, p->text, strlen(p->text), NULL, TS_R_TEXT);
    int h = (int)TS_MIN(d.n, (size_t)TS_MAX(2, r.h / 5));
    ts_doc_draw(&d, c, (ts_rect){r.x + 1, r.y + 1, r.w - 3, h}, &scroll);
    if ((size_t)h < d.n) ts_put_right(c, r.x, r.y + h, r.w, TS_R_DIM, " ..");
    ts_doc_release(&d);
    return h + 1;
}

static int draw_reference(struct compare *k, const struct shown_prompt *p, ts_canvas *c, ts_rect r) {
    size_t scroll = 0;
    if (!p->reference || r.h < 24) return 0;
    ts_doc d = ts_doc_new(&k->screen.app->frame, r.w - 3);
    ts_doc_text(&d, 0, TS_R_DIM, p->reference, strlen(p->reference), NULL, TS_R_TEXT);
    int h = (int)TS_MIN(d.n, (size_t)(r.h / 4)) + 2;
    int y = r.y + r.h - h;
    ts_hline(c, r.x, y, r.w);
    ts_put(c, r.x + 1, y + 1, r.w - 2, TS_R_LABEL, "reference, as it stands in the data");
    ts_doc_draw(&d, c, (ts_rect){r.x + 1, y + 2, r.w - 3, h - 2}, &scroll);
    ts_doc_release(&d);
    return h;
}

/* The columns that are drawn: as many as fit beside each other from first_column on; on a narrow screen two stand
 * one below the other. */
static void draw_sides(struct compare *k, const struct shown_prompt *p, ts_canvas *c, ts_rect r) {
    bool stacked = k->screen.app->canvas.w < 80 && k->n_sides > 1;
    int fit = stacked ? TS_MAX(1, TS_MIN(2, (r.h - 1) / 5)) : TS_MAX(2, r.w / 36), n = TS_MIN((int)k->n_sides, fit);
    size_t tallest = 0;
    k->first_column = TS_MIN(k->first_column, k->n_sides - (size_t)n);
    int w = stacked ? r.w : (r.w - (n - 1)) / n, h = stacked ? (r.h - 1) / n : r.h - 1;
    ts_hline(c, r.x, r.y, r.w);
    for (int i = 0; i < n; i++) {
        int x = stacked ? r.x : r.x + i * (w + 1), y = r.y + 1 + (stacked ? i * h : 0);
        ts_rect part = {x, y, i + 1 == n ? r.x + r.w - x : w, i + 1 == n ? r.y + r.h - y : h};
        size_t height = draw_side(k, p, k->first_column + (size_t)i, c, part);
        tallest = TS_MAX(tallest, height);
        if (i + 1 < n && !stacked) {
            ts_vline(c, x + w, r.y + 1, r.h - 1);
            ts_put(c, x + w, r.y, 1, TS_R_RULE, c->ascii ? "+" : "┬");
        }
    }
    size_t more = k->n_sides - k->first_column - (size_t)n;
    if (more) ts_putf(c, r.x + r.w - 12, r.y, 12, TS_R_KEY, "l: %zu more", more);
    if (k->first_column) ts_putf(c, r.x + 1, r.y, 12, TS_R_KEY, "h: %zu more", k->first_column);
    size_t rows = (size_t)TS_MAX(h - 6, 1);
    k->scroll = TS_MIN(k->scroll, tallest > rows ? tallest - rows : 0);
}

static void draw_empty(const struct compare *k, ts_canvas *c, ts_rect r) {
    ts_doc d = ts_doc_new(&k->screen.app->frame, r.w - 6);
    size_t scroll = 0;
    if (k->running) {
        ts_doc_line_put(&d, 0, TS_R_STRONG, "Loading the model.");
    } else if (*k->problem) {
        ts_doc_line_put(&d, 0, TS_R_ERROR, "No answers:");
        ts_doc_text(&d, 0, TS_R_TEXT, k->problem, strlen(k->problem), NULL, TS_R_TEXT);
    } else {
        ts_doc_line_put(&d, 0, TS_R_STRONG, "Answers beside each other.");
        ts_doc_linef(&d, 0, TS_R_TEXT, "R lets the sides answer %s%s.",
                     k->from ? "the prompts of " : "the held-out prompts", k->from ? ts_path_base(k->from) : "");
    }
    ts_doc_blank(&d);
    ts_buf sides = TS_BUF_INIT;
    for (size_t i = 0; i < k->n_sides; i++)
        ts_buf_printf(&sides, "%s%s", i ? ", " : "", k->sides[i]);
    ts_doc_linef(&d, 0, TS_R_TEXT, "Sides: %s", sides.len ? sides.data : "none; a finished run is needed (4 Runs)");
    ts_buf_release(&sides);
    ts_doc_line_put(&d, 0, TS_R_TEXT, "p the sides   P the prompts   e asks something of your own   < the runs");
    ts_doc_draw(&d, c, (ts_rect){r.x + 3, r.y + 2, r.w - 6, r.h - 3}, &scroll);
    ts_doc_release(&d);
}

void compare_draw(ts_screen *s, ts_canvas *c, ts_rect body) {
    struct compare *k = (struct compare *)s;
    if (k->n_prompts == 0) {
        draw_empty(k, c, body);
        return;
    }
    ts_list_fit(&k->list, k->n_order, body.h - 1);
    if (k->n_order == 0) {
        ts_put(c, body.x + 3, body.y + 2, body.w - 6, TS_R_TEXT,
               "All sides answer all prompts with the same words. f lists them again.");
        return;
    }
    if (body.w >= 100 && !k->zoom && k->n_order > 1) {
        draw_prompts(k, c, (ts_rect){body.x, body.y, 30, body.h});
        ts_vline(c, body.x + 30, body.y, body.h);
        body.x += 31;
        body.w -= 31;
    }
    const struct shown_prompt *p = compare_here(k);
    int top = draw_question(k, p, c, body);
    body.y += top;
    body.h -= top;
    if (*k->problem) {
        ts_put(c, body.x + 1, body.y, body.w - 2, TS_R_ERROR, k->problem);
        body.y++;
        body.h--;
    }
    body.h -= draw_reference(k, p, c, body);
    draw_sides(k, p, c, body);
    if (!k->on_list) ts_cursor(c, body.x, body.y + 1);
}

/* "your votes: run:2 8  base 1  tie 2"; "11 voted" where there is less room */
static int tell_votes(const struct compare *k, bool wide, char *out, int size) {
    const char *names[SIDES_MAX + 2] = {TS_VOTE_TIE, TS_VOTE_NONE};
    const char *before = "your votes: ";
    size_t all = 0;
    int n = 0;
    for (size_t i = 0; i < k->n_sides; i++)
        names[i + 2] = k->sides[i];
    for (size_t i = k->n_sides + 2; i-- > 0;) {
        size_t votes = 0;
        for (size_t p = 0; p < k->n_prompts; p++)
            votes += strcmp(k->prompts[p].vote, names[i]) == 0;
        all += votes;
        if (!wide || !votes || n >= size - 40) continue;
        n += snprintf(out + n, (size_t)(size - n), "%s%.16s %zu", before, i == 1 ? "all bad" : names[i], votes);
        before = "  ";
    }
    if (!wide && all) n = snprintf(out, (size_t)size, "%zu voted", all);
    return n;
}

void compare_status(ts_screen *s, char *left, char *right) {
    struct compare *k = (struct compare *)s;
    size_t done = 0;
    int n = 0;
    for (size_t i = 0; i < k->n_prompts; i++)
        done += sign_of(k, &k->prompts[i]) == '+';
    for (size_t i = 0; i < k->n_sides && k->measured && n < 150; i++) {
        double passed = k->metrics[i].m[TS_M_PASS_RATE].value, loss = k->metrics[i].m[TS_M_REFERENCE_NLL].value;
        n += snprintf(left + n, (size_t)(200 - n), "%s%.20s", i ? "   " : "", k->sides[i]);
        if (!isnan(passed)) n += snprintf(left + n, (size_t)(200 - n), " passes %.0f%%", 100 * passed);
        if (!isnan(loss)) n += snprintf(left + n, (size_t)(200 - n), " loss %.2f", loss);
    }
    if (n == 0 && k->n_prompts)
        snprintf(left, 200, "seed %lld   words %s", (long long)k->seed,
                 k->words == WORDS_PLAIN ? "not marked" : "marked");
    char votes[120] = "";
    int used = tell_votes(k, s->app->canvas.w >= 100, votes, sizeof votes);
    if (k->n_prompts) snprintf(right, 200, "%s%s%zu / %zu answered", votes, used ? "   " : "", done, k->n_prompts);
}
