/* Duplicates: the groups that the last search found, and the examples of one group beneath each other with the words
 * marked that the suggested one lacks. Deciding here is deciding in Browse: it sets status, and u takes it back. */
#include "core/base/file.h"
#include "dataset/apart.h"
#include "eval/embed.h"
#include "tui/change.h"
#include "tui/dups.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_GROUPS = 6, MEMBERS_MAX = 40 };

struct member {
    int64_t id;
    double similarity;
    bool keep, apart;
};

/* How the next search is done. */
struct how {
    ts_dedupe_options o;
    bool semantic; /* by the hidden states of the workspace's model */
};

struct dups {
    ts_screen screen;
    ts_dup_group *groups;
    size_t n_groups;
    bool loaded, searching, plain, on_members, zoom;
    ts_list list; /* of groups */
    struct member members[MEMBERS_MAX];
    size_t n_members, hidden; /* hidden: members beyond the limit */
    int64_t members_of;
    size_t member, scroll;
    bool follow; /* bring the member under the cursor into view */
    ts_rect list_rect;
    struct how how;
    bool stale;      /* the members may have changed */
    int64_t *losers; /* rows that a confirmed resolve will reject */
    size_t n_losers;
};

static const ts_dup_group *chosen(const struct dups *d) {
    return d->list.cursor < d->n_groups ? &d->groups[d->list.cursor] : NULL;
}

/* ---- reading and searching ---- */

struct groups_job {
    ts_job job;
    struct dups *dups;
    bool search;
    struct how how;
    char *model, *log; /* of a search by meaning */
    ts_dedupe_report report;
    ts_dup_group *groups;
    size_t n;
};

/* By meaning it takes long: on the models queue, with a connection of its own, so that nothing waits for it. */
static ts_status search(struct groups_job *g, ts_store *st, ts_err *err) {
    ts_embedder embedder = {g->model, g->log};
    ts_dedupe_options o = g->how.o;
    if (g->how.semantic) {
        o.vectors = ts_embed_texts;
        o.vectors_ctx = &embedder;
    }
    return ts_dedupe(st, &o, &g->job.progress, NULL, NULL, &g->report, err);
}

static void groups_run(ts_job *job) {
    struct groups_job *g = (struct groups_job *)job;
    const ts_app *app = g->dups->screen.app;
    bool own = g->search && g->how.semantic;
    ts_store *st = own ? NULL : app->scanner;
    ts_arena arena = TS_ARENA_INIT;
    ts_dup_group *groups = NULL;
    if (own) job->status = ts_store_open(&st, app->folder, "screen", &job->err);
    if (job->status == TS_OK && g->search) job->status = search(g, st, &job->err);
    if (job->status == TS_OK) job->status = ts_dup_groups(st, &groups, &g->n, &arena, &job->err);
    if (job->status == TS_OK && g->n) {
        g->groups = ts_malloc(g->n * sizeof *groups);
        memcpy(g->groups, groups, g->n * sizeof *groups);
    }
    if (own) ts_store_close(st);
    ts_arena_release(&arena);
}

static void groups_done(ts_job *job) {
    struct groups_job *g = (struct groups_job *)job;
    struct dups *d = g->dups;
    ts_app *app = d->screen.app;
    char n[2][32];
    if (g->search) d->searching = false;
    if (job->status == TS_OK) {
        free(d->groups);
        d->groups = g->groups;
        d->n_groups = g->n;
        d->loaded = true;
        d->members_of = 0;
        g->groups = NULL;
        if (g->search)
            ts_app_say(app, TS_R_OK, "%s groups of %s among %s rows", ts_thousands(g->report.groups, n[0]),
                       g->how.semantic ? "rows alike in meaning" : "near duplicates",
                       ts_thousands(g->report.rows, n[1]));
        if (g->search) ts_app_changed(app, false);
    } else if (job->status != TS_CANCELLED) {
        ts_app_say(app, TS_R_ERROR, "%s", job->err.text);
    } else if (g->search) {
        ts_app_say(app, TS_R_WARN, "stopped; the groups are as they were");
    }
    free(g->groups);
    free(g->model);
    free(g->log);
    free(g);
}

