/* Forward, loss and gradients on tiny random models against the double-precision reference and central differences. */
#include "tests/support.h"
#include "tests/tiny_model.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "core/engine/kernels.h"
#include "core/engine/net_impl.h"
#include "core/engine/ops_ref.h"
#include "core/work/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;
static ts_rand rnd;

enum { SEQS = 5 };
static const size_t lengths[SEQS] = {9, 1, 14, 30, 5};

typedef struct fixture {
    ts_model *m;
    ts_net *n;
    ts_adapter *a, *grad;
    ts_seq seqs[SEQS];
} fixture;

static void fill(float *x, size_t n, float size) {
    for (size_t i = 0; i < n; i++)
        x[i] = size * (float)ts_rand_normal(&rnd);
}

static ts_net *net_of(const ts_model *m, size_t micro_tokens) {
    ts_net *n;
    ts_net_options o = {.micro_tokens = micro_tokens};
    assert_ok(ts_net_new(&n, m, &o, &err));
    return n;
}

/* Sequences with prompts of unequal length left out of the loss; the second is a single token, the last has no label.
 */
static void make_seqs(fixture *f) {
    for (size_t s = 0; s < SEQS; s++) {
        int32_t *ids = ts_malloc(lengths[s] * sizeof *ids), *labels = ts_malloc(lengths[s] * sizeof *labels);
        for (size_t t = 0; t < lengths[s]; t++) {
            ids[t] = (int32_t)ts_rand_below(&rnd, f->m->config.vocab);
            labels[t] = s != SEQS - 1 && t >= lengths[s] / 3 && t % 5 != 4 ? ids[t] : TS_NO_LABEL;
        }
        f->seqs[s] = (ts_seq){ids, labels, lengths[s], NULL};
    }
}

static fixture open_tiny(const ts_tiny *t, unsigned targets) {
    fixture f = {0};
    char *path = ts_path_join(ts_test_dir(), t->rope ? "tiny" : "tiny.gguf"); /* keys do not know all scalings */
    ts_rand_seed(&rnd, 17);
    (t->rope ? ts_tiny_hf : ts_tiny_gguf)(path, t);
    assert_ok(ts_model_open(&f.m, path, &err));
    f.n = net_of(f.m, 0);
    assert_ok(ts_adapter_new(&f.a, f.m, 3, 6, 0, false, targets, 5, &err));
    assert_ok(ts_adapter_zero_like(&f.grad, f.a, &err));
    fill(f.a->block, f.a->n_params, 0.15f);
    make_seqs(&f);
    free(path);
    return f;
}

/* The same with an adapter of its own settings: magnitudes a third off the norms. */
static fixture open_shaped(const ts_tiny *t, const ts_adapter_settings *settings) {
    fixture f = open_tiny(t, 1);
    ts_adapter_free(f.a);
    ts_adapter_free(f.grad);
    assert_ok(ts_adapter_make(&f.a, f.m, settings, 5, &err));
    assert_ok(ts_adapter_zero_like(&f.grad, f.a, &err));
    fill(f.a->block, f.a->n_params, 0.15f);
    ts_adapter_refresh(f.a);
    for (size_t l = 0; l < f.a->layers; l++)
        for (size_t p = 0; p < TS_PROJS; p++)
            for (size_t i = 0; f.a->lora[l][p].mag && i < f.a->lora[l][p].out; i++)
                f.a->lora[l][p].mag[i] = (1 + 0.3f * (float)ts_rand_normal(&rnd)) / f.a->lora[l][p].inverse[i];
    ts_adapter_refresh(f.a);
    return f;
}

static void close_tiny(fixture *f) {
    for (size_t s = 0; s < SEQS; s++) {
        free((void *)f->seqs[s].ids);
        free((void *)f->seqs[s].labels);
    }
    ts_adapter_free(f->a);
    ts_adapter_free(f->grad);
    ts_net_free(f->n);
    ts_model_close(f->m);
}

static double gradient(const fixture *f, ts_net *n, ts_dropout dropout, ts_adapter *grad, size_t *count) {
    double nll;
    memset(grad->block, 0, grad->n_params * sizeof *grad->block);
    assert_ok(ts_net_backward(n, f->a, f->seqs, SEQS, dropout, grad, &nll, count, NULL, &err));
    return nll;
}

static double ref_nll(const fixture *f, ts_dropout dropout) {
    double sum = 0;
    size_t token = 0;
    for (size_t s = 0; s < SEQS; s++) {
        sum += ts_ref_nll(f->m, f->a, &f->seqs[s], dropout, token);
        token += f->seqs[s].n;
    }
    return sum;
}

