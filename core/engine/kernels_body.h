/* The kernels' source, compiled once per instruction set by kernels_avx512.c, kernels_avx2.c and kernels_plain.c. */
#ifndef TS_ENGINE_KERNELS_BODY_H
#define TS_ENGINE_KERNELS_BODY_H

#include "core/engine/kernels_types.h"

#include <math.h>

/* Loops over n floats, LANES at a time; inside, `here` lanes count and LOAD, STORE respect it. */
#define EACH(i, n) for (size_t i = 0, here; i < (n) && (here = TS_MIN((n)-i, (size_t)LANES), 1); i += LANES)
#define LOAD(p) (here == LANES ? vf_load(p) : vf_load_n(p, here))
#define STORE(p, x) (here == LANES ? vf_store(p, x) : vf_store_n(p, x, here))

/* ---- products ---- */

/* A tile of MR x (NV * LANES) results in registers: 12 x 2 vectors of AVX-512's 32 registers, 6 x 2 of 16. The row of A
 * is broadcast from memory, B comes as whole vectors. The sum starts from zero and meets C at the end: long sums that
 * are cut into pieces lose fewer digits so. */
#define TILE(MR, NV, T, AT)                                                                                            \
    static void tile_##MR##_##NV##_##T(const float *a, size_t lda, const float *b, size_t ldb, size_t k, float *c,     \
                                       size_t ldc, bool add) {                                                         \
        vf s[MR][NV];                                                                                                  \
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int v = 0; v < NV; v++) s[i][v] = vf_set(0);                   \
        for (size_t p = 0; p < k; p++) {                                                                               \
            vf row[NV];                                                                                                \
            UNROLL for (int v = 0; v < NV; v++) row[v] = vf_load(b + p * ldb + v * LANES);                             \
            UNROLL for (int i = 0; i < MR; i++) {                                                                      \
                vf x = vf_set(AT ? a[p * lda + (size_t)i] : a[(size_t)i * lda + p]);                                   \
                UNROLL for (int v = 0; v < NV; v++) s[i][v] = vf_fma(x, row[v], s[i][v]);                              \
            }                                                                                                          \
        }                                                                                                              \
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int v = 0; v < NV; v++) {                                      \
            float *to = c + (size_t)i * ldc + v * LANES;                                                               \
            vf_store(to, add ? vf_load(to) + s[i][v] : s[i][v]);                                                       \
        }                                                                                                              \
    }
#define TILES(MR)                                                                                                      \
    TILE(MR, 1, n, 0)                                                                                                  \
    TILE(MR, 2, n, 0)                                                                                                  \
    TILE(MR, 1, t, 1)                                                                                                  \
    TILE(MR, 2, t, 1)
#define TILE_ROW(MR)                                                                                                   \
    {                                                                                                                  \
        MR, {                                                                                                          \
            {tile_##MR##_1_n, tile_##MR##_2_n}, {                                                                      \
                tile_##MR##_1_t, tile_##MR##_2_t                                                                       \
            }                                                                                                          \
        }                                                                                                              \
    }

typedef void (*tile_fn)(const float *, size_t, const float *, size_t, size_t, float *, size_t, bool);
typedef struct tile_size {
    size_t rows;
    tile_fn fn[2][2]; /* [a_trans][vectors - 1] */
} tile_size;

TILES(1)
TILES(2)
TILES(4)
#if LANES == 16
TILES(8)
TILES(12) static const tile_size tiles[] = {TILE_ROW(12), TILE_ROW(8), TILE_ROW(4), TILE_ROW(2), TILE_ROW(1)};
enum { TALLEST = 12 };
#else
TILES(6) static const tile_size tiles[] = {TILE_ROW(6), TILE_ROW(4), TILE_ROW(2), TILE_ROW(1)};
enum { TALLEST = 6 };
#endif

/* A tile whose last vector is not full goes through a buffer. */
static void edge_tile(tile_fn fn, size_t rows, size_t cols, const ts_panel *p, const float *a, const float *b,
                      float *c) {
    float buffer[TALLEST * 2 * LANES];
    fn(a, p->lda, b, p->ldb, p->k, buffer, 2 * LANES, false);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            c[i * p->ldc + j] = p->add ? c[i * p->ldc + j] + buffer[i * 2 * LANES + j] : buffer[i * 2 * LANES + j];
}

