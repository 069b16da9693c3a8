/* labels: slow */
/* SmolLM2-135M-Instruct (the GGUF file) against transformers and PEFT: shared/golden/smollm2-135m/README.md. */
#include "tests/golden_support.h"

#include "core/engine/optim.h"

static ts_model *model;
static ts_net *net;

static void open_model(void) {
    assert_ok(ts_model_open(&model, ts_test_smollm2(), &err));
    assert_ok(ts_net_new(&net, model, NULL, &err));
}

static void close_model(void) {
    ts_net_free(net);
    ts_model_close(model);
    net = NULL;
    model = NULL;
}

/* `pairs`: [[id, value], ...] */
static void check_pairs(const ts_json *pairs, const float *logits, double tolerance, const char *what) {
    for (const ts_json *p = ts_json_child(pairs); p; p = ts_json_next(p))
        assert_near(logits[(size_t)golden_at(p, 0)], golden_at(p, 1), tolerance, what);
}

static void logits_and_nlls_are_right(void **state) {
    (void)state;
    open_model();
    ts_json *golden = golden_json("golden/smollm2-135m/logits.json");
    size_t vocab = model->config.vocab, inputs = 0;
    for (const ts_json *in = ts_json_child(ts_json_get(golden, "inputs")); in; in = ts_json_next(in), inputs++) {
        size_t n;
        double sum;
        int32_t *ids = golden_ids(ts_json_get(in, "ids"), &n);
        float *each = golden_nll(net, NULL, ids, n, &sum), *out = ts_malloc(n * vocab * sizeof *out);
        for (size_t k = 1; k < n; k++)
            assert_near(each[k], golden_at(ts_json_get(in, "nll"), k - 1), 2e-4, "nll");
        assert_ok(ts_net_logits(net, NULL, ids, n, out, &err));
        const ts_json *last = ts_json_get(in, "last_f64");
        const float *row = out + (n - 1) * vocab;
        check_pairs(ts_json_get(last, "top20"), row, 5e-4, "logit");
        size_t i = 0;
        for (const ts_json *at = ts_json_child(ts_json_get(last, "at")); at; at = ts_json_next(at), i++) {
            size_t id = (size_t)golden_at(ts_json_get(golden, "at_indices"), i);
            assert_near(row[id], ts_json_is_number(at) ? ts_json_num(at, NAN) : golden_at(at, 1), 5e-4, "logit");
        }
        free(out);
        free(each);
        free(ids);
    }
    assert_int_equal(inputs, 6);
    ts_json_free(golden);
    close_model();
}

/* All prompts in one batch; after a step with a margin below `tie` anything may come. */
static void check_greedy(bool f16_cache, double tie) {
    open_model();
    ts_json *golden = golden_json("golden/smollm2-135m/greedy.json");
    ts_gen_item items[16] = {0};
    size_t n = 0;
    for (const ts_json *p = ts_json_child(ts_json_get(golden, "prompts")); p; p = ts_json_next(p), n++)
        items[n].prompt = golden_ids(ts_json_get(p, "prompt_ids"), &items[n].n_prompt);
    assert_int_equal(n, 12);
    int32_t stop = 2;
    ts_gen_options o = {.max_new_tokens = 64, .sampling = TS_SAMPLING_GREEDY, .stop_ids = &stop, .n_stop_ids = 1};
    o.margins = true;
    o.f16_cache = f16_cache;
    assert_ok(ts_net_generate(net, items, n, &o, NULL, &err));
    size_t i = 0, compared = 0;
    for (const ts_json *p = ts_json_child(ts_json_get(golden, "prompts")); p; p = ts_json_next(p), i++) {
        const ts_json *want = ts_json_child(ts_json_get(p, "new_ids")),
                      *margin = ts_json_child(ts_json_get(p, "margin"));
        bool near_tie = false;
        for (size_t t = 0; want && !near_tie; t++) {
            int32_t id = (int32_t)ts_json_num(want, -1);
            near_tie = ts_json_num(margin, NAN) < tie;
            if (near_tie) break;
            assert_near(items[i].margins[t], ts_json_num(margin, NAN), tie, "margin");
            if (t == items[i].out.n) {
                assert_int_equal(items[i].stop, TS_STOP_EOS);
                assert_int_equal(id, stop);
            } else {
                assert_int_equal(items[i].out.items[t], id);
            }
            compared++;
            want = ts_json_next(want);
            margin = ts_json_next(margin);
        }
        if (!near_tie && strcmp(ts_json_str(ts_json_get(p, "stop"), ""), "length") == 0)
            assert_int_equal(items[i].stop, TS_STOP_LENGTH);
    }
    assert_true(compared > 400);
    ts_gen_release(items, n);
    for (i = 0; i < n; i++)
        free((void *)items[i].prompt);
    ts_json_free(golden);
    close_model();
}

