/* Texts that end an answer, looked for in what comes out of the tokenizer piece by piece, across the borders of tokens.
 * What may still become one is held back. */
#ifndef TS_ENGINE_STOPS_H
#define TS_ENGINE_STOPS_H

#include "core/base/buf.h"

/* The texts, borrowed; none is empty. */
typedef struct ts_stops {
    const char *const *texts;
    size_t n;
} ts_stops;

/* One answer: all that is surely of it (`told` bytes of it have been handed out), then what is held back. */
typedef struct ts_stopping {
    ts_buf text;
    size_t told;
    bool ended;
} ts_stopping;

/* Appends a piece. True: a stop text is complete; `text` ends before the one that begins first, and nothing may be
 * appended any more. */
bool ts_stops_push(const ts_stops *s, ts_stopping *t, const char *piece, size_t n);
/* Bytes that may be handed out now: without what may become a stop text, or all when the answer is over. */
size_t ts_stops_sure(const ts_stops *s, const ts_stopping *t, bool over);

#endif
