/* How many tokens each row has: of the whole conversation in the chat template, as training sees it before it cuts. The
 * workspace's model (setting `model`, with `template` in place of its own) counts; a change of either forgets what was
 * counted, an edit what its row had. A base model without a template counts the bare texts. */
#ifndef TS_DATASET_TOKENS_H
#define TS_DATASET_TOKENS_H

#include "dataset/store.h"

/* Counts the rows that have no count yet and keeps the counts; *counted (may be NULL) is how many were. Reads only the
 * model's tokenizer. TS_NOT_FOUND: no model is set. A row that the template refuses stays without a count. In a
 * workspace that may only be read nothing is done. Rows edited meanwhile stay without a count; TS_CANCELLED when the
 * settings were changed meanwhile. A job; cancelled, what was counted stays. */
TS_MUST_USE ts_status ts_tokens_count(ts_store *st, ts_progress *progress, int64_t *counted, ts_err *err);

#endif
