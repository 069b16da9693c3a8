/* A tiny random model of every family against Hugging Face transformers and PEFT: tests/golden/make_families.py says
 * what the folders hold. Every folder there is a test. */
#include "tests/golden_support.h"

#include "core/base/file.h"

typedef struct family {
    char *dir;
    ts_json *golden;
    ts_safetensors *logits;
    ts_model *m;
    ts_net *n;
    ts_adapter *adapter, *saved;
    golden_batch batch;
    double noise_logits, noise_nll, noise_grad; /* float32 against float64 in transformers */
} family;

static char *folder_of(const char *name) {
    return ts_path_join(ts_test_source("tests/golden"), name);
}

static const ts_json *member(const ts_json *object, const char *key) {
    const ts_json *v = ts_json_get(object, key);
    if (!v) fail_msg("golden.json has no %s", key);
    return v;
}

static double number(const ts_json *object, const char *key) {
    return ts_json_num(member(object, key), NAN);
}

static ts_json *read_golden(const char *dir) {
    char *path = ts_path_join(dir, "golden.json");
    ts_json *v = ts_json_read(path, 1 << 24, &err);
    if (!v) fail_msg("%s", err.text);
    free(path);
    return v;
}

static ts_adapter *open_adapter(const family *f, const char *name) {
    ts_adapter *a;
    char *path = ts_path_join(f->dir, name);
    assert_ok(ts_adapter_load(&a, path, f->m, &err));
    free(path);
    return a;
}

static void open_family(family *f, const char *name) {
    *f = (family){.dir = folder_of(name)};
    char *tensors = ts_path_join(f->dir, "golden.safetensors");
    f->golden = read_golden(f->dir);
    assert_ok(ts_safetensors_open(&f->logits, tensors, &err));
    assert_ok(ts_model_open(&f->m, f->dir, &err));
    assert_ok(ts_net_new(&f->n, f->m, NULL, &err));
    f->adapter = open_adapter(f, "adapter");
    f->saved = open_adapter(f, "adapter-saved");
    for (const ts_json *s = ts_json_child(member(f->golden, "sequences")); s; s = ts_json_next(s))
        golden_add(&f->batch, member(s, "ids"), member(s, "labels"));
    const ts_json *noise = member(f->golden, "noise");
    f->noise_logits = number(noise, "logits");
    f->noise_nll = number(noise, "nll");
    f->noise_grad = number(noise, "lora_grad");
    free(tensors);
}

static void close_family(family *f) {
    golden_batch_release(&f->batch);
    ts_adapter_free(f->adapter);
    ts_adapter_free(f->saved);
    ts_net_free(f->n);
    ts_model_close(f->m);
    ts_safetensors_close(f->logits);
    ts_json_free(f->golden);
    free(f->dir);
}

/* Logits [n, vocab] of a sequence. The caller frees. */
static float *logits_of(ts_net *n, const ts_adapter *a, const ts_model *m, const int32_t *ids, size_t len) {
    float *out = ts_malloc(len * m->config.vocab * sizeof *out);
    assert_ok(ts_net_logits(n, a, ids, len, out, &err));
    return out;
}

static void check_logits(const family *f) {
    double tolerance = TS_MAX(2e-5, 4 * f->noise_logits);
    for (size_t i = 0; i < f->batch.n; i++) {
        const ts_seq *s = &f->batch.seqs[i];
        char name[32], what[96];
        snprintf(name, sizeof name, "logits.%zu", i);
        const ts_tensor *want = golden_tensor(f->logits, name);
        assert_int_equal(want->bytes, s->n * f->m->config.vocab * sizeof(float));
        float *got = logits_of(f->n, NULL, f->m, s->ids, s->n);
        for (size_t k = 0; k < s->n * f->m->config.vocab; k++) {
            snprintf(what, sizeof what, "logit %zu of token %zu of sequence %zu", k % f->m->config.vocab,
                     k / f->m->config.vocab, i);
            assert_near(got[k], golden_value(want, k), tolerance, what);
        }
        free(got);
    }
}

static double nll_tolerance(const family *f) { /* a token */
    return TS_MAX(3e-6, 4 * f->noise_nll);
}

/* Both sequences in one batch; the model alone and with each adapter. */
static void check_nll(const family *f) {
    const ts_json *alone = ts_json_child(member(f->golden, "sequences"));
    double nll[8];
    size_t count[8], tokens = 0;
    ts_assert(f->batch.n <= TS_COUNT(nll));
    assert_ok(ts_net_nll(f->n, NULL, f->batch.seqs, f->batch.n, nll, count, NULL, NULL, &err));
    for (size_t i = 0; i < f->batch.n; i++, alone = ts_json_next(alone)) {
        assert_near(nll[i], number(alone, "nll"), (double)count[i] * nll_tolerance(f), "NLL");
        tokens += count[i];
    }
    assert_int_equal(tokens, (size_t)number(f->golden, "label_tokens"));
    for (int k = 0; k < 2; k++) {
        const ts_json *want = member(member(f->golden, k ? "saved" : "lora"), "nll");
        assert_ok(ts_net_nll(f->n, k ? f->saved : f->adapter, f->batch.seqs, f->batch.n, nll, count, NULL, NULL, &err));
        for (size_t i = 0; i < f->batch.n; i++)
            assert_near(nll[i], golden_at(want, i), (double)count[i] * nll_tolerance(f),
                        k ? "NLL with other norms and embedding" : "NLL with the adapter");
    }
}