static void panel(const ts_panel *p) {
    for (size_t j = 0; j < p->n; j += 2 * LANES) {
        size_t cols = TS_MIN(p->n - j, (size_t)2 * LANES), vectors = cols > LANES ? 2 : 1;
        bool whole = cols == vectors * LANES;
        const tile_size *t = tiles;
        for (size_t i = 0; i < p->m; i += t->rows) {
            while (t->rows > p->m - i)
                t++;
            const float *a = p->a_trans ? p->a + i : p->a + i * p->lda;
            float *c = p->c + i * p->ldc + j;
            tile_fn fn = t->fn[p->a_trans][vectors - 1];
            if (whole)
                fn(a, p->lda, p->b + j, p->ldb, p->k, c, p->ldc, p->add);
            else
                edge_tile(fn, t->rows, cols, p, a, p->b + j, c);
        }
    }
}

/* ---- stored types (kernels_types.h) ---- */

static void dequant(ts_dtype t, const void *row, size_t from, float *dst, size_t n) {
#define BLOCKS(T) dequant_blocks(T, row, from, dst, n)
#define PLAIN(T) dequant_plain(T, row, from, dst, n)
    BY_TYPE(t, BLOCKS, PLAIN)
#undef BLOCKS
#undef PLAIN
}

static void pack_n(ts_dtype t, const void *src, size_t row_bytes, size_t rows, size_t from, size_t cols, float *dst) {
    const uint8_t *p = src;
#define ROWS(ROW, T)                                                                                                   \
    for (size_t r = 0; r < rows; r++)                                                                                  \
    ROW(T, p + r * row_bytes, from, dst + r * TS_PANEL, cols)
#define BLOCKS(T) ROWS(dequant_blocks, T)
#define PLAIN(T) ROWS(dequant_plain, T)
    BY_TYPE(t, BLOCKS, PLAIN)
#undef BLOCKS
#undef PLAIN
#undef ROWS
    for (size_t r = 0; cols < TS_PANEL && r < rows; r++)
        memset(dst + r * TS_PANEL + cols, 0, (TS_PANEL - cols) * sizeof *dst);
}

