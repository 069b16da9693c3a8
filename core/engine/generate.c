/* Generation: items are admitted while their keys, values and logits fit into MEMORY, fed up to the last token of their
 * prompt in batches of the same adapter, and then advance together, one token a step; the finished leave and the next
 * are admitted. No answer depends on who else is there (decode.h). */
#include "core/engine/decode.h"

#include "core/work/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY ((size_t)1 << 29)
enum { CHUNK = 64 }; /* tokens: an answer's room at the start; a full cache grows by half, by this at least */

typedef struct slot {
    size_t item;
    ts_cache cache;
    int32_t *seen; /* prompt and answer */
    size_t n_seen;
    float margin;
    int32_t next;
    bool live;
} slot;

typedef struct generation {
    ts_net *n;
    ts_gen_item *items;
    size_t n_items;
    const ts_gen_options *o;
    slot *slots; /* admitted, sorted by adapter, then item */
    size_t n_slots;
    size_t next_item, used_bytes;
    ts_decode_row *rows;
    ts_decoder_bufs bufs;
    ts_progress *progress;
} generation;

/* Tokens of prompt and answer together; 0: not known. A file with dynamic scaling names the length before it. */
static size_t context_of(const ts_model *m) {
    const ts_rope *r = &m->rope[0];
    if (r->type != TS_ROPE_DYNAMIC || !(r->factor > 1 && r->factor < 1e6)) return m->config.context;
    return (size_t)((double)m->config.context * r->factor);
}

size_t ts_net_context(const ts_net *n) {
    return context_of(n->m);
}

/* New tokens this item may have: prompt and answer together are as long as the model's context at the most. */
static size_t most_new(const generation *g, const ts_gen_item *item) {
    size_t context = context_of(g->n->m);
    return context ? TS_MIN(g->o->max_new_tokens, context - item->n_prompt) : g->o->max_new_tokens;
}

/* When it is done: what is admitted together must fit to the end, though caches grow only as answers do. */
static size_t item_bytes(const generation *g, const ts_gen_item *item) {
    return ts_cache_bytes(g->n, g->o->f16_cache, item->n_prompt + most_new(g, item)) +
           g->n->m->config.vocab * sizeof(float);
}

static void slot_release(generation *g, slot *s) {
    g->used_bytes -= item_bytes(g, &g->items[s->item]);
    ts_cache_release(&s->cache);
    free(s->seen);
}

static ts_status check_items(const generation *g, ts_err *err) {
    size_t vocab = g->n->m->config.vocab, context = context_of(g->n->m);
    for (size_t i = 0; i < g->n_items; i++) {
        const ts_gen_item *item = &g->items[i];
        if (item->n_prompt == 0) return ts_fail(err, TS_INVALID, "prompt %zu is empty; give at least one token", i + 1);
        if (context && item->n_prompt >= context)
            return ts_fail(err, TS_LIMIT,
                           "prompt %zu has %zu tokens, and the model's context is %zu: nothing would fit behind it; "
                           "shorten the prompt",
                           i + 1, item->n_prompt, context);
        for (size_t t = 0; t < item->n_prompt; t++)
            if (item->prompt[t] < 0 || (size_t)item->prompt[t] >= vocab)
                return ts_fail(err, TS_INVALID, "prompt %zu has token id %ld at place %zu, the model has ids 0 to %zu",
                               i + 1, (long)item->prompt[t], t, vocab - 1);
    }
    return TS_OK;
}

static ts_status admit_one(generation *g, ts_err *err) {
    const ts_gen_item *item = &g->items[g->next_item];
    slot *s = &g->slots[g->n_slots];
    *s = (slot){.item = g->next_item, .n_seen = item->n_prompt, .live = true};
    s->cache.f16 = g->o->f16_cache;
    TS_TRY(ts_cache_need(&s->cache, g->n, item->n_prompt + TS_MIN(most_new(g, item), (size_t)CHUNK), err));
    g->used_bytes += item_bytes(g, item);
    s->seen = ts_malloc((item->n_prompt + most_new(g, item)) * sizeof *s->seen);
    memcpy(s->seen, item->prompt, item->n_prompt * sizeof *s->seen);
    s->next = item->prompt[item->n_prompt - 1];
    g->n_slots++;
    g->next_item++;
    return TS_OK;
}