/* Sets a parameter; Gemma's factors follow its norms. (DoRA's norms are constants of the gradient.) */
static void move(const fixture *f, float *p, float value) {
    *p = value;
    if (!f->a->n_gains) ts_adapter_refresh(f->a);
}

/* Derivative of the reference's NLL by one parameter. */
static double difference(const fixture *f, float *p, ts_dropout dropout) {
    static const float steps[] = {4e-3f, 8e-3f};
    float was = *p;
    double slope[2];
    for (int i = 0; i < 2; i++) {
        float up = was + steps[i], down = was - steps[i];
        move(f, p, up);
        double high = ref_nll(f, dropout);
        move(f, p, down);
        slope[i] = (high - ref_nll(f, dropout)) / ((double)up - (double)down);
    }
    move(f, p, was);
    return (4 * slope[0] - slope[1]) / 3; /* Richardson: the error of the step squared cancels */
}

/* A few elements of every A and B; errors are measured against the tensor's largest gradient. */
static void check_gradients(fixture *f, ts_dropout dropout) {
    size_t count;
    double nll = gradient(f, f->n, dropout, f->grad, &count);
    assert_near(nll, ref_nll(f, dropout), 1e-4, "nll");
    size_t checked = 0;
    for (size_t l = 0; l < f->a->layers; l++)
        for (size_t p = 0; p < TS_PROJS; p++)
            for (int side = 0; side < 3; side++) {
                const ts_lora *x = &f->a->lora[l][p], *g = &f->grad->lora[l][p];
                if (!x->r || (side == 2 && !x->mag)) continue;
                size_t n = side == 2 ? x->out : x->r * (side ? x->out : x->in);
                float *param = side == 2 ? x->mag : side ? x->b : x->a, *grad = side == 2 ? g->mag : side ? g->b : g->a;
                double largest = 0;
                for (size_t i = 0; i < n; i++)
                    largest = fmax(largest, fabs((double)grad[i]));
                assert_true(largest > 1e-3);
                for (size_t k = 0; k < 3; k++) {
                    size_t i = (size_t)ts_rand_below(&rnd, n);
                    assert_near(grad[i], difference(f, &param[i], dropout), 2e-4 * largest + 2e-5, ts_proj_names[p]);
                    checked++;
                }
            }
    assert_true(checked > 0);
}

static const ts_dropout none;

static void llama_with_groups(void **state) {
    (void)state;
    ts_tiny t = {.heads = 6, .kv_heads = 2, .hidden = 48, .ffn = 40, .vocab = 277};
    fixture f = open_tiny(&t, 0x7f);
    check_gradients(&f, none);
    close_tiny(&f);
}

static void qwen2_with_biases(void **state) {
    (void)state;
    ts_tiny t = {.qwen2 = true, .untied = true, .head_dim = 20, .hidden = 36, .vocab = 277};
    fixture f = open_tiny(&t, 0x7f);
    check_gradients(&f, none);
    close_tiny(&f);
}

/* Sequences are longer than the windows and than longrope's and dynamic's first places. */
static void every_family(void **state) {
    (void)state;
    static const ts_tiny kinds[] = {
        {.family = "mistral", .window = 7},
        {.family = "qwen3", .head_dim = 24, .attention_bias = true},
        {.family = "smollm3", .layers = 4},
        {.family = "phi3", .window = 9, .untied = true},
        {.family = "phi3", .rope = "longrope"},
        {.family = "gemma2", .head_dim = 24, .kv_heads = 1},
        {.family = "gemma3", .head_dim = 20, .layers = 3},
        {.rope = "linear"},
        {.rope = "yarn"},
        {.rope = "dynamic"},
        {.rope = "longrope"},
    };
    for (size_t i = 0; i < TS_COUNT(kinds); i++) {
        fixture f = open_tiny(&kinds[i], 0x7f);
        check_gradients(&f, none);
        close_tiny(&f);
    }
}

static void stored_in_blocks(void **state) {
    (void)state;
    ts_tiny t = {.type = TS_Q4_1, .kv_heads = 4};
    fixture f = open_tiny(&t, 0x7f);
    check_gradients(&f, none);
    close_tiny(&f);
}

