/* The data card: what is in an export, where it came from and how it was made, as Markdown for people. */
#ifndef TS_DATASET_CARD_H
#define TS_DATASET_CARD_H

#include "dataset/store.h"

/* Appends the card of the rows that answer `where` (NULL: all). `file` and `format` name the export it goes with. What
 * is not known (licences, tokens that were not counted) is said, not left out. A job. */
TS_MUST_USE ts_status ts_data_card(ts_store *st, const char *file, const char *format, const char *where,
                                   ts_progress *progress, ts_buf *out, ts_err *err);

#endif
