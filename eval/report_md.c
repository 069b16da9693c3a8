/* A report as Markdown. Answers stand in fenced blocks, where nothing in them means anything; the words that differ are
 * marked {+so+}. */
#include "eval/report_private.h"

#include <math.h>
#include <string.h>

enum { CURVE_ROWS = 20 };

/* One line, with what Markdown and HTML would read as markup escaped. */
static void text(ts_buf *out, const char *s) {
    ts_buf plain = TS_BUF_INIT;
    ts_report_visible(&plain, s, strlen(s));
    for (size_t i = 0; i < plain.len; i++) {
        char c = plain.data[i];
        if (strchr("\\`*_{}[]<>#|~!&$", c)) ts_buf_putc(out, '\\');
        ts_buf_putc(out, c == '\n' || c == '\t' ? ' ' : c);
    }
    ts_buf_release(&plain);
}

/* Longer than any run of backticks in the text. */
static size_t fence_of(const char *s, size_t n) {
    size_t longest = 2, run = 0;
    for (size_t i = 0; i < n; i++) {
        run = s[i] == '`' ? run + 1 : 0;
        longest = TS_MAX(longest, run);
    }
    return longest + 1;
}

static void put_fenced(ts_buf *out, const ts_buf *shown) {
    size_t ticks = fence_of(ts_buf_str(shown), shown->len);
    for (int end = 0; end < 2; end++) {
        for (size_t i = 0; i < ticks; i++)
            ts_buf_putc(out, '`');
        ts_buf_puts(out, end ? "\n\n" : "text\n");
        if (end) break;
        ts_buf_add(out, ts_buf_str(shown), shown->len);
        if (shown->len == 0 || shown->data[shown->len - 1] != '\n') ts_buf_putc(out, '\n');
    }
}

static void put_text_block(ts_buf *out, const char *s) {
    ts_buf shown = TS_BUF_INIT;
    ts_report_visible(&shown, s, strlen(s));
    put_fenced(out, &shown);
    ts_buf_release(&shown);
}

static void fact_line(void *ctx, const char *name, const char *value) {
    ts_buf *out = ctx;
    ts_buf_printf(out, "- %s: ", name);
    text(out, value);
    ts_buf_putc(out, '\n');
}

static void put_curve(const ts_follow *f, ts_buf *out) {
    size_t each = f->n_points / CURVE_ROWS + 1;
    if (f->n_points) ts_buf_puts(out, "\n| steps | training loss |\n| --- | ---: |\n");
    for (size_t i = 0; i < f->n_points; i += each) {
        size_t end = TS_MIN(i + each, f->n_points), n = 0;
        double sum = 0;
        for (size_t k = i; k < end; k++)
            if (isfinite(f->points[k].loss)) sum += f->points[k].loss, n++;
        if (n == 0) continue;
        ts_buf_printf(out, "| %lld", (long long)f->points[i].step);
        if (end - i > 1) ts_buf_printf(out, " to %lld", (long long)f->points[end - 1].step);
        ts_buf_printf(out, " | %.4f |\n", sum / (double)n);
    }
    if (f->n_evals) ts_buf_puts(out, "\n| step | held-out loss |\n| ---: | ---: |\n");
    for (size_t i = 0; i < f->n_evals; i++)
        ts_buf_printf(out, "| %lld | %.4f%s |\n", (long long)f->evals[i].step, f->evals[i].loss,
                      f->evals[i].step == f->best_step ? " (best)" : "");
}

static void put_samples(const ts_follow *f, ts_buf *out) {
    if (f->n_samples) ts_buf_puts(out, "\nAnswers while it trained:\n\n");
    for (size_t p = 0; f->n_samples && p < f->n_prompts; p++) {
        if (!f->prompts[p]) continue;
        put_text_block(out, f->prompts[p]);
        for (size_t i = 0; i < f->n_samples; i++) {
            if (f->samples[i].prompt != p) continue;
            ts_buf_printf(out, "Step %lld:\n\n", (long long)f->samples[i].step);
            put_text_block(out, f->samples[i].text);
        }
    }
}