static void pack_t(const float *src, size_t ld, size_t rows, size_t cols, float *dst) {
    for (size_t r = rows; r < TS_PANEL; r++)
        for (size_t c = 0; c < cols; c++)
            dst[c * TS_PANEL + r] = 0;
    size_t r = 0;
#if defined(__SSE2__)
    for (; r + 4 <= rows; r += 4) {
        const float *s = src + r * ld;
        size_t c = 0;
        for (; c + 4 <= cols; c += 4) {
            __m128 x0 = _mm_loadu_ps(s + c), x1 = _mm_loadu_ps(s + ld + c);
            __m128 x2 = _mm_loadu_ps(s + 2 * ld + c), x3 = _mm_loadu_ps(s + 3 * ld + c);
            _MM_TRANSPOSE4_PS(x0, x1, x2, x3);
            float *d = dst + c * TS_PANEL + r;
            _mm_storeu_ps(d, x0);
            _mm_storeu_ps(d + TS_PANEL, x1);
            _mm_storeu_ps(d + 2 * TS_PANEL, x2);
            _mm_storeu_ps(d + 3 * TS_PANEL, x3);
        }
        for (; c < cols; c++)
            for (size_t i = 0; i < 4; i++)
                dst[c * TS_PANEL + r + i] = s[i * ld + c];
    }
#endif
    for (; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            dst[c * TS_PANEL + r] = src[r * ld + c];
}

/* ---- dots: one vector of partial sums per result, in the order of the row, then vf_sums; the tail counts as a vector
 * with zeros (dot_blocks, dot_plain). Both forms below follow it, so a result's bits do not depend on how many vectors
 * are asked for. ---- */

static void put(const ts_dots *d, size_t i, size_t r, float value) {
    float *y = d->y + i * d->ldy + r;
    *y = d->add ? *y + value : value;
}

static void dots_one(const ts_dots *d) {
    const uint8_t *w = d->w;
    for (size_t r = 0; r < d->rows; r += LANES) {
        vf s[LANES];
        float out[LANES];
        size_t rows = TS_MIN(d->rows - r, (size_t)LANES), i = 0, n = rows_at_once(d->type);
#define BLOCKS(T) dot_blocks(T, rows_at_once(T), w + (r + i) * d->row_bytes, d->row_bytes, d->x, d->k, s + i)
#define PLAIN(T) s[i] = dot_plain(T, w + (r + i) * d->row_bytes, d->x, d->k)
        for (; i + n <= rows; i += n)
            BY_TYPE(d->type, BLOCKS, PLAIN)
#undef BLOCKS
#define BLOCKS(T) dot_blocks(T, 1, w + (r + i) * d->row_bytes, 0, d->x, d->k, s + i)
        for (; i < rows; i++)
            BY_TYPE(d->type, BLOCKS, PLAIN)
#undef BLOCKS
#undef PLAIN
        for (; i < LANES; i++)
            s[i] = vf_set(0);
        vf_sums(s, out);
        for (i = 0; i < rows; i++)
            put(d, 0, r + i, out[i]);
    }
}

/* A tile of the form for many: as many sums as leave registers for the vectors and one or all of the rows. */
#if LANES == 16
enum { DOT_ROWS = 4, DOT_VECTORS = 4 };
#elif LANES == 8
enum { DOT_ROWS = 4, DOT_VECTORS = 3 };
#else
enum { DOT_ROWS = 2, DOT_VECTORS = 2 };
#endif
enum { DOT_SUMS = (DOT_ROWS * DOT_VECTORS + LANES - 1) / LANES * LANES };

/* DOT_ROWS rows of f32 against `m` (a constant) vectors; sums in the order vector, row. */
INLINE void dot_tile(size_t m, const float *w, size_t ldw, const float *x, size_t ldx, size_t k, float *out) {
    vf s[DOT_SUMS];
    UNROLL
    for (size_t i = 0; i < DOT_SUMS; i++)
        s[i] = vf_set(0);
    size_t p = 0;
    for (; p + LANES <= k; p += LANES) {
        vf v[DOT_VECTORS];
        UNROLL
        for (size_t i = 0; i < m; i++)
            v[i] = vf_load(x + i * ldx + p);
        UNROLL
        for (size_t r = 0; r < DOT_ROWS; r++) {
            vf row = vf_load(w + r * ldw + p);
            UNROLL
            for (size_t i = 0; i < m; i++)
                s[i * DOT_ROWS + r] = vf_fma(row, v[i], s[i * DOT_ROWS + r]);
        }
    }
    if (p < k)
        for (size_t i = 0; i < m; i++)
            for (size_t r = 0; r < DOT_ROWS; r++)
                s[i * DOT_ROWS + r] =
                    vf_fma(vf_load_n(w + r * ldw + p, k - p), vf_load_n(x + i * ldx + p, k - p), s[i * DOT_ROWS + r]);
    UNROLL
    for (size_t i = 0; i < m * DOT_ROWS; i += LANES)
        vf_sums(s + i, out + i);
}

static void dot_tiles(size_t m, const float *w, size_t ldw, const float *x, size_t ldx, size_t k, float *out) {
    if (m == DOT_VECTORS)
        dot_tile(DOT_VECTORS, w, ldw, x, ldx, k, out);
    else if (m == DOT_VECTORS - 1)
        dot_tile(DOT_VECTORS - 1, w, ldw, x, ldx, k, out);
    else
        dot_tile(2, w, ldw, x, ldx, k, out);
}

/* Vectors of the next tile: all that fit, but none is left alone where the last two tiles can have two each. */
static size_t dot_vectors(size_t left) {
    return left == DOT_VECTORS + 1 && DOT_VECTORS > 2 ? left / 2 : TS_MIN(left, (size_t)DOT_VECTORS);
}

static void put_tile(const ts_dots *d, size_t i, size_t m, size_t r, size_t rows, const float *out) {
    for (size_t v = 0; v < m; v++, out += DOT_ROWS) {
        float *y = d->y + (i + v) * d->ldy + r, sum[DOT_ROWS];
        if (rows < DOT_ROWS) {
            for (size_t q = 0; q < rows; q++)
                put(d, i + v, r + q, out[q]);
            continue;
        }
        for (size_t q = 0; q < DOT_ROWS; q++)
            sum[q] = d->add ? y[q] + out[q] : out[q];
        memcpy(y, sum, sizeof sum);
    }
}

/* Rows of f32 are taken as they lie. A row that is missing at the edge stands in for by the first one; its results are
 * dropped. */
static void dots_many(const ts_dots *d) {
    for (size_t r = 0; r < d->rows; r += DOT_ROWS) {
        size_t rows = TS_MIN(d->rows - r, (size_t)DOT_ROWS), ldw = d->k;
        const uint8_t *w = (const uint8_t *)d->w + r * d->row_bytes;
        const float *f32 = d->scratch;
        if (d->type == TS_F32 && rows == DOT_ROWS) {
            f32 = (const float *)(const void *)w;
            ldw = d->row_bytes / sizeof(float);
        } else {
            for (size_t i = 0; i < DOT_ROWS; i++)
                dequant(d->type, w + (i < rows ? i * d->row_bytes : 0), 0, d->scratch + i * d->k, d->k);
        }
        for (size_t i = 0, m; i < d->m; i += m) {
            float out[DOT_SUMS];
            m = dot_vectors(d->m - i);
            dot_tiles(m, f32, ldw, d->x + i * d->ldx, d->ldx, d->k, out);
            put_tile(d, i, m, r, rows, out);
        }
    }
}

static void dots(const ts_dots *d) {
    if (d->m == 1)
        dots_one(d);
    else
        dots_many(d);
}

/* ---- rows ---- */

static float dot(const float *a, const float *b, size_t n) {
    vf s = vf_set(0);
    EACH(i, n) s = LOAD(a + i) * LOAD(b + i) + s;
    return vf_sum(s);
}

static void rmsnorm(const float *x, const float *w, size_t n, float eps, float *y) {
    vf f = vf_set(1 / sqrtf(dot(x, x, n) / (float)n + eps));
    EACH(i, n) STORE(y + i, LOAD(x + i) * f * LOAD(w + i));
}

/* y = x f w with f = (mean(x^2) + eps)^-1/2:  dx = f (w dy - x f^2 mean(x w dy)) */
static void rmsnorm_back(const float *x, const float *w, const float *dy, size_t n, float eps, float *dx) {
    float f = 1 / sqrtf(dot(x, x, n) / (float)n + eps);
    vf s = vf_set(0);
    EACH(i, n) s = LOAD(x + i) * (LOAD(w + i) * LOAD(dy + i)) + s;
    vf pull = vf_set(f * f * vf_sum(s) / (float)n), factor = vf_set(f);
    EACH(i, n) STORE(dx + i, LOAD(dx + i) + factor * (LOAD(w + i) * LOAD(dy + i) - LOAD(x + i) * pull));
}

static void rope(float *x, size_t heads, size_t d, const float *cs, bool back) {
    size_t half = d / 2;
    vf sign = vf_set(back ? -1.0f : 1.0f);
    for (size_t h = 0; h < heads; h++, x += d)
        EACH(i, half) {
            vf a = LOAD(x + i), b = LOAD(x + half + i), c = LOAD(cs + i), s = LOAD(cs + half + i) * sign;
            STORE(x + i, a * c - b * s);
            STORE(x + half + i, b * c + a * s);
        }
}

static void swiglu(const float *gate, const float *up, float *y, size_t n) {
    EACH(i, n) {
        vf g = LOAD(gate + i);
        STORE(y + i, g / (vf_set(1) + vf_exp(-g)) * LOAD(up + i));
    }
}

/* silu(g) = g s with s = 1 / (1 + e^-g);  silu' = s (1 + g (1 - s)) */
static void swiglu_back(float *gate, float *up, const float *dy, size_t n) {
    EACH(i, n) {
        vf g = LOAD(gate + i), u = LOAD(up + i), d = LOAD(dy + i), one = vf_set(1);
        vf s = one / (one + vf_exp(-g));
        STORE(gate + i, d * u * (s * (one + g * (one - s))));
        STORE(up + i, d * (g * s));
    }
}

/* 2 sqrt(2 / pi) (g + 0.044715 g^3): gelu(g) = g / (1 + e^-that), since 1 + tanh(a) = 2 / (1 + e^-2a) */
INLINE vf gelu_inner(vf g) {
    return vf_set(1.5957691216057308f) * g * (vf_set(1) + vf_set(0.044715f) * g * g);
}

static void geglu(const float *gate, const float *up, float *y, size_t n) {
    EACH(i, n) {
        vf g = LOAD(gate + i);
        STORE(y + i, g / (vf_set(1) + vf_exp(-gelu_inner(g))) * LOAD(up + i));
    }
}

/* gelu(g) = g s, s = 1 / (1 + e^-z);  gelu' = s + g s (1 - s) z' with z' = 2 sqrt(2 / pi) (1 + 3 * 0.044715 g^2) */
static void geglu_back(float *gate, float *up, const float *dy, size_t n) {
    EACH(i, n) {
        vf g = LOAD(gate + i), u = LOAD(up + i), d = LOAD(dy + i), one = vf_set(1);
        vf s = one / (one + vf_exp(-gelu_inner(g)));
        vf slope = vf_set(1.5957691216057308f) * (one + vf_set(0.134145f) * g * g);
        STORE(gate + i, d * u * (s + g * s * (one - s) * slope));
        STORE(up + i, d * (g * s));
    }
}

/* Small ones by a polynomial (Cephes' tanhf), where 1 - 2 / (e^2x + 1) would lose digits. */
INLINE vf tanh_of(vf x) {
    vf a = vf_max(x, -x), z = x * x;
    vf p = vf_set(-5.70498872745e-3f);
    p = p * z + vf_set(2.06390887954e-2f);
    p = p * z + vf_set(-5.37397155531e-2f);
    p = p * z + vf_set(1.33314422036e-1f);
    p = p * z + vf_set(-3.33332819422e-1f);
    vf large = vf_set(1) - vf_set(2) / (vf_exp(a + a) + vf_set(1));
    return vf_pick(a < vf_set(0.625f), p * z * x + x, vf_pick(x < vf_set(0), -large, large));
}

static void softcap(float *x, size_t n, float scale, float cap) {
    EACH(i, n) STORE(x + i, vf_set(cap) * tanh_of(LOAD(x + i) * vf_set(scale)));
}

static void softcap_back(const float *y, float *dy, size_t n, float scale, float cap) {
    EACH(i, n) {
        vf t = LOAD(y + i) * vf_set(1 / cap);
        STORE(dy + i, LOAD(dy + i) * ((vf_set(1) - t * t) * vf_set(scale * cap)));
    }
}

static float max_of(const float *x, size_t n) {
    vf m = vf_set(-INFINITY);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        m = vf_max(m, vf_load(x + i));
    float best = -INFINITY;
    for (size_t e = 0; e < LANES; e++)
        best = m[e] > best ? m[e] : best;
    for (; i < n; i++)
        best = x[i] > best ? x[i] : best;
    return best;
}

static float exp_sum(float *x, size_t n, float scale, float shift) {
    vf s = vf_set(0), f = vf_set(scale), back = vf_set(shift);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf e = vf_exp(vf_load(x + i) * f - back);
        vf_store(x + i, e);
        s += e;
    }
    if (i < n) {
        float e[LANES];
        vf_store(e, vf_exp(vf_load_n(x + i, n - i) * f - back));
        memcpy(x + i, e, (n - i) * sizeof *e);
        s += vf_load_n(e, n - i);
    }
    return vf_sum(s);
}