static void read_groups(struct dups *d, bool search) {
    ts_app *app = d->screen.app;
    ts_buf model = TS_BUF_INIT;
    bool by_model = search && d->how.semantic;
    if (by_model && !ts_setting_get(app->reader, "model", &model)) {
        ts_app_say(app, TS_R_WARN,
                   "semantic reads the rows with a model, and this workspace has none: `tunesmith config %s model "
                   "NAME` sets it",
                   ts_path_base(app->folder));
        return;
    }
    struct groups_job *g = ts_calloc(1, sizeof *g);
    g->job =
        (ts_job){.title = search ? "comparing" : NULL, .kind = KIND_GROUPS, .run = groups_run, .done = groups_done};
    g->dups = d;
    g->search = search;
    g->how = d->how;
    g->model = ts_buf_take(&model);
    g->log = ts_path_join(app->folder, "engine.log");
    d->searching |= search;
    ts_queue_push(by_model ? app->models : app->jobs, &g->job);
}

/* The members of the chosen group: a few rows by key. */
static void read_members(struct dups *d) {
    const ts_dup_group *g = chosen(d);
    ts_dup_member *members;
    size_t n = 0;
    if (!g || (d->members_of == g->id && !d->stale)) return;
    int64_t at = d->members_of == g->id && d->n_members ? d->members[d->member].id : 0;
    d->n_members = d->hidden = d->member = 0;
    d->members_of = g->id;
    d->follow = true;
    d->stale = false;
    if (ts_dup_members(d->screen.app->reader, g->id, &members, &n, &d->screen.app->frame, NULL) != TS_OK) return;
    for (size_t i = 0; i < n && d->n_members < MEMBERS_MAX; i++)
        d->members[d->n_members++] =
            (struct member){members[i].id, members[i].similarity, members[i].keep, members[i].apart};
    d->hidden = n - d->n_members;
    for (size_t i = 0; i < d->n_members; i++)
        if (at ? d->members[i].id == at : d->members[i].keep) d->member = i;
}

/* "open" while two or more of its rows are neither rejected nor held apart. */
static const char *state_of(const struct dups *d, const ts_dup_group *g) {
    ts_app *app = d->screen.app;
    ts_dup_member *members;
    ts_row rows[MEMBERS_MAX];
    int64_t ids[MEMBERS_MAX];
    size_t n = 0, alive = 0;
    if (g->rows > MEMBERS_MAX) return "many";
    if (ts_dup_members(app->reader, g->id, &members, &n, &app->frame, NULL) != TS_OK) return "?";
    n = TS_MIN(n, (size_t)MEMBERS_MAX);
    for (size_t i = 0; i < n; i++)
        ids[i] = members[i].id;
    if (ts_rows_read(app->reader, ids, n, rows, &app->frame, NULL) != TS_OK) return "?";
    for (size_t i = 0; i < n; i++)
        alive += !rows[i].gone && rows[i].status != TS_REJECTED && !members[i].apart;
    return alive >= 2 ? "open" : "done";
}

/* ---- drawing ---- */

static void draw_groups(struct dups *d, ts_canvas *c, ts_rect r) {
    d->list_rect = r;
    ts_put(c, r.x + 2, r.y, r.w - 2, TS_R_DIM, "group  rows  least  state");
    ts_list_fit(&d->list, d->n_groups, r.h - 1);
    for (int i = 0; i < r.h - 1 && d->list.top + (size_t)i < d->n_groups; i++) {
        size_t at = d->list.top + (size_t)i;
        const ts_dup_group *g = &d->groups[at];
        const char *state = state_of(d, g);
        int y = r.y + 1 + i;
        bool open = strcmp(state, "done") != 0;
        ts_putf(c, r.x + 2, y, r.w - 2, open ? TS_R_TEXT : TS_R_DIM, "%5lld %5lld   %.2f", (long long)g->id,
                (long long)g->rows, g->weakest);
        ts_put(c, r.x + 22, y, r.w - 23, open ? TS_R_WARN : TS_R_OK, state);
        if (at != d->list.cursor) continue;
        ts_put(c, r.x, y, 1, TS_R_KEY, ">");
        if (!d->on_members) ts_select(c, r.x, y, r.w - 1);
    }
}

static ts_text text_of(const ts_row *row, ts_field field) {
    return field == TS_INSTRUCTION ? row->instruction : field == TS_INPUT ? row->input : row->output;
}

/* The member that member `at` is compared with: the best one, and for that one the member under the cursor. Its own
 * number: with none. */
