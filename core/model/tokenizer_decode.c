/* Ids to text, one id at a time; decoding a whole list is the same with everything pushed at once.
 *
 * Byte-level: tokens are bytes, joined, then read as UTF-8; what could still become a character waits.
 * Otherwise: the decoder's steps change each token by itself; a run of <0xHH> tokens becomes characters, or one U+FFFD
 * per byte if any of it is invalid, so the whole run waits; then the start of the text may lose a space. With
 * BPEDecoder the last token waits. */
#include "core/base/utf8.h"
#include "core/model/tokenizer_impl.h"

#include <string.h>

/* Bytes at the end of s that are the start of a character still to come. */
static size_t open_tail(const char *s, size_t n) {
    for (size_t k = 1; k <= 3 && k <= n; k++) {
        unsigned char c = (unsigned char)s[n - k];
        if (c < 0x80) return 0;
        if (c < 0xc0) continue;
        size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        return want > k && ts_utf8_bad(s + n - k, k) == k ? k : 0;
    }
    return 0;
}

static void settle_bytes(ts_decoder *d, bool end, ts_buf *out) {
    size_t keep = end ? 0 : open_tail(ts_buf_str(&d->pending), d->pending.len), done = d->pending.len - keep;
    ts_utf8_repair(out, ts_buf_str(&d->pending), done);
    if (!done) return;
    memmove(d->pending.data, d->pending.data + done, keep);
    d->pending.len = keep;
}

/* A byte-level token's bytes; one with characters outside the alphabet (an added token) is its own text. */
static void add_token_bytes(const char *name, size_t n, ts_buf *out) {
    size_t start = out->len, len;
    for (size_t i = 0; i < n; i += len) {
        uint32_t cp;
        len = ts_utf8_decode(name + i, n - i, &cp);
        int byte = ts_char_byte(cp);
        if (byte < 0) {
            out->len = start;
            ts_buf_add(out, name, n);
            return;
        }
        ts_buf_putc(out, (char)byte);
    }
}

/* Text that is final but for what is taken from its start. */
static void put_text(ts_decoder *d, const char *s, size_t n, ts_buf *out) {
    for (; n && *s == ' ' && d->stripped < d->t->strip_left; d->stripped++, n--)
        s++;
    if (n) d->stripped = SIZE_MAX; /* the start is over */
    if (n) ts_buf_add(out, s, n);
}

static void settle_run(ts_decoder *d, ts_buf *out) {
    size_t n = d->pending.len;
    if (!n) return;
    if (ts_utf8_check(d->pending.data, n) == n)
        put_text(d, d->pending.data, n, out);
    else
        for (size_t i = 0; i < n; i++)
            put_text(d, "\xef\xbf\xbd", 3, out);
    ts_buf_reset(&d->pending);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* The byte of "<0xHH>", -1 for other tokens. */
static int fallback_byte(const char *s, size_t n) {
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    int high = hex_digit(s[3]), low = hex_digit(s[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void replace_all(ts_buf *token, const char *a, size_t a_n, const char *b, size_t b_n) {
    ts_buf done = TS_BUF_INIT;
    size_t at = 0;
    while (a_n && token->len - at >= a_n) {
        const char *hit = memmem(token->data + at, token->len - at, a, a_n);
        if (!hit) break;
        size_t from = (size_t)(hit - token->data);
        ts_buf_add(&done, token->data + at, from - at);
        ts_buf_add(&done, b, b_n);
        at = from + a_n;
    }
    if (at < token->len) ts_buf_add(&done, token->data + at, token->len - at);
    ts_buf_release(token);
    *token = done;
}

static void strip_token(ts_buf *token, const ts_step *step) {
    size_t start = 0, end = token->len, n = step->a_n;
    for (size_t k = 0; n && k < step->left && end - start >= n && memcmp(token->data + start, step->a, n) == 0; k++)
        start += n;
    for (size_t k = 0; n && k < step->right && end - start >= n && memcmp(token->data + end - n, step->a, n) == 0; k++)
        end -= n;
    if (start) memmove(token->data, token->data + start, end - start);
    token->len = end - start;
}

static void apply_steps(const ts_tokenizer *t, ts_buf *token, bool first) {
    for (size_t i = 0; i < t->decoder.n && token->len; i++) {
        const ts_step *step = &t->decoder.items[i];
        if (step->kind == TS_DEC_STRIP) {
            strip_token(token, step);
            continue;
        }
        replace_all(token, step->a, step->a_n, step->b, step->b_n);
        if (step->kind == TS_DEC_METASPACE && first && step->scheme != TS_PREPEND_NEVER && token->len &&
            token->data[0] == ' ') {
            memmove(token->data, token->data + 1, token->len - 1);
            token->len--;
        }
    }
}

static void push_text_token(ts_decoder *d, const char *name, size_t n, ts_buf *out) {
    const ts_tokenizer *t = d->t;
    ts_buf token = TS_BUF_INIT;
    bool first = !d->any;
    d->any = true;
    if (!first && t->decode_joins) ts_buf_putc(&token, ' ');
    ts_buf_add(&token, name, n);
    apply_steps(t, &token, first);
    int byte = t->decode_fallback ? fallback_byte(ts_buf_str(&token), token.len) : -1;
    if (byte >= 0) {
        ts_buf_putc(&d->pending, (char)byte);
    } else {
        settle_run(d, out);
        put_text(d, ts_buf_str(&token), token.len, out);
    }
    ts_buf_release(&token);
}

/* BPEDecoder: the suffix is a space, but nothing in the last token, so a token waits for the next one. */
static void settle_suffixed(ts_decoder *d, bool last, ts_buf *out) {
    replace_all(&d->pending, d->t->decode_suffix, d->t->decode_suffix_n, " ", !last);
    if (d->pending.len) put_text(d, d->pending.data, d->pending.len, out);
    ts_buf_reset(&d->pending);
}

void ts_decoder_push(ts_decoder *d, int32_t id, ts_buf *out) {
    const ts_tokenizer *t = d->t;
    if (id < 0) {
        if (t->decode_suffix)
            settle_suffixed(d, true, out);
        else if (t->decode_bytes)
            settle_bytes(d, true, out);
        else
            settle_run(d, out);
        return;
    }
    if ((size_t)id >= t->vocab.n || !t->vocab.names[id].at || (d->skip_special && t->special[id])) return;
    const ts_vocab_name *name = &t->vocab.names[id];
    if (t->decode_suffix) {
        settle_suffixed(d, false, out);
        ts_buf_add(&d->pending, t->vocab.text.data + name->at, name->n);
    } else if (t->decode_bytes) {
        add_token_bytes(t->vocab.text.data + name->at, name->n, &d->pending);
        settle_bytes(d, false, out);
    } else {
        push_text_token(d, t->vocab.text.data + name->at, name->n, out);
    }
}

void ts_decoder_release(ts_decoder *d) {
    ts_buf_release(&d->pending);
    d->any = false;
    d->stripped = 0;
}

void ts_tokenizer_decode(const ts_tokenizer *t, const int32_t *ids, size_t n, bool skip_special, ts_buf *out) {
    ts_decoder d = {.t = t, .skip_special = skip_special};
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= 0) ts_decoder_push(&d, ids[i], out);
    ts_decoder_push(&d, -1, out);
    ts_decoder_release(&d);
}
