#include "dataset/contamination.h"

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/utf8.h"
#include "dataset/view.h"
#include "dataset/words.h"

#include <stdlib.h>
#include <string.h>

const size_t ts_leak_levels[TS_LEAK_LEVELS] = {8, 10, 13};

enum { PIECE = 256, MOST_BYTES = 512 << 20 };

/* ---- the outside prompts ---- */

struct prompt {
    size_t first, n; /* its words */
    int64_t line;
    size_t longest; /* run found in any row */
};

struct outside {
    struct prompt *prompts;
    size_t n, cap;
    uint64_t *words; /* hashes, of all prompts one after another */
    size_t n_words, cap_words;
    /* stretches of TS_LEAK_LEAST words: slots by hash hold the first place plus one, next[place] the one behind it */
    uint32_t *slots, *next;
    uint64_t *keys;  /* per place */
    uint32_t *owner; /* per place: prompt */
    size_t mask;
    ts_words scratch;
};

static void add_prompt(struct outside *o, const char *s, size_t n, int64_t line) {
    struct prompt p = {.first = o->n_words, .line = line};
    ts_words_begin(&o->scratch, s, n);
    while (ts_words_next(&o->scratch))
        TS_PUSH(o->words, o->n_words, o->cap_words, ts_hash64(o->scratch.word.data, o->scratch.word.len, 0));
    p.n = o->n_words - p.first;
    if (p.n) TS_PUSH(o->prompts, o->n, o->cap, p);
}

static void add_text(ts_buf *out, const ts_json *v) {
    const char *s = ts_json_str(v, NULL);
    if (s) ts_buf_printf(out, "%s\n", s);
    for (const ts_json *c = ts_json_is_array(v) ? ts_json_child(v) : NULL; c; c = ts_json_next(c))
        add_text(out, c);
    if (ts_json_is_object(v)) add_text(out, ts_json_get(v, "text")); /* a typed content part */
}

static bool is_one_of(const char *name, const char *const *names) {
    while (name && *names && strcmp(name, *names) != 0)
        names++;
    return name && *names;
}

/* User turns of a conversation, each a prompt of its own. */
static void add_turns(struct outside *o, const ts_json *turns, int64_t line) {
    static const char *const users[] = {"user", "human", NULL};
    ts_buf text = TS_BUF_INIT;
    for (const ts_json *t = ts_json_child(turns); t; t = ts_json_next(t)) {
        const char *role = ts_json_str(ts_json_get(t, "role"), ts_json_str(ts_json_get(t, "from"), NULL));
        if (!is_one_of(role, users)) continue;
        ts_buf_reset(&text);
        add_text(&text, ts_json_get(t, "content"));
        add_text(&text, ts_json_get(t, "value"));
        add_prompt(o, ts_buf_str(&text), text.len, line);
    }
    ts_buf_release(&text);
}

static void add_object(struct outside *o, const ts_json *v, int64_t line) {
    static const char *const names[] = {"instruction", "input", "question", "prompt", "query", "text", "turns", NULL};
    static const char *const talks[] = {"messages", "conversations", NULL};
    ts_buf text = TS_BUF_INIT;
    for (size_t i = 0; names[i]; i++)
        add_text(&text, ts_json_get(v, names[i]));
    add_prompt(o, ts_buf_str(&text), text.len, line);
    for (size_t i = 0; talks[i]; i++)
        if (ts_json_is_array(ts_json_get(v, talks[i]))) add_turns(o, ts_json_get(v, talks[i]), line);
    ts_buf_release(&text);
}

static ts_status read_array(struct outside *o, const ts_buf *text, ts_err *err) {
    ts_json *root = ts_json_parse(text->data, text->len, err);
    if (!root) return err ? err->code : TS_FORMAT;
    if (ts_json_is_object(root)) add_object(o, root, 0);
    for (const ts_json *v = ts_json_is_array(root) ? ts_json_child(root) : NULL; v; v = ts_json_next(v)) {
        const char *s = ts_json_str(v, NULL);
        if (s) add_prompt(o, s, strlen(s), 0);
        if (ts_json_is_object(v)) add_object(o, v, 0);
    }
    ts_json_free(root);
    return TS_OK;
}

static ts_status read_lines(struct outside *o, const ts_buf *text, bool json, ts_err *err) {
    int64_t line = 0;
    for (const char *p = text->data, *end = p + text->len; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl ? nl : end) - p);
        line++;
        if (json && strspn(p, " \t\r\n") < n) {
            ts_json *v = ts_json_parse(p, n, err);
            if (!v) return ts_wrap(err, err ? err->code : TS_FORMAT, "line %lld", (long long)line);
            add_object(o, v, line);
            ts_json_free(v);
        } else {
            add_prompt(o, p, n, line);
        }
        p += n + (nl != NULL);
    }
    return TS_OK;
}