/* Uniform, of the size that alpha, length and width give, and the same for the same token. */
static void noise_is_as_large_as_it_should_be(void **state) {
    (void)state;
    enum { H = 4096, LENGTH = 9 };
    static float x[H], again[H];
    ts_dropout d = {.seed = 3, .neftune = 5};
    double most = 5 / sqrt((double)LENGTH * H), sum = 0, squares = 0, largest = 0;
    ts_neftune(&d, 17, LENGTH, x, H);
    for (size_t i = 0; i < H; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
        largest = TS_MAX(largest, fabs((double)x[i]));
    }
    assert_true(largest <= most && largest > 0.99 * most);
    assert_near(sum / H / most, 0, 0.03, "mean");
    assert_near(squares / H / (most * most), 1. / 3, 0.02, "variance");
    ts_neftune(&d, 17, LENGTH, again, H);
    assert_memory_equal(x, again, sizeof x);
    memset(again, 0, sizeof again);
    ts_neftune(&d, 18, LENGTH, again, H);
    assert_memory_not_equal(x, again, sizeof x);
}

static void with_dropout_and_noise(void **state) {
    (void)state;
    ts_tiny t = {.hidden = 32, .heads = 2, .vocab = 277};
    fixture f = open_tiny(&t, 0x7f);
    check_gradients(&f, (ts_dropout){.p = 0.3, .seed = 99, .neftune = 5});
    close_tiny(&f);
}

/* DoRA: magnitudes have gradients too, and the norms are constants (the reference takes the adapter's). */
static void dora_has_gradients(void **state) {
    (void)state;
    const ts_adapter_settings settings[] = {
        {.r = 3,
         .alpha = 6,
         .dora = true,
         .targets = (char[]){"[\"down_proj\",\"gate_proj\",\"o_proj\",\"q_proj\",\"v_proj\"]"}},
        {.r = 2, .alpha = 5, .dora = true, .rslora = true, .targets = (char[]){"\".*(k|up|o)_proj\""}},
    };
    for (size_t i = 0; i < TS_COUNT(settings); i++) {
        ts_tiny t = {.heads = 4, .kv_heads = 2, .hidden = 32, .ffn = 40, .vocab = 277, .qwen2 = i == 1};
        fixture f = open_shaped(&t, &settings[i]);
        check_gradients(&f, none);
        check_gradients(&f, (ts_dropout){.p = 0.3, .seed = 99});
        close_tiny(&f);
    }
}

/* Row i of V = W + s B A: the norm that PEFT divides by. */
static void doras_norms_are_those_of_the_changed_rows(void **state) {
    (void)state;
    ts_tiny t = {.hidden = 32, .heads = 2, .vocab = 277};
    ts_adapter_settings s = {.r = 3, .alpha = 6, .dora = true, .targets = (char[]){"[\"v_proj\"]"}};
    fixture f = open_shaped(&t, &s);
    const ts_lora *x = &f.a->lora[1][TS_V];
    float *w = ts_malloc(x->in * sizeof *w), *whole = ts_malloc(x->in * sizeof *whole);
    for (size_t i = 0; i < x->out; i++) {
        double square = 0;
        ts_weight_rows(&f.m->layer[1].proj[TS_V], i, 1, w);
        ts_adapter_apply(f.a, f.m, (ts_module){.layer = 1, .proj = TS_V}, i, 1, whole);
        for (size_t j = 0; j < x->in; j++) {
            double v = (double)w[j];
            for (size_t k = 0; k < x->r; k++)
                v += (double)x->scale * (double)x->b[i * x->r + k] * (double)x->a[k * x->in + j];
            square += v * v;
            assert_near(whole[j], v * (double)x->mag[i] * (double)x->inverse[i], 1e-5, "changed weight");
        }
        assert_near(x->gain[i], (double)x->mag[i] / sqrt(square), 1e-5 * (double)x->gain[i] + 1e-6, "gain");
    }
    free(w), free(whole);
    close_tiny(&f);
}

/* Ranks and alphas that differ from module to module and layer to layer. */
static void patterns_have_gradients(void **state) {
    (void)state;
    ts_adapter_settings s = {.r = 2,
                             .alpha = 4,
                             .targets = (char[]){"[\"down_proj\",\"k_proj\",\"q_proj\",\"up_proj\"]"},
                             .layers = (char[]){"[0, 2]"},
                             .rank_pattern = (char[]){"{\"k_proj\": 5, \"layers\\\\.2\\\\.mlp.*\": 1}"},
                             .alpha_pattern = (char[]){"{\"model.layers.0.mlp.down_proj\": 9}"}};
    ts_tiny t = {.hidden = 32, .heads = 2, .vocab = 277, .layers = 4};
    fixture f = open_shaped(&t, &s);
    assert_int_equal(f.a->lora[0][TS_K].r, 5);
    assert_int_equal(f.a->lora[2][TS_UP].r, 1);
    assert_int_equal(f.a->lora[1][TS_K].r, 0);
    assert_true(f.a->lora[0][TS_DOWN].scale == 4.5f && f.a->lora[2][TS_DOWN].scale == 4);
    check_gradients(&f, none);
    close_tiny(&f);
}

