/* Models in another form: what is written must be what was read, and load with nothing said about where it came from.
 */
#include "core/model/export_private.h"

#include "core/base/file.h"
#include "core/base/rand.h"
#include "core/engine/net.h"
#include "core/model/gguf.h"
#include "core/model/safetensors.h"
#include "tests/support.h"
#include "tests/tiny_model.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static ts_err err;

static const ts_tiny tinies[] = {
    {0},
    {.qwen2 = true, .untied = true},
    {.llama3 = true, .untied = true, .attention_bias = true},
    {.type = TS_BF16, .heads = 6, .head_dim = 32},
    {.type = TS_Q4_1},
};

static ts_export_report report;

static ts_status write_as(const char *from, const char *to, const char *type, bool gguf) {
    ts_model *m;
    assert_ok(ts_model_open(&m, from, &err));
    ts_export x = {.model = m, .out = to, .type = ts_file_type_named(type)};
    ts_status status = gguf ? ts_export_gguf(&x, &report, &err) : ts_export_folder(&x, &report, &err);
    ts_model_close(m);
    return status;
}

static void same_file(const char *a, const char *b) {
    ts_map x, y;
    assert_ok(ts_map_open(&x, a, &err));
    assert_ok(ts_map_open(&y, b, &err));
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    ts_map_close(&x);
    ts_map_close(&y);
}

static void same_weights(const char *a, const char *b) {
    char *x = ts_path_join(a, "model.safetensors"), *y = ts_path_join(b, "model.safetensors");
    same_file(x, y);
    free(x);
    free(y);
}

/* Tensor by tensor: the same bytes under the same names. */
static void same_tensors(const char *a, const char *b) {
    ts_gguf *x, *y;
    assert_ok(ts_gguf_open(&x, a, &err));
    assert_ok(ts_gguf_open(&y, b, &err));
    assert_int_equal(ts_gguf_tensors(x), ts_gguf_tensors(y));
    for (size_t i = 0; i < ts_gguf_tensors(x); i++) {
        const ts_tensor *t = ts_gguf_tensor(x, i), *u = ts_gguf_find(y, t->name);
        if (!u) fail_msg("%s is not there", t->name);
        if (t->type != u->type || t->bytes != u->bytes) fail_msg("%s differs in type or size", t->name);
        /* what rope_freqs says was calculated here from settings; it is to be the same to rounding */
        for (size_t k = 0; strcmp(t->name, "rope_freqs.weight") == 0 && k < t->dims[0]; k++)
            assert_near((double)((const float *)t->data)[k], (double)((const float *)u->data)[k], 1e-6, t->name);
        if (strcmp(t->name, "rope_freqs.weight") != 0) assert_memory_equal(t->data, u->data, t->bytes);
    }
    ts_gguf_close(x);
    ts_gguf_close(y);
}

static void same_ids(const char *a, const char *b) {
    static const char *const texts[] = {"the hen and 1234 on <|im_start|>user\n in", " \u00bd \u0663 x\n\n  the", ""};
    ts_tokenizer *t[2];
    assert_ok(ts_tokenizer_open(&t[0], a, &err));
    assert_ok(ts_tokenizer_open(&t[1], b, &err));
    for (size_t i = 0; i < TS_COUNT(texts); i++) {
        ts_ids ids[2] = {{0}};
        for (int k = 0; k < 2; k++)
            ts_tokenizer_encode(t[k], texts[i], strlen(texts[i]), true, &ids[k], NULL);
        assert_int_equal(ids[0].n, ids[1].n);
        if (ids[0].n) assert_memory_equal(ids[0].items, ids[1].items, ids[0].n * sizeof *ids[0].items);
        ts_ids_release(&ids[0]);
        ts_ids_release(&ids[1]);
    }
    assert_string_equal(ts_tokenizer_template(t[0]), ts_tokenizer_template(t[1]));
    assert_int_equal(ts_tokenizer_bos(t[0]), ts_tokenizer_bos(t[1]));
    assert_int_equal(ts_tokenizer_eos(t[0]), ts_tokenizer_eos(t[1]));
    ts_tokenizer_free(t[0]);
    ts_tokenizer_free(t[1]);
}

