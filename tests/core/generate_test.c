/* Generation on tiny random models: identities that must hold whatever the numbers are. */
#include "tests/support.h"
#include "tests/tiny_model.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "core/engine/net.h"
#include "core/work/pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;

typedef struct fixture {
    ts_model *m;
    ts_net *n;
    ts_adapter *adapter;       /* random A and B */
    ts_adapter *dora, *saving; /* DoRA, and on the head; LoRA on the embedding, with norms, embedding and head saved */
} fixture;

static void randomise(ts_adapter *a, float size, uint64_t seed) {
    ts_rand r;
    ts_rand_seed(&r, seed);
    for (size_t i = 0; i < a->n_params; i++)
        a->block[i] = size * (float)ts_rand_normal(&r);
    ts_adapter_refresh(a);
}

static ts_adapter *make_dora(const ts_model *m) {
    ts_adapter_settings s = {.r = 3, .alpha = 6, .dora = true};
    ts_adapter *a;
    s.targets = strcmp(m->config.family, "phi3") == 0
                    ? (char[]){"[\"down_proj\",\"lm_head\",\"qkv_proj\"]"}
                    : (char[]){"[\"down_proj\",\"k_proj\",\"lm_head\",\"o_proj\",\"q_proj\",\"up_proj\"]"};
    assert_ok(ts_adapter_make(&a, m, &s, 3, &err));
    randomise(a, 0.2f, 8);
    return a;
}

/* By way of a folder, as such adapters come. */
static ts_adapter *make_saving(const ts_model *m) {
    const char *dir = ts_test_dir();
    ts_adapter_settings s = {.r = 2, .alpha = 4, .targets = (char[]){"[\"embed_tokens\",\"v_proj\"]"}};
    ts_adapter *a, *back;
    size_t h = m->config.hidden, vocab = m->config.vocab;
    float *values = ts_malloc(vocab * h * sizeof *values);
    ts_rand r;
    ts_rand_seed(&r, 4);
    for (size_t i = 0; i < vocab * h; i++)
        values[i] = 0.3f * (float)ts_rand_normal(&r) + (i < h ? 1 : 0);
    assert_ok(ts_adapter_make(&a, m, &s, 3, &err));
    randomise(a, 0.2f, 9);
    a->settings.save = ts_strdup("[\"lm_head\",\"model.norm\",\"layers.1.input_layernorm\"]");
    const char *const names[] = {"model.layers.1.input_layernorm", "model.norm", "lm_head"};
    a->saved = ts_calloc(TS_COUNT(names), sizeof *a->saved);
    for (; a->n_saved < TS_COUNT(names); a->n_saved++) {
        ts_saved *x = &a->saved[a->n_saved];
        snprintf(x->name, sizeof x->name, "%s", names[a->n_saved]);
        x->weight = (ts_weight){.rows = a->n_saved < 2 ? 1 : vocab, .cols = h, .row_bytes = h * sizeof *values};
        x->weight.data = values;
    }
    assert_ok(ts_adapter_save(a, dir, &err));
    assert_ok(ts_adapter_load(&back, dir, m, &err));
    assert_int_equal(back->n_saved, 3);
    ts_adapter_free(a);
    free(values);
    return back;
}

static fixture open_tiny(const ts_tiny *t) {
    fixture f = {0};
    char *path = ts_path_join(ts_test_dir(), t->rope ? "tiny" : "tiny.gguf"); /* keys do not know all scalings */
    (t->rope ? ts_tiny_hf : ts_tiny_gguf)(path, t);
    assert_ok(ts_model_open(&f.m, path, &err));
    assert_ok(ts_net_new(&f.n, f.m, NULL, &err));
    assert_ok(ts_adapter_new(&f.adapter, f.m, 4, 8, 0, false, 0x7f, 5, &err));
    randomise(f.adapter, 0.2f, 7);
    f.dora = make_dora(f.m);
    if (!t->family) f.saving = make_saving(f.m); /* other families' norms and embeddings are refused there */
    free(path);
    return f;
}

