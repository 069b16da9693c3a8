/* bench_train MODEL [what...]: what a model gives on this machine, one line per measurement.
 *
 * qv, all: LoRA steps (forward, backward, AdamW), r 16, 4 sequences of 256 tokens, all labelled. prefill: a prompt of
 * 512 tokens. decode: 128 tokens of one stream. compare: 32 prompts x (base, adapter), 64 new tokens each. Without
 * names all of them. `cpu` is processor time per thread: on a machine with other work it says more than the clock. */
#include "core/base/clock.h"
#include "core/base/rand.h"
#include "core/engine/kernels.h"
#include "core/engine/net.h"
#include "core/engine/optim.h"
#include "core/work/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static ts_err err;

static void must(ts_status s) {
    if (s == TS_OK) return;
    fprintf(stderr, "%s\n", err.text);
    exit(1);
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) / ts_pool_threads();
}

static double peak_mib(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}

static void report(const char *what, double tokens, double wall, double cpu) {
    printf("%-18s %8.1f tok/s  (%.3f s; by processor time %.1f tok/s)  peak %.0f MiB\n", what, tokens / wall, wall,
           tokens / cpu, peak_mib());
    fflush(stdout);
}

static int32_t *random_ids(const ts_model *m, size_t n) {
    int32_t *ids = ts_malloc(n * sizeof *ids);
    ts_rand r;
    ts_rand_seed(&r, 1);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)ts_rand_below(&r, m->config.vocab);
    return ids;
}

static void bench_lora(const ts_model *m, ts_net *n, const char *targets, const char *name) {
    enum { SEQS = 4, LEN = 256, STEPS = 3 };
    ts_adapter_settings set = {.r = 16, .alpha = 32};
    ts_adapter *a, *grad, *mean, *var;
    must(ts_targets_set(&set, targets, m, &err));
    must(ts_adapter_make(&a, m, &set, 1, &err));
    ts_adapter_settings_release(&set);
    must(ts_adapter_zero_like(&grad, a, &err));
    must(ts_adapter_zero_like(&mean, a, &err));
    must(ts_adapter_zero_like(&var, a, &err));
    int32_t *ids = random_ids(m, SEQS * LEN);
    ts_seq seqs[SEQS];
    for (size_t i = 0; i < SEQS; i++)
        seqs[i] = (ts_seq){ids + i * LEN, ids + i * LEN, LEN, NULL};
    double wall = 1e30, cpu = 1e30;
    for (size_t step = 1; step <= STEPS; step++) {
        double nll, w = ts_now(), c = cpu_seconds();
        size_t count;
        memset(grad->block, 0, grad->n_params * sizeof *grad->block);
        must(ts_net_backward(n, a, seqs, SEQS, (ts_dropout){0}, grad, &nll, &count, NULL, &err));
        for (size_t i = 0; i < grad->n_params; i++)
            grad->block[i] /= (float)count;
        ts_adamw o = TS_ADAMW_DEFAULTS;
        o.lr = 1e-4;
        ts_adamw_step(&o, step, a->block, grad->block, mean->block, var->block, a->n_params);
        wall = TS_MIN(wall, ts_now() - w);
        cpu = TS_MIN(cpu, cpu_seconds() - c);
    }
    report(name, SEQS * LEN, wall, cpu);
    free(ids);
    ts_adapter_free(a), ts_adapter_free(grad), ts_adapter_free(mean), ts_adapter_free(var);
}

static void bench_generate(const ts_model *m, ts_net *n, size_t prompts, size_t sides, size_t len, size_t max_new,
                           const char *name) {
    ts_adapter *a;
    must(ts_adapter_new(&a, m, 16, 32, 0, false, 0x7f, 1, &err));
    int32_t *ids = random_ids(m, prompts * len);
    ts_gen_item *items = ts_calloc(prompts * sides, sizeof *items);
    for (size_t i = 0; i < prompts * sides; i++)
        items[i] = (ts_gen_item){.prompt = ids + i / sides * len, .n_prompt = len, .adapter = i % sides ? a : NULL};
    ts_gen_options o = {.max_new_tokens = max_new, .sampling = TS_SAMPLING_GREEDY};
    double w = ts_now(), c = cpu_seconds();
    must(ts_net_generate(n, items, prompts * sides, &o, NULL, &err));
    report(name, max_new > 1 ? (double)(prompts * sides * max_new) : (double)len, ts_now() - w, cpu_seconds() - c);
    ts_gen_release(items, prompts * sides);
    free(items);
    free(ids);
    ts_adapter_free(a);
}

static void unset_openblas(char **argv) {
    if (!getenv("OPENBLAS_CORETYPE") && !getenv("OPENBLAS_L2_SIZE")) return;
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv("OPENBLAS_L2_SIZE");
    execv("/proc/self/exe", argv);
}

static bool wanted(int argc, char **argv, const char *name) {
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return true;
    return argc == 2;
}

int main(int argc, char **argv) {
    unset_openblas(argv);
    if (argc < 2) {
        fprintf(stderr, "use: bench_train MODEL [qv] [all] [prefill] [decode] [compare]\n");
        return 2;
    }
    double start = ts_now();
    ts_model *m;
    ts_net *n;
    must(ts_model_open(&m, argv[1], &err));
    must(ts_net_new(&n, m, NULL, &err));
    printf("%s: kernel %s, %d threads, opened in %.3f s\n", argv[1], ts_kernels_get()->name, ts_pool_threads(),
           ts_now() - start);
    if (wanted(argc, argv, "prefill")) bench_generate(m, n, 1, 1, 513, 1, "prefill 512");
    if (wanted(argc, argv, "decode")) bench_generate(m, n, 1, 1, 1, 128, "decode 128");
    if (wanted(argc, argv, "compare")) bench_generate(m, n, 32, 2, 40, 64, "compare 32 x 2 x 64");
    if (wanted(argc, argv, "qv")) bench_lora(m, n, "q_proj,v_proj", "LoRA q,v r16");
    if (wanted(argc, argv, "all")) bench_lora(m, n, "all-linear", "LoRA all r16");
    ts_net_free(n);
    ts_model_close(m);
    return 0;
}