static void same_config(const char *a, const char *b) {
    ts_model *x, *y;
    assert_ok(ts_model_open(&x, a, &err));
    assert_ok(ts_model_open(&y, b, &err));
    assert_string_equal(x->config.family, y->config.family);
    assert_int_equal(x->config.context, y->config.context);
    assert_int_equal(x->config.tied, y->config.tied);
    assert_int_equal(x->config.bos, y->config.bos);
    assert_int_equal(x->config.n_eos, y->config.n_eos);
    assert_int_equal(x->config.eos[0], y->config.eos[0]);
    assert_true(x->config.rms_eps == y->config.rms_eps);
    assert_true(x->config.rope_theta == y->config.rope_theta);
    for (size_t i = 0; i < x->rope[0].rotary / 2; i++)
        assert_near((double)x->rope[0].freq[i], (double)y->rope[0].freq[i], 1e-7, "a rotary frequency");
    ts_model_close(x);
    ts_model_close(y);
}

/* The same weights exist as a folder and as a file; each is made from the other. A quantised one is f32 in the folder.
 */
static void there_and_back(void **state) {
    (void)state;
    const char *dir = ts_test_path("hf"), *file = ts_test_path("m.gguf"), *out = ts_test_path("out");
    const char *out_file = ts_test_path("out.gguf"), *again = ts_test_path("again"), *third = ts_test_path("third");
    for (size_t i = 0; i < TS_COUNT(tinies); i++) {
        const char *type = tinies[i].type == TS_BF16 ? "bf16" : "f32";
        ts_tiny_hf(dir, &tinies[i]);
        ts_tiny_gguf(file, &tinies[i]);
        if (i == 0) assert_ok(write_as(dir, out, type, false)); /* a folder again */
        if (i == 0) same_weights(dir, out);
        assert_ok(write_as(dir, out_file, type, true));
        assert_ok(write_as(out_file, again, type, false));
        same_ids(dir, again);
        same_config(dir, again);
        assert_false(report.untied);
        if (ts_dtype_block(tinies[i].type) == 1) same_tensors(out_file, file);
        assert_ok(write_as(file, third, type, false));
        if (tinies[i].type != TS_BF16) { /* there the norms are of the matrices' type */
            same_weights(dir, again);
            same_weights(dir, third);
        }
        same_ids(file, third);
        same_config(file, third);
        for (size_t k = 0; k < 6; k++)
            assert_ok(ts_remove_tree(((const char *[]){dir, file, out, out_file, again, third})[k], &err));
    }
}

static void rounding_is_to_nearest_even(void **state) {
    (void)state;
    const char *dir = ts_test_path("m"), *out = ts_test_path("b");
    ts_safetensors *a, *b;
    ts_tiny_hf(dir, NULL);
    assert_ok(write_as(dir, out, "bf16", false));
    char *x = ts_path_join(dir, "model.safetensors"), *y = ts_path_join(out, "model.safetensors");
    assert_ok(ts_safetensors_open(&a, x, &err));
    assert_ok(ts_safetensors_open(&b, y, &err));
    const ts_tensor *t = ts_safetensors_find(a, "model.layers.1.mlp.up_proj.weight"),
                    *u = ts_safetensors_find(b, "model.layers.1.mlp.up_proj.weight");
    assert_int_equal(u->type, TS_BF16);
    for (size_t i = 0; i < t->bytes / 4; i++)
        assert_int_equal(((const uint16_t *)u->data)[i], ts_f32_to_bf16(((const float *)t->data)[i]));
    ts_safetensors_close(a);
    ts_safetensors_close(b);
    free(x);
    free(y);
}

/* What a block may lose: half a step (q4_0 cuts off one whole step at one end), and a little because its scale is f16.
 */
static void blocks_keep_the_values_near(void **state) {
    (void)state;
    static const struct {
        const char *file;
        ts_dtype type; /* of the matrix looked at: rows of 96 are no blocks of 256 */
        float step;    /* largest error in parts of the block's largest value */
    } cases[] = {{"q8_0", TS_Q8_0, 1 / 225.f},   {"q4_0", TS_Q4_0, 1 / 7.9f},   {"q4_1", TS_Q4_1, 1 / 14.5f},
                 {"q5_0", TS_Q5_0, 1 / 15.9f},   {"q5_1", TS_Q5_1, 1 / 29.5f},  {"q6_k", TS_Q8_0, 1 / 225.f},
                 {"q5_k_m", TS_Q8_0, 1 / 225.f}, {"q4_k_m", TS_Q8_0, 1 / 225.f}};
    const char *dir = ts_test_path("m");
    ts_model *m;
    ts_tiny_hf(dir, NULL);
    assert_ok(ts_model_open(&m, dir, &err));
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        const char *out = ts_test_path("q.gguf");
        ts_model *q;
        assert_ok(write_as(dir, out, cases[i].file, true));
        assert_ok(ts_model_open(&q, out, &err));
        assert_int_equal(q->layer[1].proj[TS_DOWN].type, cases[i].type);
        assert_int_equal(q->embed.type, TS_Q8_0);
        float a[96], b[96], most = 0;
        for (size_t r = 0; r < 64; r++) {
            ts_weight_rows(&m->layer[1].proj[TS_DOWN], r, 1, a);
            ts_weight_rows(&q->layer[1].proj[TS_DOWN], r, 1, b);
            for (size_t block = 0; block < 3; block++) {
                most = 0;
                for (size_t k = 32 * block; k < 32 * block + 32; k++)
                    most = fmaxf(most, fabsf(a[k]));
                for (size_t k = 32 * block; k < 32 * block + 32; k++)
                    assert_near((double)a[k], (double)b[k], (double)(most * cases[i].step), "a weight");
            }
        }
        ts_model_close(q);
    }
    ts_model_close(m);
}

