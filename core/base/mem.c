#include "core/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p) {
    if (!p)
        ts_fatal(
            "out of memory: close other programs or work on less data, then start again. Nothing committed is lost");
    return p;
}

void *ts_malloc(size_t n) {
    return checked(malloc(n ? n : 1));
}

void *ts_calloc(size_t count, size_t size) {
    return checked(count && size ? calloc(count, size) : calloc(1, 1));
}

void *ts_realloc(void *p, size_t n) {
    return checked(realloc(p, n ? n : 1));
}

char *ts_strndup(const char *s, size_t n) {
    char *copy = ts_malloc(n + 1);
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *ts_strdup(const char *s) {
    return ts_strndup(s, strlen(s));
}

char *ts_printf(const char *fmt, ...) {
    va_list ap;
    char *text = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return checked(n < 0 ? NULL : text);
}

bool ts_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

void *ts_try_alloc(size_t count, size_t size) {
    size_t bytes;
    void *p = NULL;
    if (!ts_mul(count, size, &bytes) || bytes > SIZE_MAX - 64) return NULL;
    bytes = bytes ? bytes : 1;
    if (posix_memalign(&p, 64, bytes) != 0) return NULL;
    memset(p, 0, bytes);
    return p;
}

size_t ts_grown(size_t cap, size_t need) {
    size_t next = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
    next = TS_MAX(next, 8);
    return TS_MAX(next, need);
}

void *ts_realloc_array(void *p, size_t count, size_t size) {
    size_t bytes;
    if (!ts_mul(count, size, &bytes)) ts_fatal("out of memory: an array would be larger than the address space");
    return ts_realloc(p, bytes);
}

/* Blocks form a list, newest first; only the newest has room left. */
struct ts_arena_block {
    struct ts_arena_block *next;
    size_t used, cap;
    _Alignas(16) char data[];
};

enum { FIRST_BLOCK = 16 * 1024 };

void *ts_arena_alloc(ts_arena *a, size_t n) {
    if (n > SIZE_MAX / 2) ts_fatal("out of memory: a piece of text would be larger than the address space");
    n = (n + 15) & ~(size_t)15;
    struct ts_arena_block *b = a->head;
    if (!b || b->cap - b->used < n) {
        size_t cap = TS_MAX(n, b ? TS_MIN(b->cap * 2, (size_t)4 << 20) : (size_t)FIRST_BLOCK);
        b = ts_malloc(sizeof *b + cap);
        b->next = a->head;
        b->used = 0;
        b->cap = cap;
        a->head = b;
    }
    void *p = b->data + b->used;
    b->used += n;
    return p;
}

char *ts_arena_strndup(ts_arena *a, const char *s, size_t n) {
    char *copy = ts_arena_alloc(a, n + 1);
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

char *ts_arena_printf(ts_arena *a, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ts_assert(n >= 0);
    char *text = ts_arena_alloc(a, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

static void free_blocks(struct ts_arena_block *b) {
    while (b) {
        struct ts_arena_block *next = b->next;
        free(b);
        b = next;
    }
}

void ts_arena_reset(ts_arena *a) {
    if (!a->head) return;
    free_blocks(a->head->next);
    a->head->next = NULL;
    a->head->used = 0;
}

void ts_arena_release(ts_arena *a) {
    free_blocks(a->head);
    a->head = NULL;
}