/* ---- prompts ---- */

typedef struct feeding {
    generation *g;
    slot **of_run;
    const float *qkv;
    size_t layer;
} feeding;

static void store_run(void *ctx, size_t i, int worker) {
    (void)worker;
    const feeding *f = ctx;
    const ts_batch *b = &f->g->n->batch;
    const ts_run *run = &b->runs[i];
    if (!f->of_run[i]) return; /* a shared beginning belongs to its children */
    ts_cache *cache = &f->of_run[i]->cache;
    if (run->parent >= 0) ts_cache_store(f->g->n, cache, f->layer, f->qkv, b->runs[run->parent].first, run->before, 0);
    ts_cache_store(f->g->n, cache, f->layer, f->qkv, run->first, run->n, run->before);
}

static void store_layer(void *ctx, size_t layer, const float *qkv) {
    feeding *f = ctx;
    f->qkv = qkv;
    f->layer = layer;
    ts_parallel(f->g->n->batch.n_runs, store_run, f);
}

static ts_status feed_batch(generation *g, slot **of_run, const ts_adapter *adapter, ts_err *err) {
    feeding f = {.g = g, .of_run = of_run};
    ts_pass p = {.net = g->n, .batch = &g->n->batch, .adapter = adapter, .on_kv = store_layer, .ctx = &f};
    p.progress = g->progress;
    TS_TRY(ts_forward(&p, err));
    for (size_t i = 0; i < g->n->batch.n_runs; i++)
        if (of_run[i]) of_run[i]->cache.len = g->n->batch.runs[i].before + g->n->batch.runs[i].n;
    return TS_OK;
}

static const ts_gen_item *item_of(const generation *g, size_t i) {
    return &g->items[g->slots[i].item];
}

/* Tokens that both prompts begin with, at least one left over for each run. */
static size_t common_start(const ts_gen_item *a, const ts_gen_item *b, size_t limit) {
    size_t n = 0;
    limit = TS_MIN(limit, TS_MIN(a->n_prompt, b->n_prompt) - 2);
    while (n < limit && a->prompt[n] == b->prompt[n])
        n++;
    return n;
}

/* Slots [from, end) whose prompts are fed together: same adapter, at most micro_tokens; `shared` tokens begin them all.
 */
static size_t find_group(const generation *g, size_t from, size_t *shared) {
    size_t end = from, tokens = 0, first = SIZE_MAX, count = 0;
    *shared = 0;
    for (; end < g->n_slots && item_of(g, end)->adapter == item_of(g, from)->adapter; end++) {
        const ts_gen_item *item = item_of(g, end);
        size_t common = 0;
        if (item->n_prompt == 1) continue; /* nothing to feed */
        if (count > 0 && !ts_rope_stretched(g->n->m, TS_MAX(item->n_prompt, item_of(g, first)->n_prompt)))
            common = common_start(item_of(g, first), item, count == 1 ? SIZE_MAX : *shared);
        if (count > 0 && tokens + item->n_prompt - count * common > g->n->micro_tokens) break;
        if (count == 0) first = end;
        *shared = common;
        tokens += item->n_prompt;
        count++;
    }
    if (*shared < 4) *shared = 0; /* not worth a run */
    return end;
}

/* All but the last token of the prompts of the new slots [from, n_slots). */
static ts_status feed_prompts(generation *g, size_t from, ts_err *err) {
    ts_status status = TS_OK;
    ts_batch *b = &g->n->batch;
    slot **of_run = ts_malloc((g->n_slots - from + 2) * sizeof *of_run);
    for (size_t i = from, end, shared; i < g->n_slots; i = end) {
        const ts_adapter *adapter = item_of(g, i)->adapter;
        int parent = -1;
        ts_batch_reset(b);
        end = find_group(g, i, &shared);
        for (size_t k = i; k < end; k++) {
            const ts_gen_item *item = item_of(g, k);
            if (item->n_prompt == 1) continue;
            if (shared && parent < 0) {
                parent = ts_batch_run(b, item->prompt, shared, -1);
                of_run[parent] = NULL;
            }
            int run = ts_batch_run(b, item->prompt + shared, item->n_prompt - 1 - shared, parent);
            b->runs[run].length = item->n_prompt;
            of_run[run] = &g->slots[k];
        }
        if (b->rows > 0) TS_GOTO(feed_batch(g, of_run, adapter, err));
    }
out:
    free(of_run);
    return status;
}

