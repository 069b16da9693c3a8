/* Q4_K, Q5_K and Q6_K. Rounding alone loses much with so few codes, so each group tries several scales near the obvious
 * one; for each the codes are rounded, then scale (and minimum) are solved for by least squares with these codes, and
 * the best stays. Ranges and weights of the search are those of ggml-quants.c (make_qkx2_quants, make_qx_quants). */
#include "core/model/quantize_k.h"

#include <math.h>
#include <string.h>

static float half(const unsigned char *p) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return ts_f16_to_f32(h);
}

/* The nearest whole number in [low, high]; NaN gives low. */
static int nearest(float f, int low, int high) {
    return f >= (float)high ? high : f > (float)low ? (int)lrintf(f) : low;
}

/* ---- x ~ scale * code - min, codes from 0 to last ---- */

enum { GROUP = 32 };

typedef struct fit {
    float scale, min; /* min >= 0 */
} fit;

typedef struct search {
    int last;   /* the largest code */
    int steps;  /* scales tried */
    float from; /* the first one divides the range into last + from steps; the next ones into .1 more each */
} search;

static float error_of(const float *x, const float *w, float inverse, float low, int last, fit f) {
    float sum = 0;
    for (size_t i = 0; i < GROUP; i++) {
        float diff = f.scale * (float)nearest(inverse * (x[i] - low), 0, last) - f.min - x[i];
        sum += w[i] * diff * diff;
    }
    return sum;
}

/* The best scale and minimum for the codes that `inverse` gives. False when all codes are one. */
static bool solve(const float *x, const float *w, float inverse, float low, int last, fit *f) {
    float sw = 0, sx = 0, sl = 0, sll = 0, sxl = 0;
    for (size_t i = 0; i < GROUP; i++) {
        float l = (float)nearest(inverse * (x[i] - low), 0, last);
        sw += w[i];
        sx += w[i] * x[i];
        sl += w[i] * l;
        sll += w[i] * l * l;
        sxl += w[i] * l * x[i];
    }
    float det = sw * sll - sl * sl;
    if (!(det > 0)) return false;
    f->scale = (sw * sxl - sx * sl) / det;
    f->min = -(sll * sx - sl * sxl) / det;
    if (f->min < 0) *f = (fit){sxl / sll, 0};
    return true;
}

static fit fit_group(const float *x, search s) {
    float w[GROUP], low = 0, high = x[0], square = 0;
    for (size_t i = 0; i < GROUP; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        square += x[i] * x[i];
    }
    if (!(high > low)) return (fit){0, -low};
    for (size_t i = 0; i < GROUP; i++)
        w[i] = sqrtf(square / GROUP) + fabsf(x[i]);
    fit best = {(high - low) / (float)s.last, -low};
    float least = error_of(x, w, (float)s.last / (high - low), low, s.last, best);
    for (int step = 0; step <= s.steps; step++) {
        float inverse = ((float)s.last + s.from + 0.1f * (float)step) / (high - low);
        fit f;
        if (!solve(x, w, inverse, low, s.last, &f)) continue;
        float error = error_of(x, w, inverse, low, s.last, f);
        if (error < least) {
            least = error;
            best = f;
        }
    }
    return best;
}