/* Only some projections: what lies below the lowest one is skipped, and must not be missed. */
static void any_set_of_projections(void **state) {
    (void)state;
    static const unsigned sets[] = {1 << TS_Q,    1 << TS_V,    1 << TS_O,
                                    1 << TS_GATE, 1 << TS_DOWN, 1 << TS_K | 1 << TS_UP};
    for (size_t i = 0; i < TS_COUNT(sets); i++) {
        ts_tiny t = {.hidden = 32, .heads = 2, .vocab = 277, .seed = i};
        fixture f = open_tiny(&t, sets[i]);
        check_gradients(&f, none);
        close_tiny(&f);
    }
}

/* A layer without adapters at the bottom and in the middle. */
static void adapters_in_some_layers_only(void **state) {
    (void)state;
    ts_tiny t = {.hidden = 32, .heads = 2, .vocab = 277, .layers = 4};
    fixture f = open_tiny(&t, 0x7f);
    memset(f.a->lora[0], 0, sizeof f.a->lora[0]);
    memset(f.a->lora[2], 0, sizeof f.a->lora[2]);
    check_gradients(&f, none);
    close_tiny(&f);
}

/* A number of every module that is trained whole. */
static void check_held(fixture *f) {
    size_t count;
    double nll = gradient(f, f->n, none, f->grad, &count);
    assert_near(nll, ref_nll(f, none), 2e-4, "nll");
    for (size_t s = 0; s < f->a->n_saved; s++) {
        const ts_saved *x = &f->a->saved[s];
        const float *grad = ts_adapter_values(f->grad, x->replaces);
        size_t n = x->weight.rows * x->weight.cols;
        double largest = 0;
        for (size_t i = 0; i < n; i++)
            largest = fmax(largest, fabs((double)grad[i]));
        assert_true(largest > 1e-4 || strstr(x->name, "k_proj")); /* a bias of k moves no score */
        size_t i = (size_t)ts_rand_below(&rnd, n);
        for (size_t tries = 0; tries < 200 && fabs((double)grad[i]) < largest / 3; tries++)
            i = (size_t)ts_rand_below(&rnd, n); /* an embedding has mostly tokens that do not occur */
        assert_near(grad[i], difference(f, &x->values[i], none), 3e-4 * largest + 3e-5, x->name);
    }
}

static fixture open_whole(const ts_tiny *t, const char *modules, const char *layers) {
    fixture f = open_tiny(t, 1);
    ts_adapter_free(f.a);
    ts_adapter_free(f.grad);
    assert_ok(ts_adapter_whole(&f.a, f.m, modules, layers, TS_F32, &err));
    assert_ok(ts_adapter_zero_like(&f.grad, f.a, &err));
    return f;
}

/* Every weight there is, in every family: matrices, biases, norms, embedding and head, one or two. */
static void whole_models_have_gradients(void **state) {
    (void)state;
    static const ts_tiny kinds[] = {
        {.heads = 6, .kv_heads = 2, .hidden = 48, .ffn = 40, .vocab = 277},
        {.qwen2 = true, .untied = true, .head_dim = 20, .hidden = 36, .vocab = 277},
        {.attention_bias = true, .type = TS_Q4_1, .hidden = 32},
        {.family = "qwen3", .head_dim = 24, .hidden = 32, .ffn = 40},
        {.family = "phi3", .untied = true, .hidden = 32, .ffn = 40},
        {.family = "gemma3", .head_dim = 20, .hidden = 32, .ffn = 40},
        {.family = "gemma2", .head_dim = 24, .kv_heads = 1, .hidden = 32, .ffn = 40},
    };
    for (size_t i = 0; i < TS_COUNT(kinds); i++) {
        fixture f = open_whole(&kinds[i], NULL, NULL);
        assert_int_equal(f.a->n_params, f.m->params);
        check_held(&f);
        close_tiny(&f);
    }
}

