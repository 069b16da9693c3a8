#include "core/model/chat.h"

#include <string.h>

static bool learnt(const ts_example *e, size_t i) {
    return i > 0 && e->labels.items[i] != TS_NO_LABEL;
}

/* The text of some tokens, a line for each of its own, each behind the sign. */
static void put_lines(const char *s, size_t n, char sign, ts_buf *out) {
    for (const char *end = s + n; s < end;) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        size_t len = (size_t)((nl ? nl : end) - s);
        ts_buf_printf(out, "%c ", sign);
        ts_buf_add(out, s, len);
        ts_buf_puts(out, nl ? "\\n\n" : "\n");
        s += len + (nl != NULL);
    }
}

void ts_example_preview(const ts_tokenizer *t, const ts_example *e, ts_buf *out) {
    ts_buf text = TS_BUF_INIT;
    for (size_t i = 0, end; i < e->ids.n; i = end) {
        for (end = i + 1; end < e->ids.n && learnt(e, end) == learnt(e, i); end++) {
        }
        ts_buf_reset(&text);
        ts_tokenizer_decode(t, e->ids.items + i, end - i, false, &text);
        put_lines(text.data ? text.data : "", text.len, learnt(e, i) ? '+' : '.', out);
    }
    ts_buf_release(&text);
}
