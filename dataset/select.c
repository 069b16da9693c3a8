#include "dataset/select.h"

#include "core/base/linalg.h"
#include "dataset/tfidf.h"
#include "dataset/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 512, BLOCK = 256, D = TS_TFIDF_DIMS };

struct candidate {
    int64_t id;
    double score;
    int *quotas; /* indexes of the quotas whose tag it has, -1 at the end; NULL for none */
};

struct selecting {
    ts_select_options *o;
    ts_progress *progress;
    ts_selection *out;
    struct candidate *rows;
    size_t n, cap_picks;
    ts_tfidf texts;
    ts_arena arena;
};

/* ---- quotas ---- */

ts_status ts_select_quotas(ts_select_options *options, const char *text, ts_err *err) {
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ","), tag = n;
        while (tag > 0 && p[tag - 1] != ':')
            tag--;
        char *end;
        long long count = tag ? strtoll(p + tag, &end, 10) : 0;
        if (tag < 2 || tag > 65 || count < 1 || end != p + n)
            return ts_fail(err, TS_INVALID, "a quota is tag:number, not \"%.*s\"", (int)TS_MIN(n, 80), p);
        if (options->n_quotas == TS_SELECT_QUOTAS)
            return ts_fail(err, TS_INVALID, "there are more than %d quotas", TS_SELECT_QUOTAS);
        ts_quota *q = &options->quotas[options->n_quotas++];
        *q = (ts_quota){.count = count};
        memcpy(q->tag, p, tag - 1);
        p += n + (p[n] == ',');
    }
    return TS_OK;
}

static bool has_tag(const char *tags, const char *tag) {
    size_t n = strlen(tag);
    for (const char *p = tags; (p = strstr(p, tag)) != NULL; p += n)
        if ((p == tags || p[-1] == ' ') && (!p[n] || p[n] == ' ')) return true;
    return false;
}

static int *quotas_of(struct selecting *s, const char *tags) {
    int found[TS_SELECT_QUOTAS + 1], n = 0;
    for (size_t i = 0; i < s->o->n_quotas; i++)
        if (has_tag(tags, s->o->quotas[i].tag)) found[n++] = (int)i;
    if (!n) return NULL;
    found[n++] = -1;
    int *list = ts_arena_alloc(&s->arena, (size_t)n * sizeof *list);
    memcpy(list, found, (size_t)n * sizeof *list);
    return list;
}

/* The place that the row could take: a quota's index, -1 for an open place, -2 for none. */
static int place_for(const struct selecting *s, size_t i) {
    int64_t kept = 0, taken = 0;
    const int *q = s->rows[i].quotas;
    for (; q && *q >= 0; q++)
        if (s->o->quotas[*q].taken < s->o->quotas[*q].count) return *q;
    if (s->rows[i].quotas) return -2;
    for (size_t k = 0; k < s->o->n_quotas; k++) {
        kept += s->o->quotas[k].count;
        taken += s->o->quotas[k].taken;
    }
    return (int64_t)s->out->n - taken < s->o->count - kept ? -1 : -2;
}

static bool full(const struct selecting *s) {
    return (int64_t)s->out->n >= s->o->count;
}

/* nearest: index of a pick, SIZE_MAX for none. */
static void take(struct selecting *s, size_t i, int place, size_t nearest, double likeness, double gain) {
    ts_pick p = {s->rows[i].id,
                 (int64_t)i + 1,
                 s->rows[i].score,
                 nearest == SIZE_MAX ? 0 : s->out->picks[nearest].id,
                 nearest == SIZE_MAX ? NAN : likeness,
                 gain,
                 place};
    if (place >= 0) s->o->quotas[place].taken++;
    TS_PUSH(s->out->picks, s->out->n, s->cap_picks, p);
    ts_progress_set(s->progress, (int64_t)s->out->n, s->o->count);
}

/* ---- reading ---- */

