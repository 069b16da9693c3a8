/* Traced strings: every operation builds its result from stretches of its inputs, so that each byte keeps knowing the
 * message it came from. Positions that a template sees count characters, ours count bytes. */
#include "core/base/utf8.h"
#include "core/model/jinja_impl.h"
#include "core/text/normalize.h"

#include <stdio.h>
#include <string.h>

/* ---- building ---- */

static char *room(jx *x, jbuild *b, size_t n) {
    if (n > J_OUTPUT_MAX - b->n) {
        jfail(x, TS_LIMIT, "it makes a text of more than 128 MB");
        return NULL;
    }
    if (b->n + n + 1 > b->cap) {
        size_t cap = TS_MAX(b->n + n + 1, 2 * b->cap);
        char *s = jalloc(x, cap);
        if (!s) return NULL;
        if (b->n) memcpy(s, b->s, b->n);
        b->s = s;
        b->cap = cap;
    }
    return x->status == TS_OK ? b->s + b->n : NULL;
}

static void add_run(jx *x, jbuild *b, ts_jinja_run run) {
    ts_jinja_run *last = b->n_runs ? &b->runs[b->n_runs - 1] : NULL;
    if (last && last->end == run.start && last->source == run.source && last->generation == run.generation) {
        last->end = run.end;
        return;
    }
    if (b->n_runs == b->cap_runs) {
        size_t cap = b->cap_runs ? 2 * b->cap_runs : 4;
        ts_jinja_run *runs = jalloc(x, cap * sizeof *runs);
        if (!runs) return;
        if (b->n_runs) memcpy(runs, b->runs, b->n_runs * sizeof *runs);
        b->runs = runs;
        b->cap_runs = cap;
    }
    b->runs[b->n_runs++] = run;
}

void jadd_as(jx *x, jbuild *b, const char *s, size_t n, const ts_jinja_run *as) {
    char *to = n ? room(x, b, n) : NULL;
    if (!to) return;
    jcharge(x, n);
    memcpy(to, s, n);
    if (as) add_run(x, b, (ts_jinja_run){b->n, b->n + n, as->source, as->generation});
    b->n += n;
}

void jadd(jx *x, jbuild *b, const char *s, size_t n) {
    jadd_as(x, b, s, n, NULL);
}

