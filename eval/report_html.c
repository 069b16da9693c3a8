/* A report as one HTML file. */
#include "eval/report_private.h"

#include <string.h>

/* Nothing is fetched, nothing runs: also not what a fault of ours would let through. */
static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src "
    "data:\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<style>\n";

static const char style[] =
    ":root{--ink:#1c2024;--soft:#5b6570;--paper:#fff;--panel:#f6f7f9;--line:#d9dee3;--accent:#0b66c3;--held:#b4480f;"
    "--add:#d5f0dd;--add-ink:#0d4a21;--good:#14713a;--bad:#ab1f25}\n"
    "@media "
    "(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa5b1;--paper:#14171a;--panel:#1d2125;--line:#343b42;"
    "--accent:#6cb2ff;--held:#f0a35e;--add:#173f26;--add-ink:#b6f2c8;--good:#6fd393;--bad:#ff8c8c}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:76rem;color:var(--ink);background:var(--paper);"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\n"
    "h1{font-size:1.7rem;margin:0 0 .2rem;overflow-wrap:anywhere}h2{font-size:1.3rem;margin:2.4rem 0 .6rem;"
    "padding-bottom:.25rem;border-bottom:1px solid var(--line)}h3{font-size:1.05rem;margin:1.6rem 0 .4rem}"
    "h4{font-size:.95rem;margin:0 0 .4rem;overflow-wrap:anywhere}\n"
    "p,.soft{margin:.4rem 0}.soft,figcaption{color:var(--soft);font-size:.9rem}a{color:var(--accent)}\n"
    "nav{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;margin:.8rem 0 0}\n"
    ".wide{overflow-x:auto;margin:.5rem 0}table{border-collapse:collapse;font-size:.92rem;min-width:min(100%,20rem)}"
    "th,td{padding:.3rem .7rem .3rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}"
    "th{font-weight:600;overflow-wrap:anywhere;min-width:6rem;max-width:22rem}td.n{font-variant-numeric:tabular-nums;"
    "white-space:nowrap}td.best{font-weight:700}"
    "td small{display:block;color:var(--soft);font-weight:400}table.facts td:first-child{color:var(--soft);"
    "white-space:nowrap}table.facts td{overflow-wrap:anywhere}\n"
    "pre,code{font:.86rem/1.45 ui-monospace,Consolas,Menlo,monospace}pre{white-space:pre-wrap;overflow-wrap:anywhere;"
    "background:var(--panel);padding:.6rem .8rem;border-radius:.4rem;margin:.5rem 0}\n"
    "article{border-top:1px solid var(--line);padding:1rem 0}.sides{display:grid;gap:.8rem;"
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr))}.side{background:var(--panel);"
    "border:1px solid transparent;border-radius:.5rem;padding:.7rem "
    ".85rem;min-width:0}.side.chosen{border-color:var(--good)}\n"
    ".text{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}.prompt{font-weight:600;margin:.2rem 0 "
    ".7rem}"
    "mark{background:var(--add);color:var(--add-ink);border-radius:.15rem;text-decoration:underline;"
    "text-decoration-thickness:1px}.good{color:var(--good)}.bad{color:var(--bad)}.side .soft{margin:.6rem 0 "
    "0}.reference{background:none;border-color:var(--line)}\n"
    "label{display:inline-block;margin:.3rem 0;cursor:pointer}body:has(#differ:checked) article.same{display:none}\n"
    "figure{margin:.8rem 0}.chart{width:100%;max-width:56rem;height:auto;display:block}.chart text{font-size:12px;"
    "fill:var(--soft)}.chart .y{text-anchor:end}.chart .x{text-anchor:middle}.chart .last{text-anchor:end}"
    ".chart .grid{stroke:var(--line);fill:none}.chart .train{stroke:var(--accent);stroke-width:1.6;fill:none}"
    ".chart .held{stroke:var(--held);stroke-width:1.4;fill:none;stroke-dasharray:5 3}.chart circle{fill:var(--held)}"
    ".chart .best{fill:var(--paper);stroke:var(--held);stroke-width:2.5}.key{display:inline-block;width:1.6em;"
    "border-top:3px solid var(--accent);vertical-align:middle}.key.held{border-top:3px dashed var(--held)}\n"
    "footer{margin-top:3rem;color:var(--soft);font-size:.9rem}\n"
    "@media (max-width:40rem){body{padding:1rem .8rem 3rem}td:first-child "
    "small{display:none}h1{font-size:1.4rem}table.facts td{display:block;border:0;"
    "padding:.1rem 0}table.facts td:first-child{padding-top:.5rem}table.facts tr{display:block;"
    "border-bottom:1px solid var(--line)}}\n"
    "@media print{:root{--ink:#000;--soft:#444;--paper:#fff;--panel:#fff;--line:#bbb;--add:#fff;--add-ink:#000;"
    "--accent:#0b4f95;--held:#8f3a0c;--good:#000;--bad:#000}body{max-width:none;padding:0;font-size:10.5pt}nav,label{"
    "display:none}.side{border-color:var(--line)}.side.chosen{border:1.5pt solid "
    "#000}h2,h3,h4,.prompt{break-after:avoid}"
    "figure,.side,tr{break-inside:avoid}mark{text-decoration:underline 1.2pt}}\n";

static void text(ts_buf *out, const char *s) {
    ts_report_html_text(out, s, strlen(s));
}

/* ---- runs ---- */

static void fact_row(void *ctx, const char *name, const char *value) {
    ts_buf *out = ctx;
    ts_buf_puts(out, "<tr><td>");
    text(out, name);
    ts_buf_puts(out, "</td><td>");
    text(out, value);
    ts_buf_puts(out, "</td></tr>\n");
}

/* What it answered to prompts that were asked now and then while it trained. */
static void put_samples(const ts_follow *f, ts_buf *out) {
    if (f->n_samples == 0) return;
    ts_buf_puts(out, "<details><summary>Answers while it trained</summary>\n");
    for (size_t p = 0; p < f->n_prompts; p++) {
        if (!f->prompts[p]) continue;
        ts_buf_puts(out, "<div class=\"text prompt\" dir=\"auto\">");
        text(out, f->prompts[p]);
        ts_buf_puts(out, "</div>\n<table class=\"facts\">\n");
        for (size_t i = 0; i < f->n_samples; i++) {
            if (f->samples[i].prompt != p) continue;
            ts_buf_printf(out, "<tr><td>step %lld</td><td class=\"text\" dir=\"auto\">", (long long)f->samples[i].step);
            text(out, f->samples[i].text);
            ts_buf_puts(out, "</td></tr>\n");
        }
        ts_buf_puts(out, "</table>\n");
    }
    ts_buf_puts(out, "</details>\n");
}

static void put_run(const ts_run_info *run, ts_buf *out) {
    ts_buf command = TS_BUF_INIT;
    ts_buf_printf(out, "<h3 id=\"run-%lld\">Run %lld: ", (long long)run->id, (long long)run->id);
    text(out, run->name);
    ts_buf_puts(out, "</h3>\n");
    if (!run->readable) {
        ts_buf_puts(out, "<p class=\"bad\">It cannot be read: ");
        text(out, run->problem);
        ts_buf_puts(out, "</p>\n");
        return;
    }
    ts_buf_puts(out, "<table class=\"facts\">\n");
    ts_report_run_facts(run, fact_row, out);
    ts_buf_puts(out, "</table>\n");
    ts_report_chart(run, out);
    put_samples(&run->follow, out);
    ts_report_command(run, &command);
    ts_buf_puts(out, "<p class=\"soft\">The same again:</p>\n<pre>");
    text(out, ts_buf_str(&command));
    ts_buf_puts(out, "</pre>\n<details><summary>All settings of run.json</summary>\n<table class=\"facts\">\n");
    ts_report_run_settings(run, fact_row, out);
    ts_buf_puts(out, "</table></details>\n");
    ts_buf_release(&command);
}

static void put_runs(const ts_report *r, ts_buf *out) {
    ts_buf_puts(out, "<section id=\"runs\">\n<h2>What was tuned on what</h2>\n");
    if (r->runs.n == 0) ts_buf_puts(out, "<p>Nothing was trained in this workspace yet.</p>\n");
    for (size_t i = 0; i < r->runs.n; i++)
        put_run(&r->runs.items[i], out);
    ts_buf_puts(out, "</section>\n");
}

/* ---- numbers ---- */

static void put_metric(const ts_report *r, int id, ts_buf *out) {
    size_t best = ts_report_best(r, id);
    ts_buf value = TS_BUF_INIT;
    ts_buf_puts(out, "<tr><td>");
    text(out, ts_metrics[id].label);
    ts_buf_puts(out, "<small>");
    text(out, ts_metrics[id].help);
    ts_buf_puts(out, ts_metrics[id].better > 0   ? "; higher is better"
                     : ts_metrics[id].better < 0 ? "; lower is better"
                                                 : "");
    ts_buf_puts(out, "</small></td>");
    for (size_t i = 0; i < r->n_sides; i++) {
        ts_buf_reset(&value);
        ts_report_measure((ts_metric_id)id, &r->metrics[i].m[id], &value);
        char *interval = strchr(value.data, ' ');
        ts_buf_puts(out, i == best ? "<td class=\"n best\">" : "<td class=\"n\">");
        ts_report_html_text(out, value.data, interval ? (size_t)(interval - value.data) : value.len);
        if (i == best) ts_buf_puts(out, " *");
        if (interval) {
            ts_buf_puts(out, "<small>");
            text(out, interval + 1);
            ts_buf_puts(out, "</small>");
        }
        ts_buf_puts(out, "</td>");
    }
    ts_buf_puts(out, "</tr>\n");
    ts_buf_release(&value);
}

static void put_vote_row(const ts_report *r, ts_buf *out) {
    ts_buf value = TS_BUF_INIT;
    if (!ts_report_voted(r)) return;
    ts_buf_puts(out, "<tr><td>votes<small>share of the decided votes, Wilson's interval</small></td>");
    for (size_t i = 0; i < r->n_sides; i++) {
        ts_buf_reset(&value);
        ts_report_votes(&r->votes[i], &value);
        ts_buf_puts(out, "<td>");
        text(out, value.data);
        ts_buf_puts(out, "</td>");
    }
    ts_buf_puts(out, "</tr>\n");
    ts_buf_release(&value);
}

static void put_head(const ts_report *r, ts_buf *out) {
    ts_buf_puts(out, "<div class=\"wide\"><table>\n<tr><th></th>");
    for (size_t i = 0; i < r->n_sides; i++) {
        ts_buf_puts(out, "<th>");
        text(out, r->sides[i]);
        ts_buf_puts(out, "</th>");
    }
    ts_buf_puts(out, "</tr>\n");
}

/* What compare --robust measured. */
static void put_robust(const ts_report *r, ts_buf *out) {
    ts_buf value = TS_BUF_INIT;
    ts_robust_explain(r->robust, r->n_sides, &value);
    if (value.len) {
        ts_buf_puts(out, "<h3>Accuracy, robustness, efficiency</h3>\n<p class=\"soft\">");
        text(out, ts_buf_str(&value));
        ts_buf_puts(out, "</p>\n");
        put_head(r, out);
        for (size_t row = 0; row < TS_ROBUST_ROWS; row++) {
            if (!ts_robust_measured(r->robust, r->n_sides, row)) continue;
            ts_buf_printf(out, "<tr><td>%s</td>", ts_robust_label(row));
            for (size_t i = 0; i < r->n_sides; i++) {
                const ts_robust_row *line = &r->robust[i].rows[row];
                ts_buf_reset(&value);
                if (r->robust[i].by != TS_METRIC_COUNT) ts_report_measure(line->format, &line->m, &value);
                ts_buf_printf(out, "<td class=\"n\">%s</td>", value.len ? ts_buf_str(&value) : "-");
            }
            ts_buf_puts(out, "</tr>\n");
        }
        ts_buf_puts(out, "</table></div>\n");
    }
    ts_buf_release(&value);
}

static void put_numbers(const ts_report *r, ts_buf *out) {
    ts_buf_puts(out, "<section id=\"numbers\">\n<h2>What the answers are worth</h2>\n");
    if (r->n_sides == 0) {
        ts_buf_puts(out, "<p>Nothing was compared in this workspace yet.</p></section>\n");
        return;
    }
    ts_buf_puts(out, "<p class=\"soft\">In brackets: intervals of 95 %. A star marks the best number.</p>\n");
    if (!ts_report_even(r))
        ts_buf_puts(out,
                    "<p class=\"bad\">The sides did not answer the same prompts; their numbers do not compare.</p>\n");
    put_head(r, out);
    ts_buf_puts(out, "<tr><td>prompts answered</td>");
    for (size_t i = 0; i < r->n_sides; i++)
        ts_buf_printf(out, "<td class=\"n\">%zu</td>", r->answered[i]);
    ts_buf_puts(out, "</tr>\n");
    for (int id = 0; id < TS_METRIC_COUNT; id++)
        if (ts_report_measured(r, id)) put_metric(r, id, out);
    put_vote_row(r, out);
    ts_buf_puts(out, "</table></div>\n");
    put_robust(r, out);
    ts_buf_puts(out, "</section>\n");
}

/* ---- answers ---- */

static void put_marked(ts_buf *out, const char *s, const ts_spans *marks) {
    size_t at = 0;
    for (size_t i = 0; i < marks->n; i++) {
        ts_report_html_text(out, s + at, marks->items[i].from - at);
        ts_buf_puts(out, "<mark>");
        ts_report_html_text(out, s + marks->items[i].from, marks->items[i].to - marks->items[i].from);
        ts_buf_puts(out, "</mark>");
        at = marks->items[i].to;
    }
    text(out, s + at);
}

/* What a side was shown besides the question: examples, passages. */
static void put_context(const char *context, ts_buf *out) {
    if (!context) return;
    ts_buf_puts(out, "<details><summary>what it was shown</summary><div class=\"text soft\" dir=\"auto\">");
    text(out, context);
    ts_buf_puts(out, "</div></details>\n");
}

static void put_answer(const ts_report *r, size_t prompt, size_t side, ts_buf *out) {
    const ts_answer *a = &r->answers[prompt * r->n_sides + side];
    ts_spans marks = {0};
    ts_buf facts = TS_BUF_INIT;
    bool chosen = strcmp(r->prompts[prompt].vote, r->sides[side]) == 0;
    ts_report_marks(r, prompt, side, &marks);
    ts_report_answer_facts(a, &facts);
    ts_buf_puts(out, chosen ? "<div class=\"side chosen\"><h4>" : "<div class=\"side\"><h4>");
    text(out, r->sides[side]);
    ts_buf_puts(out, chosen ? " &#10003; voted best</h4>\n" : "</h4>\n");
    if (!a->text) {
        ts_buf_puts(out, "<p class=\"soft\">was not asked</p></div>\n");
    } else {
        ts_buf_puts(out, "<div class=\"text\" dir=\"auto\">");
        put_marked(out, a->text, &marks);
        ts_buf_puts(out, *a->text ? "</div>\n<p class=\"" : "(empty)</div>\n<p class=\"");
        ts_buf_puts(out, a->checked && !a->passed ? "soft bad\">" : "soft\">");
        text(out, ts_buf_str(&facts));
        ts_buf_puts(out, "</p>\n");
        put_context(a->context, out);
        ts_buf_puts(out, "</div>\n");
    }
    ts_spans_release(&marks);
    ts_buf_release(&facts);
}

static void put_reference(const char *reference, ts_buf *out) {
    if (!reference) return;
    ts_buf_puts(out, "<div class=\"side reference\"><h4>reference answer</h4>\n<div class=\"text\" dir=\"auto\">");
    text(out, reference);
    ts_buf_puts(out, "</div></div>\n");
}

static void put_prompt_facts(const ts_report_prompt *p, ts_buf *out) {
    if (*p->vote) {
        ts_buf_puts(out, "<p class=\"soft\">vote: ");
        text(out, strcmp(p->vote, TS_VOTE_NONE) == 0 ? "all bad" : p->vote);
        ts_buf_puts(out, p->blind ? ", blind</p>\n" : "</p>\n");
    }
    if (*p->note) {
        ts_buf_puts(out, "<p class=\"soft text\" dir=\"auto\">note: ");
        text(out, p->note);
        ts_buf_puts(out, "</p>\n");
    }
}

static void put_answers(const ts_report *r, ts_buf *out) {
    if (r->n_prompts == 0) return;
    ts_buf_puts(out,
                "<section id=\"answers\">\n<h2>All answers</h2>\n<p class=\"soft\">Marked: words that are not in the "
                "answer beside it (with more than two sides: in the first side's).</p>\n");
    if (r->n_sides > 1)
        ts_buf_puts(out,
                    "<label><input type=\"checkbox\" id=\"differ\"> only prompts where the answers differ</label>\n");
    for (size_t p = 0; p < r->n_prompts; p++) {
        const ts_report_prompt *asked = &r->prompts[p];
        ts_buf_printf(out,
                      "<article id=\"prompt-%lld\" class=\"%s\">\n<p class=\"soft\">prompt %lld</p>\n"
                      "<div class=\"text prompt\" dir=\"auto\">",
                      (long long)asked->id, asked->differ ? "differ" : "same", (long long)asked->id);
        text(out, asked->text);
        ts_buf_puts(out, "</div>\n<div class=\"sides\">\n");
        for (size_t i = 0; i < r->n_sides; i++)
            put_answer(r, p, i, out);
        put_reference(asked->reference, out);
        ts_buf_puts(out, "</div>\n");
        put_prompt_facts(asked, out);
        ts_buf_puts(out, "</article>\n");
    }
    ts_buf_puts(out, "</section>\n");
}

void ts_report_html(const ts_report *r, ts_buf *out) {
    ts_buf_puts(out, head);
    ts_buf_puts(out, style);
    ts_buf_puts(out, "</style>\n<title>");
    text(out, r->name);
    ts_buf_puts(out, ": tuning report</title>\n</head>\n<body>\n<header>\n<h1>");
    text(out, r->name);
    ts_buf_printf(out,
                  "</h1>\n<p class=\"soft\">%zu training run%s, %zu prompt%s answered by %zu side%s. Made by "
                  "tunesmith " TS_VERSION " on ",
                  r->runs.n, r->runs.n == 1 ? "" : "s", r->n_prompts, r->n_prompts == 1 ? "" : "s", r->n_sides,
                  r->n_sides == 1 ? "" : "s");
    ts_report_time(r->made_ms, out);
    ts_buf_puts(out, ".</p>\n<nav><a href=\"#numbers\">numbers</a> <a href=\"#runs\">training</a>");
    if (r->n_prompts) ts_buf_puts(out, " <a href=\"#answers\">answers</a>");
    ts_buf_puts(out, " <a href=\"#data\">data</a></nav>\n</header>\n<main>\n");
    put_numbers(r, out);
    put_runs(r, out);
    put_answers(r, out);
    ts_buf_puts(out, "<section id=\"data\">\n<h2>The data</h2>\n");
    ts_report_markdown_html(ts_buf_str(&r->card), r->card.len, out);
    ts_buf_puts(out,
                "</section>\n</main>\n<footer>Everything here is from this workspace; nothing was fetched.</footer>\n"
                "</body>\n</html>\n");
}
