#include "tui/editor.h"

#include "core/base/utf8.h"
#include "core/text/cells.h"
#include "core/text/wrap.h"

#include <stdlib.h>
#include <string.h>

/* One change: at byte `at`, `gone` was replaced by `come`. */
struct ts_editor_step {
    size_t at, cursor; /* cursor: where it stood before */
    ts_buf gone, come;
};

void ts_editor_init(ts_editor *e, const char *s, size_t n, bool one_line) {
    *e = (ts_editor){.one_line = one_line, .goal = -1, .width = 80};
    ts_buf_add(&e->text, s ? s : "", n);
    e->cursor = one_line ? n : 0;
}

static void drop_steps(ts_editor *e, size_t from) {
    for (size_t i = from; i < e->n_steps; i++) {
        ts_buf_release(&e->steps[i].gone);
        ts_buf_release(&e->steps[i].come);
    }
    e->n_steps = from;
}

void ts_editor_release(ts_editor *e) {
    drop_steps(e, 0);
    free(e->steps);
    ts_buf_release(&e->text);
    *e = (ts_editor){0};
}

static void splice(ts_buf *b, size_t at, size_t gone, const char *s, size_t n) {
    ts_buf tail = TS_BUF_INIT;
    ts_buf_add(&tail, b->data + at + gone, b->len - at - gone);
    b->len = at;
    ts_buf_add(b, s, n);
    ts_buf_add(b, ts_buf_str(&tail), tail.len);
    ts_buf_release(&tail);
}

/* Every change goes through here. */
static void replace(ts_editor *e, size_t at, size_t gone, const char *s, size_t n, bool join) {
    ts_editor_step *last = e->done ? &e->steps[e->done - 1] : NULL;
    drop_steps(e, e->done);
    if (join && e->joining && last && gone == 0 && last->at + last->come.len == at) {
        ts_buf_add(&last->come, s, n);
    } else {
        ts_editor_step step = {.at = at, .cursor = e->cursor};
        ts_buf_add(&step.gone, e->text.data + at, gone);
        ts_buf_add(&step.come, s, n);
        TS_PUSH(e->steps, e->n_steps, e->cap_steps, step);
        e->done = e->n_steps;
    }
    splice(&e->text, at, gone, s, n);
    e->cursor = at + n;
    e->joining = join;
    e->goal = -1;
}

void ts_editor_set(ts_editor *e, const char *s, size_t n) {
    replace(e, 0, e->text.len, s, n, false);
}

bool ts_editor_undo(ts_editor *e) {
    if (e->done == 0) return false;
    ts_editor_step *s = &e->steps[--e->done];
    splice(&e->text, s->at, s->come.len, ts_buf_str(&s->gone), s->gone.len);
    e->cursor = s->cursor;
    e->joining = false;
    return true;
}

bool ts_editor_redo(ts_editor *e) {
    if (e->done == e->n_steps) return false;
    ts_editor_step *s = &e->steps[e->done++];
    splice(&e->text, s->at, s->gone.len, ts_buf_str(&s->come), s->come.len);
    e->cursor = s->at + s->come.len;
    e->joining = false;
    return true;
}

void ts_editor_paste(ts_editor *e, const char *s, size_t n) {
    ts_buf clean = TS_BUF_INIT;
    for (size_t i = 0; i < n; i++) { /* a stored text holds no NUL */
        if (s[i] == 0) continue;
        ts_buf_putc(&clean, e->one_line && (s[i] == '\n' || s[i] == '\r') ? ' ' : s[i]);
    }
    if (clean.len) replace(e, e->cursor, 0, clean.data, clean.len, false);
    ts_buf_release(&clean);
}

static size_t line_start(const ts_editor *e, size_t at) {
    while (at > 0 && e->text.data[at - 1] != '\n')
        at--;
    return at;
}

static size_t line_end(const ts_editor *e, size_t at) {
    while (at < e->text.len && e->text.data[at] != '\n')
        at++;
    return at;
}

static size_t word_left(const ts_editor *e, size_t at) {
    while (at > 0 && strchr(" \t\n", e->text.data[at - 1]))
        at--;
    while (at > 0 && !strchr(" \t\n", e->text.data[at - 1]))
        at--;
    return at;
}

static size_t word_right(const ts_editor *e, size_t at) {
    while (at < e->text.len && strchr(" \t\n", e->text.data[at]))
        at++;
    while (at < e->text.len && !strchr(" \t\n", e->text.data[at]))
        at++;
    return at;
}

static void move_to(ts_editor *e, size_t at) {
    e->cursor = at;
    e->joining = false;
    e->goal = -1;
}

static void erase(ts_editor *e, size_t from, size_t to) {
    if (to > from) replace(e, from, to - from, "", 0, false);
}

static ts_wrapped layout(const ts_editor *e, int width) {
    ts_wrapped lines = {0};
    ts_wrap_all(e->text.data, e->text.len, (size_t)TS_MAX(width, 2), SIZE_MAX, &lines);
    return lines;
}

static size_t line_of(const ts_wrapped *lines, size_t at) {
    size_t i = lines->n - 1;
    while (i > 0 && lines->items[i].from > at)
        i--;
    return i;
}

static int column_in(const ts_editor *e, ts_line line, size_t at) {
    return (int)ts_cells_width(e->text.data + line.from, at - line.from);
}

