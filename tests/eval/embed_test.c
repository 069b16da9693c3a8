/* Vectors of texts: the head of the mean hidden state is the mean of the logits; alone as in company; and duplicates by
 * meaning in a workspace, by a model in its process. */
#include "core/base/file.h"
#include "core/engine/embed.h"
#include "core/model/model.h"
#include "eval/embed.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ts_err err;
static char *ws, *model;

static void mean_of_the_logits(void **state) {
    (void)state;
    enum { TEXTS = 3, MOST = 40 };
    static const size_t lengths[TEXTS] = {MOST, 0, 7};
    ts_model *m = NULL;
    ts_net *net = NULL;
    ts_ids texts[TEXTS] = {{0}};
    assert_ok(ts_model_open(&m, model, &err));
    assert_ok(ts_net_new(&net, m, NULL, &err));
    size_t h = m->config.hidden, vocab = m->config.vocab;
    float *all = ts_calloc(TEXTS * h, sizeof *all), *one = ts_calloc(h, sizeof *one);
    float *head = ts_calloc(vocab * h, sizeof *head), *logits = ts_calloc(MOST * vocab, sizeof *logits);
    ts_weight_rows(&m->head, 0, vocab, head);
    for (size_t i = 0; i < TEXTS; i++)
        for (size_t k = 0; k < lengths[i]; k++)
            TS_PUSH(texts[i].items, texts[i].n, texts[i].cap, (int32_t)((k * 7 + i) % vocab));
    assert_ok(ts_net_embed(net, texts, TEXTS, all, NULL, &err));
    for (size_t i = 0; i < TEXTS; i++) {
        assert_ok(ts_net_embed(net, &texts[i], 1, one, NULL, &err));
        for (size_t k = 0; k < h; k++)
            assert_near((double)one[k], (double)all[i * h + k], 1e-5, "alone");
        if (!lengths[i]) continue;
        assert_ok(ts_net_logits(net, NULL, texts[i].items, lengths[i], logits, &err));
        for (size_t id = 0; id < vocab; id++) {
            double mean = 0, product = 0;
            for (size_t t = 0; t < lengths[i]; t++)
                mean += (double)logits[t * vocab + id] / (double)lengths[i];
            for (size_t k = 0; k < h; k++)
                product += (double)head[id * h + k] * (double)all[i * h + k];
            assert_near(product, mean, 1e-4 * (1 + fabs(mean)), "mean logit");
        }
    }
    for (size_t k = 0; k < h; k++)
        assert_true(all[h + k] == 0); /* no token, no vector */
    texts[2].items[0] = (int32_t)vocab;
    assert_int_equal(ts_net_embed(net, &texts[2], 1, one, NULL, &err), TS_INVALID);
    for (size_t i = 0; i < TEXTS; i++)
        ts_ids_release(&texts[i]);
    free(all);
    free(one);
    free(head);
    free(logits);
    ts_net_free(net);
    ts_model_close(m);
}

static const char *const prompts[] = {"How do I reset the router at home", "Why is bread dough sticky",
                                      "how do i reset the router at home", "One and the same",
                                      "Who wrote this book and when"};

static void in_a_workspace(void **state) {
    (void)state;
    ts_store *st;
    ts_dedupe_options o = TS_DEDUPE_DEFAULTS;
    ts_dedupe_report r;
    ts_embedder embedder = {model, NULL};
    ts_progress stop = {0};
    ts_test_program();
    assert_ok(ts_store_init(ws, &err));
    assert_ok(ts_store_open(&st, ws, "test", &err));
    for (size_t i = 0; i < TS_COUNT(prompts) * 40; i++) { /* several requests */
        char *text = ts_printf(i % 5 == 3 || i < 5 ? "%s" : "%s %zu%zu%zu", prompts[i % 5], i, i * 7919, i * 104729);
        ts_draft d = {.instruction = {text, strlen(text)}, .output = {"x", 1}};
        assert_ok(ts_row_add(st, &d, NULL, NULL, &err));
        free(text);
    }
    o.vectors = ts_embed_texts;
    o.vectors_ctx = &embedder;
    o.near.threshold = 0.999999;
    o.near.keep_pairs = true;
    assert_ok(ts_dedupe(st, &o, NULL, NULL, NULL, &r, &err));
    assert_int_equal(r.rows, TS_COUNT(prompts) * 40);
    assert_int_equal(r.groups, 1); /* every fifth row has the same text, in several requests */
    assert_int_equal(r.largest, 40);
    assert_int_equal(r.removable, 39);
    o.near.threshold = 0.3;
    assert_ok(ts_dedupe(st, &o, NULL, NULL, NULL, &r, &err));
    assert_true(r.largest > 40 || r.groups > 1);
    ts_cancel(&stop);
    assert_int_equal(ts_dedupe(st, &o, &stop, NULL, NULL, &r, &err), TS_CANCELLED);
    embedder.model = "/no/such/model";
    assert_int_equal(ts_dedupe(st, &o, NULL, NULL, NULL, &r, &err), TS_NOT_FOUND);
    ts_store_close(st);
}

int main(void) {
    const char *binary = getenv("TS_BINARY"), *here = ts_test_dir();
    ws = ts_path_join(here, "ws");
    model = ts_path_join(here, "tiny");
    ts_tiny_hf(model, NULL);
    if (binary) setenv("TUNESMITH_BINARY", binary, 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(mean_of_the_logits), cmocka_unit_test(in_a_workspace)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
