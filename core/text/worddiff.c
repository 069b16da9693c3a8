/* Myers' greedy algorithm (An O(ND) Difference Algorithm, 1986) over words: the furthest point reached on each diagonal
 * after d edits; the rows of those points are kept so that the path can be walked back. The cap on d bounds both time
 * and memory: 800 * 801 * 4 bytes = 2.5 MB at worst. */
#include "core/text/worddiff.h"

#include "core/base/hash.h"
#include "core/base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_EDITS = 800, MAX_UNITS = 20000 };

struct unit {
    size_t from, to;
    uint64_t hash;
    bool word, same;
};
struct units {
    struct unit *items;
    size_t n, cap;
};

void ts_spans_release(ts_spans *s) {
    free(s->items);
    *s = (ts_spans){0};
}

enum kind { SPACE, WORD, SIGN };

static enum kind kind_at(const char *s, size_t n, size_t *len) {
    uint32_t cp;
    *len = ts_utf8_decode(s, n, &cp);
    if (cp == ' ' || cp == '\n' || cp == '\t' || cp == '\r' || cp == 0xa0) return SPACE;
    if ((cp >= '0' && cp <= '9') || (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || cp == '_') return WORD;
    if (cp < 0xa0 || (cp >= 0x2000 && cp <= 0x206f) || (cp >= 0x3000 && cp <= 0x303f)) return SIGN;
    return cp >= 0x2e80 && cp <= 0xd7ff ? SIGN : WORD; /* scripts without spaces: a unit a character */
}

static void split(const char *s, size_t n, struct units *out) {
    for (size_t at = 0; at < n && out->n <= MAX_UNITS;) {
        size_t len, from = at;
        enum kind kind = kind_at(s + at, n - at, &len);
        at += len;
        while (kind != SIGN && at < n && kind_at(s + at, n - at, &len) == kind)
            at += len;
        struct unit u = {from, at, ts_hash64(s + from, at - from, 0), kind == WORD, false};
        TS_PUSH(out->items, out->n, out->cap, u);
    }
}

/* Walks the kept rows back from the end and marks the units on diagonals as shared. */
static void walk_back(const int32_t *rows, int d, struct unit *a, int n, struct unit *b, int m) {
    int x = n, y = m;
    for (; d > 0; d--) {
        const int32_t *v = rows + (size_t)(d - 1) * (size_t)d / 2; /* row d-1 has d entries: k = -(d-1), +2 .. d-1 */
        int k = x - y, down;
        /* the same choice as on the way there */
        int left = k - 1 >= -(d - 1) && k - 1 <= d - 1 ? v[(k - 1 + d - 1) / 2] : -1;
        int up = k + 1 >= -(d - 1) && k + 1 <= d - 1 ? v[(k + 1 + d - 1) / 2] : -1;
        down = k == -d || (k != d && left < up);
        int px = down ? up : left, py = px - (down ? k + 1 : k - 1);
        while (x > px + !down && y > py + down)
            a[--x].same = b[--y].same = true;
        x = px;
        y = py;
    }
    while (x > 0 && y > 0)
        a[--x].same = b[--y].same = true;
}

static bool compare(struct unit *a, int n, struct unit *b, int m) {
    bool found = false;
    int32_t *rows = ts_malloc(((size_t)MAX_EDITS + 1) * (MAX_EDITS + 2) / 2 * sizeof *rows);
    for (int d = 0; d <= MAX_EDITS && d <= n + m && !found; d++) {
        int32_t *row = rows + (size_t)d * (size_t)(d + 1) / 2, *before = d ? row - d : row;
        for (int k = -d; k <= d; k += 2) {
            int left = k > -d ? before[(k - 1 + d - 1) / 2] : -1, up = k < d ? before[(k + 1 + d - 1) / 2] : -1;
            int x = d == 0 ? 0 : (k == -d || (k != d && left < up)) ? up : left + 1;
            int y = x - k;
            while (x < n && y < m && x >= 0 && y >= 0 && a[x].hash == b[y].hash)
                x++, y++;
            row[(k + d) / 2] = x;
            if (x >= n && y >= m && x - y == n - m) {
                walk_back(rows, d, a, n, b, m);
                found = true;
                break;
            }
        }
    }
    free(rows);
    return found;
}

static size_t count_words(const struct units *u, bool only_same) {
    size_t count = 0;
    for (size_t i = 0; i < u->n; i++)
        count += u->items[i].word && (!only_same || u->items[i].same);
    return count;
}

/* Neighbouring marks become one; a lone shared space between two marked words is marked too. */
static void collect(const struct units *u, const char *s, ts_spans *out) {
    for (size_t i = 0; i < u->n; i++) {
        const struct unit *x = &u->items[i];
        bool bridge = x->same && x->to - x->from == 1 && s[x->from] == ' ' && i > 0 && !u->items[i - 1].same &&
                      i + 1 < u->n && !u->items[i + 1].same;
        if (x->same && !bridge) continue;
        if (out->n && out->items[out->n - 1].to == x->from)
            out->items[out->n - 1].to = x->to;
        else
            TS_PUSH(out->items, out->n, out->cap, ((ts_span){x->from, x->to}));
    }
}

static bool diff_units(struct units *a, struct units *b) {
    size_t head = 0, tail = 0;
    if (a->n > MAX_UNITS || b->n > MAX_UNITS) return false;
    while (head < a->n && head < b->n && a->items[head].hash == b->items[head].hash)
        a->items[head].same = b->items[head].same = true, head++;
    while (tail < a->n - head && tail < b->n - head &&
           a->items[a->n - 1 - tail].hash == b->items[b->n - 1 - tail].hash) {
        a->items[a->n - 1 - tail].same = b->items[b->n - 1 - tail].same = true;
        tail++;
    }
    if (head + tail < a->n && head + tail < b->n &&
        !compare(a->items + head, (int)(a->n - head - tail), b->items + head, (int)(b->n - head - tail)))
        return false;
    size_t words = TS_MAX(count_words(a, false), count_words(b, false));
    return count_words(a, true) * 5 >= words;
}

bool ts_worddiff(const char *a, size_t na, const char *b, size_t nb, ts_spans *gone, ts_spans *added) {
    struct units ua = {0}, ub = {0};
    split(a, na, &ua);
    split(b, nb, &ub);
    bool marks = diff_units(&ua, &ub);
    if (marks) {
        collect(&ua, a, gone);
        collect(&ub, b, added);
    }
    free(ua.items);
    free(ub.items);
    return marks;
}