/* What lies below the lowest of them is skipped; what is not chosen has no gradient. */
static void some_modules_have_gradients(void **state) {
    (void)state;
    static const struct {
        const char *modules, *layers;
        size_t n; /* modules, of three layers */
    } sets[] = {
        {"all", "1-2", 18},       {"norm", "", 1},        {"input_layernorm", "2", 1},
        {"embed_tokens", "", 1},  {"all-linear", "0", 7}, {"model.layers.1.*(norm|up_proj)", "", 3},
        {"q_proj,norm", NULL, 4},
    };
    for (size_t i = 0; i < TS_COUNT(sets); i++) {
        ts_tiny t = {.hidden = 32, .heads = 2, .vocab = 277, .layers = 3};
        fixture f = open_whole(&t, sets[i].modules, sets[i].layers);
        assert_int_equal(f.a->n_saved, sets[i].n);
        check_held(&f);
        close_tiny(&f);
    }
}

/* PEFT's modules_to_save: beside LoRA, and on a tied model the embedding's input side alone. */
static void saved_modules_have_gradients(void **state) {
    (void)state;
    char *const saves[] = {(char[]){"[\"norm\"]"}, (char[]){"[\"embed_tokens\",\"lm_head\"]"},
                           (char[]){"[\"embed_tokens\"]"}};
    for (size_t i = 0; i < TS_COUNT(saves); i++) {
        ts_tiny t = {.hidden = 32, .heads = 2, .vocab = 277, .untied = i == 1};
        ts_adapter_settings s = {.r = 2, .alpha = 4, .targets = (char[]){"[\"q_proj\",\"up_proj\"]"}, .save = saves[i]};
        fixture f = open_tiny(&t, 1);
        ts_adapter_free(f.a);
        ts_adapter_free(f.grad);
        assert_ok(ts_adapter_make(&f.a, f.m, &s, 5, &err));
        assert_ok(ts_adapter_zero_like(&f.grad, f.a, &err));
        fill(f.a->block, f.a->n_params - f.a->n_held, 0.15f);
        check_gradients(&f, none);
        check_held(&f);
        close_tiny(&f);
    }
}

static void assert_close(const ts_adapter *x, const ts_adapter *y, double tolerance) {
    double largest = 0;
    for (size_t i = 0; i < x->n_params; i++)
        largest = fmax(largest, fabs((double)x->block[i]));
    for (size_t i = 0; i < x->n_params; i++)
        assert_near(x->block[i], y->block[i], tolerance * largest, "gradient");
}

static void the_cut_into_micro_batches_does_not_matter(void **state) {
    (void)state;
    ts_tiny t = {0};
    fixture f = open_tiny(&t, 0x7f);
    for (int drop = 0; drop < 2; drop++) {
        ts_dropout dropout = {.p = drop ? 0.2 : 0, .seed = 4};
        size_t count, again;
        double nll = gradient(&f, f.n, dropout, f.grad, &count);
        for (size_t micro = 1; micro < 60; micro += 12) {
            ts_net *n = net_of(f.m, micro);
            ts_adapter *grad;
            assert_ok(ts_adapter_zero_like(&grad, f.a, &err));
            assert_near(gradient(&f, n, dropout, grad, &again), nll, 1e-6 * nll, "nll");
            assert_int_equal(again, count);
            assert_close(f.grad, grad, 1e-6);
            ts_adapter_free(grad);
            ts_net_free(n);
        }
    }
    close_tiny(&f);
}

/* Gradient checkpointing: the same bits, of LoRA with dropout and of whole models. */
static void recomputing_changes_nothing(void **state) {
    (void)state;
    static const ts_tiny kinds[] = {{.layers = 3}, {.family = "gemma3", .layers = 3}, {.family = "qwen3", .layers = 3}};
    for (size_t i = 0; i < TS_COUNT(kinds); i++)
        for (int whole = 0; whole < 2; whole++) {
            fixture f = whole ? open_whole(&kinds[i], NULL, NULL) : open_tiny(&kinds[i], 0x7f);
            ts_dropout dropout = {.p = whole ? 0 : 0.2, .seed = 4, .neftune = 5};
            ts_net *n;
            ts_adapter *grad;
            size_t count, again;
            assert_ok(ts_net_new(&n, f.m, &(ts_net_options){.recompute = true}, &err));
            assert_ok(ts_adapter_zero_like(&grad, f.a, &err));
            double nll = gradient(&f, f.n, dropout, f.grad, &count);
            assert_true(gradient(&f, n, dropout, grad, &again) == nll && again == count);
            assert_memory_equal(grad->block, f.grad->block, grad->n_params * sizeof *grad->block);
            assert_true(n->bufs.floats < f.n->bufs.floats);
            ts_adapter_free(grad);
            ts_net_free(n);
            close_tiny(&f);
        }
}

