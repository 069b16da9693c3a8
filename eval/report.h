/* The report on a workspace: what was tuned on what, with which settings, how the loss fell, what the answers of the
 * sides are worth, all answers beside each other, the votes, and the data card. As one HTML file that needs nothing
 * from elsewhere (no script, no font, no picture; a policy in its head forbids the browser to ask for any), as
 * Markdown, as JSON and as CSV tables.
 *
 * It is made from what the workspace keeps (runs/, and what compare kept of prompts, answers and votes); no model is
 * needed. What is in data is hostile: control characters, bytes that are no UTF-8 and marks that turn the direction of
 * text become visible escapes (^[, \xff, <U+202E>), then the text is escaped for the form it goes into. JSON has the
 * texts as they are. Making one reads every run's events: a job's or the command line's. */
#ifndef TS_EVAL_REPORT_H
#define TS_EVAL_REPORT_H

#include "core/text/worddiff.h"
#include "dataset/answers.h"
#include "eval/measures.h"
#include "eval/robust.h"
#include "eval/runs.h"

typedef struct ts_report_prompt {
    int64_t id;              /* its number in the workspace */
    const char *text;        /* the last user turn */
    const char *reference;   /* NULL: none */
    const char *vote, *note; /* "": none */
    bool blind;              /* of the vote */
    bool differ;             /* some two answers to it are not the same text */
} ts_report_prompt;

typedef struct ts_report {
    ts_arena arena; /* of all texts below */
    const char *name;
    int64_t made_ms;
    ts_buf card;        /* Markdown (dataset/card.h), without its first heading */
    ts_runs runs;       /* newest first */
    const char **sides; /* the base first */
    size_t n_sides, cap_sides;
    ts_report_prompt *prompts; /* oldest first */
    size_t n_prompts, cap_prompts;
    ts_answer *answers;    /* [prompt * n_sides + side]; text NULL: that side was not asked */
    ts_compare_metrics *metrics;
    ts_robust *robust; /* [n_sides]; by TS_METRIC_COUNT where compare --robust was not run */
    ts_side_votes *votes; /* by side, over the whole workspace */
    size_t *answered;     /* prompts that a side answered */
} ts_report;

typedef struct ts_report_options {
    const char *ws;
    const char *where;        /* rows the data card is about; NULL: status=accepted */
    const char *const *sides; /* n_sides 0: all that answered */
    size_t n_sides;
    int64_t limit; /* the latest N prompts; 0: all */
} ts_report_options;

/* Gathers; released by the caller in any case. TS_NOT_FOUND: a side that never answered, with the names of those that
 * did. */
TS_MUST_USE ts_status ts_report_make(ts_report *r, const ts_report_options *o, ts_progress *progress, ts_err *err);
void ts_report_release(ts_report *r);

void ts_report_html(const ts_report *r, ts_buf *out);
void ts_report_markdown(const ts_report *r, ts_buf *out);
void ts_report_json(const ts_report *r, ts_buf *out);
/* Comma-separated tables: answers, metrics, votes, curves, settings. Cells of text that a spreadsheet would take for a
 * formula (they begin with = + - @) have a ' in front. TS_INVALID: no such table; the text names them. */
TS_MUST_USE ts_status ts_report_csv(const ts_report *r, const char *table, ts_buf *out, ts_err *err);
/* Makes the report and writes it to `path`: HTML, Markdown or JSON by its ending (.html, .htm, .md, .json; checked
 * first). */
TS_MUST_USE ts_status ts_report_write(const ts_report_options *o, const char *path, ts_progress *progress, ts_err *err);

/* ---- pieces ---- */

/* Appends text with what must not be shown made visible; line ends and tabs stay. */
void ts_report_visible(ts_buf *out, const char *s, size_t n);
/* The same, escaped for HTML's text and quoted attributes. */
void ts_report_html_text(ts_buf *out, const char *s, size_t n);
/* The Markdown that ts_data_card writes (headings, lists, tables, paragraphs, backslash escapes) as HTML, its headings
 * one level lower. */
void ts_report_markdown_html(const char *markdown, size_t n, ts_buf *out);
/* The loss of a run over its steps as SVG: training, held out. Nothing for a run without steps. */
void ts_report_chart(const ts_run_info *run, ts_buf *out);
/* In an answer of side `side` to prompt `prompt`, what differs from the first side's answer (`side` 0: from the second
 * side's, when there are two sides); appended to marks. */
void ts_report_marks(const ts_report *r, size_t prompt, size_t side, ts_spans *marks);

#endif
