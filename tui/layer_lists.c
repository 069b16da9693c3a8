/* Boxes with a list in them: menu, pager, palette, help. */
#include "core/text/cells.h"
#include "tui/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Arrow and page keys as list commands, for layers in which letters are typed. */
static ts_command_id list_key(uint32_t key) {
    switch (key) {
    case TS_KEY_DOWN:
    case TS_CTRL('N'):
        return TS_DO_DOWN;
    case TS_KEY_UP:
    case TS_CTRL('P'):
        return TS_DO_UP;
    case TS_KEY_PGDN:
        return TS_DO_PAGE_DOWN;
    case TS_KEY_PGUP:
        return TS_DO_PAGE_UP;
    case TS_KEY_HOME:
        return TS_DO_FIRST;
    case TS_KEY_END:
        return TS_DO_LAST;
    default:
        return TS_COMMAND_COUNT;
    }
}

static ts_rect centered(const ts_canvas *c, int w, int h) {
    ts_rect r = {.w = TS_MIN(w, c->w), .h = TS_MIN(h, c->h)};
    r.x = (c->w - r.w) / 2;
    r.y = (c->h - r.h) / 2;
    return r;
}

/* ---- menu ---- */

struct menu {
    ts_layer layer;
    char *title;
    char **items;
    ts_list list;
    void (*fn)(ts_app *app, void *ctx, size_t index);
    void *ctx;
};

static bool menu_input(ts_layer *l, const ts_input *in) {
    struct menu *m = (struct menu *)l;
    if (in->kind == TS_IN_WHEEL) ts_list_move(&m->list, in->delta > 0 ? 1 : -1);
    if (in->kind != TS_IN_KEY) return true;
    ts_command_id id = ts_command_for_key(TS_IN_BROWSE, in->key);
    if (in->key == TS_KEY_ENTER) {
        l->closed = true;
        if (m->list.count) m->fn(l->app, m->ctx, m->list.cursor);
    } else if (in->key == TS_KEY_ESC || in->key == 'q' || in->key == TS_CTRL('C')) {
        l->closed = true;
    } else {
        ts_list_command(&m->list, id);
    }
    return true;
}

static void menu_draw(ts_layer *l, ts_canvas *c) {
    struct menu *m = (struct menu *)l;
    size_t width = strlen(m->title) + 8;
    for (size_t i = 0; i < m->list.count; i++)
        width = TS_MAX(width, ts_cells_width(m->items[i], strlen(m->items[i])) + 6);
    ts_rect r = centered(c, (int)width, TS_MIN((int)m->list.count + 2, c->h - 4));
    ts_box(c, r, m->title);
    ts_list_fit(&m->list, m->list.count, r.h - 2);
    for (int i = 0; i < r.h - 2; i++) {
        size_t at = m->list.top + (size_t)i;
        if (at >= m->list.count) break;
        ts_put(c, r.x + 3, r.y + 1 + i, r.w - 5, TS_R_TEXT, m->items[at]);
        if (at == m->list.cursor) {
            ts_put(c, r.x + 1, r.y + 1 + i, 1, TS_R_TEXT, ">");
            ts_select(c, r.x + 1, r.y + 1 + i, r.w - 2);
        }
    }
}

static void menu_free(ts_layer *l) {
    struct menu *m = (struct menu *)l;
    for (size_t i = 0; i < m->list.count; i++)
        free(m->items[i]);
    free(m->items);
    free(m->title);
    free(m);
}

static const ts_layer_ops menu_ops = {.input = menu_input, .draw = menu_draw, .free = menu_free};

void ts_menu_open(ts_app *app, const char *title, const char *const *items, size_t n, size_t chosen,
                  void (*fn)(ts_app *app, void *ctx, size_t index), void *ctx) {
    struct menu *m = ts_calloc(1, sizeof *m);
    *m = (struct menu){.layer.ops = &menu_ops, .title = ts_strdup(title), .fn = fn, .ctx = ctx};
    m->items = ts_calloc(n, sizeof *m->items);
    for (size_t i = 0; i < n; i++)
        m->items[i] = ts_strdup(items[i]);
    m->list = (ts_list){.count = n, .cursor = chosen < n ? chosen : 0};
    ts_layer_push(app, &m->layer);
}

/* ---- pager ---- */

struct pager {
    ts_layer layer;
    char *title, *text;
    ts_list list; /* only its movement: cursor = first line shown */
    size_t scroll;
};

static bool pager_input(ts_layer *l, const ts_input *in) {
    struct pager *p = (struct pager *)l;
    if (in->kind == TS_IN_WHEEL) ts_list_move(&p->list, in->delta);
    if (in->kind == TS_IN_KEY && !ts_list_command(&p->list, ts_command_for_key(TS_IN_BROWSE, in->key)))
        l->closed = in->key == TS_KEY_ESC || in->key == 'q' || in->key == TS_KEY_ENTER || in->key == TS_CTRL('C');
    p->scroll = p->list.cursor;
    return true;
}