/* Weights of labels: gradients and sums follow them, also through a cap on the logits. */
static void weights_scale_what_is_learnt(void **state) {
    (void)state;
    ts_tiny t = {.family = "gemma2"};
    fixture f = open_tiny(&t, 0x7f);
    float weights[30];
    ts_adapter *grad;
    size_t count;
    double nll;
    assert_ok(ts_adapter_zero_like(&grad, f.a, &err));
    assert_ok(ts_net_backward(f.n, f.a, &f.seqs[2], 1, none, f.grad, &nll, &count, NULL, &err));
    for (size_t i = 0; i < TS_COUNT(weights); i++)
        weights[i] = 0.25f;
    f.seqs[2].weights = f.seqs[3].weights = weights;
    assert_near(ts_seq_weight(&f.seqs[2]), 0.25 * (double)count, 1e-9, "weight");
    double quarter;
    assert_ok(ts_net_backward(f.n, f.a, &f.seqs[2], 1, none, grad, &quarter, &count, NULL, &err));
    assert_near(quarter, nll / 4, 1e-6 * nll, "nll");
    for (size_t i = 0; i < f.a->n_params; i++)
        f.grad->block[i] /= 4;
    assert_close(f.grad, grad, 1e-6);
    memset(weights, 0, sizeof weights); /* beside another that counts nothing */
    f.seqs[2].weights = NULL;
    memset(grad->block, 0, grad->n_params * sizeof *grad->block);
    assert_ok(ts_net_backward(f.n, f.a, &f.seqs[2], 2, none, grad, &quarter, &count, NULL, &err));
    assert_near(quarter, nll, 1e-6 * nll, "nll");
    for (size_t i = 0; i < f.a->n_params; i++)
        f.grad->block[i] *= 4;
    assert_close(f.grad, grad, 1e-6);
    ts_adapter_free(grad);
    close_tiny(&f);
}

static void threads_do_not_matter_and_runs_repeat(void **state) {
    (void)state;
    ts_tiny t = {0};
    fixture f = open_tiny(&t, 0x7f);
    ts_adapter *grad;
    size_t count;
    assert_ok(ts_adapter_zero_like(&grad, f.a, &err));
    double nll = gradient(&f, f.n, none, f.grad, &count);
    for (int threads = 1; threads <= 4; threads++) {
        ts_pool_set_threads(threads);
        assert_true(gradient(&f, f.n, none, grad, &count) == nll);
        assert_memory_equal(grad->block, f.grad->block, grad->n_params * sizeof *grad->block);
    }
    ts_pool_set_threads(0);
    ts_adapter_free(grad);
    close_tiny(&f);
}

static void kernels_agree(void **state) {
    (void)state;
    static const char *const names[] = {"plain", "avx2", "avx512"};
    ts_tiny t = {.type = TS_Q8_0};
    fixture f = open_tiny(&t, 0x7f);
    ts_adapter *grad;
    size_t count;
    assert_ok(ts_adapter_zero_like(&grad, f.a, &err));
    double nll = gradient(&f, f.n, none, f.grad, &count);
    for (size_t i = 0; i < 3; i++) {
        if (!ts_kernels_named(names[i])) continue;
        ts_kernels_use(ts_kernels_named(names[i]));
        assert_near(gradient(&f, f.n, none, grad, &count), nll, 1e-5 * nll, names[i]);
        assert_close(f.grad, grad, 1e-5);
    }
    ts_kernels_use(NULL);
    ts_adapter_free(grad);
    close_tiny(&f);
}

static void gradients_add_up_over_calls(void **state) {
    (void)state;
    ts_tiny t = {0};
    fixture f = open_tiny(&t, 0x7f);
    ts_adapter *grad;
    size_t count, sum = 0, one;
    double nll, total = 0;
    assert_ok(ts_adapter_zero_like(&grad, f.a, &err));
    double whole = gradient(&f, f.n, none, f.grad, &count);
    for (size_t s = 0; s < SEQS; s++) {
        assert_ok(ts_net_backward(f.n, f.a, &f.seqs[s], 1, none, grad, &nll, &one, NULL, &err));
        total += nll;
        sum += one;
    }
    assert_int_equal(sum, count);
    assert_near(total, whole, 1e-6 * whole, "nll");
    assert_close(f.grad, grad, 1e-6);
    ts_adapter_free(grad);
    close_tiny(&f);
}