static void greedy_answers_are_right(void **state) {
    (void)state;
    check_greedy(false, 1e-3);
}

static void greedy_answers_from_an_f16_cache_are_right(void **state) {
    (void)state;
    check_greedy(true, 2e-2);
}

static void check_probabilities(const ts_json *setting, const float *logits, const int32_t *ids, size_t n,
                                float *probs) {
    const ts_json *o = ts_json_get(setting, "settings");
    ts_sampling s;
    assert_ok(ts_sampling_read(o, &s, &err));
    s.temperature = ts_json_num(ts_json_get(o, "temperature"), 1);
    ts_sampling_probs(&s, logits, model->config.vocab, &(ts_past){ids, n, n}, probs);
    double left = 0, sum = 0;
    for (size_t i = 0; i < model->config.vocab; i++) {
        left += probs[i] > 0;
        sum += (double)probs[i];
    }
    assert_near(left, ts_json_num(ts_json_get(setting, "nonzero"), NAN), s.top_p < 1 || s.min_p > 0 ? 1 : 0, "left");
    assert_near(sum, 1, 1e-5, "sum");
    check_pairs(ts_json_get(setting, "top20"), probs, 1e-4, "probability");
}

static void sampling_is_transformers(void **state) {
    (void)state;
    open_model();
    ts_json *golden = golden_json("golden/smollm2-135m/sampling.json");
    size_t vocab = model->config.vocab;
    float *probs = ts_malloc(vocab * sizeof *probs);
    for (const ts_json *c = ts_json_child(golden); c; c = ts_json_next(c)) {
        size_t n;
        int32_t *ids = golden_ids(ts_json_get(c, "ids"), &n);
        float *out = ts_malloc(n * vocab * sizeof *out);
        assert_ok(ts_net_logits(net, NULL, ids, n, out, &err));
        for (const ts_json *s = ts_json_child(ts_json_get(c, "settings")); s; s = ts_json_next(s))
            check_probabilities(s, out + (n - 1) * vocab, ids, n, probs);
        free(out);
        free(ids);
    }
    free(probs);
    ts_json_free(golden);
    close_model();
}

static void check_adapter(const ts_json *entry) {
    char path[128];
    snprintf(path, sizeof path, "golden/smollm2-135m/%s", ts_json_str(ts_json_get(entry, "adapter"), ""));
    ts_adapter *a = golden_adapter(model, path);
    size_t vocab = model->config.vocab;
    for (const ts_json *in = ts_json_child(ts_json_get(entry, "inputs")); in; in = ts_json_next(in)) {
        size_t n;
        double sum;
        int32_t *ids = golden_ids(ts_json_get(in, "ids"), &n);
        float *each = golden_nll(net, a, ids, n, &sum), *out = ts_malloc(n * vocab * sizeof *out);
        for (size_t k = 1; k < n; k++)
            assert_near(each[k], golden_at(ts_json_get(in, "nll"), k - 1), 5e-4, "nll");
        assert_ok(ts_net_logits(net, a, ids, n, out, &err));
        check_pairs(ts_json_get(in, "top20"), out + (n - 1) * vocab, 2e-3, "logit");
        free(out);
        free(each);
        free(ids);
    }
    ts_adapter_free(a);
}