static size_t other_of(const struct dups *d, size_t at) {
    size_t best = 0;
    while (best < d->n_members && !d->members[best].keep)
        best++;
    if (best == d->n_members) return at;
    return at == best ? d->member : best;
}

static void member_text(struct dups *d, ts_doc *doc, const ts_row *rows, size_t at, ts_field field) {
    ts_app *app = d->screen.app;
    size_t other = other_of(d, at);
    ts_text t = text_of(&rows[at], field), ref = text_of(&rows[other], field);
    ts_spans gone = {0}, added = {0};
    if (!t.n) return;
    bool keep = d->members[at].keep;
    bool marks = !d->plain && other != at && ref.n && ts_worddiff(ref.s, ref.n, t.s, t.n, &gone, &added);
    const char *s = t.s, *open = keep ? "[-" : "{+", *close = keep ? "-]" : "+}";
    size_t n = t.n;
    const ts_spans *shown = ts_marks_in_frame(app, &added);
    ts_spans_release(&gone);
    if (marks && app->term->mono) s = ts_marked_text(&app->frame, t.s, t.n, shown, open, close, &n);
    ts_doc_text(doc, 4, TS_R_TEXT, s, n, marks && !app->term->mono ? shown : NULL, keep ? TS_R_GONE : TS_R_ADDED);
}

static void draw_members(struct dups *d, ts_canvas *c, ts_rect r) {
    ts_app *app = d->screen.app;
    ts_row rows[MEMBERS_MAX];
    int64_t ids[MEMBERS_MAX];
    size_t starts[MEMBERS_MAX];
    read_members(d);
    for (size_t i = 0; i < d->n_members; i++)
        ids[i] = d->members[i].id;
    if (ts_rows_read(app->reader, ids, d->n_members, rows, &app->frame, NULL) != TS_OK) return;
    ts_doc doc = ts_doc_new(&app->frame, r.w);
    for (size_t i = 0; i < d->n_members; i++) {
        char title[200];
        const struct member *m = &d->members[i];
        starts[i] = doc.n;
        rows[i].id = ids[i];
        ts_row_title(&rows[i], title, sizeof title);
        ts_role role = rows[i].status == TS_NEW ? TS_R_STRONG : ts_row_role(rows[i].status);
        ts_doc_linef(&doc, 0, role, "%s %s   like %.2f%s", i == d->member ? ">" : " ", title, m->similarity,
                     m->apart  ? "   no duplicate"
                     : m->keep ? "   the best of them"
                               : "");
        member_text(d, &doc, rows, i, TS_INSTRUCTION);
        member_text(d, &doc, rows, i, TS_INPUT);
        if (rows[i].output.n) ts_doc_line_put(&doc, 2, TS_R_LABEL, "output");
        member_text(d, &doc, rows, i, TS_OUTPUT);
        ts_doc_blank(&doc);
    }
    if (d->hidden)
        ts_doc_linef(&doc, 2, TS_R_DIM, "and %zu more: dup=%lld in Browse shows them all", d->hidden,
                     (long long)d->members_of);
    if (d->follow && d->n_members) {
        size_t end = d->member + 1 < d->n_members ? starts[d->member + 1] : doc.n;
        if (starts[d->member] < d->scroll) d->scroll = starts[d->member];
        if (end > d->scroll + (size_t)r.h) d->scroll = TS_MIN(starts[d->member], end - (size_t)r.h);
        d->follow = false;
    }
    ts_doc_draw(&doc, c, r, &d->scroll);
    if (d->on_members && d->n_members && starts[d->member] >= d->scroll)
        ts_select(c, r.x, r.y + (int)(starts[d->member] - d->scroll), TS_MIN(r.w, 60));
    ts_doc_release(&doc);
}

static void draw_empty(const struct dups *d, ts_canvas *c, ts_rect r) {
    const char *first = d->searching ? "Comparing all examples with each other."
                        : d->loaded  ? "No near duplicates are known."
                                     : "Reading the groups.";
    ts_put(c, r.x + 3, r.y + 2, r.w - 4, TS_R_STRONG, first);
    if (d->loaded && !d->searching)
        ts_put(c, r.x + 3, r.y + 3, r.w - 4, TS_R_TEXT,
               "R searches: prompt alike to 0.70 of its word pairs; t: in another way.");
}