static void pager_draw(ts_layer *l, ts_canvas *c) {
    struct pager *p = (struct pager *)l;
    ts_rect r = centered(c, c->w - 6, c->h - 6);
    ts_box(c, r, p->title);
    ts_doc d = ts_doc_new(&l->app->frame, r.w - 4);
    ts_doc_text(&d, 0, TS_R_TEXT, p->text, strlen(p->text), NULL, TS_R_TEXT);
    bool more = ts_doc_draw(&d, c, (ts_rect){r.x + 2, r.y + 1, r.w - 4, r.h - 2}, &p->scroll);
    p->list = (ts_list){
        .count = d.n > (size_t)(r.h - 2) ? d.n - (size_t)(r.h - 2) + 1 : 1, .cursor = p->scroll, .height = r.h - 2};
    ts_putf(c, r.x + 3, r.y + r.h - 1, r.w - 6, TS_R_DIM,
            more ? " j k move   Esc closes   more below " : " Esc closes ");
    ts_cursor(c, r.x + 2, r.y + 1);
    ts_doc_release(&d);
}

static void pager_free(ts_layer *l) {
    struct pager *p = (struct pager *)l;
    free(p->title);
    free(p->text);
    free(p);
}

static const ts_layer_ops pager_ops = {.input = pager_input, .draw = pager_draw, .free = pager_free};

void ts_pager_open(ts_app *app, const char *title, const char *text) {
    struct pager *p = ts_calloc(1, sizeof *p);
    *p = (struct pager){.layer.ops = &pager_ops, .title = ts_strdup(title), .text = ts_strdup(text)};
    ts_layer_push(app, &p->layer);
}

/* ---- palette ---- */

struct palette {
    ts_layer layer;
    ts_editor editor;
    ts_list list;
    ts_command_id found[TS_COMMAND_COUNT];
    size_t n;
};

/* How well a name fits what was typed: 0 not at all; letters in order count, at a word's begin more, whole starts most;
 * and the whole name comes before all others. */
static int fits(const char *name, const char *typed, size_t n) {
    int score = 1;
    size_t at = 0;
    if (strncmp(name, typed, n) == 0) return (name[n] ? 1000 : 1100) - (int)strlen(name);
    const char *inside = n ? strstr(name, typed) : NULL;
    if (inside && strlen(typed) == n) return 500 - (int)(inside - name);
    for (const char *c = name; *c && at < n; c++)
        if (*c == typed[at]) {
            score += c == name || c[-1] == '-' ? 10 : 1;
            at++;
        }
    return at == n ? score : 0;
}

/* Words of the help count too, after all names. */
static int fits_command(const ts_command *c, const char *typed, size_t n) {
    int score = fits(c->name, typed, n);
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)TS_MIN(n, sizeof word - 1), typed);
    return score ? score + 1 : strcasestr(c->help, word) != NULL;
}

static bool recent(const ts_app *app, ts_command_id id) {
    struct ts_history *h = ts_app_history((ts_app *)app, ":");
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(h->items[i], ts_commands[id].name) == 0) return true;
    return false;
}

/* Orders the commands of this screen by fit; those of other places come last, with the reason. */
static void search(struct palette *p) {
    int scores[TS_COMMAND_COUNT];
    const char *typed = ts_buf_str(&p->editor.text);
    size_t word = strcspn(typed, " ");
    p->n = 0;
    for (int i = 0; i < TS_COMMAND_COUNT; i++) {
        int score = fits_command(&ts_commands[i], typed, word);
        if (!score || !(ts_commands[i].places & TS_IN_LISTS)) continue;
        if (ts_app_why_not(p->layer.app, (ts_command_id)i)) score -= 2000;
        if (recent(p->layer.app, (ts_command_id)i)) score += 5;
        size_t at = p->n++;
        for (; at > 0 && scores[at - 1] < score; at--) {
            scores[at] = scores[at - 1];
            p->found[at] = p->found[at - 1];
        }
        scores[at] = score;
        p->found[at] = (ts_command_id)i;
    }
    p->list.cursor = p->list.top = 0;
}

static void palette_run(struct palette *p) {
    ts_app *app = p->layer.app;
    char *typed = ts_strdup(ts_buf_str(&p->editor.text));
    size_t word = strcspn(typed, " ");
    const char *arg = typed[word] && typed[word + 1] ? typed + word + 1 : NULL;
    p->layer.closed = true;
    app->message[0] = 0;
    if (*typed && strspn(typed, "0123456789,") == strlen(typed)) {
        ts_app_command(app, TS_DO_GO_TO, typed);
    } else if (p->n == 0) {
        ts_app_say(app, TS_R_WARN, "there is no command %.*s", (int)TS_MIN(word, 60), typed);
    } else {
        ts_command_id id = p->found[p->list.cursor];
        ts_history_add(ts_app_history(app, ":"), ts_commands[id].name);
        ts_app_command(app, id, arg);
    }
    free(typed);
}

