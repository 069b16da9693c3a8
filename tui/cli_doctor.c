/* doctor: what this machine calculates with, and what is wrong with it. */
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/linalg.h"
#include "core/base/machine.h"
#include "core/engine/net.h"
#include "core/model/locate.h"
#include "core/work/child.h"
#include "core/work/pool.h"
#include "tui/cli.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct no_opts {
    char unused;
};

struct findings {
    ts_buf features; /* "avx2 avx512f ..." */
    char cpu[128];
    ts_memory memory;
    ts_buf warnings; /* a line each */
    char *models;
};

static const char *const wanted[] = {"avx",      "avx2",        "fma",         "f16c",    "avx512f",
                                     "avx512bw", "avx512_bf16", "avx512_vnni", "amx_bf16"};

static void read_cpu(struct findings *f) {
    ts_buf text = TS_BUF_INIT;
    ts_err ignored;
    if (ts_file_read("/proc/cpuinfo", 1 << 24, &text, &ignored) != TS_OK) return;
    const char *name = strstr(text.data, "model name"), *flags = strstr(text.data, "\nflags");
    if (name && (name = strchr(name, ':'))) sscanf(name + 1, " %127[^\n]", f->cpu);
    char *end = flags ? strchr(flags + 1, '\n') : NULL;
    if (end) *end = 0;
    for (size_t i = 0; flags && i < TS_COUNT(wanted); i++) {
        char word[40];
        snprintf(word, sizeof word, " %s ", wanted[i]);
        size_t n = strlen(flags), k = strlen(wanted[i]);
        bool last = n > k && flags[n - k - 1] == ' ' && strcmp(flags + n - k, wanted[i]) == 0;
        if (strstr(flags, word) || last) ts_buf_printf(&f->features, "%s%s", f->features.len ? " " : "", wanted[i]);
    }
    ts_buf_release(&text);
}

static bool has(const struct findings *f, const char *feature) {
    return strstr(ts_buf_str(&f->features), feature) != NULL;
}

static void find_faults(struct findings *f) {
    const char *kernel = ts_net_kernel(), *cleared = getenv("TUNESMITH_CLEARED"),
               *keep = getenv("TUNESMITH_KEEP_OPENBLAS");
    if (has(f, "avx512f") && strcmp(kernel, "avx512") != 0)
        ts_buf_printf(&f->warnings, "the engine runs its %s kernels although this processor has AVX-512%s\n", kernel,
                      getenv("TUNESMITH_KERNEL") ? ": TUNESMITH_KERNEL asks for them" : "");
    if (!has(f, "avx2")) ts_buf_puts(&f->warnings, "this processor has no AVX2: training will be slow\n");
    if (cleared)
        ts_buf_printf(&f->warnings,
                      "the environment sets %s; tunesmith ignores that (TUNESMITH_KEEP_OPENBLAS=1 obeys)\n", cleared);
    if (keep && strcmp(keep, "1") == 0)
        ts_buf_puts(&f->warnings, "TUNESMITH_KEEP_OPENBLAS=1: OpenBLAS obeys its environment variables\n");
    if (f->memory.available >= 0 && f->memory.available < (int64_t)1500 << 20)
        ts_buf_puts(&f->warnings, "less than 1.5 GB of memory is free: training may be killed\n");
}

/* Versions of the libraries as they are loaded, asked by name so that no foreign header is needed here. */
static void put_libraries(ts_jw *w, ts_buf *text) {
    static const struct {
        const char *name, *symbol;
    } libraries[] = {{"SQLite", "sqlite3_libversion"},
                     {"cJSON", "cJSON_Version"},
                     {"utf8proc", "utf8proc_version"},
                     {"ncurses", "curses_version"}};
    ts_jw_key(w, "libraries");
    ts_jw_obj(w);
    for (size_t i = 0; i < TS_COUNT(libraries); i++) {
        const char *(*version)(void) = NULL;
        void *found = dlsym(RTLD_DEFAULT, libraries[i].symbol);
        memcpy(&version, &found, sizeof version);
        ts_jw_kstr(w, libraries[i].name, version ? version() : NULL);
        ts_buf_printf(text, "%s %s, ", libraries[i].name, version ? version() : "?");
    }
    ts_jw_kstr(w, "OpenBLAS", ts_linalg_config());
    ts_buf_printf(text, "%s", ts_linalg_config());
    ts_jw_end_obj(w);
}

static void put_list(ts_jw *w, const char *key, const ts_buf *text, char separator) {
    ts_jw_key(w, key);
    ts_jw_arr(w);
    for (const char *at = ts_buf_str(text); *at;) {
        const char *end = strchr(at, separator);
        size_t n = end ? (size_t)(end - at) : strlen(at);
        if (n) ts_jw_strn(w, at, n);
        at += n + (end ? 1 : 0);
    }
    ts_jw_end_arr(w);
}

static void put_bytes(ts_jw *w, const char *key, int64_t v) {
    ts_jw_key(w, key);
    if (v >= 0)
        ts_jw_int(w, v);
    else
        ts_jw_null(w);
}

static void print_findings(const ts_cmd *cmd, const struct findings *f) {
    ts_buf json = TS_BUF_INIT, libraries = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&json);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "version", TS_VERSION);
    ts_jw_kstr(&w, "cpu", f->cpu);
    put_list(&w, "features", &f->features, ' ');
    ts_jw_kstr(&w, "kernel", ts_net_kernel());
    ts_jw_kstr(&w, "blas_kernel", ts_linalg_kernel());
    ts_jw_kint(&w, "threads", ts_pool_threads());
    put_bytes(&w, "memory_total", f->memory.total);
    put_bytes(&w, "memory_available", f->memory.available);
    put_bytes(&w, "memory_limit", f->memory.limit);
    ts_jw_kstr(&w, "models", f->models);
    put_libraries(&w, &libraries);
    put_list(&w, "warnings", &f->warnings, '\n');
    ts_jw_end_obj(&w);
    if (cmd->json) {
        ts_cmd_print_line(&json);
    } else {
        printf("tunesmith %s\nprocessor   %s\nfeatures    %s\nkernel      %s (OpenBLAS: %s), %d threads\n", TS_VERSION,
               f->cpu, ts_buf_str(&f->features), ts_net_kernel(), ts_linalg_kernel(), ts_pool_threads());
        printf("memory      %.1f GB, %.1f GB free\nmodels      %s\nlibraries   %s\n", (double)f->memory.total / 1e9,
               (double)f->memory.available / 1e9, f->models, ts_buf_str(&libraries));
        printf("%s%s", f->warnings.len ? "\n" : "\nno complaints\n", ts_buf_str(&f->warnings));
    }
    ts_buf_release(&json);
    ts_buf_release(&libraries);
}

static int run_doctor(const ts_cmd *cmd, const void *opts) {
    struct findings f = {.models = ts_models_dir()};
    (void)opts;
    ts_child_restart_clean();
    read_cpu(&f);
    ts_memory_read(&f.memory);
    find_faults(&f);
    print_findings(cmd, &f);
    ts_buf_release(&f.features);
    ts_buf_release(&f.warnings);
    free(f.models);
    return TS_EXIT_OK;
}

const ts_verb ts_verb_doctor = {
    .name = "doctor",
    .args = "",
    .help = "processor, OpenBLAS kernel, memory, libraries, and what is wrong with them",
    .size = sizeof(struct no_opts),
    .run = run_doctor,
};
