/* Duplicates: the groups that the last search found, and the examples of one group beneath each other with the words
 * marked that the suggested one lacks. Deciding here is deciding in Browse: it sets status, and u takes it back. */
#include "dataset/dedupe.h"
#include "tui/dups.h"
#include "tui/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_GROUPS = 6, MEMBERS_MAX = 40 };

struct member {
    int64_t id;
    double similarity;
    bool keep;
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
    double threshold;
};

static const ts_dup_group *chosen(const struct dups *d) {
    return d->list.cursor < d->n_groups ? &d->groups[d->list.cursor] : NULL;
}

/* ---- reading and searching ---- */

struct groups_job {
    ts_job job;
    struct dups *dups;
    bool search;
    ts_dedupe_report report;
    ts_dup_group *groups;
    size_t n;
};

static void groups_run(ts_job *job) {
    struct groups_job *g = (struct groups_job *)job;
    ts_store *st = g->dups->screen.app->scanner;
    ts_dedupe_options o = TS_DEDUPE_DEFAULTS;
    ts_arena arena = TS_ARENA_INIT;
    ts_dup_group *groups = NULL;
    if (g->search) job->status = ts_dedupe(st, &o, &job->progress, NULL, NULL, &g->report, &job->err);
    if (job->status == TS_OK) job->status = ts_dup_groups(st, &groups, &g->n, &arena, &job->err);
    if (job->status == TS_OK && g->n) {
        g->groups = ts_malloc(g->n * sizeof *groups);
        memcpy(g->groups, groups, g->n * sizeof *groups);
    }
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
            ts_app_say(app, TS_R_OK, "%s groups of near duplicates among %s rows", ts_thousands(g->report.groups, n[0]),
                       ts_thousands(g->report.rows, n[1]));
        if (g->search) ts_app_changed(app, false);
    } else if (job->status != TS_CANCELLED) {
        ts_app_say(app, TS_R_ERROR, "%s", job->err.text);
    }
    free(g->groups);
    free(g);
}

static void read_groups(struct dups *d, bool search) {
    struct groups_job *g = ts_calloc(1, sizeof *g);
    g->job =
        (ts_job){.title = search ? "comparing" : NULL, .kind = KIND_GROUPS, .run = groups_run, .done = groups_done};
    g->dups = d;
    g->search = search;
    d->searching |= search;
    ts_queue_push(d->screen.app->jobs, &g->job);
}

/* The members of the chosen group: a few rows by key. */
static void read_members(struct dups *d) {
    const ts_dup_group *g = chosen(d);
    ts_dup_member *members;
    size_t n = 0;
    if (!g || d->members_of == g->id) return;
    d->n_members = d->hidden = d->member = 0;
    d->members_of = g->id;
    d->follow = true;
    if (ts_dup_members(d->screen.app->reader, g->id, &members, &n, &d->screen.app->frame, NULL) != TS_OK) return;
    for (size_t i = 0; i < n && d->n_members < MEMBERS_MAX; i++)
        d->members[d->n_members++] = (struct member){members[i].id, members[i].similarity, members[i].keep};
    d->hidden = n - d->n_members;
    for (size_t i = 0; i < d->n_members; i++)
        if (d->members[i].keep) d->member = i;
}

/* "open" while two or more of its rows are not rejected. */
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
        alive += !rows[i].gone && rows[i].status != TS_REJECTED;
    return alive >= 2 ? "open" : "done";
}

/* ---- drawing ---- */

static void draw_groups(struct dups *d, ts_canvas *c, ts_rect r) {
    d->list_rect = r;
    ts_put(c, r.x + 2, r.y, r.w - 2, TS_R_DIM, "group  rows   like  state");
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

static ts_text reference_text(const struct dups *d, const ts_row *rows, ts_field field) {
    for (size_t i = 0; i < d->n_members; i++)
        if (d->members[i].keep) {
            if (field == TS_INSTRUCTION) return rows[i].instruction;
            return field == TS_INPUT ? rows[i].input : rows[i].output;
        }
    return (ts_text){0};
}

static void member_text(struct dups *d, ts_doc *doc, const ts_row *rows, size_t at, ts_field field) {
    ts_app *app = d->screen.app;
    ts_text t = field == TS_INSTRUCTION ? rows[at].instruction : field == TS_INPUT ? rows[at].input : rows[at].output;
    ts_text ref = reference_text(d, rows, field);
    ts_spans gone = {0}, *added = ts_arena_alloc(&app->frame, sizeof *added);
    *added = (ts_spans){0};
    if (!t.n) return;
    bool marks = !d->plain && !d->members[at].keep && ref.n && ts_worddiff(ref.s, ref.n, t.s, t.n, &gone, added);
    const char *s = t.s;
    size_t n = t.n;
    if (marks && app->term->mono) s = ts_marked_text(&app->frame, t.s, t.n, added, "{+", "+}", &n);
    bool colour = marks && !app->term->mono;
    if (colour) { /* the page keeps a pointer to the marks until it is drawn, so they live in the frame */
        ts_span *items = ts_arena_alloc(&app->frame, (added->n + 1) * sizeof *items);
        if (added->n) memcpy(items, added->items, added->n * sizeof *items);
        free(added->items);
        added->items = items;
        ts_doc_text(doc, 4, TS_R_TEXT, s, n, added, TS_R_ADDED);
    } else {
        ts_spans_release(added);
        ts_doc_text(doc, 4, TS_R_TEXT, s, n, NULL, TS_R_TEXT);
    }
    ts_spans_release(&gone);
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
                     m->keep ? "   the best of them" : "");
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
               "R searches: prompt and answer alike to 0.70 of their word pairs.");
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

static void dups_status(ts_screen *s, char *left, char *right) {
    struct dups *d = (struct dups *)s;
    if (!d->n_groups) return;
    snprintf(left, 200, "words that the best one lacks are %smarked", d->plain ? "not " : "");
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

static void go_group(struct dups *d, int64_t by) {
    ts_list_move(&d->list, by);
    d->scroll = 0;
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
    return &d->screen;
}

static void dups_free(ts_screen *s) {
    struct dups *d = (struct dups *)s;
    free(d->groups);
    free(d);
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
                 id == TS_DO_ZOOM || id == TS_DO_PANE_NEXT || id == TS_DO_PANE_PREV;
    if (needs && !d->n_groups) return "there is no group; R searches for duplicates";
    if (needs && ts_commands[id].group == TS_G_DECIDE && ts_store_read_only(s->app->reader))
        return "this workspace can only be read";
    if (id == TS_DO_KEEP && d->hidden) return "this group has more rows than are shown; decide in Browse";
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
    default:
        return false;
    }
}

static bool dups_command(ts_screen *s, ts_command_id id, const char *arg) {
    struct dups *d = (struct dups *)s;
    (void)arg;
    if (move_command(d, id) || decide_command(d, id)) return true;
    switch (id) {
    case TS_DO_NEXT:
    case TS_DO_PREV:
        go_group(d, id == TS_DO_NEXT ? 1 : -1);
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
};