static bool palette_input(ts_layer *l, const ts_input *in) {
    struct palette *p = (struct palette *)l;
    if (in->kind == TS_IN_WHEEL) ts_list_move(&p->list, in->delta > 0 ? 1 : -1);
    if (in->kind == TS_IN_PASTE) {
        ts_editor_paste(&p->editor, in->text, in->n);
        search(p);
    }
    if (in->kind != TS_IN_KEY) return true;
    if (in->key == TS_KEY_ENTER) {
        palette_run(p);
    } else if (in->key == TS_KEY_ESC || in->key == TS_CTRL('C') ||
               (in->key == TS_KEY_BACKSPACE && p->editor.text.len == 0)) {
        l->closed = true;
    } else if (in->key == TS_KEY_TAB && p->n) {
        const char *name = ts_commands[p->found[p->list.cursor]].name;
        ts_editor_set(&p->editor, name, strlen(name));
        ts_editor_key(&p->editor, ' ');
        search(p);
    } else if (!ts_list_command(&p->list, list_key(in->key)) && ts_editor_key(&p->editor, in->key)) {
        search(p);
    }
    return true;
}

static void palette_draw(ts_layer *l, ts_canvas *c) {
    struct palette *p = (struct palette *)l;
    int rows = TS_MIN(12, c->h - 8);
    ts_rect r = centered(c, TS_MIN(c->w - 4, 86), rows + 4);
    char count[40];
    snprintf(count, sizeof count, "Commands, %zu", p->n);
    ts_box(c, r, count);
    ts_list_fit(&p->list, p->n, rows);
    for (int i = 0; i < rows && p->list.top + (size_t)i < p->n; i++) {
        ts_command_id id = p->found[p->list.top + (size_t)i];
        const char *why = ts_app_why_not(l->app, id);
        char key[16];
        int y = r.y + 3 + i;
        unsigned here = ts_app_place(l->app), places = ts_commands[id].places;
        ts_command_key(id, places & here ? here : places, key); /* or that of the screens that have it */
        ts_put(c, r.x + 3, y, 16, why ? TS_R_DIM : TS_R_STRONG, ts_commands[id].name);
        ts_put(c, r.x + 20, y, 6, TS_R_KEY, key);
        ts_put(c, r.x + 27, y, r.w - 29, why ? TS_R_DIM : TS_R_TEXT, why ? why : ts_commands[id].help);
        if (p->list.top + (size_t)i == p->list.cursor) {
            ts_put(c, r.x + 1, y, 1, TS_R_TEXT, ">");
            ts_select(c, r.x + 1, y, r.w - 2);
        }
    }
    ts_put(c, r.x + 2, r.y + 1, 1, TS_R_KEY, ":");
    ts_editor_draw(&p->editor, c, (ts_rect){r.x + 3, r.y + 1, r.w - 5, 1}, TS_R_TEXT, true);
    ts_put(c, r.x + 3, r.y + r.h - 1, r.w - 6, TS_R_DIM, " Enter runs   Tab completes   :123 goes to row 123   Esc ");
}

static void palette_free(ts_layer *l) {
    struct palette *p = (struct palette *)l;
    ts_editor_release(&p->editor);
    free(p);
}

static const ts_layer_ops palette_ops = {.input = palette_input, .draw = palette_draw, .free = palette_free};

void ts_palette_open(ts_app *app) {
    struct palette *p = ts_calloc(1, sizeof *p);
    p->layer.ops = &palette_ops;
    ts_editor_init(&p->editor, "", 0, true);
    ts_layer_push(app, &p->layer);
    search(p);
}

/* ---- help ---- */

struct help {
    ts_layer layer;
    ts_editor editor;
    unsigned place;
    struct help_line {
        ts_command_id id; /* TS_COMMAND_COUNT: a heading */
        ts_group group;
    } lines[TS_COMMAND_COUNT + TS_GROUPS];
    size_t n;
    ts_list list;
};

static bool contains(const char *text, const char *part) {
    return strcasestr(text, part) != NULL;
}

