#include "core/text/normalize.h"

#include "core/base/utf8.h"

#include <stdlib.h>
#include <utf8proc.h>

static bool is_mark(uint32_t cp) {
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME;
}

/* Everything that can be the second part of a composition is a mark or a jamo (Unicode 15, DerivedNormalizationProps).
 */
static bool may_compose_back(uint32_t cp) {
    return cp >= 0x300 && ((cp >= 0x1160 && cp <= 0x11ff) || is_mark(cp));
}

size_t ts_normal_stretch(const char *text, size_t n) {
    uint32_t cp;
    size_t i = ts_utf8_decode(text, n, &cp);
    while (i < n) {
        size_t len = ts_utf8_decode(text + i, n - i, &cp);
        if (!may_compose_back(cp)) break;
        i += len;
    }
    return i;
}

void ts_normalize(ts_buf *out, const char *text, size_t n, ts_normal_form form) {
    static const utf8proc_option_t options[] = {
        [TS_NFC] = UTF8PROC_COMPOSE,
        [TS_NFD] = UTF8PROC_DECOMPOSE,
        [TS_NFKC] = UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [TS_NFKD] = UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    utf8proc_uint8_t *done = NULL;
    if (n == 0) return;
    utf8proc_ssize_t len =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &done, options[form] | UTF8PROC_STABLE);
    if (len == UTF8PROC_ERROR_NOMEM) ts_fatal("out of memory while normalising text");
    if (len < 0)
        ts_buf_add(out, text, n); /* only invalid UTF-8, which we were promised not to get */
    else
        ts_buf_add(out, done, (size_t)len);
    free(done);
}

bool ts_is_numeric(uint32_t cp) {
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

bool ts_is_punctuation(uint32_t cp) {
    if (cp < 0x80)
        return cp > 0x20 && cp < 0x7f && !((cp | 32) >= 'a' && (cp | 32) <= 'z') && !(cp >= '0' && cp <= '9');
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

bool ts_is_space(uint32_t cp) {
    return (cp >= 9 && cp <= 13) || cp == 0x20 || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
           cp == 0x3000;
}

bool ts_is_letter(uint32_t cp) {
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

/* Symbols that are Alphabetic all the same (Other_Alphabetic, PropList): letters in circles and squares. */
static bool is_enclosed_letter(uint32_t cp) {
    return (cp >= 0x24b6 && cp <= 0x24e9) || (cp >= 0x1f130 && cp <= 0x1f149) || (cp >= 0x1f150 && cp <= 0x1f169) ||
           (cp >= 0x1f170 && cp <= 0x1f189);
}

bool ts_is_word(uint32_t cp) {
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return ts_is_letter(cp) || is_mark(cp) || c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL ||
           c == UTF8PROC_CATEGORY_PC || cp == 0x200c || cp == 0x200d || is_enclosed_letter(cp);
}

bool ts_is_upper(uint32_t cp) {
    return utf8proc_isupper((utf8proc_int32_t)cp);
}

bool ts_is_lower(uint32_t cp) {
    return utf8proc_islower((utf8proc_int32_t)cp);
}

uint32_t ts_to_lower(uint32_t cp) {
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
}

uint32_t ts_to_upper(uint32_t cp) {
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)cp);
}