/* "model.layers.1.mlp.up_proj.lora_A.weight": that gradient and its length. */
static const float *gradient_of(const family *f, const ts_adapter *grad, const char *name, size_t *n) {
    for (size_t l = 0; l < grad->layers; l++)
        for (size_t p = 0; p < TS_PROJS; p++)
            for (int b = 0; b < 2; b++) {
                const ts_lora *x = &grad->lora[l][p];
                const char *module = ts_proj_name(&f->m->config, (ts_proj)p);
                char mine[128];
                if (!module) continue;
                snprintf(mine, sizeof mine, "model.layers.%zu.%s.%s.lora_%c.weight", l, ts_proj_parents[p], module,
                         "AB"[b]);
                if (strcmp(mine, name) != 0) continue;
                *n = x->r * (b ? x->out : x->in);
                return b ? x->b : x->a;
            }
    fail_msg("no gradient of %s", name);
    return NULL;
}

static void check_gradient(const family *f, const ts_adapter *grad, const ts_json *want) {
    size_t n = 0;
    const float *g = gradient_of(f, grad, ts_json_key(want), &n);
    double norm = 0, probe = 0, size = golden_at(want, 0), tolerance = size * TS_MAX(3e-5, 4 * f->noise_grad);
    for (size_t i = 0; i < n; i++) {
        norm += (double)g[i] * (double)g[i];
        probe += (double)g[i] * ((double)(i * 7919 % 97) - 48) / 48;
    }
    assert_true(size > 0.1); /* one that says something */
    assert_near(sqrt(norm), size, tolerance, ts_json_key(want));
    assert_near(probe, golden_at(want, 1), tolerance, ts_json_key(want));
}

static void check_gradients(const family *f) {
    static const ts_dropout none;
    ts_adapter *grad = golden_zeros(f->adapter);
    double nll;
    size_t count, checked = 0;
    const ts_json *lora = member(f->golden, "lora");
    assert_ok(ts_net_backward(f->n, f->adapter, f->batch.seqs, f->batch.n, none, grad, &nll, &count, NULL, &err));
    assert_near(nll, golden_at(member(lora, "nll"), 0) + golden_at(member(lora, "nll"), 1),
                (double)count * nll_tolerance(f), "NLL of the backward pass");
    for (const ts_json *g = ts_json_child(member(lora, "grad")); g; g = ts_json_next(g), checked++)
        check_gradient(f, grad, g);
    assert_int_equal(checked, f->m->config.layers * (f->m->config.fused ? 4 : TS_PROJS) * 2);
    ts_adapter_free(grad);
}

/* Best minus second of a row of logits; the best one's id. */
static double margin_of(const float *row, size_t vocab, int32_t *best) {
    double second = -INFINITY;
    *best = 0;
    for (size_t i = 1; i < vocab; i++) {
        if (row[i] > row[*best]) {
            second = row[*best];
            *best = (int32_t)i;
        } else {
            second = fmax(second, row[i]);
        }
    }
    return row[*best] - second;
}

/* n greedy tokens behind the prompt, with margins; release with ts_gen_release. */
static ts_gen_item generate(const family *f, const ts_adapter *a, const int32_t *prompt, size_t n_prompt, size_t n) {
    ts_gen_item item = {.prompt = prompt, .n_prompt = n_prompt, .adapter = a};
    ts_gen_options o = {.max_new_tokens = n, .sampling = TS_SAMPLING_GREEDY, .margins = true};
    assert_ok(ts_net_generate(f->n, &item, 1, &o, NULL, &err));
    assert_int_equal(item.out.n, n);
    return item;
}

/* Every generated token against a forward pass over all that stood before it. */
static void check_decoding(const family *f, const ts_adapter *a, const int32_t *prompt, size_t n, size_t more) {
    ts_gen_item item = generate(f, a, prompt, n, more);
    size_t vocab = f->m->config.vocab, total = n + more;
    int32_t *all = ts_malloc(total * sizeof *all);
    memcpy(all, prompt, n * sizeof *all);
    memcpy(all + n, item.out.items, more * sizeof *all);
    float *rows = logits_of(f->n, a, f->m, all, total);
    for (size_t i = 0; i < more; i++) {
        int32_t best;
        double margin = margin_of(rows + (n + i - 1) * vocab, vocab, &best);
        double size = fabs((double)rows[(n + i - 1) * vocab + (size_t)best]);
        assert_near(item.margins[i], margin, TS_MAX(2e-5, 1e-5 * size), "margin of a generated token");
        if (margin > 1e-4) assert_int_equal(item.out.items[i], best);
    }
    free(rows);
    free(all);
    ts_gen_release(&item, 1);
}

