/* Every build of the kernels this CPU runs, against plain loops in double. */
#include "tests/support.h"

#include "core/base/linalg.h"
#include "core/base/rand.h"
#include "core/engine/gemm.h"
#include "core/work/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ts_kernels *kernels[4];
static size_t n_kernels;
static ts_rand rnd;

static float *numbers(size_t n) {
    float *x = ts_malloc((n + 16) * sizeof *x);
    for (size_t i = 0; i < n + 16; i++)
        x[i] = (float)ts_rand_normal(&rnd);
    return x;
}

/* Where the f16 scale of a block lies, and its minimum (0: none). */
static const struct {
    size_t d, m;
} scale_at[TS_DTYPES] = {[TS_Q4_1] = {0, 2}, [TS_Q5_1] = {0, 2}, [TS_Q2_K] = {80, 82}, [TS_Q3_K] = {108, 0},
                         [TS_Q4_K] = {0, 2}, [TS_Q5_K] = {0, 2}, [TS_Q6_K] = {208, 0}};

/* Random bytes of a stored type whose scales are sane numbers. */
static unsigned char *weights(ts_dtype t, size_t rows, size_t cols) {
    size_t bytes = ts_row_bytes(t, cols) * rows, block = ts_row_bytes(t, ts_dtype_block(t));
    unsigned char *w = malloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++)
        w[i] = (unsigned char)ts_rand_u64(&rnd);
    for (size_t i = 0; i < bytes; i += block) {
        float f = (float)ts_rand_normal(&rnd);
        uint16_t d = t == TS_BF16 ? ts_f32_to_bf16(f) : ts_f32_to_f16(t == TS_F16 ? f : f * 0.1f), m = ts_f32_to_f16(f);
        if (t == TS_F32 || t == TS_NF4)
            memcpy(w + i, &f, 4);
        else if (t == TS_MXFP4)
            w[i] = (unsigned char)(120 + w[i] % 8);
        else
            memcpy(w + i + scale_at[t].d, &d, 2);
        if (scale_at[t].m) memcpy(w + i + scale_at[t].m, &m, 2);
    }
    return w;
}

/* Whole rows, and pieces of them that begin in the middle of a block of 256. */
static void stored_types_decode_to_the_same_bits(void **state) {
    (void)state;
    enum { N = 768 };
    for (ts_dtype t = 0; t < TS_DTYPES; t++) {
        size_t n = ts_dtype_block(t) == 1 ? 77 : N, step = ts_dtype_block(t) == 1 ? 5 : 32;
        unsigned char *w = weights(t, 1, n);
        float want[N], got[N + 1], panel[2 * TS_PANEL];
        ts_dequantize(t, w, want, n);
        for (size_t k = 0; k < n_kernels; k++)
            for (size_t from = 0; from < n; from += step)
                for (size_t count = step; from + count <= n; count += 9 * step) {
                    got[count] = 123;
                    kernels[k]->dequant(t, w, from, got, count);
                    if (memcmp(got, want + from, count * sizeof *got) != 0 || got[count] != 123)
                        fail_msg("%s %s: weights %zu to %zu differ", kernels[k]->name, ts_dtype_name(t), from,
                                 from + count);
                    if (count > TS_PANEL) continue;
                    kernels[k]->pack_n(t, w, 0, 2, from, count, panel); /* the same row twice */
                    assert_memory_equal(panel, want + from, count * sizeof *got);
                    assert_memory_equal(panel + TS_PANEL, want + from, count * sizeof *got);
                    for (size_t c = count; c < TS_PANEL; c++)
                        assert_true(panel[c] == 0);
                }
        free(w);
    }
}

static void f16_has_all_its_kinds_of_numbers(void **state) {
    (void)state;
    uint16_t all[1 << 16];
    float *got = malloc(sizeof(float) << 16);
    for (size_t i = 0; i < 1 << 16; i++)
        all[i] = (uint16_t)i;
    for (size_t k = 0; k < n_kernels; k++) {
        kernels[k]->dequant(TS_F16, all, 0, got, 1 << 16);
        for (size_t i = 0; i < 1 << 16; i++) {
            float want = ts_f16_to_f32(all[i]);
            if (isnan(want))
                assert_true(isnan(got[i]));
            else
                assert_memory_equal(&want, &got[i], 4);
        }
    }
    free(got);
}

typedef struct shape {
    size_t m, n, k;
} shape;

