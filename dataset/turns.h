/* Conversations: the JSON array of messages that an example of shape `messages` is, as checked text (jsontext.h). */
#ifndef TS_DATASET_TURNS_H
#define TS_DATASET_TURNS_H

#include "core/base/err.h"
#include "dataset/jsontext.h"

/* Appends the text of a message's content: a string, or the text parts of an array of typed parts ({"type":"text",
 * "text":...} or "value":...). False when it is neither (null, a number, a part without text). */
bool ts_turn_text(ts_jview content, ts_buf *out);

/* Why an array is no conversation we can learn from; NULL when it is one. The names are those of OpenAI's fine-tuning
 * check where it has one (dataset/reasons.h). *detail is a few words on what was found. */
const char *ts_turns_fault(ts_jview messages, const char **detail);

/* Makes the derived texts: all user turns and all assistant turns with an empty line between, the system turns. */
void ts_turns_fields(ts_jview messages, ts_buf *instruction, ts_buf *output, ts_buf *system, bool *has_system);

/* Appends the array with the text of the only turn of `role` replaced; its other members stay as they were. TS_INVALID
 * when there is not exactly one. */
TS_MUST_USE ts_status ts_turns_replace(ts_jview messages, const char *role, const char *text, size_t n, ts_buf *out,
                                       ts_err *err);

#endif