static void scale_by(float *x, size_t n, float f) {
    EACH(i, n) STORE(x + i, LOAD(x + i) * vf_set(f));
}

static void add_to(float *y, const float *x, size_t n) {
    EACH(i, n) STORE(y + i, LOAD(y + i) + LOAD(x + i));
}

static void attention_back(float *p, float *dp, size_t n, float scale, float top, float share, float delta) {
    vf f = vf_set(scale), shift = vf_set(top), part = vf_set(share), less = vf_set(delta);
    EACH(i, n) {
        vf e = vf_exp(LOAD(p + i) * f - shift) * part;
        STORE(p + i, e);
        STORE(dp + i, e * (LOAD(dp + i) - less) * f);
    }
}

/* Two rounds of a 32-bit mixer (lowbias32 of Chris Wellons' hash prospector) over key and index. */
static void dropout(const float *x, float *y, size_t n, uint32_t key, double p, bool add) {
    uint32_t limit = (uint32_t)(p * 4294967296.0);
    float factor = (float)(1 / (1 - p));
    for (size_t j = 0; j < n; j++) {
        uint32_t h = (uint32_t)j * 0x9e3779b9u ^ key;
        h = (h ^ h >> 16) * 0x7feb352du;
        h = (h ^ h >> 15) * 0x846ca68bu;
        h = ((h ^ h >> 16) + key) * 0x7feb352du;
        h = (h ^ h >> 15) * 0x846ca68bu;
        h ^= h >> 16;
        float v = h >= limit ? x[j] * factor : 0;
        y[j] = add ? y[j] + v : v;
    }
}

const ts_kernels *KERNELS(void) {
    static const ts_kernels k = {KERNELS_NAME, panel,        dots,           dequant, pack_t,      pack_n,
                                 rmsnorm,      rmsnorm_back, rope,           swiglu,  swiglu_back, geglu,
                                 geglu_back,   softcap,      softcap_back,   max_of,  exp_sum,     scale_by,
                                 add_to,       dot,          attention_back, dropout};
    return &k;
}

#endif