/* B of a term as f32 rows as they are stored. */
static float *plain_b(const ts_product *p, const ts_term *t) {
    size_t rows = t->trans ? p->n : t->k, cols = t->trans ? t->k : p->n;
    float *b = malloc(rows * cols * sizeof *b);
    for (size_t r = 0; r < rows; r++)
        ts_dequantize(t->type, (const char *)t->b + r * t->row_bytes, b + r * cols, cols);
    return b;
}

/* Largest error against the size (root of the sum of squares) of what was summed; rounding grows as sqrt(k). */
static double product_error(const ts_product *p, const float *start, size_t ldc) {
    double worst = 0;
    float *b[TS_TERMS];
    for (size_t q = 0; q < p->n_terms; q++)
        b[q] = plain_b(p, &p->terms[q]);
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            double want = (start ? start[i * ldc + j] : 0) + (p->bias ? p->bias[j] : 0), size = want * want;
            for (size_t q = 0; q < p->n_terms; q++) {
                const ts_term *t = &p->terms[q];
                for (size_t r = 0; r < t->k; r++) {
                    double x = t->a_trans ? t->a[r * t->lda + i] : t->a[i * t->lda + r];
                    double term = x * (t->trans ? b[q][j * t->k + r] : b[q][r * p->n + j]);
                    term *= t->scale != 0 ? t->scale : 1;
                    want += term;
                    size += term * term;
                }
            }
            worst = fmax(worst, fabs(p->c[i * ldc + j] - want) / sqrt(size + 1e-30));
        }
    for (size_t q = 0; q < p->n_terms; q++)
        free(b[q]);
    return worst;
}

static void check_product(const ts_kernels *k, ts_dtype type, shape s, bool trans, bool a_trans, bool add) {
    size_t rows = trans ? s.n : s.k, cols = trans ? s.k : s.n;
    if (cols % ts_dtype_block(type) != 0) return;
    float *a = numbers(s.m * s.k), *c = numbers(s.m * (s.n + 3)), *start = malloc(s.m * (s.n + 3) * sizeof *start);
    float *bias = numbers(s.n), *a2 = numbers(s.m * 5), *b2 = numbers(5 * s.n);
    unsigned char *w = weights(type, rows, cols);
    memcpy(start, c, s.m * (s.n + 3) * sizeof *start);
    ts_product p = {.m = s.m, .n = s.n, .c = c, .ldc = s.n + 3, .bias = add ? bias : NULL, .n_terms = 2};
    p.add = add ? c : NULL;
    p.ldadd = s.n + 3;
    p.terms[0] = (ts_term){.a = a,
                           .lda = a_trans ? s.m : s.k,
                           .a_trans = a_trans,
                           .k = s.k,
                           .type = type,
                           .b = w,
                           .row_bytes = ts_row_bytes(type, cols),
                           .trans = trans};
    p.terms[1] = (ts_term){.a = a2, .lda = 5, .k = 5, .b = b2, .row_bytes = s.n * 4, .scale = 0.25f};
    ts_kernels_use(k);
    ts_scratch scratch = {0};
    ts_products(&p, 1, &scratch);
    double error = product_error(&p, add ? start : NULL, s.n + 3);
    if (!(error < 2.5e-7 * sqrt((double)s.k + 16)))
        fail_msg("%s %s %zux%zux%zu trans %d %d: error %g", k->name, ts_dtype_name(type), s.m, s.n, s.k, trans, a_trans,
                 error);
    for (size_t i = 0; i + 1 < s.m; i++)
        assert_memory_equal(c + i * (s.n + 3) + s.n, start + i * (s.n + 3) + s.n, 3 * sizeof *c); /* nothing beside C */
    ts_scratch_release(&scratch);
    free(a), free(c), free(start), free(bias), free(a2), free(b2), free(w);
}

static void products_are_right_in_every_shape(void **state) {
    (void)state;
    static const shape shapes[] = {{1, 1, 1},      {5, 7, 3},     {13, 33, 40},  {12, 32, 32},
                                   {50, 64, 96},   {27, 48, 8},   {100, 16, 9},  {3, 96, 300},
                                   {14, 40, 1700}, {9, 256, 512}, {5, 512, 1792}};
    for (size_t k = 0; k < n_kernels; k++)
        for (ts_dtype t = 0; t < TS_DTYPES; t++)
            for (size_t s = 0; s < TS_COUNT(shapes); s++)
                for (int form = 0; form < 8; form++)
                    check_product(kernels[k], t, shapes[s], form & 1, form & 2, form & 4);
    ts_kernels_use(NULL);
}

