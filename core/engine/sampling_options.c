#include "core/engine/sampling.h"

#include <stddef.h>
#include <string.h>

const char *const ts_sampling_orders[TS_ORDERS] = {"hf", "llamacpp"};

typedef struct field {
    const char *name;
    enum { INT, NUM } kind;
    size_t at;
    double otherwise[TS_ORDERS], least, most;
} field;

#define FIELD(member, option, kind, hf, llamacpp, least, most, ...)                                                    \
    {#member, kind, offsetof(ts_sampling, member), {hf, llamacpp}, least, most},
static const field fields[] = {TS_SAMPLING_TABLE(FIELD)};

bool ts_sampling_order_find(const char *name, ts_sampling_order *out) {
    for (int i = 0; i < TS_ORDERS; i++)
        if (strcmp(name, ts_sampling_orders[i]) == 0) {
            *out = (ts_sampling_order)i;
            return true;
        }
    return false;
}

/* NAN: not said. Whole numbers are below 2^53. */
static double get(const ts_sampling *s, const field *f) {
    const void *at = (const char *)s + f->at;
    if (f->kind == NUM) return *(const double *)at;
    return *(const int64_t *)at == TS_UNSET_INT ? NAN : (double)*(const int64_t *)at;
}

static void set(ts_sampling *s, const field *f, double v) {
    void *at = (char *)s + f->at;
    if (f->kind == NUM)
        *(double *)at = v;
    else
        *(int64_t *)at = (int64_t)v;
}

ts_status ts_sampling_settle(ts_sampling *s, ts_err *err) {
    for (size_t i = 0; i < TS_COUNT(fields); i++) {
        const field *f = &fields[i];
        double v = get(s, f);
        if (isnan(v)) set(s, f, v = f->otherwise[s->order]);
        if (!(v >= f->least && v <= f->most))
            return ts_fail(err, TS_INVALID, "%s must be from %.16g to %.16g, not %.16g", f->name, f->least, f->most, v);
    }
    return TS_OK;
}

void ts_sampling_write(const ts_sampling *s, ts_jw *w) {
    ts_jw_kstr(w, "order", ts_sampling_orders[s->order]);
    for (size_t i = 0; i < TS_COUNT(fields); i++)
        ts_jw_knum(w, fields[i].name, get(s, &fields[i]));
}

ts_status ts_sampling_read(const ts_json *object, ts_sampling *out, ts_err *err) {
    *out = (ts_sampling)TS_SAMPLING_UNSET;
    const char *order = ts_json_str(ts_json_get(object, "order"), ts_sampling_orders[TS_ORDER_HF]);
    if (!ts_sampling_order_find(order, &out->order))
        return ts_fail(err, TS_INVALID, "there is no sampling order \"%.40s\"", order);
    for (size_t i = 0; i < TS_COUNT(fields); i++) {
        const field *f = &fields[i];
        const ts_json *v = ts_json_get(object, f->name);
        int64_t whole = 0;
        if (!v || ts_json_is_null(v)) continue;
        if (!ts_json_is_number(v) || (f->kind == INT && !ts_json_int(v, INT64_MIN / 2, INT64_MAX / 2, &whole)))
            return ts_fail(err, TS_INVALID, "%s must be a %s", f->name, f->kind == INT ? "whole number" : "number");
        set(out, f, f->kind == INT ? (double)whole : ts_json_num(v, 0));
    }
    return ts_sampling_settle(out, err);
}
