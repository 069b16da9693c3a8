/* The prompts of the sides that change them: examples and passages looked up, turns put in. */
#include "core/base/file.h"
#include "core/base/utf8.h"
#include "core/engine/examples.h"
#include "dataset/bm25.h"
#include "dataset/snapshot.h"
#include "dataset/tfidf.h"
#include "dataset/view.h"
#include "eval/compare.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_EXAMPLES = 20000, MAX_TEXT = 1 << 24, MAX_FILES = 20000, MAX_DEPTH = 16, PIECE = 256 };

static const char usable[] = "status=accepted and not split=valid";

struct example {
    int64_t id;
    char *prompt, *answer, *folded; /* folded: for telling that two prompts are the same */
};

struct material {
    const char *ws;
    ts_progress *progress;
    struct example *examples;
    size_t n, cap;
    bool read;
    ts_tfidf tfidf;
    float *vectors;    /* of the examples */
    ts_bm25 *passages; /* of the examples: passage i is example i */
};

static char *fold(const char *s) {
    ts_buf out = TS_BUF_INIT, valid = TS_BUF_INIT;
    ts_utf8_repair(&valid, s, strlen(s));
    ts_fold_text(ts_buf_str(&valid), valid.len, &out);
    ts_buf_release(&valid);
    ts_buf_puts(&out, "");
    return ts_buf_take(&out);
}

static void release_material(struct material *m) {
    for (size_t i = 0; i < m->n; i++) {
        free(m->examples[i].prompt);
        free(m->examples[i].answer);
        free(m->examples[i].folded);
    }
    free(m->examples);
    free(m->vectors);
    if (m->read) ts_tfidf_release(&m->tfidf);
    ts_bm25_free(m->passages);
}

/* ---- the examples ---- */

static void take_row(struct material *m, const ts_row *row) {
    ts_buf prompt = TS_BUF_INIT;
    if (row->gone || !row->output.n) return;
    ts_row_prompt(row, &prompt);
    ts_buf_puts(&prompt, "");
    struct example e = {row->id, ts_buf_take(&prompt), ts_strndup(row->output.s, row->output.n), NULL};
    e.folded = fold(e.prompt);
    TS_PUSH(m->examples, m->n, m->cap, e);
}

static ts_status read_rows(struct material *m, const char *where, ts_err *err) {
    ts_store *st = NULL;
    ts_view *v = NULL;
    ts_row rows[PIECE];
    ts_arena arena = TS_ARENA_INIT;
    ts_status status = TS_OK;
    TS_GOTO(ts_store_open(&st, m->ws, "compare", err));
    TS_GOTO(ts_view_new(&v, st, where, NULL, m->progress, NULL, err));
    size_t count = TS_MIN(ts_view_count(v), (size_t)MAX_EXAMPLES);
    for (size_t at = 0; at < count; at += PIECE) {
        size_t n = TS_MIN(count - at, (size_t)PIECE);
        ts_arena_reset(&arena);
        TS_GOTO(ts_rows_read(st, ts_view_ids(v) + at, n, rows, &arena, err));
        for (size_t i = 0; i < n; i++)
            take_row(m, &rows[i]);
    }
out:
    ts_arena_release(&arena);
    ts_view_free(v);
    ts_store_close(st);
    return status;
}

static ts_status read_examples(struct material *m, ts_err *err) {
    if (m->read) return TS_OK;
    ts_progress_what(m->progress, "reading the examples");
    TS_TRY(read_rows(m, usable, err));
    if (m->n == 0)
        return ts_fail(err, TS_INVALID,
                       "no example is accepted that is not held out, so there is none to show a model; accept some");
    ts_tfidf_init(&m->tfidf);
    m->read = true;
    for (size_t i = 0; i < m->n; i++)
        ts_tfidf_add(&m->tfidf, m->examples[i].prompt, strlen(m->examples[i].prompt));
    m->vectors = ts_try_alloc(m->n * TS_TFIDF_DIMS, sizeof *m->vectors);
    if (!m->vectors) return ts_fail(err, TS_NO_MEMORY, "no memory for the vectors of %zu examples", m->n);
    for (size_t i = 0; i < m->n; i++)
        ts_tfidf_vector(&m->tfidf, i, m->vectors + i * TS_TFIDF_DIMS);
    return TS_OK;
}