static void products_agree_with_blas(void **state) {
    (void)state;
    enum { M = 70, N = 130, K = 200 };
    float *a = numbers(M * K), *w = numbers(N * K), *c = numbers(M * N), *blas = numbers(M * N);
    ts_product p = {.m = M, .n = N, .c = c, .ldc = N, .n_terms = 1};
    p.terms[0] = (ts_term){.a = a, .lda = K, .k = K, .b = w, .row_bytes = K * 4, .trans = true};
    ts_scratch scratch = {0};
    ts_products(&p, 1, &scratch);
    ts_sgemm(false, true, M, N, K, 1, a, K, w, K, 0, blas, N);
    for (size_t i = 0; i < M * N; i++)
        assert_near(c[i], blas[i], 1e-4, "product");
    ts_scratch_release(&scratch);
    free(a), free(w), free(c), free(blas);
}

static void threads_and_other_rows_do_not_change_a_bit(void **state) {
    (void)state;
    enum { M = 150, N = 40, K = 64 };
    float *a = numbers(M * K), *w = numbers(N * K), *c[3];
    ts_scratch scratch = {0};
    for (int i = 0; i < 3; i++) {
        ts_pool_set_threads(i == 1 ? 3 : 1);
        c[i] = numbers(M * N);
        ts_product p = {.m = i == 2 ? 31 : M, .n = N, .c = c[i], .ldc = N, .n_terms = 1};
        p.terms[0] = (ts_term){.a = a, .lda = K, .k = K, .b = w, .row_bytes = K * 4, .trans = true};
        ts_products(&p, 1, &scratch);
    }
    assert_memory_equal(c[0], c[1], M * N * sizeof(float));
    assert_memory_equal(c[0], c[2], 31 * N * sizeof(float));
    ts_pool_set_threads(0);
    ts_scratch_release(&scratch);
    free(a), free(w), free(c[0]), free(c[1]), free(c[2]);
}

static void dots_do_not_depend_on_the_batch(void **state) {
    (void)state;
    static const size_t ks[] = {5, 32, 40, 96, 172, 576, 768};
    enum { M = 11, N = 37 };
    for (size_t k = 0; k < n_kernels; k++)
        for (ts_dtype t = 0; t < TS_DTYPES; t++)
            for (size_t q = 0; q < TS_COUNT(ks); q++) {
                size_t depth = ks[q];
                if (depth % ts_dtype_block(t) != 0) continue;
                float *x = numbers(M * depth), *y = numbers(M * N), *one = numbers(N), *scratch = numbers(4 * depth);
                float *row = malloc(depth * sizeof *row);
                unsigned char *w = weights(t, N, depth);
                ts_dots d = {t, w, ts_row_bytes(t, depth), N, depth, x, depth, M, y, N, false, scratch};
                kernels[k]->dots(&d);
                for (size_t m = 2; m < M; m++) {
                    float *few = numbers(m * N);
                    ts_dots fewer = d;
                    fewer.m = m;
                    fewer.y = few;
                    kernels[k]->dots(&fewer);
                    assert_memory_equal(few, y, m * N * sizeof *few);
                    free(few);
                }
                for (size_t i = 0; i < M; i++) {
                    ts_dots single = d;
                    single.x = x + i * depth;
                    single.m = 1;
                    single.y = one;
                    kernels[k]->dots(&single);
                    assert_memory_equal(one, y + i * N, N * sizeof *one);
                    for (size_t r = 0; r < N; r++) {
                        double want = 0, size = 0;
                        ts_dequantize(t, w + r * d.row_bytes, row, depth);
                        for (size_t e = 0; e < depth; e++) {
                            want += (double)row[e] * x[i * depth + e];
                            size += pow((double)row[e] * x[i * depth + e], 2);
                        }
                        assert_true(fabs(one[r] - want) <= 2e-7 * sqrt((double)depth + 16) * sqrt(size));
                    }
                    single.add = true;
                    kernels[k]->dots(&single);
                    for (size_t r = 0; r < N; r++)
                        assert_true(one[r] == 2 * y[i * N + r]);
                }
                free(x), free(y), free(one), free(scratch), free(row), free(w);
            }
}