/* Where one more token changes how all of them are turned, all keys and values are calculated anew. */
static ts_status feed_again(generation *g, ts_err *err) {
    ts_batch *b = &g->n->batch;
    for (size_t i = 0; i < g->n_slots; i++) {
        slot *s = &g->slots[i], *of_run[1] = {s};
        if (s->cache.len == 0 || s->cache.len + 1 == item_of(g, i)->n_prompt) continue; /* fed for this length */
        if (!ts_rope_changes(g->n->m, s->cache.len)) continue;
        ts_batch_reset(b);
        b->runs[ts_batch_run(b, s->seen, s->n_seen - 1, -1)].length = s->n_seen;
        TS_TRY(feed_batch(g, of_run, item_of(g, i)->adapter, err));
    }
    return TS_OK;
}

static int by_adapter(const ts_gen_item *items, const slot *a, const slot *b) {
    uintptr_t x = (uintptr_t)items[a->item].adapter, y = (uintptr_t)items[b->item].adapter;
    if (x != y) return x < y ? -1 : 1;
    return a->item < b->item ? -1 : 1;
}

/* Insertion sort: few, and mostly in order. */
static void sort_slots(const ts_gen_item *items, slot *s, size_t n) {
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && by_adapter(items, &s[j], &s[j - 1]) < 0; j--) {
            slot swap = s[j];
            s[j] = s[j - 1];
            s[j - 1] = swap;
        }
}

static ts_status admit(generation *g, ts_err *err) {
    size_t from = g->n_slots;
    while (g->next_item < g->n_items) {
        size_t bytes = item_bytes(g, &g->items[g->next_item]);
        if (g->n_slots > 0 && g->used_bytes + bytes > MEMORY) break;
        TS_TRY(admit_one(g, err));
    }
    if (g->n_slots == from) return TS_OK;
    sort_slots(g->items, g->slots + from, g->n_slots - from);
    TS_TRY(feed_prompts(g, from, err));
    sort_slots(g->items, g->slots, g->n_slots);
    return TS_OK;
}

/* ---- steps ---- */

static void pick_task(void *ctx, size_t i, int worker) {
    (void)worker;
    generation *g = ctx;
    slot *s = &g->slots[i];
    const ts_gen_item *item = &g->items[s->item];
    size_t vocab = g->n->m->config.vocab;
    ts_past past = {s->seen, s->n_seen, item->n_prompt};
    s->next = ts_sampling_next(&g->o->sampling, g->bufs.logits + i * vocab, vocab, &past, item->stream, item->out.n,
                               g->o->margins ? &s->margin : NULL);
}

/* Numbers that are not finite mean a damaged model or adapter; sampling from them would give silent nonsense. */
static ts_status check_finite(const generation *g, ts_err *err) {
    size_t vocab = g->n->m->config.vocab;
    for (size_t i = 0; i < g->n_slots; i++)
        if (!isfinite(g->bufs.logits[i * vocab + (size_t)g->slots[i].next]))
            return ts_fail(
                err, TS_CORRUPT,
                "the model gives numbers that are not finite: its file or the adapter is damaged; fetch or train "
                "it again");
    return TS_OK;
}

static bool is_stop(const ts_gen_options *o, int32_t id) {
    for (size_t i = 0; i < o->n_stop_ids; i++)
        if (o->stop_ids[i] == id) return true;
    return false;
}

static void take_token(generation *g, slot *s) {
    ts_gen_item *item = &g->items[s->item];
    if (item->margins) item->margins[item->out.n] = s->margin;
    if (is_stop(g->o, s->next)) {
        item->stop = TS_STOP_EOS;
        s->live = false;
        return;
    }
    TS_PUSH(item->out.items, item->out.n, item->out.cap, s->next);
    s->seen[s->n_seen++] = s->next;
    item->stop = TS_STOP_LENGTH;
    s->live = item->out.n < most_new(g, item);
    if (g->o->on_token && g->o->on_token(g->o->ctx, s->item, s->next)) {
        item->stop = TS_STOP_TEXT;
        s->live = false;
    }
}

