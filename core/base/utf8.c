#include "core/base/utf8.h"

/* How many bytes the lead byte announces, and the range of the byte behind it (Unicode 15, table 3-7). */
static size_t announced(unsigned char lead, unsigned char *low, unsigned char *high) {
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
}

/* Bytes at s that belong to one valid or cut sequence; *whole says whether it is complete. */
static size_t good_prefix(const char *s, size_t n, bool *whole) {
    unsigned char low, high;
    size_t len = announced((unsigned char)s[0], &low, &high), i = 1;
    for (; i < len && i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < low || c > high) break;
        low = 0x80;
        high = 0xbf;
    }
    *whole = len > 0 && i == len;
    return i;
}

size_t ts_utf8_sequence(const char *s, size_t n) {
    bool whole;
    size_t len = good_prefix(s, n, &whole);
    return whole ? len : 0;
}

size_t ts_utf8_bad(const char *s, size_t n) {
    bool whole;
    return good_prefix(s, n, &whole);
}

size_t ts_utf8_check(const char *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        if ((unsigned char)s[i] < 0x80) {
            i++;
            continue;
        }
        size_t len = ts_utf8_sequence(s + i, n - i);
        if (!len) return i;
        i += len;
    }
    return n;
}

size_t ts_utf8_decode(const char *s, size_t n, uint32_t *cp) {
    static const unsigned char lead_bits[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    size_t len = ts_utf8_sequence(s, n);
    *cp = 0xfffd;
    if (!len) return 1;
    *cp = (unsigned char)s[0] & lead_bits[len];
    for (size_t i = 1; i < len; i++)
        *cp = *cp << 6 | ((unsigned char)s[i] & 0x3f);
    return len;
}

void ts_utf8_put(ts_buf *out, uint32_t cp) {
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) cp = 0xfffd;
    if (cp < 0x80) {
        ts_buf_putc(out, (char)cp);
        return;
    }
    int more = cp < 0x800 ? 1 : cp < 0x10000 ? 2 : 3;
    static const unsigned char lead[4] = {0, 0xc0, 0xe0, 0xf0};
    ts_buf_putc(out, (char)(lead[more] | cp >> (6 * more)));
    while (more-- > 0)
        ts_buf_putc(out, (char)(0x80 | ((cp >> (6 * more)) & 0x3f)));
}

void ts_utf8_repair(ts_buf *out, const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        bool whole;
        size_t len = good_prefix(s + i, n - i, &whole);
        if (whole)
            ts_buf_add(out, s + i, len);
        else
            ts_buf_puts(out, "\xef\xbf\xbd");
        i += len;
    }
}