static void dups_draw(ts_screen *s, ts_canvas *c, ts_rect body) {
    struct dups *d = (struct dups *)s;
    int left = TS_MIN(30, body.w / 2);
    d->list_rect = (ts_rect){0};
    if (d->n_groups == 0) {
        draw_empty(d, c, body);
        return;
    }
    if (d->zoom) left = d->on_members ? 0 : body.w;
    if (left) draw_groups(d, c, (ts_rect){body.x, body.y, left, body.h});
    if (left && left < body.w) ts_vline(c, left, body.y, body.h);
    if (left < body.w) draw_members(d, c, (ts_rect){body.x + left + 2, body.y, body.w - left - 3, body.h});
}

static void how_words(const struct how *how, char out[48]);

static void dups_status(ts_screen *s, char *left, char *right) {
    struct dups *d = (struct dups *)s;
    char how[48];
    if (!d->n_groups) return;
    how_words(&d->how, how);
    snprintf(left, 200, "R searches: %s   words that differ are %smarked", how, d->plain ? "not " : "");
    snprintf(right, 200, "group %zu / %zu", d->list.cursor + 1, d->n_groups);
}

/* ---- deciding ---- */

static ts_status run_keep(ts_act *a, ts_store *st, ts_err *err) {
    return ts_rows_set_status(st, a->ids, a->n_ids, (ts_row_status)a->number, &a->done, err);
}

static void decide_member(struct dups *d, ts_row_status status) {
    ts_act *a = ts_act_new(d->screen.app, run_keep);
    a->ids = ts_malloc(sizeof *a->ids);
    a->ids[0] = d->members[d->member].id;
    a->n_ids = 1;
    a->number = (int)status;
    ts_act_push(a);
}

static ts_status run_keeper(ts_act *a, ts_store *st, ts_err *err) {
    TS_TRY(ts_dup_keeper(st, a->id, a->ids[0], err));
    snprintf(a->done.text, sizeof a->done.text, "row %lld is the one to keep in group %lld", (long long)a->ids[0],
             (long long)a->id);
    return TS_OK;
}

static void make_keeper(struct dups *d) {
    ts_act *a = ts_act_new(d->screen.app, run_keeper);
    a->id = d->members_of;
    a->ids = ts_malloc(sizeof *a->ids);
    a->ids[0] = d->members[d->member].id;
    a->n_ids = 1;
    ts_act_push(a);
}

static ts_status run_apart(ts_act *a, ts_store *st, ts_err *err) {
    return ts_rows_apart(st, a->id, a->ids, a->n_ids, a->on, &a->done, err);
}

static void set_apart(struct dups *d) {
    ts_act *a = ts_act_new(d->screen.app, run_apart);
    a->id = d->members[d->member].id;
    a->on = !d->members[d->member].apart;
    a->ids = ts_malloc(MEMBERS_MAX * sizeof *a->ids);
    for (size_t i = 0; i < d->n_members; i++)
        if (i != d->member) a->ids[a->n_ids++] = d->members[i].id;
    ts_act_push(a);
}

/* ---- all groups at once ---- */

struct resolve_job {
    ts_job job;
    struct dups *dups;
    double least;
    int64_t *ids, groups;
    size_t n;
};

static void resolve_confirmed(ts_app *app, void *ctx, char key) {
    struct dups *d = ctx;
    (void)key;
    ts_act *a = ts_act_new(app, run_keep);
    a->number = TS_REJECTED;
    a->ids = d->losers;
    a->n_ids = d->n_losers;
    d->losers = NULL;
    ts_act_push(a);
}

static void resolve_run(ts_job *job) {
    struct resolve_job *r = (struct resolve_job *)job;
    job->status = ts_dup_removable(r->dups->screen.app->scanner, r->least, &r->ids, &r->n, &r->groups, &job->err);
}