static ts_status read_outside(struct outside *o, const char *path, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    ts_err ignored;
    ts_status status = ts_file_read(path, MOST_BYTES, &text, err);
    if (status == TS_OK && text.len && ts_utf8_check(text.data, text.len) < text.len)
        status = ts_fail(err, TS_INVALID, "it is not UTF-8 text");
    const char *start = ts_buf_str(&text);
    start += strncmp(start, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    start += strspn(start, " \t\r\n");
    if (status == TS_OK && *start == '[')
        status = read_array(o, &text, err);
    else if (status == TS_OK && *start == '{') /* lines, or one object over several of them */
        status =
            read_lines(o, &text, true, &ignored) == TS_OK ? TS_OK : (o->n = o->n_words = 0, read_array(o, &text, err));
    else if (status == TS_OK && text.len)
        status = read_lines(o, &text, false, err);
    if (status == TS_OK && !o->n)
        status = ts_fail(err, TS_INVALID,
                         "there are no prompts in it (instruction, question, prompt, turns, messages, "
                         "or lines of text)");
    if (status == TS_OK && o->n_words >= UINT32_MAX) status = ts_fail(err, TS_INVALID, "it has too many words");
    ts_buf_release(&text);
    return status == TS_OK ? TS_OK : ts_wrap(err, status, "%s", path);
}

static uint64_t key_at(const uint64_t *words) {
    return ts_hash64(words, TS_LEAK_LEAST * sizeof *words, 8);
}

/* Places are chained in the order of the file. */
static void index_places(struct outside *o) {
    size_t slots = 1024;
    while (slots < o->n_words * 2)
        slots *= 2;
    o->mask = slots - 1;
    o->slots = ts_calloc(slots, sizeof *o->slots);
    o->next = ts_calloc(o->n_words + 1, sizeof *o->next);
    o->keys = ts_calloc(o->n_words + 1, sizeof *o->keys);
    o->owner = ts_calloc(o->n_words + 1, sizeof *o->owner);
    for (size_t i = o->n; i-- > 0;)
        for (size_t k = o->prompts[i].n; k-- > 0;) {
            size_t place = o->prompts[i].first + k;
            o->owner[place] = (uint32_t)i;
            if (k + TS_LEAK_LEAST > o->prompts[i].n) continue;
            o->keys[place] = key_at(o->words + place);
            uint32_t *slot = &o->slots[o->keys[place] & o->mask];
            o->next[place] = *slot;
            *slot = (uint32_t)place + 1;
        }
}

static void release_outside(struct outside *o) {
    free(o->prompts);
    free(o->words);
    free(o->slots);
    free(o->next);
    free(o->keys);
    free(o->owner);
    ts_words_release(&o->scratch);
}

/* ---- one row ---- */

struct looking {
    struct outside o;
    ts_words words;
    uint64_t *hashes;
    size_t *starts, *ends; /* of the words, in the text */
    size_t n, cap, cap_starts, cap_ends;
};

struct run {
    size_t words, at, prompt;
};

static void read_words(struct looking *k, ts_text t) {
    size_t a = 0, b = 0;
    k->n = 0;
    ts_words_begin(&k->words, t.s, t.n);
    while (ts_words_next(&k->words)) {
        TS_PUSH(k->starts, a, k->cap_starts, k->words.start);
        TS_PUSH(k->ends, b, k->cap_ends, k->words.end);
        TS_PUSH(k->hashes, k->n, k->cap, ts_hash64(k->words.word.data, k->words.word.len, 0));
    }
}

/* The run that begins with word i of the row and the word at `place`; 0 when the words before are the same too, as it
 * was met already. */
static size_t run_from(const struct looking *k, size_t i, size_t place) {
    const struct prompt *p = &k->o.prompts[k->o.owner[place]];
    size_t at = place - p->first, n = 0;
    if (i && at && k->hashes[i - 1] == k->o.words[place - 1]) return 0;
    while (i + n < k->n && at + n < p->n && k->hashes[i + n] == k->o.words[place + n])
        n++;
    return n;
}

static void look(struct looking *k, ts_text t, struct run *longest) {
    *longest = (struct run){0};
    read_words(k, t);
    for (size_t i = 0; i + TS_LEAK_LEAST <= k->n; i++) {
        uint64_t key = key_at(k->hashes + i);
        size_t followed = 0;
        for (uint32_t at = k->o.slots[key & k->o.mask]; at && followed < TS_LEAK_PLACES; at = k->o.next[at - 1]) {
            if (k->o.keys[at - 1] != key) continue;
            followed++;
            size_t n = run_from(k, i, at - 1), prompt = k->o.owner[at - 1];
            k->o.prompts[prompt].longest = TS_MAX(k->o.prompts[prompt].longest, n);
            if (n > longest->words) *longest = (struct run){n, i, prompt};
        }
    }
}

/* ---- all rows ---- */

struct leaks {
    ts_leak *items;
    size_t n, cap;
};

static void look_at_row(struct looking *k, const ts_row *r, size_t least, ts_leak_report *out, struct leaks *leaks,
                        ts_buf *prompt, ts_arena *arena) {
    ts_text texts[2] = {{0}, r->output};
    ts_leak leak = {.id = r->id};
    ts_buf_reset(prompt);
    ts_buf_add(prompt, r->instruction.s, r->instruction.n);
    ts_buf_putc(prompt, '\n');
    ts_buf_add(prompt, r->input.s, r->input.n);
    texts[0] = (ts_text){prompt->data, prompt->len};
    for (int t = 0; t < 2; t++) {
        struct run run;
        look(k, texts[t], &run);
        if (run.words <= leak.words) continue;
        leak.words = run.words;
        leak.in_answer = t == 1;
        leak.prompt = run.prompt + 1;
        leak.line = k->o.prompts[run.prompt].line;
        if (run.words < least) continue;
        size_t from = k->starts[run.at], to = k->ends[run.at + run.words - 1];
        leak.run = (ts_text){ts_arena_strndup(arena, texts[t].s + from, to - from), to - from};
    }
    for (size_t i = 0; i < TS_LEAK_LEVELS; i++)
        out->rows_at[i] += leak.words >= ts_leak_levels[i];
    out->rows++;
    if (leak.words >= least) TS_PUSH(leaks->items, leaks->n, leaks->cap, leak);
}

static ts_status look_at_rows(struct looking *k, ts_store *st, const ts_view *v, size_t least, ts_progress *progress,
                              ts_leak_report *out, struct leaks *leaks, ts_arena *arena, ts_err *err) {
    ts_arena texts = TS_ARENA_INIT;
    ts_buf prompt = TS_BUF_INIT;
    ts_row *rows = ts_malloc(PIECE * sizeof *rows);
    ts_status status = TS_OK;
    size_t n = ts_view_count(v);
    for (size_t i = 0; i < n && status == TS_OK; i += PIECE) {
        size_t m = TS_MIN((size_t)PIECE, n - i);
        ts_arena_reset(&texts);
        status = ts_rows_read(st, ts_view_ids(v) + i, m, rows, &texts, err);
        for (size_t j = 0; j < m && status == TS_OK; j++)
            if (!rows[j].gone) look_at_row(k, &rows[j], least, out, leaks, &prompt, arena);
        ts_progress_set(progress, (int64_t)(i + m), (int64_t)n);
        if (status == TS_OK && ts_cancelled(progress)) status = ts_fail(err, TS_CANCELLED, "the check was stopped");
    }
    free(rows);
    ts_buf_release(&prompt);
    ts_arena_release(&texts);
    return status;
}

static int by_length(const void *a, const void *b) {
    const ts_leak *x = a, *y = b;
    if (x->words != y->words) return x->words > y->words ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void report_on(const struct looking *k, struct leaks *leaks, ts_leak_report *out, ts_arena *arena) {
    out->prompts = (int64_t)k->o.n;
    for (size_t i = 0; i < k->o.n; i++) {
        out->short_prompts += k->o.prompts[i].n < TS_LEAK_LEAST;
        for (size_t l = 0; l < TS_LEAK_LEVELS; l++)
            out->prompts_at[l] += k->o.prompts[i].longest >= ts_leak_levels[l];
    }
    if (leaks->n) qsort(leaks->items, leaks->n, sizeof *leaks->items, by_length);
    out->n = leaks->n;
    out->leaks = ts_arena_alloc(arena, TS_MAX(leaks->n, 1) * sizeof *out->leaks);
    if (leaks->n) memcpy(out->leaks, leaks->items, leaks->n * sizeof *out->leaks);
}

ts_status ts_contamination(ts_store *st, const char *path, const char *where, size_t least, ts_progress *progress,
                           ts_leak_report *out, ts_arena *arena, ts_err *err) {
    struct looking k = {0};
    struct leaks leaks = {0};
    ts_view *view = NULL;
    ts_status status;
    *out = (ts_leak_report){0};
    ts_progress_what(progress, "looking for outside prompts");
    TS_GOTO(read_outside(&k.o, path, err));
    index_places(&k.o);
    TS_GOTO(ts_view_new(&view, st, where ? where : "status!=rejected", NULL, progress, NULL, err));
    TS_GOTO(look_at_rows(&k, st, view, TS_MAX(least, (size_t)TS_LEAK_LEAST), progress, out, &leaks, arena, err));
    report_on(&k, &leaks, out, arena);
out:
    ts_view_free(view);
    free(leaks.items);
    free(k.hashes);
    free(k.starts);
    free(k.ends);
    ts_words_release(&k.words);
    release_outside(&k.o);
    return status;
}