static void close_tiny(fixture *f) {
    ts_adapter_free(f->adapter);
    ts_adapter_free(f->dora);
    ts_adapter_free(f->saving);
    ts_net_free(f->n);
    ts_model_close(f->m);
}

static int32_t *some_ids(size_t n, uint64_t seed, size_t vocab) {
    int32_t *ids = ts_malloc(n * sizeof *ids);
    ts_rand r;
    ts_rand_seed(&r, seed);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)ts_rand_below(&r, vocab);
    return ids;
}

enum { ITEMS = 9, NEW = 20 };

/* Prompts of 1 to 33 tokens, two thirds with adapters of all kinds; the longer ones begin with the same 15 tokens. */
static void make_items(const fixture *f, ts_gen_item *items, int32_t **prompts) {
    for (size_t i = 0; i < ITEMS; i++) {
        size_t n = 1 + i * 4;
        prompts[i] = some_ids(n, 100 + i, f->m->config.vocab);
        for (size_t t = 0; t < 15 && n > 15; t++)
            prompts[i][t] = (int32_t)(t * 7);
        items[i] = (ts_gen_item){.prompt = prompts[i], .n_prompt = n, .stream = i};
        items[i].adapter = i % 3 == 1 || i == 8 ? f->adapter : i == 2 || i == 6 ? f->dora : i == 5 ? f->saving : NULL;
    }
}

static void release_items(ts_gen_item *items, int32_t **prompts) {
    ts_gen_release(items, ITEMS);
    for (size_t i = 0; i < ITEMS; i++)
        free(prompts[i]);
}

static void an_answer_is_the_same_alone_and_in_company(void **state) {
    (void)state;
    static const ts_tiny kinds[] = {{.seed = 3},
                                    {.seed = 3, .type = TS_Q4_1},
                                    {.seed = 3, .type = TS_Q8_0},
                                    {.seed = 3, .type = TS_BF16},
                                    {.family = "phi3", .rope = "longrope"},
                                    {.family = "gemma2"},
                                    {.family = "gemma3"},
                                    {.family = "qwen3", .rope = "longrope"}};
    for (size_t k = 0; k < TS_COUNT(kinds); k++) {
        fixture f = open_tiny(&kinds[k]);
        ts_gen_item items[ITEMS], single;
        int32_t *prompts[ITEMS];
        make_items(&f, items, prompts);
        ts_gen_options o = {.max_new_tokens = NEW, .sampling = {.temperature = 0.9, .top_p = 0.95}, .margins = true};
        o.sampling.repetition_penalty = 1.1;
        o.sampling.seed = 11;
        assert_ok(ts_net_generate(f.n, items, ITEMS, &o, NULL, &err));
        for (size_t i = 0; i < ITEMS; i++) {
            single = items[i];
            ts_pool_set_threads(i % 2 ? 1 : 3);
            assert_ok(ts_net_generate(f.n, &single, 1, &o, NULL, &err));
            assert_int_equal(single.out.n, NEW);
            assert_memory_equal(single.out.items, items[i].out.items, NEW * sizeof(int32_t));
            assert_memory_equal(single.margins, items[i].margins, NEW * sizeof(float));
            ts_gen_release(&single, 1);
        }
        ts_pool_set_threads(0);
        release_items(items, prompts);
        close_tiny(&f);
    }
}