static void adapters_give_pefts_logits(void **state) {
    (void)state;
    open_model();
    ts_json *golden = golden_json("golden/smollm2-135m/lora_adapter_logits.json");
    size_t checked = 0;
    for (const ts_json *e = ts_json_child(golden); e; e = ts_json_next(e)) {
        check_adapter(e);
        checked++;
    }
    assert_int_equal(checked, 6);
    ts_json_free(golden);
    close_model();
}

/* Every adapter on every input, all in one call: PEFT's numbers, and the bits of each alone. */
static void adapters_share_a_batch(void **state) {
    (void)state;
    enum { MOST = 32 };
    open_model();
    ts_json *golden = golden_json("golden/smollm2-135m/lora_adapter_logits.json");
    ts_adapter *made[MOST] = {0};
    const ts_adapter *adapters[MOST];
    const ts_json *want[MOST];
    golden_batch b = {0};
    size_t n_made = 0, tokens = 0, at = 0;
    /* input after input, so that the adapters change with every sequence as asked for */
    for (size_t i = 0; i < 3; i++) {
        size_t k = 0;
        for (const ts_json *e = ts_json_child(golden); e; e = ts_json_next(e), k++) {
            char path[128];
            const ts_json *in = ts_json_child(ts_json_get(e, "inputs"));
            for (size_t skip = 0; skip < i; skip++)
                in = ts_json_next(in);
            snprintf(path, sizeof path, "golden/smollm2-135m/%s", ts_json_str(ts_json_get(e, "adapter"), ""));
            if (i == 0) made[n_made++] = golden_adapter(model, path);
            want[b.n] = in;
            adapters[b.n] = made[k];
            golden_add(&b, ts_json_get(in, "ids"), ts_json_get(in, "ids"));
            tokens += b.seqs[b.n - 1].n;
        }
    }
    assert_int_equal(b.n, 18);
    double nll[MOST], single;
    size_t count[MOST], one;
    float *each = ts_malloc(tokens * sizeof *each), *alone = ts_malloc(tokens * sizeof *alone);
    assert_ok(ts_net_nll_each(net, adapters, b.seqs, b.n, nll, count, each, NULL, &err));
    for (size_t s = 0; s < b.n; at += b.seqs[s++].n) {
        for (size_t k = 1; k < b.seqs[s].n; k++)
            assert_near(each[at + k], golden_at(ts_json_get(want[s], "nll"), k - 1), 5e-4, "nll");
        assert_ok(ts_net_nll(net, adapters[s], &b.seqs[s], 1, &single, &one, alone, NULL, &err));
        assert_true(single == nll[s] && one == count[s]);
        assert_memory_equal(alone, each + at, b.seqs[s].n * sizeof *alone);
    }
    for (size_t i = 0; i < n_made; i++)
        ts_adapter_free(made[i]);
    free(each), free(alone);
    golden_batch_release(&b);
    ts_json_free(golden);
    close_model();
}

/* |a - b| <= tolerance |b|, and below 1e-6 for numbers that are nothing. */
static void assert_relative(double got, double want, double tolerance, const char *what) {
    assert_near(got, want, tolerance * fabs(want) + 1e-6, what);
}

static double frobenius(const float *x, const float *minus, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += pow((double)x[i] - (minus ? (double)minus[i] : 0), 2);
    return sqrt(sum);
}

/* Every A and B: `norms` has [norm, norm of change] per name. */
static void check_norms(const ts_json *norms, const ts_adapter *a, const ts_adapter *start) {
    for (size_t l = 0; l < a->layers; l++)
        for (size_t p = 0; p < TS_PROJS; p++)
            for (int side = 0; a->lora[l][p].r && side < 2; side++) {
                const ts_lora *x = &a->lora[l][p], *y = &start->lora[l][p];
                char name[160];
                snprintf(name, sizeof name, "base_model.model.model.layers.%zu.%s.%s.lora_%c.weight", l,
                         ts_proj_parents[p], ts_proj_names[p], "AB"[side]);
                size_t n = x->r * (side ? x->out : x->in);
                const ts_json *want = ts_json_get(norms, name);
                assert_relative(frobenius(side ? x->b : x->a, NULL, n), golden_at(want, 0), 2e-4, name);
                assert_relative(frobenius(side ? x->b : x->a, side ? y->b : y->a, n), golden_at(want, 1), 5e-4, name);
            }
}