static void exp_is_exact_to_the_last_digits(void **state) {
    (void)state;
    for (size_t k = 0; k < n_kernels; k++) {
        for (float v = -87; v < 88; v += 0.0137f) {
            float x = v;
            kernels[k]->exp_sum(&x, 1, 1, 0);
            assert_true(fabs(x - exp((double)v)) <= 2.5e-7 * exp((double)v));
        }
        float edge[20] = {-INFINITY, -1000, 0, NAN};
        float sum = kernels[k]->exp_sum(edge, 3, 1, 0);
        assert_true(edge[0] == 0 && edge[1] == 0 && edge[2] == 1 && sum == 1);
        kernels[k]->exp_sum(edge + 3, 1, 1, 0);
        assert_true(isnan(edge[3]));
        assert_true(isinf(kernels[k]->max(edge, 0)));
    }
}

/* Row kernels against double at lengths that are no whole number of vectors. */
static void row_kernels_follow_their_formulas(void **state) {
    (void)state;
    enum { N = 77 };
    for (size_t k = 0; k < n_kernels; k++) {
        float *x = numbers(N), *w = numbers(N), *dy = numbers(N), *y = numbers(N), *dx = numbers(N), *was = numbers(N);
        memcpy(was, dx, N * sizeof *dx);
        kernels[k]->rmsnorm(x, w, N, 1e-5f, y);
        kernels[k]->rmsnorm_back(x, w, dy, N, 1e-5f, dx);
        double square = 0, pull = 0;
        for (size_t i = 0; i < N; i++)
            square += (double)x[i] * x[i] / N;
        double f = 1 / sqrt(square + 1e-5);
        for (size_t i = 0; i < N; i++)
            pull += (double)x[i] * w[i] * dy[i] / N;
        for (size_t i = 0; i < N; i++) {
            assert_near(y[i], x[i] * f * w[i], 2e-6, "rmsnorm");
            assert_near(dx[i], was[i] + f * ((double)w[i] * dy[i] - x[i] * f * f * pull), 4e-6, "its gradient");
        }
        kernels[k]->swiglu(x, w, y, N);
        memcpy(dx, x, N * sizeof *x);
        memcpy(was, w, N * sizeof *w);
        kernels[k]->swiglu_back(dx, was, dy, N);
        for (size_t i = 0; i < N; i++) {
            double s = 1 / (1 + exp(-(double)x[i]));
            assert_near(y[i], x[i] * s * w[i], 2e-6, "swiglu");
            assert_near(dx[i], dy[i] * w[i] * s * (1 + x[i] * (1 - s)), 4e-6, "gradient of the gate");
            assert_near(was[i], dy[i] * x[i] * s, 4e-6, "gradient of up");
        }
        assert_near(kernels[k]->max(x, N),
                    x[0] > x[1] ? fmax(x[0], kernels[k]->max(x + 2, N - 2)) : fmax(x[1], kernels[k]->max(x + 2, N - 2)),
                    0, "max");
        memcpy(y, x, N * sizeof *x);
        memcpy(dx, dy, N * sizeof *x);
        kernels[k]->attention_back(y, dx, N, 0.3f, 0.7f, 0.5f, 0.2f);
        for (size_t i = 0; i < N; i++) {
            double p = exp(x[i] * (double)0.3f - (double)0.7f) * 0.5;
            assert_near(y[i], p, 1e-6, "probability");
            assert_near(dx[i], p * ((double)dy[i] - (double)0.2f) * (double)0.3f, 1e-6, "its gradient");
        }
        free(x), free(w), free(dy), free(y), free(dx), free(was);
    }
}

/* Gelu, its gradient and caps over the whole range, small numbers to the last digits. */
static void gelu_and_caps_follow_their_formulas(void **state) {
    (void)state;
    enum { N = 211 };
    for (size_t k = 0; k < n_kernels; k++) {
        float x[N], up[N], y[N], gate[N], one[N];
        for (size_t i = 0; i < N; i++) {
            gate[i] = x[i] = ((float)i - 105) * .1f;
            one[i] = 1;
            up[i] = 2;
        }
        kernels[k]->geglu(x, up, y, N);
        kernels[k]->geglu_back(gate, up, one, N);
        for (size_t i = 0; i < N; i++) {
            double g = x[i], c = sqrt(2 / M_PI), t = tanh(c * (g + 0.044715 * g * g * g));
            double slope = 0.5 * (1 + t) + 0.5 * g * (1 - t * t) * c * (1 + 3 * 0.044715 * g * g);
            assert_near(y[i], g * (1 + t), 3e-6, "geglu");
            assert_near(gate[i], 2 * slope, 6e-6, "gradient of the gate");
            assert_near(up[i], 0.5 * g * (1 + t), 3e-6, "gradient of up");
        }
        memcpy(y, x, sizeof y);
        kernels[k]->softcap(y, N, 0.25f, 3);
        kernels[k]->softcap_back(y, one, N, 0.25f, 3);
        for (size_t i = 0; i < N; i++) {
            double t = tanh((double)x[i] * 0.25);
            assert_near(y[i], 3 * t, 4e-7 * fabs(3 * t), "cap");
            assert_near(one[i], 0.75 * (1 - t * t), 4e-7, "its slope");
        }
        float edge[4] = {NAN, INFINITY, -INFINITY, 0};
        kernels[k]->softcap(edge, 4, 1, 5);
        assert_true(isnan(edge[0]) && edge[1] == 5 && edge[2] == -5 && edge[3] == 0);
    }
}