/* Its answer would give the reference away. */
static bool is_asked(const struct example *e, const ts_prompt *p, const char *folded) {
    return (p->example && e->id == p->example) || strcmp(e->folded, folded) == 0;
}

static double likeness(const float *a, const float *b) {
    float sums[8] = {0};
    for (size_t i = 0; i < TS_TFIDF_DIMS; i += 8)
        for (size_t k = 0; k < 8; k++)
            sums[k] += a[i + k] * b[i + k];
    double sum = 0;
    for (size_t k = 0; k < 8; k++)
        sum += (double)sums[k];
    return sum;
}

/* The k examples whose prompts are nearest, best first; equal ones in the order of their ids. */
static size_t nearest(struct material *m, const ts_prompt *p, size_t k, size_t *out) {
    float *vector = ts_calloc(TS_TFIDF_DIMS, sizeof *vector);
    double best[TS_FEW_SHOT_MAX];
    char *folded = fold(p->asks ? p->asks : p->text);
    size_t found = 0;
    ts_tfidf_add(&m->tfidf, p->text, strlen(p->text));
    ts_tfidf_vector(&m->tfidf, m->tfidf.n - 1, vector);
    for (size_t i = 0; i < m->n; i++) {
        double likes = likeness(vector, m->vectors + i * TS_TFIDF_DIMS);
        if (is_asked(&m->examples[i], p, folded) || (found == k && likes <= best[k - 1])) continue;
        size_t at = found < k ? found++ : k - 1;
        for (; at > 0 && best[at - 1] < likes; at--) {
            best[at] = best[at - 1];
            out[at] = out[at - 1];
        }
        best[at] = likes;
        out[at] = i;
    }
    free(folded);
    free(vector);
    return found;
}

static size_t with_ids(const struct material *m, const ts_side_spec *s, size_t *out) {
    size_t n = 0;
    for (size_t k = s->n_ids; k-- > 0;) /* the last one named stands nearest to the question, as the nearest does */
        for (size_t i = 0; i < m->n; i++)
            if (m->examples[i].id == s->ids[k]) out[n++] = i;
    return n;
}

/* ---- turns ---- */

static void put_turn(ts_jw *w, const char *role, const char *content) {
    ts_jw_obj(w);
    ts_jw_kstr(w, "role", role);
    ts_jw_kstr(w, "content", content);
    ts_jw_end_obj(w);
}

static bool has_role(const ts_json *m, const char *role) {
    return strcmp(ts_json_str(ts_json_get(m, "role"), ""), role) == 0;
}

/* What a side does to the prompt's turns. */
struct change {
    const char *system;   /* in place of the prompt's own */
    const char *question; /* in place of the last user turn's content */
    const struct example *examples;
    const size_t *shown; /* nearest first; they are put in last first */
    size_t n_shown;
};

static void copy_turn(ts_jw *w, const ts_json *m) {
    ts_buf turn = TS_BUF_INIT;
    ts_json_print(m, &turn);
    ts_jw_raw(w, turn.data, turn.len);
    ts_buf_release(&turn);
}

static char *changed(const ts_prompt *p, const struct change *c) {
    ts_err ignored;
    ts_json *list = ts_json_parse(p->messages, strlen(p->messages), &ignored);
    const ts_json *m = ts_json_child(list), *last = NULL;
    ts_buf out = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&out);
    for (const ts_json *v = m; v; v = ts_json_next(v))
        if (has_role(v, "user")) last = v;
    ts_jw_arr(&w);
    if (c->system) put_turn(&w, "system", c->system);
    for (; m && has_role(m, "system"); m = ts_json_next(m))
        if (!c->system) copy_turn(&w, m);
    for (size_t i = c->n_shown; i-- > 0;) {
        put_turn(&w, "user", c->examples[c->shown[i]].prompt);
        put_turn(&w, "assistant", c->examples[c->shown[i]].answer);
    }
    for (; m; m = ts_json_next(m)) {
        if (m == last && c->question)
            put_turn(&w, "user", c->question);
        else
            copy_turn(&w, m);
    }
    ts_jw_end_arr(&w);
    ts_json_free(list);
    return ts_buf_take(&out);
}

