#include "core/text/match.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "core/base/utf8.h"

struct ts_regex {
    pcre2_code *code;
    bool compiled; /* to machine code */
};

struct ts_matcher {
    const pcre2_code *code;
    bool compiled;
    uint32_t least; /* characters, and so bytes, of the shortest match */
    pcre2_match_data *data;
    pcre2_match_context *context;
};

/* A person's pattern over a person's text: far more than honest patterns use, and still under a second. */
enum { MATCH_LIMIT = 2000000, DEPTH_LIMIT = 20000 };

ts_status ts_regex_new(ts_regex **out, const char *pattern, size_t n, unsigned flags, ts_err *err) {
    int code;
    PCRE2_SIZE at;
    uint32_t options = flags & TS_REGEX_LITERAL ? PCRE2_LITERAL | PCRE2_UTF : PCRE2_UTF | PCRE2_UCP;
    *out = NULL;
    if (flags & TS_REGEX_CASELESS) options |= PCRE2_CASELESS;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, n, options, &code, &at, NULL);
    if (!compiled) {
        PCRE2_UCHAR text[160];
        pcre2_get_error_message(code, text, sizeof text);
        return ts_fail(err, TS_INVALID, "the regular expression %.*s is wrong at character %zu: %s",
                       (int)TS_MIN(n, 120), pattern, (size_t)at, (const char *)text);
    }
    *out = ts_malloc(sizeof **out);
    (*out)->code = compiled;
    /* without a JIT the interpreter does the same, slower */
    (*out)->compiled = pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE) == 0;
    return TS_OK;
}

void ts_regex_free(ts_regex *re) {
    if (!re) return;
    pcre2_code_free(re->code);
    free(re);
}

ts_matcher *ts_matcher_new(const ts_regex *re) {
    ts_matcher *m = ts_malloc(sizeof *m);
    m->code = re->code;
    m->compiled = re->compiled;
    m->data = pcre2_match_data_create(1, NULL);
    m->context = pcre2_match_context_create(NULL);
    if (pcre2_pattern_info(re->code, PCRE2_INFO_MINLENGTH, &m->least) != 0) m->least = 0;
    if (!m->data || !m->context) ts_fatal("out of memory while preparing a search");
    pcre2_set_match_limit(m->context, MATCH_LIMIT);
    pcre2_set_depth_limit(m->context, DEPTH_LIMIT);
    return m;
}

void ts_matcher_free(ts_matcher *m) {
    if (!m) return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    free(m);
}

bool ts_matcher_find(ts_matcher *m, const char *text, size_t n, size_t from, size_t *start, size_t *end,
                     bool *gave_up) {
    if (gave_up) *gave_up = false;
    if (n - from < m->least) return false;
    int rc = m->compiled ? pcre2_jit_match(m->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, m->data, m->context)
                         : pcre2_match(m->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, m->data, m->context);
    if (gave_up) *gave_up = rc < 0 && rc != PCRE2_ERROR_NOMATCH;
    if (rc < 0) return false;
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(m->data);
    *start = TS_MIN(v[0], v[1]); /* \K can set the start behind the end */
    *end = v[1];
    return true;
}

bool ts_has_upper(const char *pattern, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += ts_utf8_decode(pattern + i, n - i, &cp);
        if (utf8proc_isupper((utf8proc_int32_t)cp)) return true;
    }
    return false;
}
