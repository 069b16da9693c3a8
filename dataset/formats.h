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
    const char *detail; /* of a refusal: what was found, a constant or `words` */
    char words[120];
} ts_parts;
void ts_parts_reset(ts_parts *p);
void ts_parts_release(ts_parts *p);
ts_draft ts_parts_draft(const ts_parts *p); /* borrows */

/* The texts of an example, as the columns of a format. */
typedef enum ts_part { TS_PART_INSTRUCTION, TS_PART_INPUT, TS_PART_OUTPUT, TS_PART_SYSTEM, TS_PARTS } ts_part;

typedef struct ts_format {
    const char *name, *shape; /* shape: for people, `{"instruction","input","output"}` */
    /* Members that tell this format from the others; NULL at the end. Of a conversation the first is its list. */
    const char *const *needs;
    /* Fills p; NULL, or the code of the reason why not. */
    const char *(*read)(const struct ts_format *f, ts_jview row, ts_parts *p);
    const char *names[TS_PARTS]; /* of the plain texts; NULL: has none */
} ts_format;
/* Ends with name NULL. Several rows may have one name: they are variants of one format. */
extern const ts_format ts_formats[];
const ts_format *ts_format_find(const char *name); /* the first of that name */
/* Has the row (a checked value) the members that the format needs? */
bool ts_format_fits(const ts_format *f, ts_jview row);
/* Is it a column that some format needs or names? */
bool ts_format_names(const char *column, size_t n);
/* Appends the names, each once, with ", " between. */
void ts_format_list(ts_buf *out);

/* A format made of a person's words, "output=answer1": which column holds which text. */
typedef struct ts_mapping {
    ts_format format; /* reads rows by the mapping */
    const char *needs[TS_PARTS + 1];
    char *columns[TS_PARTS]; /* its own */
    char *list;              /* column of the messages, or NULL */
    bool by_number;          /* all columns are numbers: the file has no header */
} ts_mapping;
/* pairs: n of "FIELD=COLUMN", FIELD one of instruction, input, output, system, messages. TS_INVALID with a sentence. */
TS_MUST_USE ts_status ts_mapping_make(ts_mapping *m, const char *const *pairs, size_t n, ts_err *err);
void ts_mapping_release(ts_mapping *m);

#endif