/* Up and down go by the lines on the screen and keep their column. */
static void move_lines(ts_editor *e, int by) {
    ts_wrapped lines = layout(e, e->width);
    size_t now = line_of(&lines, e->cursor);
    int goal = e->goal >= 0 ? e->goal : column_in(e, lines.items[now], e->cursor);
    int64_t want = (int64_t)now + by;
    size_t to = want < 0 ? 0 : TS_MIN((size_t)want, lines.n - 1);
    ts_line line = lines.items[to];
    size_t at = line.from + ts_cells_fit(e->text.data + line.from, line.to - line.from, (size_t)goal, NULL);
    if (want < 0) at = 0;
    if (want >= (int64_t)lines.n) at = e->text.len;
    move_to(e, at);
    e->goal = goal;
    ts_wrapped_release(&lines);
}

static bool move_key(ts_editor *e, uint32_t key) {
    const char *s = e->text.data;
    size_t n = e->text.len, at = e->cursor;
    switch (key) {
    case TS_KEY_LEFT:
    case TS_CTRL('B'):
        return move_to(e, ts_cells_prev(s, n, at)), true;
    case TS_KEY_RIGHT:
    case TS_CTRL('F'):
        return move_to(e, ts_cells_after(s, n, at)), true;
    case TS_KEY_HOME:
    case TS_CTRL('A'):
        return move_to(e, line_start(e, at)), true;
    case TS_KEY_END:
    case TS_CTRL('E'):
        return move_to(e, line_end(e, at)), true;
    case TS_KEY_ALT | 'b':
        return move_to(e, word_left(e, at)), true;
    case TS_KEY_ALT | 'f':
        return move_to(e, word_right(e, at)), true;
    default:
        break;
    }
    if (e->one_line) return false;
    int page = key == TS_KEY_PGUP || key == TS_KEY_PGDN ? 15 : 1;
    if (key == TS_KEY_UP || key == TS_KEY_PGUP || key == TS_CTRL('P')) return move_lines(e, -page), true;
    if (key == TS_KEY_DOWN || key == TS_KEY_PGDN || key == TS_CTRL('N')) return move_lines(e, page), true;
    return false;
}

static bool erase_key(ts_editor *e, uint32_t key) {
    const char *s = e->text.data;
    size_t n = e->text.len, at = e->cursor, end;
    switch (key) {
    case TS_KEY_BACKSPACE:
        return erase(e, ts_cells_prev(s, n, at), at), true;
    case TS_KEY_DELETE:
    case TS_CTRL('D'):
        return erase(e, at, ts_cells_after(s, n, at)), true;
    case TS_CTRL('K'):
        end = line_end(e, at);
        return erase(e, at, end == at && end < n ? end + 1 : end), true;
    case TS_CTRL('U'):
        return erase(e, line_start(e, at), at), true;
    case TS_CTRL('W'):
        return erase(e, word_left(e, at), at), true;
    default:
        return false;
    }
}

bool ts_editor_key(ts_editor *e, uint32_t key) {
    if (move_key(e, key) || erase_key(e, key)) return true;
    if (key == TS_KEY_ENTER && !e->one_line) return replace(e, e->cursor, 0, "\n", 1, false), true;
    if (key < 32 || key == 127 || key >= 0x110000) return false;
    ts_buf b = TS_BUF_INIT;
    ts_utf8_put(&b, key);
    replace(e, e->cursor, 0, b.data, b.len, key != ' ');
    ts_buf_release(&b);
    return true;
}

size_t ts_editor_height(const ts_editor *e, int width) {
    ts_wrapped lines = layout(e, width);
    size_t n = lines.n;
    ts_wrapped_release(&lines);
    return n;
}

void ts_editor_place(const ts_editor *e, size_t *line, size_t *column) {
    size_t from = line_start(e, e->cursor);
    *line = 1;
    for (size_t i = 0; i < from; i++)
        *line += e->text.data[i] == '\n';
    *column = 1;
    for (size_t at = from; at < e->cursor; at = ts_cells_after(e->text.data, e->text.len, at))
        ++*column;
}

static void draw_one_line(ts_editor *e, ts_canvas *c, ts_rect r, ts_role role, bool focused) {
    int column = (int)ts_cells_width(e->text.data, e->cursor);
    if (column < (int)e->top) e->top = (size_t)column;
    if (column - (int)e->top > r.w - 1) e->top = (size_t)(column - r.w + 1);
    size_t skipped, from = ts_cells_fit(e->text.data, e->text.len, e->top, &skipped);
    size_t n = ts_cells_fit(e->text.data + from, e->text.len - from, (size_t)r.w, NULL);
    ts_fill(c, (ts_rect){r.x, r.y, r.w, 1}, role);
    ts_putn(c, r.x, r.y, r.w, role, e->text.data + from, n);
    if (focused) ts_cursor(c, r.x + column - (int)skipped, r.y);
}

void ts_editor_draw(ts_editor *e, ts_canvas *c, ts_rect r, ts_role role, bool focused) {
    e->width = r.w;
    if (e->one_line) {
        draw_one_line(e, c, r, role, focused);
        return;
    }
    ts_wrapped lines = layout(e, r.w);
    size_t now = line_of(&lines, e->cursor), height = (size_t)TS_MAX(r.h, 1);
    if (now < e->top) e->top = now;
    if (now >= e->top + height) e->top = now - height + 1;
    if (e->top + height > lines.n) e->top = lines.n > height ? lines.n - height : 0;
    for (size_t i = e->top; i < lines.n && i < e->top + height; i++) {
        ts_line l = lines.items[i];
        ts_putn(c, r.x, r.y + (int)(i - e->top), r.w, role, e->text.data + l.from, l.to - l.from);
    }
    if (focused)
        ts_cursor(c, r.x + TS_MIN(column_in(e, lines.items[now], e->cursor), r.w - 1), r.y + (int)(now - e->top));
    ts_wrapped_release(&lines);
}