static double lost(const ts_weight *a, const ts_weight *b) {
    float x[512], y[512];
    double sum = 0, all = 0;
    assert_int_equal(a->cols, b->cols);
    for (size_t r = 0; r < a->rows; r++) {
        ts_weight_rows(a, r, 1, x);
        ts_weight_rows(b, r, 1, y);
        for (size_t i = 0; i < a->cols; i++) {
            sum += pow((double)x[i] - (double)y[i], 2);
            all += pow((double)x[i], 2);
        }
    }
    return sqrt(sum / all);
}

/* Rows of 256 and 512: each tensor of a mixture in its type, and with what that type keeps. */
static void mixtures_are_written(void **state) {
    (void)state;
    static const struct {
        const char *file;
        ts_dtype embed, head, gate, down[3];
        double most; /* of what gate loses */
    } cases[] = {{"q4_k_m", TS_Q4_K, TS_Q6_K, TS_Q4_K, {TS_Q4_K, TS_Q4_K, TS_Q6_K}, .08},
                 {"q5_k_m", TS_Q5_K, TS_Q6_K, TS_Q5_K, {TS_Q5_K, TS_Q5_K, TS_Q6_K}, .04},
                 {"q6_k", TS_Q6_K, TS_Q6_K, TS_Q6_K, {TS_Q6_K, TS_Q6_K, TS_Q6_K}, .021},
                 {"q4_0", TS_Q4_0, TS_Q6_K, TS_Q4_0, {TS_Q4_0, TS_Q4_0, TS_Q4_0}, .1}};
    const char *dir = ts_test_path("wide");
    ts_model *m, *q;
    ts_tiny_hf(dir, &(ts_tiny){.hidden = 256, .ffn = 512, .layers = 3, .heads = 4, .untied = true});
    assert_ok(ts_model_open(&m, dir, &err));
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        char *out = ts_printf("%s/%s.gguf", dir, cases[i].file);
        assert_ok(write_as(dir, out, cases[i].file, true));
        assert_int_equal(report.fell_back, 0);
        assert_ok(ts_model_open(&q, out, &err));
        assert_int_equal(q->embed.type, cases[i].embed);
        assert_int_equal(q->head.type, cases[i].head);
        for (size_t l = 0; l < 3; l++) {
            assert_int_equal(q->layer[l].proj[TS_GATE].type, cases[i].gate);
            assert_int_equal(q->layer[l].proj[TS_DOWN].type, cases[i].down[l]);
            double gate = lost(&m->layer[l].proj[TS_GATE], &q->layer[l].proj[TS_GATE]);
            if (!(gate < cases[i].most && gate > cases[i].most / 2))
                fail_msg("%s: gate_proj loses %g", cases[i].file, gate);
            assert_true(lost(&m->layer[l].proj[TS_DOWN], &q->layer[l].proj[TS_DOWN]) < .1);
        }
        ts_model_close(q);
        free(out);
    }
    ts_model_close(m);
}

/* Each layer keeps its window in a GGUF file, also where llama.cpp would not read it; that is told. */
static void windows_are_kept(void **state) {
    (void)state;
    static const struct {
        ts_tiny tiny;
        size_t unread;
    } cases[] = {{{.family = "mistral", .window = 9}, 9},
                 {{.family = "phi3", .window = 9}, 9},
                 {{.family = "gemma2", .window = 9, .layers = 4}, 0},
                 {{.family = "gemma3", .window = 9, .layers = 4}, 0}, /* every other layer; keys would mean 5 of 6 */
                 {{.family = "qwen3"}, 0}};
    for (size_t i = 0; i < TS_COUNT(cases); i++) {
        char *dir = ts_printf("%s/%zu", ts_test_dir(), i), *out = ts_printf("%s.gguf", dir);
        ts_model *a, *b;
        ts_tiny_hf(dir, &cases[i].tiny);
        assert_ok(write_as(dir, out, "f32", true));
        assert_int_equal(report.window_unread, cases[i].unread);
        assert_ok(ts_model_open(&a, dir, &err));
        assert_ok(ts_model_open(&b, out, &err));
        size_t windows = 0;
        for (size_t l = 0; l < a->config.layers; l++) {
            assert_int_equal(a->layer[l].window, b->layer[l].window);
            windows += a->layer[l].window > 0;
        }
        assert_int_equal(windows > 0, cases[i].tiny.window > 0);
        ts_model_close(a);
        ts_model_close(b);
        free(dir);
        free(out);
    }
}