static void an_adapter_with_zero_b_is_the_base(void **state) {
    (void)state;
    ts_tiny t = {.qwen2 = true};
    fixture f = open_tiny(&t, 0x7f);
    size_t n = lengths[3], vocab = f.m->config.vocab;
    float *base = ts_malloc(n * vocab * sizeof *base), *with = ts_malloc(n * vocab * sizeof *with);
    for (size_t l = 0; l < f.a->layers; l++)
        for (size_t p = 0; p < TS_PROJS; p++)
            memset(f.a->lora[l][p].b, 0, f.a->lora[l][p].r * f.a->lora[l][p].out * sizeof(float));
    assert_ok(ts_net_logits(f.n, NULL, f.seqs[3].ids, n, base, &err));
    assert_ok(ts_net_logits(f.n, f.a, f.seqs[3].ids, n, with, &err));
    assert_memory_equal(base, with, n * vocab * sizeof *base);
    free(base), free(with);
    close_tiny(&f);
}

/* One sequence alone and among others, per token, in any micro-batch: the same bits. */
static void nll_does_not_depend_on_company(void **state) {
    (void)state;
    ts_tiny t = {0};
    fixture f = open_tiny(&t, 0x7f);
    double nll[SEQS], alone;
    size_t count[SEQS], one, at = 0, total = 0;
    for (size_t s = 0; s < SEQS; s++)
        total += lengths[s];
    float *each = ts_malloc(total * sizeof *each), *single = ts_malloc(total * sizeof *single);
    assert_ok(ts_net_nll(f.n, f.a, f.seqs, SEQS, nll, count, each, NULL, &err));
    for (size_t s = 0; s < SEQS; s++) {
        assert_ok(ts_net_nll(f.n, f.a, &f.seqs[s], 1, &alone, &one, single, NULL, &err));
        assert_true(alone == nll[s]);
        assert_int_equal(one, count[s]);
        assert_memory_equal(single, each + at, lengths[s] * sizeof *each);
        assert_near(alone, ts_ref_nll(f.m, f.a, &f.seqs[s], none, 0), 2e-5, "nll");
        double sum = 0;
        for (size_t i = 0; i < lengths[s]; i++)
            sum += (double)single[i];
        assert_near(sum, alone, 1e-9, "sum over tokens");
        at += lengths[s];
    }
    assert_true(count[1] == 0 && nll[1] == 0 && count[SEQS - 1] == 0);
    free(each), free(single);
    close_tiny(&f);
}

static void long_sequence(size_t window) {
    ts_tiny t = {.hidden = 32, .heads = 2, .layers = 1, .vocab = 277, .family = "mistral", .window = window};
    fixture f = open_tiny(&t, 0x7f);
    enum { LONG = 700 };
    int32_t *ids = ts_malloc(LONG * sizeof *ids);
    for (size_t i = 0; i < LONG; i++)
        ids[i] = (int32_t)ts_rand_below(&rnd, 261);
    ts_seq s = {ids, ids, LONG, NULL};
    size_t count;
    double nll;
    memset(f.grad->block, 0, f.grad->n_params * sizeof *f.grad->block);
    assert_ok(ts_net_backward(f.n, f.a, &s, 1, none, f.grad, &nll, &count, NULL, &err));
    assert_near(nll, ts_ref_nll(f.m, f.a, &s, none, 0), 2e-6 * nll, "nll");
    for (size_t p = TS_Q; p <= TS_V; p++) {
        float *b = f.a->lora[0][p].b, was = b[7];
        b[7] = was + 1e-2f;
        double high = ts_ref_nll(f.m, f.a, &s, none, 0), step = (double)b[7];
        b[7] = was - 1e-2f;
        step -= (double)b[7];
        double slope = (high - ts_ref_nll(f.m, f.a, &s, none, 0)) / step;
        b[7] = was;
        assert_near(f.grad->lora[0][p].b[7], slope, 2e-3 * fabs(slope) + 1e-3, ts_proj_names[p]);
    }
    free(ids);
    close_tiny(&f);
}

static void a_long_sequence_crosses_every_block(void **state) {
    (void)state;
    long_sequence(0);
}

/* Whole tiles of keys lie outside the window of the later queries. */
static void a_window_leaves_tiles_out(void **state) {
    (void)state;
    long_sequence(150);
}