static ts_status read_rows(struct selecting *s, ts_store *st, const ts_view *v, ts_err *err) {
    ts_arena arena = TS_ARENA_INIT;
    ts_buf text = TS_BUF_INIT;
    ts_row *rows = ts_malloc(PIECE * sizeof *rows);
    ts_status status = TS_OK;
    size_t n = ts_view_count(v);
    if (s->o->method == TS_SELECT_FACILITY) n = TS_MIN(n, (size_t)TS_SELECT_FACILITY_ROWS);
    if (s->o->method == TS_SELECT_FARTHEST) n = TS_MIN(n, (size_t)TS_SELECT_FARTHEST_ROWS);
    s->rows = ts_malloc(TS_MAX(n, 1) * sizeof *s->rows);
    for (size_t i = 0; i < n && status == TS_OK; i += PIECE) {
        size_t m = TS_MIN((size_t)PIECE, n - i);
        ts_arena_reset(&arena);
        status = ts_rows_read(st, ts_view_ids(v) + i, m, rows, &arena, err);
        for (size_t k = 0; k < m && status == TS_OK; k++) {
            const ts_row *r = &rows[k];
            if (r->gone) continue;
            ts_buf_reset(&text);
            ts_buf_add(&text, r->instruction.s, r->instruction.n);
            ts_buf_putc(&text, '\n');
            ts_buf_add(&text, r->input.s, r->input.n);
            ts_buf_putc(&text, '\n');
            ts_buf_add(&text, r->output.s, r->output.n);
            ts_tfidf_add(&s->texts, text.data, text.len);
            s->rows[s->n++] = (struct candidate){r->id, r->score, quotas_of(s, r->tags)};
        }
        ts_progress_set(s->progress, (int64_t)(i + m), (int64_t)n);
        if (status == TS_OK && ts_cancelled(s->progress)) status = ts_fail(err, TS_CANCELLED, "the choice was stopped");
    }
    free(rows);
    ts_buf_release(&text);
    ts_arena_release(&arena);
    return status;
}

/* ---- gate ---- */

/* Vectors of the picks, one below the other. */
struct chosen {
    float *x;
    size_t cap;
};

/* The pick most like candidate k of a block: among the `old` ones whose likenesses are in `far`, and those taken from
 * this block (`mine`, their places in it), in `near`. */
static size_t most_like(const float *far, size_t old, const float *near, const size_t *mine, size_t n_mine,
                        double *likeness) {
    size_t best = SIZE_MAX;
    *likeness = -2;
    for (size_t j = 0; j < old + n_mine; j++) {
        double like = (double)(j < old ? far[j] : near[mine[j - old]]);
        if (like <= *likeness) continue;
        *likeness = like;
        best = j;
    }
    return best;
}

static void gate_block(struct selecting *s, size_t first, size_t m, struct chosen *c, float *x, float *far,
                       float *near) {
    size_t old = s->out->n, mine[BLOCK], n_mine = 0;
    for (size_t k = 0; k < m; k++)
        ts_tfidf_vector(&s->texts, first + k, x + k * D);
    if (old) ts_sgemm(false, true, m, old, D, 1, x, D, c->x, D, 0, far, old);
    ts_sgemm(false, true, m, m, D, 1, x, D, x, D, 0, near, m);
    for (size_t k = 0; k < m && !full(s); k++) {
        double likeness;
        size_t nearest = most_like(far + k * old, old, near + k * m, mine, n_mine, &likeness);
        int place = place_for(s, first + k);
        s->out->considered++;
        if (place == -2) {
            s->out->quota_full++;
        } else if (nearest != SIZE_MAX && likeness >= s->o->gate) {
            s->out->too_alike++;
        } else {
            take(s, first + k, place, nearest, likeness, NAN);
            TS_GROW(c->x, c->cap, s->out->n * D);
            memcpy(c->x + (s->out->n - 1) * D, x + k * D, D * sizeof *x);
            mine[n_mine++] = k;
        }
    }
}