static void collect(struct help *h) {
    const char *typed = ts_buf_str(&h->editor.text);
    h->n = 0;
    for (int g = 0; g < TS_GROUPS; g++) {
        bool headed = false;
        for (int i = 0; i < TS_COMMAND_COUNT; i++) {
            const ts_command *c = &ts_commands[i];
            if (c->group != (ts_group)g || !(c->places & h->place)) continue;
            if (!contains(c->name, typed) && !contains(c->help, typed) && !contains(c->keys, typed)) continue;
            if (!headed) h->lines[h->n++] = (struct help_line){TS_COMMAND_COUNT, (ts_group)g};
            headed = true;
            h->lines[h->n++] = (struct help_line){(ts_command_id)i, (ts_group)g};
        }
    }
    h->list.cursor = h->n > 1 ? 1 : 0;
    h->list.top = 0;
}

static void help_move(struct help *h, ts_command_id id) {
    bool up = id == TS_DO_UP || id == TS_DO_PAGE_UP;
    ts_list_command(&h->list, id);
    if (h->n && h->lines[h->list.cursor].id == TS_COMMAND_COUNT) { /* headings are stepped over */
        if (up && h->list.cursor > 0)
            h->list.cursor--;
        else
            h->list.cursor++;
    }
    if (h->list.top == 1) h->list.top = 0;
}

static bool help_input(ts_layer *l, const ts_input *in) {
    struct help *h = (struct help *)l;
    if (in->kind == TS_IN_WHEEL) help_move(h, in->delta > 0 ? TS_DO_DOWN : TS_DO_UP);
    if (in->kind != TS_IN_KEY) return true;
    if (in->key == TS_KEY_ESC && h->editor.text.len) {
        ts_editor_set(&h->editor, "", 0);
        collect(h);
    } else if (in->key == TS_KEY_ESC || in->key == TS_KEY_F1 || in->key == TS_CTRL('C') ||
               (h->editor.text.len == 0 && (in->key == 'q' || in->key == '?'))) {
        l->closed = true;
    } else if (in->key == TS_KEY_ENTER && h->n) {
        l->closed = true;
        ts_app_command(l->app, h->lines[h->list.cursor].id, NULL);
    } else if (list_key(in->key) != TS_COMMAND_COUNT) {
        help_move(h, list_key(in->key));
    } else if (ts_editor_key(&h->editor, in->key)) {
        collect(h);
    }
    return true;
}

static void help_draw(ts_layer *l, ts_canvas *c) {
    struct help *h = (struct help *)l;
    ts_rect r = {0, 1, c->w, c->h - 1};
    ts_box(c, r, "Help");
    ts_put(c, r.x + 3, r.y + 1, 16, TS_R_DIM, "type to search:");
    ts_editor_draw(&h->editor, c, (ts_rect){r.x + 19, r.y + 1, r.w - 22, 1}, TS_R_TEXT, true);
    ts_list_fit(&h->list, h->n, r.h - 4);
    if (h->n == 0) ts_put(c, r.x + 3, r.y + 3, r.w - 6, TS_R_WARN, "no command here fits that");
    for (int i = 0; i < r.h - 4 && h->list.top + (size_t)i < h->n; i++) {
        const struct help_line *line = &h->lines[h->list.top + (size_t)i];
        int y = r.y + 3 + i;
        if (line->id == TS_COMMAND_COUNT) {
            ts_put(c, r.x + 3, y, r.w - 6, TS_R_TITLE, ts_group_names[line->group]);
            continue;
        }
        const ts_command *cmd = &ts_commands[line->id];
        const char *keys = ts_command_keys(line->id, h->place);
        ts_put(c, r.x + 5, y, 12, TS_R_KEY, *keys ? keys : ":");
        ts_put(c, r.x + 18, y, 15, TS_R_STRONG, cmd->name);
        ts_put(c, r.x + 34, y, r.w - 36, TS_R_TEXT, cmd->help);
        if (h->list.top + (size_t)i == h->list.cursor) {
            int x = c->cursor_x, keep = c->cursor_y;
            ts_put(c, r.x + 3, y, 1, TS_R_TEXT, ">");
            ts_select(c, r.x + 3, y, r.w - 5);
            ts_cursor(c, x, keep);
        }
    }
    ts_put(c, r.x + 3, r.y + r.h - 1, r.w - 6, TS_R_DIM,
           " Enter runs it   Esc closes   signs: + accepted  x rejected  ? later  . new ");
}

static void help_free(ts_layer *l) {
    struct help *h = (struct help *)l;
    ts_editor_release(&h->editor);
    free(h);
}

static const ts_layer_ops help_ops = {.input = help_input, .draw = help_draw, .free = help_free};

void ts_help_open(ts_app *app) {
    ts_screen *s = ts_app_screen(app);
    struct help *h = ts_calloc(1, sizeof *h);
    h->layer.ops = &help_ops;
    h->place = s->ops->place(s);
    ts_editor_init(&h->editor, "", 0, true);
    ts_layer_push(app, &h->layer);
    collect(h);
}