/* Tokens are handed out in the order of the items, not of the slots. */
static void take_tokens(generation *g) {
    slot **order = ts_calloc(g->n_items, sizeof *order);
    for (size_t i = 0; i < g->n_slots; i++)
        order[g->slots[i].item] = &g->slots[i];
    for (size_t i = 0; i < g->n_items; i++)
        if (order[i]) take_token(g, order[i]);
    free(order);
}

static void drop_finished(generation *g) {
    size_t kept = 0;
    for (size_t i = 0; i < g->n_slots; i++) {
        if (g->slots[i].live)
            g->slots[kept++] = g->slots[i];
        else
            slot_release(g, &g->slots[i]);
    }
    g->n_slots = kept;
}

static ts_status make_room(generation *g, slot *s, ts_err *err) {
    size_t end = g->items[s->item].n_prompt + most_new(g, &g->items[s->item]), cap = s->cache.cap;
    if (s->cache.len < cap) return TS_OK;
    return ts_cache_need(&s->cache, g->n, TS_MIN(end, cap + TS_MAX(cap / 2, (size_t)CHUNK)), err);
}

static ts_status advance(generation *g, ts_err *err) {
    for (size_t i = 0; i < g->n_slots; i++)
        TS_TRY(make_room(g, &g->slots[i], err));
    for (size_t i = 0; i < g->n_slots; i++)
        g->rows[i] = (ts_decode_row){&g->slots[i].cache, g->slots[i].next, g->items[g->slots[i].item].adapter};
    TS_TRY(feed_again(g, err));
    TS_TRY(ts_decode_step(g->n, &g->bufs, g->rows, g->n_slots, err));
    ts_parallel(g->n_slots, pick_task, g);
    TS_TRY(check_finite(g, err));
    take_tokens(g);
    drop_finished(g);
    return TS_OK;
}

static ts_status run_all(generation *g, ts_err *err) {
    int64_t done = 0, total = (int64_t)(g->n_items * g->o->max_new_tokens);
    do {
        if (ts_cancelled(g->progress)) return ts_fail(err, TS_CANCELLED, "cancelled");
        TS_TRY(admit(g, err));
        done += (int64_t)g->n_slots;
        if (g->n_slots > 0) TS_TRY(advance(g, err));
        ts_progress_set(g->progress, done, total);
    } while (g->n_slots > 0 || g->next_item < g->n_items);
    return TS_OK;
}

ts_status ts_net_generate(ts_net *n, ts_gen_item *items, size_t n_items, const ts_gen_options *o, ts_progress *progress,
                          ts_err *err) {
    generation g = {.n = n, .items = items, .n_items = n_items, .o = o, .progress = progress};
    for (size_t i = 0; i < n_items; i++) {
        items[i].out = (ts_ids){0};
        items[i].margins = NULL;
        items[i].stop = o->max_new_tokens ? TS_STOP_CANCELLED : TS_STOP_LENGTH;
    }
    TS_TRY(check_items(&g, err));
    if (n_items == 0 || o->max_new_tokens == 0) return TS_OK;
    for (size_t i = 0; o->margins && i < n_items; i++)
        items[i].margins = ts_calloc(o->max_new_tokens, sizeof *items[i].margins);
    g.slots = ts_calloc(n_items, sizeof *g.slots);
    g.rows = ts_calloc(n_items, sizeof *g.rows);
    ts_status status = run_all(&g, err);
    for (size_t i = 0; i < g.n_slots; i++) {
        items[g.slots[i].item].stop = TS_STOP_CANCELLED;
        slot_release(&g, &g.slots[i]);
    }
    free(g.slots);
    free(g.rows);
    ts_decoder_release_bufs(&g.bufs);
    return status;
}

void ts_gen_release(ts_gen_item *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ts_ids_release(&items[i].out);
        free(items[i].margins);
        items[i].margins = NULL;
    }
}