/* d, dmin, the 12 bytes of scales and mins, and the 256 codes under them. */
static bool fit_block(const float *x, search s, unsigned char *to, unsigned char *codes) {
    fit groups[8];
    float scale = 0, min = 0;
    for (size_t g = 0; g < 8; g++) {
        groups[g] = fit_group(x + g * GROUP, s);
        scale = fmaxf(scale, groups[g].scale);
        min = fmaxf(min, groups[g].min);
    }
    bool fits = ts_put_half(to, scale / 63);
    fits = ts_put_half(to + 2, min / 63) && fits;
    memset(to + 4, 0, 12);
    for (size_t g = 0; g < 8; g++) {
        int sc = scale > 0 ? nearest(63 / scale * groups[g].scale, 0, 63) : 0;
        int mn = min > 0 ? nearest(63 / min * groups[g].min, 0, 63) : 0;
        unsigned char *q = to + 4;
        if (g < 4) {
            q[g] |= (unsigned char)sc;
            q[g + 4] |= (unsigned char)mn;
        } else { /* low four bits of both in a byte of their own, the others on top of the first ones */
            q[g + 4] |= (unsigned char)((sc & 15) | (mn & 15) << 4);
            q[g - 4] |= (unsigned char)(sc >> 4 << 6);
            q[g] |= (unsigned char)(mn >> 4 << 6);
        }
        float d = half(to) * (float)sc, m = half(to + 2) * (float)mn;
        for (size_t i = g * GROUP; i < (g + 1) * GROUP; i++)
            codes[i] = (unsigned char)(d > 0 ? nearest((x[i] + m) / d, 0, s.last) : 0);
    }
    return fits;
}

static void put_nibbles(const unsigned char *codes, unsigned char *to) {
    for (size_t i = 0; i < 128; i++) {
        const unsigned char *pair = codes + i / 32 * 64 + i % 32;
        to[i] = (unsigned char)((pair[0] & 15) | (pair[32] & 15) << 4);
    }
}

bool ts_to_q4_k(const float *x, unsigned char *to) {
    unsigned char codes[256];
    bool fits = fit_block(x, (search){15, 20, -1}, to, codes);
    put_nibbles(codes, to + 16);
    return fits;
}

bool ts_to_q5_k(const float *x, unsigned char *to) {
    unsigned char codes[256];
    bool fits = fit_block(x, (search){31, 15, -0.5f}, to, codes);
    memset(to + 16, 0, 32);
    for (size_t i = 0; i < 256; i++)
        to[16 + i % 32] |= (unsigned char)(codes[i] >> 4 << (i / 32));
    put_nibbles(codes, to + 48);
    return fits;
}

/* ---- x ~ scale * code, codes from -32 to 31, groups of 16 ---- */

static float fit_symmetric(const float *x) {
    float most = 0;
    for (size_t i = 0; i < 16; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    if (!(fabsf(most) >= 1e-15f)) return 0;
    float best = -1, scale = 0;
    for (int step = -9; step <= 9; step++) { /* the obvious scale and nine to either side */
        float inverse = -(32 + 0.1f * (float)step) / most, sxl = 0, sll = 0;
        for (size_t i = 0; i < 16; i++) {
            float l = (float)nearest(inverse * x[i], -32, 31), w = x[i] * x[i];
            sxl += w * x[i] * l;
            sll += w * l * l;
        }
        if (sll > 0 && sxl * sxl / sll > best) { /* what is gained over all codes 0 */
            best = sxl * sxl / sll;
            scale = sxl / sll;
        }
    }
    return scale;
}

bool ts_to_q6_k(const float *x, unsigned char *to) {
    float scales[16], most = 0;
    for (size_t g = 0; g < 16; g++) {
        scales[g] = fit_symmetric(x + g * 16);
        if (fabsf(scales[g]) > fabsf(most)) most = scales[g];
    }
    memset(to, 0, 210);
    bool fits = ts_put_half(to + 208, most / -128);
    for (size_t i = 0; i < 256; i++) {
        int scale = most != 0 ? nearest(-128 / most * scales[i / 16], -128, 127) : 0;
        float d = half(to + 208) * (float)scale;
        int q = d != 0 ? nearest(x[i] / d, -32, 31) + 32 : 32;
        size_t part = i / 32 % 4;
        to[i / 128 * 64 + part % 2 * 32 + i % 32] |= (unsigned char)((q & 15) << (part / 2 * 4));
        to[128 + i / 128 * 32 + i % 32] |= (unsigned char)(q >> 4 << (part * 2));
        to[192 + i / 16] = (unsigned char)scale;
    }
    return fits;
}