static ts_status select_gate(struct selecting *s, ts_err *err) {
    struct chosen c = {0};
    ts_status status = TS_OK;
    size_t most = TS_MIN((size_t)s->o->count, s->n);
    float *x = ts_malloc(BLOCK * D * sizeof *x), *near = ts_malloc(BLOCK * BLOCK * sizeof *near);
    float *far = ts_try_alloc(BLOCK * TS_MAX(most, 1), sizeof *far);
    if (!far) status = ts_fail(err, TS_NO_MEMORY, "no memory to choose %zu rows", most);
    for (size_t i = 0; i < s->n && !full(s) && status == TS_OK; i += BLOCK) {
        gate_block(s, i, TS_MIN((size_t)BLOCK, s->n - i), &c, x, far, near);
        if (ts_cancelled(s->progress)) status = ts_fail(err, TS_CANCELLED, "the choice was stopped");
    }
    free(c.x);
    free(x);
    free(near);
    free(far);
    return status;
}

/* ---- farthest ---- */

static ts_status all_vectors(struct selecting *s, float **out, ts_err *err) {
    *out = ts_try_alloc(TS_MAX(s->n, 1) * D, sizeof **out);
    if (!*out) return ts_fail(err, TS_NO_MEMORY, "no memory for the vectors of %zu rows", s->n);
    for (size_t i = 0; i < s->n; i++)
        ts_tfidf_vector(&s->texts, i, *out + i * D);
    s->out->considered = (int64_t)s->n;
    return TS_OK;
}

static ts_status select_farthest(struct selecting *s, ts_err *err) {
    float *x, *like = ts_malloc(TS_MAX(s->n, 1) * sizeof *like), *best = ts_malloc(TS_MAX(s->n, 1) * sizeof *best);
    size_t *nearest = ts_malloc(TS_MAX(s->n, 1) * sizeof *nearest);
    bool *gone = ts_calloc(TS_MAX(s->n, 1), sizeof *gone);
    ts_status status = all_vectors(s, &x, err);
    for (size_t i = 0; i < s->n; i++) {
        best[i] = -2;
        nearest[i] = SIZE_MAX;
    }
    while (status == TS_OK && !full(s)) {
        size_t next = SIZE_MAX;
        for (size_t i = 0; i < s->n; i++)
            if (!gone[i] && (next == SIZE_MAX || best[i] < best[next]) && place_for(s, i) != -2) next = i;
        if (next == SIZE_MAX) break;
        gone[next] = true;
        take(s, next, place_for(s, next), nearest[next], (double)best[next], NAN);
        ts_sgemm(false, true, s->n, 1, D, 1, x, D, x + next * D, D, 0, like, 1);
        for (size_t i = 0; i < s->n; i++)
            if (like[i] > best[i]) {
                best[i] = like[i];
                nearest[i] = s->out->n - 1;
            }
        if (ts_cancelled(s->progress)) status = ts_fail(err, TS_CANCELLED, "the choice was stopped");
    }
    free(x);
    free(like);
    free(best);
    free(nearest);
    free(gone);
    return status;
}

/* ---- facility location ---- */

static double gain_of(const float *like, const float *best, size_t n) {
    double gain = 0;
    for (size_t i = 0; i < n; i++)
        if (like[i] > best[i]) gain += (double)(like[i] - best[i]);
    return gain;
}

/* The row that adds most, with its gain. Gains only fall, so what was found earlier is an upper bound: a row whose
 * bound is not above the best gain found need not be looked at. */
static size_t best_facility(struct selecting *s, const float *like, const float *best, double *bound, const bool *gone,
                            double *gain) {
    size_t found = SIZE_MAX;
    *gain = -1;
    for (size_t i = 0; i < s->n; i++) {
        if (gone[i] || bound[i] <= *gain || place_for(s, i) == -2) continue;
        bound[i] = gain_of(like + i * s->n, best, s->n);
        if (bound[i] <= *gain) continue;
        *gain = bound[i];
        found = i;
    }
    return found;
}