static void put_run(const ts_run_info *run, ts_buf *out) {
    ts_buf command = TS_BUF_INIT;
    ts_buf_printf(out, "\n### Run %lld: ", (long long)run->id);
    text(out, run->name);
    ts_buf_puts(out, "\n\n");
    if (!run->readable) {
        ts_buf_puts(out, "It cannot be read: ");
        text(out, run->problem);
        ts_buf_puts(out, "\n");
        return;
    }
    ts_report_run_facts(run, fact_line, out);
    put_curve(&run->follow, out);
    put_samples(&run->follow, out);
    ts_report_command(run, &command);
    ts_buf_puts(out, "\nThe same again:\n\n");
    put_text_block(out, ts_buf_str(&command));
    ts_buf_puts(out, "All settings of run.json:\n\n");
    ts_report_run_settings(run, fact_line, out);
    ts_buf_release(&command);
}

static void put_metric(const ts_report *r, int id, ts_buf *out) {
    size_t best = ts_report_best(r, id);
    ts_buf value = TS_BUF_INIT;
    ts_buf_puts(out, "| ");
    text(out, ts_metrics[id].label);
    ts_buf_puts(out, ts_metrics[id].better > 0   ? " (higher is better)"
                     : ts_metrics[id].better < 0 ? " (lower is better)"
                                                 : "");
    for (size_t i = 0; i < r->n_sides; i++) {
        ts_buf_reset(&value);
        ts_report_measure((ts_metric_id)id, &r->metrics[i].m[id], &value);
        ts_buf_printf(out, i == best ? " | **%s**" : " | %s", value.data);
    }
    ts_buf_puts(out, " |\n");
    ts_buf_release(&value);
}

static void put_head(const ts_report *r, ts_buf *out) {
    ts_buf_puts(out, "| |");
    for (size_t i = 0; i < r->n_sides; i++) {
        ts_buf_putc(out, ' ');
        text(out, r->sides[i]);
        ts_buf_puts(out, " |");
    }
    ts_buf_puts(out, "\n| --- |");
    for (size_t i = 0; i < r->n_sides; i++)
        ts_buf_puts(out, " --- |");
    ts_buf_putc(out, '\n');
}

/* What compare --robust measured. */
static void put_robust(const ts_report *r, ts_buf *out) {
    ts_buf value = TS_BUF_INIT;
    ts_robust_explain(r->robust, r->n_sides, &value);
    if (value.len) {
        ts_buf_puts(out, "\n### Accuracy, robustness, efficiency\n\n");
        text(out, ts_buf_str(&value));
        ts_buf_puts(out, "\n\n");
        put_head(r, out);
    }
    for (size_t row = 0; row < TS_ROBUST_ROWS; row++) {
        if (!ts_robust_measured(r->robust, r->n_sides, row)) continue;
        for (size_t i = 0; i < r->n_sides; i++) {
            const ts_robust_row *line = &r->robust[i].rows[row];
            if (i == 0) ts_buf_printf(out, "| %s |", ts_robust_label(row));
            ts_buf_reset(&value);
            ts_report_measure(line->format, &line->m, &value);
            ts_buf_printf(out, " %s |", r->robust[i].by == TS_METRIC_COUNT ? "-" : ts_buf_str(&value));
        }
        ts_buf_putc(out, '\n');
    }
    ts_buf_release(&value);
}

static void put_numbers(const ts_report *r, ts_buf *out) {
    ts_buf_puts(out, "\n## What the answers are worth\n\n");
    if (r->n_sides == 0) {
        ts_buf_puts(out, "Nothing was compared in this workspace yet.\n");
        return;
    }
    if (!ts_report_even(r))
        ts_buf_puts(out, "The sides did not answer the same prompts; their numbers do not compare.\n\n");
    put_head(r, out);
    ts_buf_puts(out, "| prompts answered |");
    for (size_t i = 0; i < r->n_sides; i++)
        ts_buf_printf(out, " %zu |", r->answered[i]);
    ts_buf_putc(out, '\n');
    for (int id = 0; id < TS_METRIC_COUNT; id++)
        if (ts_report_measured(r, id)) put_metric(r, id, out);
    for (size_t i = 0; ts_report_voted(r) && i < r->n_sides; i++) {
        ts_buf_puts(out, i ? " | " : "| votes | ");
        ts_report_votes(&r->votes[i], out);
        if (i + 1 == r->n_sides) ts_buf_puts(out, " |\n");
    }
    ts_buf_puts(out, "\nIn brackets: intervals of 95 %. The best side is bold.\n");
    put_robust(r, out);
}