/* A golden continuation, up to the first token that could fall the other way. */
static void check_continuation(const family *f, const char *which) {
    const ts_json *g = member(f->golden, which), *margins = member(g, "margins");
    double sure = TS_MAX(2e-4, 16 * f->noise_logits);
    size_t n_prompt, n, i = 0;
    int32_t *prompt = golden_ids(member(g, "prompt"), &n_prompt), *want = golden_ids(member(g, "ids"), &n);
    ts_gen_item item = generate(f, NULL, prompt, n_prompt, n);
    for (; i < n && golden_at(margins, i) > sure; i++) {
        assert_near(item.margins[i], golden_at(margins, i), sure / 4, which);
        assert_int_equal(item.out.items[i], want[i]);
    }
    assert_true(i > n / 4); /* enough of them say something */
    ts_gen_release(&item, 1);
    free(prompt);
    free(want);
}

static void check_generation(const family *f) {
    size_t n;
    int32_t *prompt = golden_ids(member(member(f->golden, "greedy"), "prompt"), &n);
    check_continuation(f, "greedy");
    check_continuation(f, "long");
    check_decoding(f, NULL, prompt, n, 16);
    check_decoding(f, f->adapter, prompt, n, 16);
    check_decoding(f, f->saved, prompt, n, 16);
    free(prompt);
}

static void copy_into(const char *from_dir, const char *from, const char *to_dir, const char *to) {
    char *a = ts_path_join(from_dir, from), *b = ts_path_join(to_dir, to);
    assert_ok(ts_file_copy(a, b, &err));
    free(a);
    free(b);
}

/* Equal bits of the logits of both sequences. */
static void check_same_bits(const family *f, const char *spec) {
    ts_model *m = NULL;
    ts_net *n = NULL;
    assert_ok(ts_model_open(&m, spec, &err));
    assert_ok(ts_net_new(&n, m, NULL, &err));
    for (size_t i = 0; i < f->batch.n; i++) {
        const ts_seq *s = &f->batch.seqs[i];
        float *a = logits_of(f->n, NULL, f->m, s->ids, s->n), *b = logits_of(n, NULL, m, s->ids, s->n);
        assert_memory_equal(a, b, s->n * m->config.vocab * sizeof *a);
        free(a);
        free(b);
    }
    ts_net_free(n);
    ts_model_close(m);
}

/* config4.json: the same settings as transformers 4 wrote them. */
static void check_older_config(const family *f, const char *folder) {
    const char *dir = ts_test_dir();
    copy_into(folder, "config4.json", dir, "config.json");
    copy_into(folder, "model.safetensors", dir, "model.safetensors");
    check_same_bits(f, dir);
}

/* The tensors read and written again by us are the same file, byte for byte, and the same model. */
static void check_written_again(const family *f) {
    const char *dir = ts_test_dir();
    char *from = ts_path_join(f->dir, "model.safetensors"), *to = ts_path_join(dir, "model.safetensors");
    ts_safetensors *s;
    ts_map a, b;
    assert_ok(ts_safetensors_open(&s, from, &err));
    size_t n = ts_safetensors_count(s);
    ts_tensor *all = ts_malloc(n * sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = *ts_safetensors_at(s, i);
    assert_ok(ts_safetensors_write(to, all, n, &err));
    assert_ok(ts_map_open(&a, from, &err));
    assert_ok(ts_map_open(&b, to, &err));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    ts_map_close(&a);
    ts_map_close(&b);
    ts_safetensors_close(s);
    copy_into(f->dir, "config.json", dir, "config.json");
    check_same_bits(f, dir);
    free(all);
    free(from);
    free(to);
}

/* A folder that holds the model of another one in another form. */
static void is_the_same(const char *dir, const char *as) {
    family f;
    open_family(&f, as);
    check_same_bits(&f, dir);
    check_older_config(&f, dir);
    close_family(&f);
}

static void agrees(void **state) {
    family f;
    char *dir = folder_of(*state);
    ts_json *golden = read_golden(dir);
    const char *as = ts_json_str(ts_json_get(golden, "same_as"), NULL);
    if (as) is_the_same(dir, as);
    ts_json_free(golden);
    free(dir);
    if (as) return;
    open_family(&f, *state);
    check_logits(&f);
    check_nll(&f);
    check_gradients(&f);
    check_generation(&f);
    check_older_config(&f, f.dir);
    check_written_again(&f);
    close_family(&f);
}

int main(void) {
    ts_names names = {0};
    ts_err local;
    ts_assert(ts_dir_list(ts_test_source("tests/golden"), &names, &local) == TS_OK);
    struct CMUnitTest *tests = ts_calloc(names.n, sizeof *tests);
    size_t n = 0;
    for (size_t i = 0; i < names.n; i++) {
        char *dir = folder_of(names.items[i]);
        char *name = names.items[i];
        if (ts_is_dir(dir)) tests[n++] = (struct CMUnitTest){name, agrees, NULL, NULL, name};
        free(dir);
    }
    ts_assert(n > 0);
    int failed = _cmocka_run_group_tests("families", tests, n, NULL, NULL);
    free(tests);
    ts_names_release(&names);
    return failed;
}