/* Greedy generation feeds one token at a time; the whole sequence through the full forward must have said the same. */
static void steps_with_a_cache_equal_the_full_forward(void **state) {
    (void)state;
    static const ts_tiny kinds[] = {{.type = TS_F32},
                                    {.qwen2 = true, .untied = true, .head_dim = 24},
                                    {.type = TS_Q4_1},
                                    {.family = "mistral", .window = 7},
                                    {.family = "qwen3", .head_dim = 24},
                                    {.family = "smollm3", .layers = 4},
                                    {.family = "phi3", .window = 5},
                                    {.family = "phi3", .rope = "longrope"},
                                    {.family = "gemma2"},
                                    {.family = "gemma3"},
                                    {.rope = "longrope"},
                                    {.rope = "dynamic"}};
    for (size_t k = 0; k < TS_COUNT(kinds); k++) {
        fixture f = open_tiny(&kinds[k]);
        size_t vocab = f.m->config.vocab;
        ts_gen_item items[ITEMS];
        int32_t *prompts[ITEMS];
        make_items(&f, items, prompts);
        ts_gen_options o = {.max_new_tokens = NEW, .sampling = TS_SAMPLING_GREEDY, .margins = true};
        assert_ok(ts_net_generate(f.n, items, ITEMS, &o, NULL, &err));
        for (size_t i = 0; i < ITEMS; i++) {
            size_t len = items[i].n_prompt + NEW;
            int32_t *all = ts_malloc(len * sizeof *all);
            float *logits = ts_malloc(len * vocab * sizeof *logits);
            memcpy(all, prompts[i], items[i].n_prompt * sizeof *all);
            memcpy(all + items[i].n_prompt, items[i].out.items, NEW * sizeof *all);
            bool stretched = kinds[k].rope != NULL; /* what a token adds changes how all before it are turned */
            if (!stretched) assert_ok(ts_net_logits(f.n, items[i].adapter, all, len, logits, &err));
            for (size_t t = 0; t < NEW; t++) {
                size_t n = items[i].n_prompt + t;
                if (stretched) assert_ok(ts_net_logits(f.n, items[i].adapter, all, n, logits, &err));
                float *row = logits + (n - 1) * vocab;
                size_t picked = (size_t)items[i].out.items[t];
                float best = row[picked], second = -INFINITY, size = 1;
                for (size_t v = 0; v < vocab; v++) {
                    if (v != picked && row[v] > second) second = row[v];
                    size = fmaxf(size, fabsf(row[v]));
                }
                assert_near(items[i].margins[t], best - second, 1e-5 * (double)size, "margin");
            }
            free(all);
            free(logits);
        }
        release_items(items, prompts);
        close_tiny(&f);
    }
}

static void sides_share_their_random_numbers(void **state) {
    (void)state;
    ts_tiny t = {.seed = 9};
    fixture f = open_tiny(&t);
    ts_adapter *zero; /* B is zero: the base by another name */
    assert_ok(ts_adapter_new(&zero, f.m, 4, 8, 0, false, 0x7f, 5, &err));
    int32_t *prompt = some_ids(10, 1, f.m->config.vocab);
    ts_gen_item items[4];
    for (size_t i = 0; i < 4; i++)
        items[i] = (ts_gen_item){.prompt = prompt, .n_prompt = 10, .stream = i / 2, .adapter = i % 2 ? zero : NULL};
    ts_gen_options o = {.max_new_tokens = 30, .sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1}};
    assert_ok(ts_net_generate(f.n, items, 4, &o, NULL, &err));
    assert_memory_equal(items[0].out.items, items[1].out.items, 30 * sizeof(int32_t));
    assert_memory_equal(items[2].out.items, items[3].out.items, 30 * sizeof(int32_t));
    assert_memory_not_equal(items[0].out.items, items[2].out.items, 30 * sizeof(int32_t));
    o.sampling.seed = 1;
    ts_gen_item other = {.prompt = prompt, .n_prompt = 10};
    assert_ok(ts_net_generate(f.n, &other, 1, &o, NULL, &err));
    assert_memory_not_equal(items[0].out.items, other.out.items, 30 * sizeof(int32_t));
    ts_gen_release(&other, 1);
    ts_gen_release(items, 4);
    free(prompt);
    ts_adapter_free(zero);
    close_tiny(&f);
}