static void put_answer(const ts_report *r, size_t prompt, size_t side, ts_buf *out) {
    const ts_answer *a = &r->answers[prompt * r->n_sides + side];
    ts_spans marks = {0};
    ts_buf shown = TS_BUF_INIT, facts = TS_BUF_INIT;
    size_t at = 0;
    if (!a->text) return;
    ts_report_marks(r, prompt, side, &marks);
    for (size_t i = 0; i < marks.n; i++) {
        ts_report_visible(&shown, a->text + at, marks.items[i].from - at);
        ts_buf_puts(&shown, "{+");
        ts_report_visible(&shown, a->text + marks.items[i].from, marks.items[i].to - marks.items[i].from);
        ts_buf_puts(&shown, "+}");
        at = marks.items[i].to;
    }
    ts_report_visible(&shown, a->text + at, strlen(a->text + at));
    ts_report_answer_facts(a, &facts);
    ts_buf_puts(out, "**");
    text(out, r->sides[side]);
    ts_buf_printf(out, "** (%s)%s\n\n", ts_buf_str(&facts),
                  strcmp(r->prompts[prompt].vote, r->sides[side]) == 0 ? " voted best" : "");
    put_fenced(out, &shown);
    if (a->context) {
        ts_buf_puts(out, "What it was shown:\n\n");
        put_text_block(out, a->context);
    }
    ts_spans_release(&marks);
    ts_buf_release(&shown);
    ts_buf_release(&facts);
}

static void put_answers(const ts_report *r, ts_buf *out) {
    if (r->n_prompts == 0) return;
    ts_buf_puts(out,
                "\n## All answers\n\nMarked {+so+}: words that are not in the answer beside it (with more than two "
                "sides: in the first side's).\n");
    for (size_t p = 0; p < r->n_prompts; p++) {
        const ts_report_prompt *asked = &r->prompts[p];
        ts_buf_printf(out, "\n### Prompt %lld\n\n", (long long)asked->id);
        put_text_block(out, asked->text);
        for (size_t i = 0; i < r->n_sides; i++)
            put_answer(r, p, i, out);
        if (asked->reference) {
            ts_buf_puts(out, "The reference answer:\n\n");
            put_text_block(out, asked->reference);
        }
        if (*asked->vote) {
            ts_buf_puts(out, "Vote: ");
            text(out, strcmp(asked->vote, TS_VOTE_NONE) == 0 ? "all bad" : asked->vote);
            ts_buf_puts(out, asked->blind ? ", blind\n" : "\n");
        }
        if (*asked->note) {
            ts_buf_puts(out, "\nNote: ");
            text(out, asked->note);
            ts_buf_putc(out, '\n');
        }
    }
}

/* The card's headings come one level lower. */
static void put_card(const ts_report *r, ts_buf *out) {
    ts_buf card = TS_BUF_INIT;
    ts_report_visible(&card, ts_buf_str(&r->card), r->card.len);
    ts_buf_puts(out, "\n## The data\n\n");
    for (size_t i = 0; i < card.len; i++) {
        if (card.data[i] == '#' && (i == 0 || card.data[i - 1] == '\n')) ts_buf_putc(out, '#');
        ts_buf_putc(out, card.data[i]);
    }
    ts_buf_release(&card);
}

void ts_report_markdown(const ts_report *r, ts_buf *out) {
    ts_buf_puts(out, "# ");
    text(out, r->name);
    ts_buf_printf(out, "\n\n%zu training runs, %zu prompts answered by %zu sides. Made by tunesmith " TS_VERSION " on ",
                  r->runs.n, r->n_prompts, r->n_sides);
    ts_report_time(r->made_ms, out);
    ts_buf_puts(out, ".\n");
    put_numbers(r, out);
    ts_buf_puts(out, "\n## What was tuned on what\n");
    if (r->runs.n == 0) ts_buf_puts(out, "\nNothing was trained in this workspace yet.\n");
    for (size_t i = 0; i < r->runs.n; i++)
        put_run(&r->runs.items[i], out);
    put_answers(r, out);
    put_card(r, out);
}