/* Trains as the golden file says and compares losses, norms and what is left at the end. */
static void check_training(const char *file, const char *init) {
    open_model();
    ts_json *golden = golden_json(file), *examples = golden_json("golden/smollm2-135m/train_examples.json");
    golden_batch all = {0};
    for (const ts_json *e = ts_json_child(examples); e; e = ts_json_next(e))
        golden_add(&all, ts_json_get(e, "ids"), ts_json_get(e, "labels"));
    ts_adapter *a = golden_adapter(model, init), *start = golden_adapter(model, init), *grad = golden_zeros(a);
    float *m = ts_calloc(a->n_params, sizeof *m), *v = ts_calloc(a->n_params, sizeof *v);
    size_t t = 0, count;
    double nll;
    for (const ts_json *want = ts_json_child(ts_json_get(golden, "steps")); want; want = ts_json_next(want)) {
        ts_seq batch[4];
        for (size_t i = 0; i < 4; i++)
            batch[i] = all.seqs[(size_t)golden_at(ts_json_get(want, "examples"), i)];
        memset(grad->block, 0, grad->n_params * sizeof *grad->block);
        assert_ok(ts_net_backward(net, a, batch, 4, (ts_dropout){0}, grad, &nll, &count, NULL, &err));
        for (size_t i = 0; i < grad->n_params; i++)
            grad->block[i] /= (float)count;
        double norm = ts_grad_norm(grad->block, grad->n_params);
        assert_int_equal(count, (size_t)ts_json_num(ts_json_get(want, "label_tokens"), 0));
        const ts_json *f64 = ts_json_get(want, "loss_f64"), *norm64 = ts_json_get(want, "grad_norm_f64");
        assert_relative(nll / (double)count, ts_json_num(f64 ? f64 : ts_json_get(want, "loss"), NAN), 5e-5, "loss");
        assert_relative(norm, ts_json_num(norm64 ? norm64 : ts_json_get(want, "grad_norm"), NAN), 2e-4, "grad norm");
        ts_adamw o = TS_ADAMW_DEFAULTS;
        o.lr = ts_json_num(ts_json_get(want, "lr"), NAN);
        float factor = (float)ts_clip_factor(norm, 1);
        for (size_t i = 0; i < grad->n_params; i++)
            grad->block[i] *= factor;
        ts_adamw_step(&o, ++t, a->block, grad->block, m, v, a->n_params);
    }
    assert_true(t >= 10);
    double nlls[16];
    size_t counts[16];
    assert_ok(ts_net_nll(net, a, all.seqs, all.n, nlls, counts, NULL, NULL, &err));
    for (size_t i = 0; i < all.n; i++)
        assert_relative(nlls[i] / (double)counts[i], golden_at(ts_json_get(golden, "loss_after_per_example"), i), 1e-4,
                        "loss after");
    check_norms(ts_json_get(golden, "tensors_after_norm_and_norm_of_change"), a, start);
    free(m), free(v);
    ts_adapter_free(a), ts_adapter_free(start), ts_adapter_free(grad);
    golden_batch_release(&all);
    ts_json_free(examples);
    ts_json_free(golden);
    close_model();
}

static void twenty_steps_on_q_and_v_are_right(void **state) {
    (void)state;
    check_training("golden/smollm2-135m/train_lora_qv.json", "golden/smollm2-135m/train_lora_qv_init");
}

static void ten_steps_on_all_linears_are_right(void **state) {
    (void)state;
    check_training("golden/smollm2-135m/train_lora_all.json", "golden/smollm2-135m/train_lora_all_init");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_nlls_are_right),
        cmocka_unit_test(greedy_answers_are_right),
        cmocka_unit_test(greedy_answers_from_an_f16_cache_are_right),
        cmocka_unit_test(sampling_is_transformers),
        cmocka_unit_test(adapters_give_pefts_logits),
        cmocka_unit_test(adapters_share_a_batch),
        cmocka_unit_test(twenty_steps_on_q_and_v_are_right),
        cmocka_unit_test(ten_steps_on_all_linears_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