static void resolve_done(ts_job *job) {
    struct resolve_job *r = (struct resolve_job *)job;
    struct dups *d = r->dups;
    ts_app *app = d->screen.app;
    char title[120], first[120], n[2][32];
    const char *lines[] = {first, "The row marked as the best stays as it is.",    "It is one step: u takes it back.",
                           "",    "y  reject them        n  leave them (default)", NULL};
    if (job->status == TS_OK && r->n) {
        free(d->losers);
        d->losers = r->ids;
        d->n_losers = r->n;
        r->ids = NULL;
        snprintf(title, sizeof title, "Reject %s rows?", ts_thousands((int64_t)d->n_losers, n[0]));
        snprintf(first, sizeof first, "All but one row in %s groups alike to %.2f or more.",
                 ts_thousands(r->groups, n[1]), r->least);
        ts_dialog_open(app, title, lines, "y", resolve_confirmed, d);
    } else if (job->status == TS_OK) {
        ts_app_say(app, TS_R_TEXT, "nothing to reject: every group alike to %.2f or more is decided", r->least);
    } else if (job->status != TS_CANCELLED) {
        ts_app_say(app, TS_R_ERROR, "%s", job->err.text);
    }
    free(r->ids);
    free(r);
}

static void resolve_entered(ts_app *app, void *ctx, const char *text) {
    char *end;
    double least = strtod(text, &end);
    if (end == text || *end || !(least >= 0 && least <= 1)) {
        ts_app_say(app, TS_R_WARN, "a likeness is a number from 0 to 1, not \"%.40s\"", text);
        return;
    }
    struct resolve_job *r = ts_calloc(1, sizeof *r);
    r->job = (ts_job){.title = "counting", .kind = KIND_GROUPS, .run = resolve_run, .done = resolve_done};
    r->dups = ctx;
    r->least = least;
    ts_queue_push(app->jobs, &r->job);
}

static void ask_resolve(struct dups *d, const char *arg) {
    char least[16];
    snprintf(least, sizeof least, "%.2f", d->how.o.near.threshold);
    if (arg)
        resolve_entered(d->screen.app, d, arg);
    else
        ts_prompt_open(d->screen.app,
                       &(ts_prompt_options){.label = "resolve groups alike from:",
                                            .initial = least,
                                            .hint = "the least likeness in a group; 1: only rows that are equal. You "
                                                    "are asked again before anything is done",
                                            .done = resolve_entered,
                                            .ctx = d});
}

/* ---- how to search ---- */

static bool take_word(struct how *how, const char *word, size_t n) {
    static const char *const fields[] = {"prompt", "answer", "both"}, *const keeps[] = {"best", "longest", "first"};
    char *end, copy[24];
    snprintf(copy, sizeof copy, "%.*s", (int)TS_MIN(n, sizeof copy - 1), word);
    double number = strtod(copy, &end);
    for (size_t i = 0; i < TS_COUNT(fields); i++) {
        if (strcmp(copy, fields[i]) == 0) return how->o.field = (ts_dup_field)i, true;
        if (strcmp(copy, keeps[i]) == 0) return how->o.keep = (ts_dup_keep)i, true;
    }
    if (strcmp(copy, "exact") == 0) return how->o.near.exact = true;
    if (strcmp(copy, "semantic") == 0) return how->semantic = true;
    if (*end || !(number > 0 && number <= 1)) return false;
    how->o.near.threshold = number;
    how->o.near.exact = false;
    return true;
}

static void likeness_entered(ts_app *app, void *ctx, const char *text) {
    struct dups *d = ctx;
    struct how how = {.o = TS_DEDUPE_DEFAULTS};
    how.o.near.threshold = 0;
    for (const char *word = text + strspn(text, " "); *word;) {
        size_t n = strcspn(word, " ");
        if (!take_word(&how, word, n)) {
            ts_app_say(app, TS_R_WARN,
                       "\"%.*s\" is no likeness above 0 up to 1, and none of exact, semantic, prompt, answer, both, "
                       "best, longest, first",
                       (int)TS_MIN(n, (size_t)40), word);
            return;
        }
        word += n + strspn(word + n, " ");
    }
    const ts_near_options usual = TS_NEAR_DEFAULTS;
    if (how.o.near.threshold == 0) how.o.near.threshold = how.semantic ? TS_SEMANTIC_THRESHOLD : usual.threshold;
    d->how = how;
    read_groups(d, true);
}

static void how_words(const struct how *how, char out[48]) {
    static const char *const fields[] = {"prompt", "answer", "both"};
    static const char *const keeps[] = {"", " longest", " first"};
    char number[16] = "exact";
    if (how->semantic || !how->o.near.exact) snprintf(number, sizeof number, "%.2f", how->o.near.threshold);
    snprintf(out, 48, "%s%s %s%s", how->semantic ? "semantic " : "", number, fields[how->o.field], keeps[how->o.keep]);
}