static void large_models_are_cut_into_parts(void **state) {
    (void)state;
    const char *dir = ts_test_path("m"), *out = ts_test_path("o"), *one = ts_test_path("one");
    ts_model *m;
    ts_tiny_hf(dir, &(ts_tiny){.untied = true});
    assert_ok(ts_model_open(&m, dir, &err));
    ts_export x = {.model = m, .out = out, .type = ts_file_type_named("f32"), .max_shard = 100000};
    assert_ok(ts_export_folder(&x, &report, &err));
    ts_model_close(m);
    assert_true(report.files > 2);
    for (size_t i = 0; i < report.files; i++) {
        char name[64];
        snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, report.files);
        char *path = ts_path_join(out, name);
        assert_in_range(ts_file_size(path), 1, 110000);
        free(path);
    }
    assert_ok(write_as(out, one, "f32", false)); /* and from the parts the one file again */
    same_weights(dir, one);
}

/* An adapter whose B is zero, or not. */
static ts_adapter *adapter_for(const ts_model *m, bool zero) {
    ts_adapter *a;
    ts_rand r;
    assert_ok(ts_adapter_new(&a, m, 4, 8, 0, false, 0x7f, 1, &err));
    ts_rand_seed(&r, 5);
    for (size_t l = 0; l < a->layers && !zero; l++)
        for (ts_proj p = 0; p < TS_PROJS; p++)
            for (size_t i = 0; i < a->lora[l][p].r * a->lora[l][p].out; i++)
                a->lora[l][p].b[i] = .05f * (float)ts_rand_normal(&r);
    return a;
}

static void merge_to(const char *from, const char *to, bool zero, bool gguf) {
    ts_model *m;
    assert_ok(ts_model_open(&m, from, &err));
    ts_adapter *a = adapter_for(m, zero);
    ts_export x = {.model = m, .adapter = a, .out = to, .type = ts_file_type_named("f32")};
    assert_ok(gguf ? ts_export_gguf(&x, &report, &err) : ts_export_folder(&x, &report, &err));
    ts_adapter_free(a);
    ts_model_close(m);
}

static void an_adapter_of_zeros_changes_no_bit(void **state) {
    (void)state;
    const char *dir = ts_test_path("m"), *out = ts_test_path("o"), *file = ts_test_path("f.gguf"),
               *merged = ts_test_path("g.gguf");
    ts_tiny_hf(dir, NULL);
    merge_to(dir, out, true, false);
    same_weights(dir, out);
    assert_true(report.merged == 14 && report.max_change == 0 && report.same_bf16 == 1);
    ts_tiny_gguf(file, NULL);
    merge_to(dir, merged, true, true);
    same_tensors(merged, file);
}

static void logits_of(const char *spec, const ts_adapter *a, float *out) {
    static const int32_t ids[] = {1, 30, 77, 250, 9, 2};
    ts_model *m;
    ts_net *n;
    assert_ok(ts_model_open(&m, spec, &err));
    assert_ok(ts_net_new(&n, m, NULL, &err));
    assert_ok(ts_net_logits(n, a, ids, TS_COUNT(ids), out, &err));
    ts_net_free(n);
    ts_model_close(m);
}

static void merged_equals_active(void **state) {
    (void)state;
    enum { N = 6 * 288 };
    float *active = ts_malloc(N * sizeof *active), *merged = ts_malloc(N * sizeof *merged);
    const char *dir = ts_test_path("m"), *out[2] = {ts_test_path("o"), ts_test_path("o.gguf")};
    ts_model *m;
    ts_tiny_hf(dir, &(ts_tiny){.llama3 = true});
    assert_ok(ts_model_open(&m, dir, &err));
    ts_adapter *a = adapter_for(m, false);
    logits_of(dir, a, active);
    ts_adapter_free(a);
    ts_model_close(m);
    for (int gguf = 0; gguf < 2; gguf++) {
        merge_to(dir, out[gguf], false, gguf);
        logits_of(out[gguf], NULL, merged);
        for (size_t i = 0; i < N; i++)
            assert_near((double)merged[i], (double)active[i], 2e-5, "a logit");
        assert_true(report.max_change > 0.01 && report.rms_change < report.rms_weight && report.same_bf16 < .2);
    }
    free(active);
    free(merged);
}