typedef struct heard {
    size_t n;
    size_t items[400];
    int32_t ids[400];
    ts_progress *stop;
} heard;

static bool listen(void *ctx, size_t item, int32_t id) {
    heard *h = ctx;
    h->items[h->n] = item;
    h->ids[h->n++] = id;
    if (h->stop && h->n == 12) ts_cancel(h->stop);
    return false;
}

static void stop_ids_end_an_item_and_are_not_in_it(void **state) {
    (void)state;
    ts_tiny t = {.seed = 4};
    fixture f = open_tiny(&t);
    ts_gen_item items[ITEMS], again[ITEMS];
    int32_t *prompts[ITEMS];
    make_items(&f, items, prompts);
    memcpy(again, items, sizeof items);
    heard h = {0};
    ts_gen_options o = {.max_new_tokens = NEW, .sampling = TS_SAMPLING_GREEDY, .on_token = listen, .ctx = &h};
    assert_ok(ts_net_generate(f.n, items, ITEMS, &o, NULL, &err));
    assert_int_equal(h.n, ITEMS * NEW);
    for (size_t i = 0; i < h.n; i++) { /* in the order of the items, step by step */
        assert_int_equal(h.items[i], i % ITEMS);
        assert_int_equal(h.ids[i], items[i % ITEMS].out.items[i / ITEMS]);
    }
    int32_t stop = items[0].out.items[7]; /* whoever says this ends there */
    o.stop_ids = &stop;
    o.n_stop_ids = 1;
    o.on_token = NULL;
    assert_ok(ts_net_generate(f.n, again, ITEMS, &o, NULL, &err));
    for (size_t i = 0; i < ITEMS; i++) {
        size_t len = 0;
        while (len < NEW && items[i].out.items[len] != stop)
            len++;
        assert_int_equal(again[i].out.n, len);
        assert_int_equal(again[i].stop, len < NEW ? TS_STOP_EOS : TS_STOP_LENGTH);
        if (len) assert_memory_equal(again[i].out.items, items[i].out.items, len * sizeof(int32_t));
    }
    assert_int_equal(again[0].stop, TS_STOP_EOS);
    ts_gen_release(again, ITEMS);
    release_items(items, prompts);
    close_tiny(&f);
}

static void cancelling_keeps_what_is_there(void **state) {
    (void)state;
    ts_tiny t = {.seed = 4};
    fixture f = open_tiny(&t);
    ts_gen_item items[ITEMS];
    int32_t *prompts[ITEMS];
    make_items(&f, items, prompts);
    ts_progress progress = {0};
    heard h = {.stop = &progress};
    ts_gen_options o = {.max_new_tokens = NEW, .sampling = TS_SAMPLING_GREEDY, .on_token = listen, .ctx = &h};
    assert_int_equal(ts_net_generate(f.n, items, ITEMS, &o, &progress, &err), TS_CANCELLED);
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(items[i].out.n, 2); /* the step in which the wish came is finished */
        assert_int_equal(items[i].stop, TS_STOP_CANCELLED);
    }
    release_items(items, prompts);
    close_tiny(&f);
}

