/* The steps that change text, and the map back to where its bytes came from. */
#include "core/base/utf8.h"
#include "core/model/tokenizer_impl.h"

#include <string.h>

void ts_flow_view(ts_flow *f, const char *s, size_t n, size_t base) {
    f->s = s;
    f->n = n;
    f->base = base;
    f->mapped = false;
}

size_t ts_flow_from(const ts_flow *f, size_t i) {
    if (!f->mapped) return f->base + i;
    if (f->n == 0) return 0;
    return i < f->n ? f->from[i] : f->from[f->n - 1] + 1;
}

void ts_flow_begin(ts_scratch *s) {
    ts_buf_reset(&s->b.text);
    s->b.mapped = true;
}

static size_t *grow_map(ts_flow *f, size_t n) {
    TS_GROW(f->from, f->cap_from, f->text.len + n);
    return f->from + f->text.len;
}

void ts_flow_copy(ts_scratch *s, size_t start, size_t end) {
    if (start >= end) return;
    size_t *from = grow_map(&s->b, end - start);
    for (size_t i = start; i < end; i++)
        from[i - start] = ts_flow_from(&s->a, i);
    ts_buf_add(&s->b.text, s->a.s + start, end - start);
}

void ts_flow_put(ts_scratch *s, const char *text, size_t n, size_t from) {
    if (!n) return;
    size_t *map = grow_map(&s->b, n);
    for (size_t i = 0; i < n; i++)
        map[i] = from;
    ts_buf_add(&s->b.text, text, n);
}

void ts_flow_end(ts_scratch *s) {
    ts_flow done = s->b;
    s->b = s->a;
    s->a = done;
    s->a.s = ts_buf_str(&s->a.text);
    s->a.n = s->a.text.len;
}

static void prepend(ts_scratch *s, const ts_step *step) {
    if (!s->a.n) return;
    ts_flow_begin(s);
    ts_flow_put(s, step->a, step->a_n, ts_flow_from(&s->a, 0));
    ts_flow_copy(s, 0, s->a.n);
    ts_flow_end(s);
}

static void replace(ts_scratch *s, const ts_step *step) {
    ts_find_stretches(s, step, s->a.s, 0, s->a.n);
    if (s->cuts.n == 0 || (s->cuts.n == 1 && !s->cuts.items[0].match)) return;
    ts_flow_begin(s);
    for (size_t i = 0; i < s->cuts.n; i++) {
        const ts_stretch *c = &s->cuts.items[i];
        if (c->match)
            ts_flow_put(s, step->b, step->b_n, ts_flow_from(&s->a, c->start));
        else
            ts_flow_copy(s, c->start, c->end);
    }
    ts_flow_end(s);
}

/* Nearly all text is in its normal form already: the whole is tried first, and only what differs pays for a map. */
static void normal_form(ts_scratch *s, const ts_step *step) {
    ts_buf_reset(&s->name);
    ts_normalize(&s->name, s->a.s, s->a.n, step->form);
    if (s->name.len == s->a.n && (s->a.n == 0 || memcmp(s->name.data, s->a.s, s->a.n) == 0)) return;
    ts_flow_begin(s);
    for (size_t i = 0, len; i < s->a.n; i += len) {
        len = ts_normal_stretch(s->a.s + i, s->a.n - i);
        ts_buf_reset(&s->name);
        ts_normalize(&s->name, s->a.s + i, len, step->form);
        if (s->name.len == len && memcmp(s->name.data, s->a.s + i, len) == 0)
            ts_flow_copy(s, i, i + len);
        else
            ts_flow_put(s, s->name.data, s->name.len, ts_flow_from(&s->a, i));
    }
    ts_flow_end(s);
}

static void lower(ts_scratch *s) {
    ts_flow_begin(s);
    for (size_t i = 0, len; i < s->a.n; i += len) {
        uint32_t cp;
        len = ts_utf8_decode(s->a.s + i, s->a.n - i, &cp);
        ts_buf_reset(&s->name);
        ts_utf8_put(&s->name, ts_to_lower(cp));
        if (cp == 0x130) ts_utf8_put(&s->name, 0x307); /* the one character with a longer lower case (SpecialCasing) */
        ts_flow_put(s, s->name.data, s->name.len, ts_flow_from(&s->a, i));
    }
    ts_flow_end(s);
}

static void strip(ts_scratch *s, const ts_step *step) {
    size_t start = 0, end = 0, len;
    uint32_t cp;
    for (; step->left && start < s->a.n; start += len) {
        len = ts_utf8_decode(s->a.s + start, s->a.n - start, &cp);
        if (!ts_is_space(cp)) break;
    }
    for (size_t i = start; i < s->a.n; i += len) {
        len = ts_utf8_decode(s->a.s + i, s->a.n - i, &cp);
        if (!step->right || !ts_is_space(cp)) end = i + len;
    }
    if (start == 0 && end == s->a.n) return;
    ts_flow_begin(s);
    ts_flow_copy(s, start, end);
    ts_flow_end(s);
}

void ts_normalize_flow(const ts_tokenizer *t, ts_scratch *s) {
    for (size_t i = 0; i < t->normalizer.n; i++) {
        const ts_step *step = &t->normalizer.items[i];
        switch (step->kind) {
        case TS_NORM_PREPEND:
            prepend(s, step);
            break;
        case TS_NORM_REPLACE:
            replace(s, step);
            break;
        case TS_NORM_FORM:
            normal_form(s, step);
            break;
        case TS_NORM_LOWER:
            lower(s);
            break;
        case TS_NORM_STRIP:
            strip(s, step);
            break;
        default:
            ts_assert(!"a step that is no normalizer");
        }
    }
}