char *ts_side_question(const ts_prompt *p, const char *question) {
    return changed(p, &(struct change){.question = question});
}

static ts_status show_examples(struct material *m, const ts_side_spec *s, const ts_prompt *p, ts_answer *a,
                               ts_err *err) {
    size_t shown[TS_FEW_SHOT_MAX];
    ts_buf context = TS_BUF_INIT;
    TS_TRY(read_examples(m, err));
    size_t n = s->n_ids ? with_ids(m, s, shown) : nearest(m, p, s->k, shown);
    if (s->n_ids && n < s->n_ids)
        return ts_fail(err, TS_NOT_FOUND,
                       "%zu of the %zu examples that few-shot names are no accepted examples outside the held-out ones",
                       s->n_ids - n, s->n_ids);
    a->messages = changed(p, &(struct change){.examples = m->examples, .shown = shown, .n_shown = n});
    for (size_t i = 0; i < n; i++)
        ts_buf_printf(&context, "%s#%lld", i ? ", " : "", (long long)m->examples[shown[i]].id);
    a->context = ts_buf_take(&context);
    a->shots = n;
    return TS_OK;
}

void ts_side_leave_out(ts_answer *a, size_t shots) {
    ts_err ignored;
    ts_json *turns = ts_json_parse(a->messages, strlen(a->messages), &ignored);
    ts_buf left = TS_BUF_INIT;
    char *end = a->context + strlen(a->context);
    a->left_out = TS_MIN(shots, a->shots);
    ts_messages_drop(turns, a->left_out, &left);
    for (size_t i = 0; i < a->left_out; i++) /* the nearest is named first */
        while (end > a->context && *--end != ',') {
        }
    *end = 0;
    char *context = ts_printf("%s%s%zu of %zu examples did not fit the model's context", a->context,
                              *a->context ? "; " : "", a->left_out, a->shots);
    ts_json_free(turns);
    free(a->messages);
    free(a->context);
    a->messages = ts_buf_take(&left);
    a->context = context;
}

/* ---- passages ---- */

static ts_status add_folder(ts_bm25 *b, const char *root, const char *inside, int depth, size_t *files, ts_err *err) {
    char *dir = *inside ? ts_path_join(root, inside) : ts_strdup(root);
    ts_names names = {0};
    ts_status status = ts_dir_list(dir, &names, err);
    for (size_t i = 0; i < names.n && status == TS_OK && *files < MAX_FILES; i++) {
        char *path = ts_path_join(dir, names.items[i]);
        char *from = *inside ? ts_path_join(inside, names.items[i]) : ts_strdup(names.items[i]);
        ts_buf text = TS_BUF_INIT;
        ts_err unread; /* a file that is no text, too large or not ours to read is no passage */
        bool hidden = names.items[i][0] == '.';
        if (!hidden && ts_is_dir(path) && depth < MAX_DEPTH) {
            status = add_folder(b, root, from, depth + 1, files, err);
        } else if (!hidden && ts_is_file(path) && ts_file_read(path, MAX_TEXT, &text, &unread) == TS_OK &&
                   ts_utf8_check(ts_buf_str(&text), text.len) == text.len &&
                   !(text.len && memchr(text.data, 0, text.len))) {
            ++*files;
            ts_bm25_add_passages(b, ts_buf_str(&text), text.len, from, TS_PASSAGE_WORDS);
        }
        ts_buf_release(&text);
        free(path);
        free(from);
    }
    ts_names_release(&names);
    free(dir);
    return status;
}

