/* Allocation. Small things abort the program when memory is out (after the terminal is restored); what grows with
 * the data (tensors, whole files) uses ts_try_alloc and reports. Sizes from data are multiplied with ts_mul. */
#ifndef TS_BASE_MEM_H
#define TS_BASE_MEM_H

#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Never return NULL; n = 0 gives a pointer that can be freed. Freed with free(). */
void *ts_malloc(size_t n);
void *ts_calloc(size_t count, size_t size);
void *ts_realloc(void *p, size_t n);
char *ts_strdup(const char *s);
char *ts_strndup(const char *s, size_t n); /* copies exactly n bytes and adds a NUL */
char *ts_printf(const char *fmt, ...) TS_PRINTF(1, 2);

/* 64-byte aligned, zeroed, freed with free(); NULL when there is no memory. */
void *ts_try_alloc(size_t count, size_t size);
/* *out = a * b; false on overflow. */
bool ts_mul(size_t a, size_t b, size_t *out);

/* Makes room for `need` elements in the array `p` (element size taken from the type), doubling. */
#define TS_GROW(p, cap, need)                                                                                          \
    do {                                                                                                               \
        if ((size_t)(need) > (cap)) {                                                                                  \
            (cap) = ts_grown((cap), (need));                                                                           \
            (p) = ts_realloc_array((p), (cap), sizeof *(p));                                                           \
        }                                                                                                              \
    } while (0)
/* Appends one element: TS_PUSH(list.items, list.n, list.cap, value). */
#define TS_PUSH(p, n, cap, value)                                                                                      \
    do {                                                                                                               \
        TS_GROW(p, cap, (n) + 1);                                                                                      \
        (p)[(n)++] = (value);                                                                                          \
    } while (0)
size_t ts_grown(size_t cap, size_t need);
void *ts_realloc_array(void *p, size_t count, size_t size);

#define TS_COUNT(array) (sizeof(array) / sizeof *(array))
#define TS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define TS_MAX(a, b) ((a) > (b) ? (a) : (b))

/* An arena: many small pieces with one end of life. Pieces are 16-byte aligned and stay where they are. */
typedef struct ts_arena {
    struct ts_arena_block *head;
} ts_arena;
#define TS_ARENA_INIT                                                                                                  \
    { 0 }
void *ts_arena_alloc(ts_arena *a, size_t n); /* uninitialised; never NULL */
char *ts_arena_strndup(ts_arena *a, const char *s, size_t n);
char *ts_arena_printf(ts_arena *a, const char *fmt, ...) TS_PRINTF(2, 3);
void ts_arena_reset(ts_arena *a);   /* forgets everything, keeps one block for the next use */
void ts_arena_release(ts_arena *a); /* frees everything */

#endif