static size_t nearest_pick(const struct selecting *s, const float *like, double *likeness) {
    size_t nearest = SIZE_MAX;
    *likeness = -2;
    for (size_t j = 0; j < s->out->n; j++) {
        double l = (double)like[s->out->picks[j].rank - 1];
        if (l <= *likeness) continue;
        *likeness = l;
        nearest = j;
    }
    return nearest;
}

static ts_status select_facility(struct selecting *s, ts_err *err) {
    size_t n = s->n;
    float *x, *like = ts_try_alloc(TS_MAX(n * n, 1), sizeof *like), *best = ts_calloc(TS_MAX(n, 1), sizeof *best);
    double *bound = ts_malloc(TS_MAX(n, 1) * sizeof *bound), gain, likeness;
    bool *gone = ts_calloc(TS_MAX(n, 1), sizeof *gone);
    ts_status status = all_vectors(s, &x, err);
    if (status == TS_OK && !like) status = ts_fail(err, TS_NO_MEMORY, "no memory for the likenesses of %zu rows", n);
    if (status == TS_OK && n) ts_sgemm(false, true, n, n, D, 1, x, D, x, D, 0, like, n);
    for (size_t i = 0; i < n; i++)
        bound[i] = HUGE_VAL;
    while (status == TS_OK && !full(s)) {
        size_t next = best_facility(s, like, best, bound, gone, &gain);
        if (next == SIZE_MAX) break;
        size_t nearest = nearest_pick(s, like + next * n, &likeness);
        gone[next] = true;
        take(s, next, place_for(s, next), nearest, likeness, gain / (double)n);
        for (size_t i = 0; i < n; i++)
            best[i] = TS_MAX(best[i], like[next * n + i]);
        if (ts_cancelled(s->progress)) status = ts_fail(err, TS_CANCELLED, "the choice was stopped");
    }
    free(x);
    free(like);
    free(best);
    free(bound);
    free(gone);
    return status;
}

/* ---- the act ---- */

static ts_status accept_picks(ts_store *st, ts_selection *out, ts_err *err) {
    int64_t *ids = ts_malloc(TS_MAX(out->n, 1) * sizeof *ids);
    for (size_t i = 0; i < out->n; i++)
        ids[i] = out->picks[i].id;
    ts_status status = ts_rows_set_status(st, ids, out->n, TS_ACCEPTED, &out->done, err);
    free(ids);
    return status;
}

ts_status ts_select_rows(ts_store *st, ts_select_options *options, ts_progress *progress, ts_selection *out,
                         ts_err *err) {
    static ts_status (*const methods[])(struct selecting * s, ts_err * err) = {select_gate, select_facility,
                                                                               select_farthest};
    struct selecting s = {.o = options, .progress = progress, .out = out, .arena = TS_ARENA_INIT};
    ts_view *view = NULL;
    char *sort = ts_printf("-%s", options->by);
    ts_status status;
    *out = (ts_selection){0};
    ts_tfidf_init(&s.texts);
    ts_progress_what(progress, "reading words");
    TS_GOTO(ts_view_new(&view, st, options->where ? options->where : "status!=rejected", sort, progress, NULL, err));
    out->rows = (int64_t)ts_view_count(view);
    TS_GOTO(read_rows(&s, st, view, err));
    ts_progress_what(progress, "choosing");
    TS_GOTO(methods[options->method](&s, err));
    if (options->apply) TS_GOTO(accept_picks(st, out, err));
out:
    if (status != TS_OK) free(out->picks);
    if (status != TS_OK) *out = (ts_selection){0};
    free(sort);
    free(s.rows);
    ts_tfidf_release(&s.texts);
    ts_arena_release(&s.arena);
    ts_view_free(view);
    return status;
}