/* First run of s that ends behind byte i. */
static size_t run_from(const jstr *s, size_t i) {
    size_t low = 0, high = s->n_runs;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (s->runs[mid].end <= i)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const ts_jinja_run *jrun_at(const jstr *s, size_t i) {
    size_t k = run_from(s, i);
    return k < s->n_runs && s->runs[k].start <= i ? &s->runs[k] : NULL;
}

void jadd_str(jx *x, jbuild *b, const jstr *s, size_t start, size_t end) {
    if (start >= end) return;
    size_t at = b->n;
    jadd(x, b, s->s + start, end - start);
    for (size_t k = run_from(s, start); k < s->n_runs && s->runs[k].start < end && x->status == TS_OK; k++) {
        const ts_jinja_run *r = &s->runs[k];
        size_t from = TS_MAX(r->start, start), to = TS_MIN(r->end, end);
        add_run(x, b, (ts_jinja_run){at + from - start, at + to - start, r->source, r->generation});
    }
}

jv jbuilt(jx *x, jbuild *b) {
    static const jstr empty = {.s = ""};
    jstr *s = x->status == TS_OK ? jalloc(x, sizeof *s) : NULL;
    if (!s) return (jv){.kind = J_STR, .s = &empty};
    *s = (jstr){b->n ? b->s : "", b->n, b->runs, b->n_runs};
    return (jv){.kind = J_STR, .s = s};
}

/* Shares the bytes; only the runs are copied. */
jv jsub(jx *x, const jstr *s, size_t start, size_t end) {
    jbuild runs = {0};
    if (start == 0 && end == s->n) return (jv){.kind = J_STR, .s = s};
    for (size_t k = run_from(s, start); k < s->n_runs && s->runs[k].start < end && x->status == TS_OK; k++) {
        const ts_jinja_run *r = &s->runs[k];
        size_t from = TS_MAX(r->start, start), to = TS_MIN(r->end, end);
        if (from < to) add_run(x, &runs, (ts_jinja_run){from - start, to - start, r->source, r->generation});
    }
    jv v = jbuilt(x, &(jbuild){0});
    if (x->status == TS_OK) *(jstr *)v.s = (jstr){s->s + start, end - start, runs.runs, runs.n_runs};
    return v;
}

/* ---- measuring and searching ---- */

size_t jlength(const jstr *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += ((unsigned char)s->s[i] & 0xc0) != 0x80;
    return n;
}

size_t jbyte_at(const jstr *s, size_t character) {
    size_t i = 0;
    for (; i < s->n && character; character--)
        do
            i++;
        while (i < s->n && ((unsigned char)s->s[i] & 0xc0) == 0x80);
    return i;
}

ptrdiff_t jfind(const jstr *s, const jstr *part, size_t from) {
    if (from > s->n) return -1;
    if (part->n == 0) return (ptrdiff_t)from;
    const char *at = memmem(s->s + from, s->n - from, part->s, part->n);
    return at ? at - s->s : -1;
}

static ptrdiff_t find_last(const jstr *s, const jstr *part, size_t end) {
    for (size_t i = end; i + 1 > 0 && part->n <= s->n; i--) {
        if (i + part->n <= end && memcmp(s->s + i, part->s, part->n) == 0) return (ptrdiff_t)i;
        if (i == 0) break;
    }
    return -1;
}

/* ---- the operations of Python's str ---- */

static bool in_set(const jstr *set, const char *c, size_t n) {
    uint32_t cp;
    if (!set) {
        ts_utf8_decode(c, n, &cp);
        return jpy_space(cp);
    }
    return memmem(set->s, set->n, c, n) != NULL;
}

jv jstrip(jx *x, const jstr *s, const jstr *set, bool left, bool right) {
    size_t start = 0, end = s->n;
    if (set && set->n > 64) jcharge(x, s->n / 64 * set->n);
    while (left && start < end && x->status == TS_OK) {
        size_t len = ts_utf8_sequence(s->s + start, end - start);
        len = TS_MAX(len, 1);
        if (!in_set(set, s->s + start, len)) break;
        start += len;
    }
    while (right && end > start) {
        size_t i = end - 1;
        while (i > start && ((unsigned char)s->s[i] & 0xc0) == 0x80)
            i--;
        if (!in_set(set, s->s + i, end - i)) break;
        end = i;
    }
    return jsub(x, s, start, end);
}

jv jreplace(jx *x, const jstr *s, const jstr *from, const jstr *to, int64_t max) {
    jbuild b = {0};
    size_t done = 0, look = 0;
    ptrdiff_t at;
    while (max-- != 0 && x->status == TS_OK && (at = jfind(s, from, look)) >= 0) {
        jadd_str(x, &b, s, done, (size_t)at);
        jadd_str(x, &b, to, 0, to->n);
        done = look = (size_t)at + from->n;
        if (from->n == 0) { /* between all characters, as Python does */
            size_t len = look < s->n ? ts_utf8_sequence(s->s + look, s->n - look) : 1;
            look += TS_MAX(len, 1);
        }
    }
    jadd_str(x, &b, s, done, s->n);
    return jbuilt(x, &b);
}

jv jchange_case(jx *x, const jstr *s, jcase how) {
    jbuild b = {0};
    ts_buf one = TS_BUF_INIT;
    bool in_word = false;
    for (size_t i = 0, len; i < s->n && x->status == TS_OK; i += len) {
        uint32_t cp;
        len = ts_utf8_decode(s->s + i, s->n - i, &cp);
        bool upper = how == CASE_UPPER || (how == CASE_TITLE && !in_word) || (how == CASE_CAPITAL && i == 0);
        in_word = ts_is_upper(cp) || ts_is_lower(cp) || ts_is_letter(cp);
        ts_buf_reset(&one);
        ts_utf8_put(&one, upper ? ts_to_upper(cp) : ts_to_lower(cp));
        jadd_as(x, &b, one.data, one.len, jrun_at(s, i));
    }
    ts_buf_release(&one);
    return jbuilt(x, &b);
}

/* split() without a separator: white space of any length, none at the ends. */
static void split_space(jx *x, const jstr *s, int64_t max, jlist *l) {
    size_t i = 0, len;
    while (i < s->n && x->status == TS_OK) {
        while (i < s->n && in_set(NULL, s->s + i, (len = TS_MAX(ts_utf8_sequence(s->s + i, s->n - i), 1))))
            i += len;
        if (i >= s->n) break;
        size_t start = i;
        if (max-- == 0) {
            jlist_push(x, l, jsub(x, s, start, s->n)); /* with the white space at its end, as Python */
            return;
        }
        while (i < s->n && !in_set(NULL, s->s + i, (len = TS_MAX(ts_utf8_sequence(s->s + i, s->n - i), 1))))
            i += len;
        jlist_push(x, l, jsub(x, s, start, i));
    }
}

static void reverse(jlist *l) {
    for (size_t i = 0; i < l->n / 2; i++) {
        jv v = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = v;
    }
}

static void split_right(jx *x, const jstr *s, const jstr *by, int64_t max, jlist *l) {
    size_t end = s->n;
    ptrdiff_t at;
    while (max-- != 0 && x->status == TS_OK && (at = find_last(s, by, end)) >= 0) {
        jcharge(x, s->n / 64 * by->n);
        jlist_push(x, l, jsub(x, s, (size_t)at + by->n, end));
        end = (size_t)at;
    }
    jlist_push(x, l, jsub(x, s, 0, end));
    reverse(l);
}

jv jsplit(jx *x, const jstr *s, const jstr *by, int64_t max, bool from_right) {
    jlist *l = jlist_new(x);
    size_t done = 0;
    ptrdiff_t at;
    jcharge(x, s->n);
    if (by && by->n == 0) return jfail(x, TS_INVALID, "split with an empty separator");
    if (!by) {
        split_space(x, s, from_right ? -1 : max, l);
    } else if (from_right) {
        split_right(x, s, by, max, l);
    } else {
        while (max-- != 0 && x->status == TS_OK && (at = jfind(s, by, done)) >= 0) {
            jlist_push(x, l, jsub(x, s, done, (size_t)at));
            done = (size_t)at + by->n;
        }
        jlist_push(x, l, jsub(x, s, done, s->n));
    }
    return jlist_value(l, J_LIST);
}

/* Python's line ends, of which text has \n, \r and \r\n. */
jv jsplitlines(jx *x, const jstr *s, bool keep) {
    jlist *l = jlist_new(x);
    for (size_t i = 0, start = 0; i < s->n && x->status == TS_OK; start = i) {
        while (i < s->n && s->s[i] != '\n' && s->s[i] != '\r')
            i++;
        size_t end = i;
        if (i < s->n) i += s->s[i] == '\r' && i + 1 < s->n && s->s[i + 1] == '\n' ? 2 : 1;
        jlist_push(x, l, jsub(x, s, start, keep ? i : end));
    }
    return jlist_value(l, J_LIST);
}

jv jjoin(jx *x, const jstr *between, jv list) {
    jbuild b = {0};
    const jlist *l = jiterate(x, list);
    for (size_t i = 0; l && i < l->n && x->status == TS_OK; i++) {
        if (i) jadd_str(x, &b, between, 0, between->n);
        jprint(x, &b, l->items[i]);
    }
    return jbuilt(x, &b);
}

jv jindent(jx *x, const jstr *s, const jstr *with, bool first, bool blank) {
    jbuild b = {0};
    jv lines = jsplitlines(x, s, true);
    for (size_t i = 0; i < lines.l->n && x->status == TS_OK; i++) {
        const jstr *line = lines.l->items[i].s;
        bool empty = line->n == 0 || line->s[0] == '\n' || line->s[0] == '\r';
        if ((i ? blank || !empty : first)) jadd_str(x, &b, with, 0, with->n);
        jadd_str(x, &b, line, 0, line->n);
    }
    return jbuilt(x, &b);
}

jv jconcat(jx *x, const jstr *a, const jstr *b) {
    jbuild c = {0};
    if (!a->n) return (jv){.kind = J_STR, .s = b};
    if (!b->n) return (jv){.kind = J_STR, .s = a};
    if (!room(x, &c, a->n + b->n)) return jbuilt(x, &c); /* once, of the right size */
    jadd_str(x, &c, a, 0, a->n);
    jadd_str(x, &c, b, 0, b->n);
    return jbuilt(x, &c);
}

jv jrepeat(jx *x, const jstr *s, int64_t times) {
    jbuild b = {0};
    for (int64_t i = 0; s->n && i < times && x->status == TS_OK; i++)
        jadd_str(x, &b, s, 0, s->n);
    return jbuilt(x, &b);
}

/* Python's slice.indices: bounds within 0..n (or -1..n-1 going back). */
static int64_t bound(jx *x, jv v, int64_t n, int64_t step, int64_t otherwise) {
    if (v.kind == J_NONE) return otherwise;
    if (v.kind != J_INT && v.kind != J_BOOL) {
        jfail(x, TS_INVALID, "a slice needs whole numbers, not %s", jkind_name(v));
        return 0;
    }
    int64_t i = v.kind == J_BOOL ? v.b : v.i;
    if (i < 0) i = i < -n ? (step < 0 ? -1 : 0) : i + n;
    if (i >= n) i = step < 0 ? n - 1 : n;
    return i;
}

static jv slice_list(jx *x, jv v, int64_t start, int64_t stop, int64_t step) {
    jlist *l = jlist_new(x);
    for (int64_t i = start; (step > 0 ? i < stop : i > stop) && x->status == TS_OK; i += step)
        jlist_push(x, l, v.l->items[i]);
    return jlist_value(l, v.kind);
}

jv jslice(jx *x, jv v, jv from, jv to, jv by) {
    int64_t step = by.kind == J_INT ? by.i : 1;
    if (by.kind != J_INT && by.kind != J_NONE) return jfail(x, TS_INVALID, "a slice needs whole numbers");
    if (step == 0) return jfail(x, TS_INVALID, "a slice cannot have the step 0");
    if (v.kind != J_STR && !jis_list(v)) return jfail(x, TS_INVALID, "a %s has no slices", jkind_name(v));
    int64_t n = (int64_t)(v.kind == J_STR ? jlength(v.s) : v.l->n);
    step = step > n ? n + 1 : step < -n ? -n - 1 : step; /* farther than all, and no overflow */
    int64_t start = bound(x, from, n, step, step < 0 ? n - 1 : 0), stop = bound(x, to, n, step, step < 0 ? -1 : n);
    if (x->status != TS_OK) return jundefined(NULL);
    if (jis_list(v)) return slice_list(x, v, start, stop, step);
    if (step == 1)
        return start < stop ? jsub(x, v.s, jbyte_at(v.s, (size_t)start), jbyte_at(v.s, (size_t)stop))
                            : jbuilt(x, &(jbuild){0});
    jv letters = jlist_value((jlist *)jiterate(x, v), J_LIST);
    if (x->status != TS_OK) return jundefined(NULL);
    return jjoin(x, &(jstr){.s = ""}, slice_list(x, letters, start, stop, step));
}

/* One directive: %s, %r, and for numbers d, i, f, e, g with a width and a precision. */
static size_t format_one(jx *x, jbuild *b, const jstr *f, size_t at, jv v) {
    char text[400];
    int width = 0, precision = 6;
    size_t i = at;
    bool zero = i < f->n && f->s[i] == '0';
    for (; i < f->n && f->s[i] >= '0' && f->s[i] <= '9'; i++)
        width = TS_MIN(width * 10 + (f->s[i] - '0'), 60);
    if (i < f->n && f->s[i] == '.')
        for (precision = 0, i++; i < f->n && f->s[i] >= '0' && f->s[i] <= '9'; i++)
            precision = TS_MIN(precision * 10 + (f->s[i] - '0'), 60);
    char c = i < f->n ? f->s[i] : 0;
    if (c == 's' && !width) {
        jprint(x, b, v);
        return i + 1;
    }
    if (c == 'r' && !width) {
        jrepr(x, b, v, 0);
        return i + 1;
    }
    text[0] = 0;
    if ((c == 'd' || c == 'i') && jis_number(v)) {
        long long whole = v.kind == J_INT ? (long long)v.i : (long long)TS_MAX(-9e18, TS_MIN(9e18, jnumber(v)));
        snprintf(text, sizeof text, zero ? "%0*lld" : "%*lld", width, whole);
    } else if (c == 'f' && jis_number(v)) {
        snprintf(text, sizeof text, zero ? "%0*.*f" : "%*.*f", width, precision, jnumber(v));
    } else if (c == 'e' && jis_number(v)) {
        snprintf(text, sizeof text, "%*.*e", width, precision, jnumber(v));
    } else if (c == 'g' && jis_number(v)) {
        snprintf(text, sizeof text, "%*.*g", width, precision, jnumber(v));
    } else {
        jfail(x, TS_UNSUPPORTED, "the format %%%.*s with a %s is not done", (int)TS_MIN(i + (c != 0) - at, 20),
              f->s + at, jkind_name(v));
    }
    jadd(x, b, text, strlen(text));
    return i + 1;
}

jv jformat(jx *x, const jstr *f, jv args) {
    jbuild b = {0};
    size_t used = 0, n = args.kind == J_TUPLE ? args.l->n : 1, done = 0;
    for (size_t i = 0; i < f->n && x->status == TS_OK;) {
        if (f->s[i] != '%') {
            i++;
            continue;
        }
        jadd_str(x, &b, f, done, i);
        if (i + 1 < f->n && f->s[i + 1] == '%') {
            jadd_str(x, &b, f, i, i + 1);
            i += 2;
        } else if (used >= n) {
            jfail(x, TS_INVALID, "a format has more directives than values");
        } else {
            i = format_one(x, &b, f, i + 1, args.kind == J_TUPLE ? args.l->items[used] : args);
            used++;
        }
        done = TS_MIN(i, f->n);
    }
    jadd_str(x, &b, f, done, f->n);
    if (used < n && args.kind == J_TUPLE) return jfail(x, TS_INVALID, "a format has fewer directives than values");
    return jbuilt(x, &b);
}