static void rope_turns_pairs_and_back(void **state) {
    (void)state;
    enum { HEADS = 3, D = 10 };
    for (size_t k = 0; k < n_kernels; k++) {
        float *x = numbers(HEADS * D), was[HEADS * D], cs[D];
        memcpy(was, x, sizeof was);
        for (size_t i = 0; i < D / 2; i++) {
            cs[i] = cosf((float)i + 1);
            cs[D / 2 + i] = sinf((float)i + 1);
        }
        kernels[k]->rope(x, HEADS, D, cs, false);
        for (size_t h = 0; h < HEADS; h++)
            for (size_t i = 0; i < D / 2; i++) {
                double a = was[h * D + i], b = was[h * D + D / 2 + i], c = cs[i], s = cs[D / 2 + i];
                assert_near(x[h * D + i], a * c - b * s, 1e-6, "first half");
                assert_near(x[h * D + D / 2 + i], b * c + a * s, 1e-6, "second half");
            }
        kernels[k]->rope(x, HEADS, D, cs, true);
        for (size_t i = 0; i < HEADS * D; i++)
            assert_near(x[i], was[i], 1e-6, "turned back");
        free(x);
    }
}

static void dropout_keeps_the_right_share(void **state) {
    (void)state;
    enum { N = 20000 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y), *first = malloc(N * sizeof *y);
    for (size_t i = 0; i < N; i++)
        x[i] = 1;
    for (size_t k = 0; k < n_kernels; k++) {
        kernels[k]->dropout(x, y, N, 12345, 0.25, false);
        if (k == 0) memcpy(first, y, N * sizeof *y);
        assert_memory_equal(first, y, N * sizeof *y);
        size_t kept = 0, pairs = 0;
        for (size_t i = 0; i < N; i++) {
            assert_true(y[i] == 0 || y[i] == (float)(1 / 0.75));
            kept += y[i] != 0;
            pairs += i > 0 && y[i] != 0 && y[i - 1] != 0;
        }
        assert_near((double)kept / N, 0.75, 0.015, "share kept");
        assert_near((double)pairs / N, 0.5625, 0.015, "neighbours kept");
        kernels[k]->dropout(x, y, N, 54321, 0.25, true);
        double both = 0;
        for (size_t i = 0; i < N; i++)
            both += y[i] > 2;
        assert_near(both / N, 0.5625, 0.015, "kept under two keys");
    }
    free(x), free(y), free(first);
}

int main(void) {
    static const char *const names[] = {"plain", "avx2", "avx512", "exact"};
    for (size_t i = 0; i < TS_COUNT(names); i++)
        if (ts_kernels_named(names[i])) kernels[n_kernels++] = ts_kernels_named(names[i]);
    ts_rand_seed(&rnd, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_types_decode_to_the_same_bits),
        cmocka_unit_test(f16_has_all_its_kinds_of_numbers),
        cmocka_unit_test(products_are_right_in_every_shape),
        cmocka_unit_test(products_agree_with_blas),
        cmocka_unit_test(threads_and_other_rows_do_not_change_a_bit),
        cmocka_unit_test(dots_do_not_depend_on_the_batch),
        cmocka_unit_test(exp_is_exact_to_the_last_digits),
        cmocka_unit_test(row_kernels_follow_their_formulas),
        cmocka_unit_test(gelu_and_caps_follow_their_formulas),
        cmocka_unit_test(rope_turns_pairs_and_back),
        cmocka_unit_test(dropout_keeps_the_right_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
