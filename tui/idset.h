/* A set of row ids: the marks. */
#ifndef TS_TUI_IDSET_H
#define TS_TUI_IDSET_H

#include "core/base/mem.h"

typedef struct ts_idset {
    int64_t *slots; /* 0: free; ids are above 0 */
    size_t n, cap;
} ts_idset;

bool ts_idset_has(const ts_idset *s, int64_t id);
void ts_idset_put(ts_idset *s, int64_t id, bool in);
void ts_idset_clear(ts_idset *s); /* frees */
/* All of them in rising order, new, n of them. */
int64_t *ts_idset_list(const ts_idset *s);

#endif
