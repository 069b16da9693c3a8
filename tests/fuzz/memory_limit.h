/* A bound on what a reader may hold while it reads a hostile file: ten times the file, and a floor for what does not
 * depend on it. Counted in builds with AddressSanitizer, whose hooks see every allocation; other builds count nothing.
 */
#ifndef TS_TESTS_FUZZ_MEMORY_LIMIT_H
#define TS_TESTS_FUZZ_MEMORY_LIMIT_H

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEMORY_COUNTED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define MEMORY_COUNTED 1
#endif

/* From here to the end of the block, `size` bytes of input may cost ten times as much and 16 MB. */
#define LIMIT_MEMORY(size)                                                                                             \
    __attribute__((cleanup(memory_unlimited), unused)) int memory_limit = memory_limited((size_t)(size)*10 + (16 << 20))

#ifdef MEMORY_COUNTED
size_t __sanitizer_get_allocated_size(const volatile void *p);
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

static atomic_llong memory_held; /* since the hooks are there; below 0 where older things were freed */
static atomic_llong memory_allowed = LLONG_MAX;

static void memory_taken(const volatile void *p, size_t n) {
    long long held = atomic_fetch_add(&memory_held, (long long)n) + (long long)n;
    (void)p;
    if (held <= atomic_load(&memory_allowed)) return;
    atomic_store(&memory_allowed, LLONG_MAX);
    fprintf(stderr, "memory limit: an allocation of %zu bytes goes past it\n", n);
    abort();
}

static void memory_given_back(const volatile void *p) {
    if (p) atomic_fetch_sub(&memory_held, (long long)__sanitizer_get_allocated_size(p));
}

static inline int memory_limited(size_t more) {
    static int installed;
    if (!installed) installed = 1 + __sanitizer_install_malloc_and_free_hooks(memory_taken, memory_given_back);
    atomic_store(&memory_allowed, atomic_load(&memory_held) + (long long)more);
    return 0;
}

static inline void memory_unlimited(int *ignored) {
    (void)ignored;
    atomic_store(&memory_allowed, LLONG_MAX);
}
#else
static inline int memory_limited(size_t more) {
    (void)more;
    return 0;
}

static inline void memory_unlimited(int *ignored) {
    (void)ignored;
}
#endif

#endif