/* Longer than a chunk of the cache, so it grows on the way. */
static void an_f16_cache_follows_and_is_the_same_in_company(void **state) {
    (void)state;
    enum { LONG = 150 };
    static const ts_tiny kinds[] = {{.type = TS_F32, .seed = 3}, {.qwen2 = true, .untied = true, .head_dim = 24}};
    for (size_t k = 0; k < TS_COUNT(kinds); k++) {
        fixture f = open_tiny(&kinds[k]);
        ts_gen_item items[ITEMS], full[ITEMS], single;
        int32_t *prompts[ITEMS];
        make_items(&f, items, prompts);
        memcpy(full, items, sizeof items);
        ts_gen_options o = {.max_new_tokens = LONG, .sampling = TS_SAMPLING_GREEDY, .margins = true};
        assert_ok(ts_net_generate(f.n, full, ITEMS, &o, NULL, &err));
        o.f16_cache = true;
        assert_ok(ts_net_generate(f.n, items, ITEMS, &o, NULL, &err));
        size_t differ = 0;
        for (size_t i = 0; i < ITEMS; i++) {
            single = items[i];
            assert_ok(ts_net_generate(f.n, &single, 1, &o, NULL, &err));
            assert_memory_equal(single.out.items, items[i].out.items, LONG * sizeof(int32_t));
            assert_memory_equal(single.margins, items[i].margins, LONG * sizeof(float));
            ts_gen_release(&single, 1);
            for (size_t t = 0; t < LONG; t++) {
                differ += full[i].margins[t] != items[i].margins[t];
                if (full[i].out.items[t] == items[i].out.items[t]) continue;
                assert_true(full[i].margins[t] < 0.02f); /* a near tie; what follows is another text */
                break;
            }
        }
        assert_true(differ > 0);
        ts_gen_release(full, ITEMS);
        release_items(items, prompts);
        close_tiny(&f);
    }
}

static void answers_end_where_the_context_does(void **state) {
    (void)state;
    fixture f = open_tiny(&(ts_tiny){.seed = 4});
    size_t context = f.m->config.context;
    int32_t *prompt = some_ids(context, 5, f.m->config.vocab);
    ts_gen_item items[2] = {{.prompt = prompt, .n_prompt = context - 3}, {.prompt = prompt, .n_prompt = 4}};
    ts_gen_options o = {.max_new_tokens = 10 * context, .sampling = TS_SAMPLING_GREEDY};
    assert_ok(ts_net_generate(f.n, items, 2, &o, NULL, &err));
    assert_int_equal(items[0].out.n, 3);
    assert_int_equal(items[1].out.n, context - 4);
    assert_int_equal(items[1].stop, TS_STOP_LENGTH);
    ts_gen_release(items, 2);
    items[0].n_prompt = context;
    assert_int_equal(ts_net_generate(f.n, items, 2, &o, NULL, &err), TS_LIMIT);
    assert_non_null(strstr(err.text, "prompt 1 has 512 tokens, and the model's context is 512"));
    free(prompt);
    close_tiny(&f);
}

static void impossible_prompts_are_refused(void **state) {
    (void)state;
    ts_tiny t = {0};
    fixture f = open_tiny(&t);
    int32_t bad = (int32_t)f.m->config.vocab;
    ts_gen_item item = {.prompt = &bad, .n_prompt = 1};
    ts_gen_options o = {.max_new_tokens = 1, .sampling = TS_SAMPLING_GREEDY};
    assert_int_equal(ts_net_generate(f.n, &item, 1, &o, NULL, &err), TS_INVALID);
    assert_non_null(strstr(err.text, "288"));
    item.n_prompt = 0;
    assert_int_equal(ts_net_generate(f.n, &item, 1, &o, NULL, &err), TS_INVALID);
    bad = 1;
    item.n_prompt = 1;
    o.max_new_tokens = 0;
    assert_ok(ts_net_generate(f.n, &item, 1, &o, NULL, &err));
    assert_int_equal(item.out.n, 0);
    assert_ok(ts_net_generate(f.n, NULL, 0, &o, NULL, &err));
    close_tiny(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_the_same_alone_and_in_company),
        cmocka_unit_test(steps_with_a_cache_equal_the_full_forward),
        cmocka_unit_test(sides_share_their_random_numbers),
        cmocka_unit_test(stop_ids_end_an_item_and_are_not_in_it),
        cmocka_unit_test(cancelling_keeps_what_is_there),
        cmocka_unit_test(an_f16_cache_follows_and_is_the_same_in_company),
        cmocka_unit_test(answers_end_where_the_context_does),
        cmocka_unit_test(impossible_prompts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