static void ask_likeness(struct dups *d, const char *arg) {
    char now[48];
    how_words(&d->how, now);
    if (arg)
        likeness_entered(d->screen.app, d, arg);
    else
        ts_prompt_open(d->screen.app,
                       &(ts_prompt_options){.label = "search again:",
                                            .initial = now,
                                            .hint = "0.70, exact or semantic   prompt, answer or both   best, "
                                                    "longest or first",
                                            .done = likeness_entered,
                                            .ctx = d});
}

static void go_group(struct dups *d, int64_t by) {
    ts_list_move(&d->list, by);
    d->scroll = 0;
}

/* The next group that is not decided; at the last one the cursor stays where it is. A key looks at so many at most. */
static void go_open_group(struct dups *d, int by) {
    enum { LOOKED_AT = 200 };
    size_t at = d->list.cursor;
    for (int i = 0; i < LOOKED_AT; i++) {
        if (by > 0 ? at + 1 >= d->n_groups : at == 0) break;
        at += (size_t)by;
        if (i + 1 < LOOKED_AT && strcmp(state_of(d, &d->groups[at]), "done") == 0) continue;
        go_group(d, (int64_t)at - (int64_t)d->list.cursor);
        return;
    }
    ts_app_say(d->screen.app, TS_R_TEXT, by > 0 ? "no further group is open" : "no group before this is open");
}

/* All others are rejected; the one that stays keeps its status. */
static void keep_member(struct dups *d) {
    ts_act *a = ts_act_new(d->screen.app, run_keep);
    a->ids = ts_malloc(MEMBERS_MAX * sizeof *a->ids);
    a->number = TS_REJECTED;
    for (size_t i = 0; i < d->n_members; i++)
        if (i != d->member) a->ids[a->n_ids++] = d->members[i].id;
    ts_act_push(a);
    go_group(d, 1);
}

/* ---- the screen ---- */

static ts_screen *dups_create(ts_app *app) {
    struct dups *d = ts_calloc(1, sizeof *d);
    d->screen.app = app;
    d->how.o = (ts_dedupe_options)TS_DEDUPE_DEFAULTS;
    return &d->screen;
}

static void dups_free(ts_screen *s) {
    struct dups *d = (struct dups *)s;
    free(d->groups);
    free(d->losers);
    free(d);
}

static void dups_changed(ts_screen *s, bool rows) {
    (void)rows;
    ((struct dups *)s)->stale = true;
}

static void dups_shown(ts_screen *s) {
    struct dups *d = (struct dups *)s;
    if (!d->searching) read_groups(d, false);
}

static unsigned dups_place(const ts_screen *s) {
    (void)s;
    return TS_IN_DUPS;
}

static const char *dups_why_not(ts_screen *s, ts_command_id id) {
    const struct dups *d = (const struct dups *)s;
    bool needs = id == TS_DO_KEEP || id == TS_DO_ACCEPT || id == TS_DO_REJECT || id == TS_DO_LATER ||
                 id == TS_DO_RENEW || id == TS_DO_NEXT || id == TS_DO_PREV || id == TS_DO_WORDS || id == TS_DO_COPY ||
                 id == TS_DO_KEEPER || id == TS_DO_APART || id == TS_DO_RESOLVE || id == TS_DO_ZOOM ||
                 id == TS_DO_PANE_NEXT || id == TS_DO_PANE_PREV;
    if (needs && !d->n_groups) return "there is no group; R searches for duplicates";
    if (needs && ts_commands[id].group == TS_G_DECIDE && ts_store_read_only(s->app->reader))
        return "this workspace can only be read";
    if (id == TS_DO_KEEP && d->hidden) return "this group has more rows than are shown; decide in Browse";
    if (id == TS_DO_APART && d->hidden) return "this group has more rows than are shown; reject or keep them in Browse";
    if ((id == TS_DO_LIKENESS || id == TS_DO_RESOLVE) && d->searching) return "the search goes on; c stops it";
    if (id == TS_DO_CANCEL && !d->searching) return "no search goes on";
    if (id == TS_DO_RELOAD && d->searching) return "the search goes on; c stops it";
    return NULL;
}

static bool move_command(struct dups *d, ts_command_id id) {
    if (!d->on_members) {
        if (!ts_list_command(&d->list, id)) return false;
        d->scroll = 0;
        return true;
    }
    ts_list l = {.count = d->n_members, .cursor = d->member, .height = 2};
    if (!ts_list_command(&l, id)) return false;
    d->member = l.cursor;
    d->follow = true;
    return true;
}

