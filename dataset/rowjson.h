/* A row as JSON: what `list --json`, `show --json` and copying from the screen give, and the lines that training reads.
 */
#ifndef TS_DATASET_ROWJSON_H
#define TS_DATASET_ROWJSON_H

#include "core/base/json.h"
#include "dataset/store.h"

/* One object: id status rating tags origin messages scores tokens, and instruction input output (system) where the row
 * has that shape; then the members we do not know under "extra". Not measured: null. `only` (NULL: all) names the
 * members wanted, separated by commas. */
TS_MUST_USE ts_status ts_row_json(ts_store *st, const ts_row *row, const char *only, ts_jw *w, ts_err *err);
/* The row as a messages array: system (if any), user, assistant; conversations with their contents as plain text. */
void ts_row_messages(const ts_row *row, ts_jw *w, bool with_answer);

#endif
