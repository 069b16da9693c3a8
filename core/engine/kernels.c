#include "core/engine/kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic(const ts_kernels *) chosen;

const ts_kernels *ts_kernels_named(const char *name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    /* f16c, which clang 14 cannot be asked for, comes with every processor that has AVX2 */
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (strcmp(name, "avx512") == 0) return avx512 ? ts_kernels_avx512() : NULL;
    if (strcmp(name, "exact") == 0) return avx2 ? ts_kernels_exact() : NULL;
    if (strcmp(name, "avx2") == 0) return avx2 ? ts_kernels_avx2() : NULL;
#endif
    return strcmp(name, "plain") == 0 ? ts_kernels_plain() : NULL;
}

static const ts_kernels *choose(void) {
    static const char *const order[] = {"avx512", "avx2", "plain"};
    const char *wish = getenv("TUNESMITH_KERNEL");
    const ts_kernels *k = wish ? ts_kernels_named(wish) : NULL;
    for (size_t i = 0; !k && i < TS_COUNT(order); i++)
        k = ts_kernels_named(order[i]);
    return k;
}

const ts_kernels *ts_kernels_get(void) {
    const ts_kernels *k = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (!k) {
        k = choose(); /* the same one whoever asks first */
        atomic_store_explicit(&chosen, k, memory_order_relaxed);
    }
    return k;
}

void ts_kernels_use(const ts_kernels *k) {
    atomic_store_explicit(&chosen, k, memory_order_relaxed);
}