static void copy_member(struct dups *d) {
    ts_app *app = d->screen.app;
    ts_row row;
    if (ts_row_read(app->reader, d->members[d->member].id, &row, &app->frame, NULL) != TS_OK) return;
    app->term->copy(app->term, row.output.s ? row.output.s : "", row.output.n);
    ts_app_say(app, TS_R_OK, "copied the output of row %lld", (long long)row.id);
}

static bool decide_command(struct dups *d, ts_command_id id) {
    switch (id) {
    case TS_DO_KEEP:
        keep_member(d);
        return true;
    case TS_DO_ACCEPT:
        decide_member(d, TS_ACCEPTED);
        return true;
    case TS_DO_REJECT:
        decide_member(d, TS_REJECTED);
        return true;
    case TS_DO_LATER:
        decide_member(d, TS_LATER);
        return true;
    case TS_DO_RENEW:
        decide_member(d, TS_NEW);
        return true;
    case TS_DO_KEEPER:
        make_keeper(d);
        return true;
    case TS_DO_APART:
        set_apart(d);
        return true;
    default:
        return false;
    }
}

static bool dups_command(ts_screen *s, ts_command_id id, const char *arg) {
    struct dups *d = (struct dups *)s;
    if (move_command(d, id) || decide_command(d, id)) return true;
    switch (id) {
    case TS_DO_RESOLVE:
        ask_resolve(d, arg);
        return true;
    case TS_DO_LIKENESS:
        ask_likeness(d, arg);
        return true;
    case TS_DO_NEXT:
    case TS_DO_PREV:
        go_open_group(d, id == TS_DO_NEXT ? 1 : -1);
        return true;
    case TS_DO_WORDS:
        d->plain = !d->plain;
        return true;
    case TS_DO_ZOOM:
        d->zoom = !d->zoom;
        return true;
    case TS_DO_PANE_NEXT:
    case TS_DO_PANE_PREV:
        d->on_members = !d->on_members;
        return true;
    case TS_DO_RELOAD:
        read_groups(d, true);
        return true;
    case TS_DO_CANCEL:
        ts_queue_cancel(s->app->jobs, KIND_GROUPS);
        ts_queue_cancel(s->app->models, KIND_GROUPS);
        return true;
    case TS_DO_COPY:
        copy_member(d);
        return true;
    case TS_DO_BACK:
    case TS_DO_BACK_OUT:
        if (d->zoom || d->on_members)
            d->zoom = d->on_members = false;
        else
            ts_app_show(s->app, TS_SCREEN_BROWSE);
        return true;
    default:
        return false;
    }
}

static bool dups_input(ts_screen *s, const ts_input *in) {
    struct dups *d = (struct dups *)s;
    bool list = in->x < d->list_rect.x + d->list_rect.w;
    if (in->kind == TS_IN_WHEEL && list) {
        go_group(d, in->delta > 0 ? 1 : -1);
    } else if (in->kind == TS_IN_WHEEL) {
        d->scroll = in->delta > 0 ? d->scroll + 3 : d->scroll > 3 ? d->scroll - 3 : 0;
    } else if (in->kind == TS_IN_CLICK) {
        size_t at = d->list.top + (size_t)(in->y - d->list_rect.y - 1);
        if (list && in->y > d->list_rect.y && at < d->n_groups) d->list.cursor = at;
        d->on_members = !list;
    } else {
        return false;
    }
    return true;
}

void ts_dups_screen_show(ts_app *app, int64_t group) {
    struct dups *d = (struct dups *)app->screens[TS_SCREEN_DUPS];
    for (size_t i = 0; i < d->n_groups; i++)
        if (d->groups[i].id == group) d->list.cursor = i;
    ts_app_show(app, TS_SCREEN_DUPS);
}

const ts_screen_ops ts_dups_ops = {
    .tab = "2 Duplicates",
    .key = TS_DO_SCREEN_DUPS,
    .create = dups_create,
    .free = dups_free,
    .shown = dups_shown,
    .place = dups_place,
    .draw = dups_draw,
    .status = dups_status,
    .command = dups_command,
    .why_not = dups_why_not,
    .input = dups_input,
    .changed = dups_changed,
};