static void nothing_left(const char *dir) {
    ts_names names = {0};
    assert_ok(ts_dir_list(dir, &names, &err));
    for (size_t i = 0; i < names.n; i++)
        if (strstr(names.items[i], "out")) fail_msg("%s was left behind", names.items[i]);
    ts_names_release(&names);
}

static void says(ts_status status, ts_status wanted, const char *words) {
    if (status != wanted || !strstr(err.text, words)) fail_msg("status %d: %s", (int)status, err.text);
}

static void what_is_in_the_way_is_refused(void **state) {
    (void)state;
    const char *dir = ts_test_path("m"), *full = ts_test_path("full"), *file = ts_test_path("m.gguf");
    ts_tiny_hf(dir, NULL);
    ts_tiny_hf(full, NULL);
    ts_tiny_gguf(file, NULL);
    says(write_as(dir, full, "f32", false), TS_INVALID, "is there and not empty");
    says(write_as(dir, file, "f32", false), TS_INVALID, "is there already");
    says(write_as(dir, file, "f32", true), TS_INVALID, "is there already");
    const char *empty = ts_test_path("empty");
    assert_ok(ts_mkdirs(empty, &err));
    assert_ok(write_as(dir, empty, "f32", false));
    same_weights(dir, empty);
}

static void stopped_or_full_leaves_nothing(void **state) {
    (void)state;
    const char *place = ts_test_dir(), *dir = ts_test_path("m");
    ts_progress progress = {0};
    struct rlimit old, small = {20000, 20000};
    ts_model *m;
    ts_tiny_hf(dir, NULL);
    assert_ok(ts_model_open(&m, dir, &err));
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    for (int gguf = 0; gguf < 2; gguf++) {
        char *out = ts_path_join(place, gguf ? "out.gguf" : "out");
        ts_export x = {.model = m, .out = out, .type = ts_file_type_named("f32"), .progress = &progress};
        progress.cancel = true;
        says(gguf ? ts_export_gguf(&x, &report, &err) : ts_export_folder(&x, &report, &err), TS_CANCELLED, "stopped");
        nothing_left(place);
        progress.cancel = false;
        setrlimit(RLIMIT_FSIZE, &small);
        ts_status status = gguf ? ts_export_gguf(&x, &report, &err) : ts_export_folder(&x, &report, &err);
        setrlimit(RLIMIT_FSIZE, &old);
        says(status, TS_NO_ROOM, "out");
        nothing_left(place);
        free(out);
    }
    ts_model_close(m);
}

static void what_f16_cannot_hold_is_refused(void **state) {
    (void)state;
    const char *place = ts_test_dir(), *dir = ts_test_path("m");
    ts_model *m;
    ts_tiny_hf(dir, NULL);
    char *out = ts_path_join(place, "out");
    assert_ok(ts_model_open(&m, dir, &err));
    ts_adapter *a = adapter_for(m, false);
    a->lora[1][TS_UP].a[3] = 1e8f;
    ts_export x = {.model = m, .adapter = a, .out = out, .type = ts_file_type_named("f16")};
    says(ts_export_folder(&x, &report, &err), TS_INVALID,
         "model.layers.1.mlp.up_proj.weight has a value that is too large for f16");
    a->lora[1][TS_UP].a[3] = INFINITY;
    x.type = ts_file_type_named("f32");
    says(ts_export_folder(&x, &report, &err), TS_INVALID, "not finite after merging");
    nothing_left(place);
    ts_adapter_free(a);
    ts_model_close(m);
    free(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(blocks_keep_the_values_near),
        cmocka_unit_test(mixtures_are_written),
        cmocka_unit_test(windows_are_kept),
        cmocka_unit_test(large_models_are_cut_into_parts),
        cmocka_unit_test(an_adapter_of_zeros_changes_no_bit),
        cmocka_unit_test(merged_equals_active),
        cmocka_unit_test(what_is_in_the_way_is_refused),
        cmocka_unit_test(stopped_or_full_leaves_nothing),
        cmocka_unit_test(what_f16_cannot_hold_is_refused),
    };
    signal(SIGXFSZ, SIG_IGN); /* as main does: a limit on file sizes is met like a full disk */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
