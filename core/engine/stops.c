#include "core/engine/stops.h"

#include <string.h>

bool ts_stops_push(const ts_stops *s, ts_stopping *t, const char *piece, size_t n) {
    size_t old = t->text.len, cut = SIZE_MAX;
    ts_buf_add(&t->text, piece, n);
    for (size_t i = 0; i < s->n; i++) {
        size_t len = strlen(s->texts[i]), from = old >= len ? old - len + 1 : 0;
        const char *at = t->text.len > from ? memmem(t->text.data + from, t->text.len - from, s->texts[i], len) : NULL;
        if (at) cut = TS_MIN(cut, (size_t)(at - t->text.data));
    }
    if (cut == SIZE_MAX) return false;
    t->text.len = cut;
    t->ended = true;
    return true;
}

/* Bytes at the end of the text that a stop text begins with. */
static size_t begun(const char *stop, const char *text, size_t n) {
    for (size_t k = TS_MIN(strlen(stop) - 1, n); k > 0; k--)
        if (memcmp(text + n - k, stop, k) == 0) return k;
    return 0;
}

size_t ts_stops_sure(const ts_stops *s, const ts_stopping *t, bool over) {
    size_t held = 0;
    for (size_t i = 0; i < s->n && !over && !t->ended; i++)
        held = TS_MAX(held, begun(s->texts[i], ts_buf_str(&t->text), t->text.len));
    return t->text.len - held;
}
