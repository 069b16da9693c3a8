/* Rotary positions: the formulas of transformers' modeling_rope_utils.py, in double until the last step. */
#include "core/model/model_private.h"

#include <math.h>

#define PI 3.14159265358979323846

const char *const ts_rope_names[TS_ROPE_TYPES] = {"default", "linear", "dynamic", "llama3", "yarn", "longrope"};

/* Slow rotations (long wavelengths) are divided by the factor, fast ones stay, between them it blends. */
static double llama3(const ts_rope *r, double f) {
    double wavelength = 2 * PI / f;
    double t = (r->original / wavelength - r->low_freq) / (r->high_freq - r->low_freq);
    if (wavelength > r->original / r->low_freq) return f / r->factor;
    return wavelength >= r->original / r->high_freq ? (1 - t) * f / r->factor + t * f : f;
}

/* Index of the pair that turns n times within the original length. */
static double yarn_pair(const ts_rope *r, double n) {
    return (double)r->rotary * log(r->original / (n * 2 * PI)) / (2 * log(r->theta));
}

static double yarn(const ts_rope *r, double f, size_t i) {
    double low = yarn_pair(r, r->beta_fast), high = yarn_pair(r, r->beta_slow);
    if (!r->exact_range) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, (double)r->rotary - 1);
    if (low == high) high += 0.001;
    double ramp = fmin(fmax(((double)i - low) / (high - low), 0), 1);
    return f / r->factor * ramp + f * (1 - ramp);
}

void ts_rope_frequencies(const ts_rope *r, size_t length, float *out) {
    double d = (double)r->rotary, theta = r->theta;
    if (r->type == TS_ROPE_DYNAMIC && length > r->limit)
        theta *= pow(r->factor * (double)length / (double)r->limit - (r->factor - 1), d / (d - 2));
    for (size_t i = 0; i < r->rotary / 2; i++) {
        double f = pow(theta, -2.0 * (double)i / d);
        if (r->type == TS_ROPE_LINEAR) f /= r->factor;
        if (r->type == TS_ROPE_LLAMA3) f = llama3(r, f);
        if (r->type == TS_ROPE_YARN) f = yarn(r, f, i);
        if (r->type == TS_ROPE_LONGROPE) f /= (double)(length > r->limit ? r->long_factor : r->short_factor)[i];
        if (r->divisor) f /= (double)r->divisor[i];
        out[i] = (float)f;
    }
}

static bool possible(const ts_rope *r) {
    if (!(r->theta > 0) || !isfinite(r->theta) || !(r->factor > 0) || !isfinite(r->factor)) return false;
    switch (r->type) {
    case TS_ROPE_DYNAMIC:
        return r->factor >= 1 && r->rotary > 2;
    case TS_ROPE_LLAMA3:
        return r->low_freq > 0 && r->high_freq > r->low_freq && r->original > 0;
    case TS_ROPE_YARN:
        return r->theta > 1 && r->original > 0 && r->beta_fast > 0 && r->beta_slow > 0;
    case TS_ROPE_LONGROPE:
        return r->original > 1 && r->short_factor && r->long_factor;
    default:
        return true;
    }
}

static double natural_gain(const ts_rope *r) {
    if (r->factor <= 1) return 1;
    if (r->type == TS_ROPE_YARN) return 0.1 * log(r->factor) + 1;
    return r->type == TS_ROPE_LONGROPE ? sqrt(1 + log(r->factor) / log(r->original)) : 1;
}

/* The frequencies for `length` tokens into the model's arena. */
static ts_status fill(ts_model *m, const ts_rope *r, size_t length, float **out, ts_err *err) {
    *out = ts_arena_alloc(&m->store->arena, r->rotary / 2 * sizeof **out);
    ts_rope_frequencies(r, length, *out);
    for (size_t i = 0; i < r->rotary / 2; i++)
        if (!((*out)[i] > 0) || !isfinite((*out)[i]))
            return ts_fail(err, TS_FORMAT, "%s: the rotary positions' numbers of the type %s give a frequency of %g",
                           m->path, ts_rope_names[r->type], (double)(*out)[i]);
    return TS_OK;
}

ts_status ts_rope_finish(ts_model *m, ts_rope *r, ts_err *err) {
    float *freq, *other;
    if (r->rotary < 2 || r->rotary % 2 != 0 || r->rotary > m->config.head_dim)
        return ts_fail(err, TS_FORMAT, "%s: %zu of a head's %zu numbers cannot be turned in pairs", m->path, r->rotary,
                       m->config.head_dim);
    if (!possible(r))
        return ts_fail(err, TS_FORMAT,
                       "%s: rope theta %g with factor %g and the other numbers of the type %s are impossible", m->path,
                       r->theta, r->factor, ts_rope_names[r->type]);
    if (r->gain == 0) r->gain = natural_gain(r);
    if (!(r->gain > 0) || !isfinite(r->gain))
        return ts_fail(err, TS_FORMAT, "%s: an attention factor of %g is impossible", m->path, r->gain);
    r->limit = SIZE_MAX;
    if (r->type == TS_ROPE_DYNAMIC) r->limit = m->config.context;
    if (r->type == TS_ROPE_LONGROPE) r->limit = (size_t)r->original;
    TS_TRY(fill(m, r, 0, &freq, err));
    r->freq = freq;
    return r->limit == SIZE_MAX ? TS_OK : fill(m, r, r->limit + 1, &other, err);
}
