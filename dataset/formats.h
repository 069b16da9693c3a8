/* The shapes of rows that we read: one table of formats, one table of reasons why a row is refused.
 *
 * Adding a format: a function that fills ts_parts from a checked JSON object, and a row in ts_formats. */
#ifndef TS_DATASET_FORMATS_H
#define TS_DATASET_FORMATS_H

#include "dataset/jsontext.h"
#include "dataset/store.h"

typedef struct ts_reason {
    const char *code, *sentence;
} ts_reason;
extern const ts_reason ts_reasons[]; /* ends with code NULL */
/* The sentence of a code; "" for one that is not in the table. */
const char *ts_reason_sentence(const char *code);
/* The code for a row that is no good JSON. */
const char *ts_reason_of_fault(ts_json_fault fault);

/* One row's texts while it is read; reset, never freed, between rows. */
typedef struct ts_parts {
    ts_buf instruction, input, output, system, messages, extra;
    bool has_system, is_messages;
    const char *detail; /* of a refusal: what was found, a constant */
} ts_parts;
void ts_parts_reset(ts_parts *p);
void ts_parts_release(ts_parts *p);
ts_draft ts_parts_draft(const ts_parts *p); /* borrows */

typedef struct ts_format {
    const char *name, *shape; /* shape: for people, `{"instruction","input","output"}` */
    const char *const *needs; /* members that tell this format from the others; NULL at the end */
    /* Fills p; NULL, or the code of the reason why not. */
    const char *(*read)(const struct ts_format *f, ts_jview row, ts_parts *p);
    const char *const *names; /* of instruction, input, output, system (NULL: has none) for formats of plain fields */
} ts_format;
extern const ts_format ts_formats[]; /* ends with name NULL */
const ts_format *ts_format_find(const char *name);
/* Has the row (a checked value) the members that the format needs? */
bool ts_format_fits(const ts_format *f, ts_jview row);

#endif