/* A common beginning is calculated once: nothing else may change, and an answer's NLL not by a bit. */
static void shared_beginning(const ts_tiny *t) {
    fixture f = open_tiny(t, 0x7f);
    enum { MANY = 4, START = 60 };
    ts_seq seqs[MANY];
    ts_adapter *grad;
    assert_ok(ts_adapter_zero_like(&grad, f.a, &err));
    for (size_t s = 0; s < MANY; s++) {
        size_t n = START + 8 + 17 * s;
        int32_t *ids = ts_malloc(n * sizeof *ids), *labels = ts_malloc(n * sizeof *labels);
        for (size_t i = 0; i < n; i++) {
            ids[i] = i < START ? (int32_t)(i * 31 % 250) : (int32_t)ts_rand_below(&rnd, 250);
            labels[i] = i >= START + 2 - s ? ids[i] : TS_NO_LABEL; /* for the last ones inside the beginning */
        }
        seqs[s] = (ts_seq){ids, labels, n, NULL};
    }
    double together, alone, sum = 0, nll[MANY], single;
    size_t count, one, counts[MANY], total = 0;
    memset(f.grad->block, 0, f.grad->n_params * sizeof *f.grad->block);
    assert_ok(ts_net_backward(f.n, f.a, seqs, MANY, none, f.grad, &together, &count, NULL, &err));
    assert_ok(ts_net_nll(f.n, f.a, seqs, MANY, nll, counts, NULL, NULL, &err));
    for (size_t s = 0; s < MANY; s++) {
        assert_ok(ts_net_backward(f.n, f.a, &seqs[s], 1, none, grad, &alone, &one, NULL, &err));
        assert_ok(ts_net_nll(f.n, f.a, &seqs[s], 1, &single, &one, NULL, NULL, &err));
        assert_true(single == nll[s] && one == counts[s]);
        sum += alone;
        total += one;
    }
    assert_int_equal(total, count);
    assert_near(together, sum, 1e-7 * sum, "nll");
    assert_close(f.grad, grad, 2e-6);
    for (size_t s = 0; s < MANY; s++)
        free((void *)seqs[s].ids), free((void *)seqs[s].labels);
    ts_adapter_free(grad);
    close_tiny(&f);
}

static void a_shared_beginning_changes_nothing(void **state) {
    (void)state;
    shared_beginning(&(ts_tiny){.heads = 6, .kv_heads = 2, .hidden = 48, .layers = 3});
    shared_beginning(&(ts_tiny){.family = "mistral", .window = 50, .layers = 3});
    shared_beginning(&(ts_tiny){.family = "gemma2"});
    shared_beginning(&(ts_tiny){.rope = "longrope"});
}

static void impossible_ids_are_refused(void **state) {
    (void)state;
    ts_tiny t = {0};
    fixture f = open_tiny(&t, 0x7f);
    int32_t ids[3] = {1, 2, 288}, labels[3] = {TS_NO_LABEL, 2, 5};
    ts_seq s = {ids, labels, 3, NULL};
    double nll;
    size_t count;
    assert_int_equal(ts_net_nll(f.n, NULL, &s, 1, &nll, &count, NULL, NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "288"));
    ids[2] = 3;
    labels[2] = -7;
    assert_int_equal(ts_net_nll(f.n, NULL, &s, 1, &nll, &count, NULL, NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "-7"));
    ts_progress stop = {0};
    ts_cancel(&stop);
    assert_int_equal(ts_net_nll(f.n, NULL, f.seqs, SEQS, (double[SEQS]){0}, (size_t[SEQS]){0}, NULL, &stop, &err),
                     TS_CANCELLED);
    close_tiny(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_with_groups),
        cmocka_unit_test(qwen2_with_biases),
        cmocka_unit_test(every_family),
        cmocka_unit_test(stored_in_blocks),
        cmocka_unit_test(noise_is_as_large_as_it_should_be),
        cmocka_unit_test(with_dropout_and_noise),
        cmocka_unit_test(dora_has_gradients),
        cmocka_unit_test(doras_norms_are_those_of_the_changed_rows),
        cmocka_unit_test(patterns_have_gradients),
        cmocka_unit_test(any_set_of_projections),
        cmocka_unit_test(adapters_in_some_layers_only),
        cmocka_unit_test(whole_models_have_gradients),
        cmocka_unit_test(some_modules_have_gradients),
        cmocka_unit_test(saved_modules_have_gradients),
        cmocka_unit_test(the_cut_into_micro_batches_does_not_matter),
        cmocka_unit_test(recomputing_changes_nothing),
        cmocka_unit_test(weights_scale_what_is_learnt),
        cmocka_unit_test(threads_do_not_matter_and_runs_repeat),
        cmocka_unit_test(kernels_agree),
        cmocka_unit_test(gradients_add_up_over_calls),
        cmocka_unit_test(an_adapter_with_zero_b_is_the_base),
        cmocka_unit_test(nll_does_not_depend_on_company),
        cmocka_unit_test(a_long_sequence_crosses_every_block),
        cmocka_unit_test(a_window_leaves_tiles_out),
        cmocka_unit_test(a_shared_beginning_changes_nothing),
        cmocka_unit_test(impossible_ids_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