static ts_status read_folder(const char *folder, ts_bm25 **out, ts_err *err) {
    size_t files = 0;
    *out = ts_bm25_new();
    TS_TRY(add_folder(*out, folder, "", 0, &files, err));
    if (ts_bm25_count(*out)) return TS_OK;
    return ts_fail(err, TS_INVALID, "%s holds no text files (UTF-8, up to 16 MB each) to take passages from", folder);
}

static ts_status passages_of_examples(struct material *m, ts_err *err) {
    if (m->passages) return TS_OK;
    TS_TRY(read_examples(m, err));
    m->passages = ts_bm25_new();
    for (size_t i = 0; i < m->n; i++) {
        char *text = ts_printf("%s\n%s", m->examples[i].prompt, m->examples[i].answer);
        char *from = ts_printf("#%lld", (long long)m->examples[i].id);
        ts_bm25_add(m->passages, text, strlen(text), from);
        free(text);
        free(from);
    }
    return TS_OK;
}

/* The passages of the question, their texts before it; those of examples that ask the same are passed over. */
static void show_passages(struct material *m, ts_bm25 *b, const ts_side_spec *s, const ts_prompt *p, ts_answer *a) {
    enum { MORE = 8 };
    ts_hit hits[TS_PASSAGES + MORE];
    ts_buf question = TS_BUF_INIT, context = TS_BUF_INIT;
    char *folded = fold(p->asks ? p->asks : p->text);
    size_t n = ts_bm25_search(b, p->text, strlen(p->text), hits, TS_COUNT(hits)), used = 0;
    for (size_t i = 0; i < n && used < s->k; i++) {
        size_t at = hits[i].text;
        if (!s->from && is_asked(&m->examples[at], p, folded)) continue;
        if (used++ == 0) ts_buf_puts(&question, "Use what helps in these passages.\n\n");
        ts_buf_printf(&question, "[%zu] %s\n\n", used, ts_bm25_text(b, at));
        ts_buf_printf(&context, "%s[%zu] %s: %s", used > 1 ? "\n\n" : "", used, ts_bm25_from(b, at),
                      ts_bm25_text(b, at));
    }
    ts_buf_puts(&question, p->text);
    a->messages = changed(p, &(struct change){.question = ts_buf_str(&question)});
    ts_buf_puts(&context, used ? "" : "no passage shares a word with the question");
    a->context = ts_buf_take(&context);
    ts_buf_release(&question);
    free(folded);
}

static ts_status fill_passages(ts_compare *c, size_t side, struct material *m, ts_err *err) {
    const ts_side_spec *s = &c->specs[side];
    ts_bm25 *folder = NULL;
    ts_progress_what(m->progress, "reading the passages");
    ts_status status = s->from ? read_folder(s->from, &folder, err) : passages_of_examples(m, err);
    for (size_t i = 0; i < c->n_asked && status == TS_OK; i++)
        show_passages(m, s->from ? folder : m->passages, s, &c->prompts[i], &c->answers[i * c->n_sides + side]);
    ts_bm25_free(folder);
    return status;
}

ts_status ts_sides_fill(ts_compare *c, const char *ws, ts_progress *progress, ts_err *err) {
    struct material m = {.ws = ws, .progress = progress};
    ts_status status = TS_OK;
    for (size_t side = 0; side < c->n_sides && status == TS_OK; side++) {
        const ts_side_spec *s = &c->specs[side];
        if (s->kind == TS_BY_PASSAGES) status = fill_passages(c, side, &m, err);
        for (size_t i = 0; i < c->n_asked && status == TS_OK; i++) {
            ts_answer *a = &c->answers[i * c->n_sides + side];
            if (s->kind == TS_BY_EXAMPLES) status = show_examples(&m, s, &c->prompts[i], a, err);
            if (s->kind == TS_BY_SYSTEM) a->messages = changed(&c->prompts[i], &(struct change){.system = s->system});
        }
    }
    release_material(&m);
    return status;
}
