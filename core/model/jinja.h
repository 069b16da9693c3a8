/* Jinja, as far as chat templates use it, with the environment that Hugging Face's transformers gives them: trim_blocks
 * and lstrip_blocks on, loop controls, `generation` blocks, undefined names print as nothing, nothing can be changed
 * but namespaces, tojson as Python's json.dumps(ensure_ascii=False), raise_exception, strftime_now.
 *
 * Known: for (else, if, break, continue, unpacking), if, set (also blocks and ns.name), macro, call, filter, with, raw,
 * generation; every operator, slices, ~ and chained comparisons; the filters, tests and methods in the tables of
 * jinja_filters.c, jinja_tests.c and jinja_methods.c. Not known, and refused by name and line: import, include,
 * extends, block, recursive loops, *args.
 *
 * The output is tracked: a byte that was copied from the `content` of messages[i] knows i, on its way through
 * variables, concatenation, slices, join, the case functions, strip, split, replace, indent, tojson, macros and
 * captured blocks. Inserted text (what replace puts in, what tojson escapes around strings) belongs to nobody. The
 * trace ends where a string becomes a number and in the printed form of a list or dict ({{ [content] }}).
 *
 * A template is hostile text: steps, memory, depth and output size are bounded. Whole numbers in JSON are integers here
 * (JSON's 1.0 prints as 1). */
#ifndef TS_MODEL_JINJA_H
#define TS_MODEL_JINJA_H

#include "core/base/json.h"

typedef struct ts_jinja ts_jinja;

/* Parses; TS_FORMAT or TS_UNSUPPORTED with the line. The result is immutable: any thread may render it. */
TS_MUST_USE ts_status ts_jinja_parse(ts_jinja **out, const char *source, size_t n, ts_err *err);
void ts_jinja_free(ts_jinja *t);

/* A variable of the template: the first of json, text that is not NULL, else truth; `none` wins over all. `tracked`:
 * json is an array of messages whose contents are traced. Later ones of the same name win. All borrowed during the
 * call. */
typedef struct ts_jinja_var {
    const char *name;
    const ts_json *json;
    const char *text;
    bool truth, tracked, none;
} ts_jinja_var;

/* Bytes [start, end) of the output. source: index of the message whose content they are, -1 inside a generation block
 * that holds other text too. */
typedef struct ts_jinja_run {
    size_t start, end;
    int source;
    bool generation;
} ts_jinja_run;
typedef struct ts_jinja_output {
    ts_buf text;
    ts_jinja_run *runs; /* ascending, disjoint */
    size_t n_runs, cap_runs;
} ts_jinja_output;
void ts_jinja_output_release(ts_jinja_output *o);

/* Renders into an empty output. raise_exception('words') in the template: TS_INVALID with just those words. */
TS_MUST_USE ts_status ts_jinja_render(const ts_jinja *t, const ts_jinja_var *vars, size_t n_vars, ts_jinja_output *out,
                                      ts_err *err);

#endif
