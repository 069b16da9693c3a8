/* The real terminal; the only file that knows ncurses. ncurses is used by the UI thread alone (its own manual says it
 * is not made for threads). One function takes the terminal (take) and one gives it back (give_back); every way in and
 * out goes through them: start, end, crash, Ctrl-Z, editor. */
#include "tui/term.h"

#include "core/base/clock.h"
#include "core/base/utf8.h"

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>
#include <wchar.h>

/* Free codes above ncurses' own (KEY_MAX is 0777) for the two ends of a paste, which arrive as sequences. */
enum { PASTE_BEGIN = KEY_MAX + 10, PASTE_END };
enum { PASTE_MAX = 16 << 20 };
#define MOUSE_EVENTS (BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED)

struct real {
    ts_term term;
    SCREEN *screen;
    bool ours, mouse_on;
    ts_canvas last; /* what the terminal shows */
    bool all;
    ts_buf paste;
    uint32_t waiting; /* a key read too far: what followed an Esc */
    double clicked;   /* when and where, to see double clicks without making single ones wait */
    int click_x, click_y;
};

static struct real *the_one; /* for the fatal hook */

static void send(const char *sequence) {
    size_t n = strlen(sequence);
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, sequence, n);
        if (done < 0 && errno != EINTR && errno != EAGAIN) return;
        if (done > 0) {
            sequence += done;
            n -= (size_t)done;
        }
    }
}

static void take(struct real *r) {
    if (r->ours) return;
    r->ours = true;
    raw(); /* Ctrl-C, Ctrl-Z, Ctrl-S and Ctrl-Q are keys */
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    if (r->mouse_on) mousemask(MOUSE_EVENTS, NULL);
    clearok(stdscr, TRUE);
    refresh();
    send("\033[?2004h");
    r->all = true;
}

static void give_back(struct real *r) {
    if (!r->ours) return;
    r->ours = false;
    mousemask(0, NULL);
    send("\033[?2004l");
    endwin();
}

static void restore_on_crash(void) {
    if (the_one) give_back(the_one);
}

static uint32_t special(int code) {
    static const struct {
        int code;
        uint32_t key;
    } map[] = {
        {KEY_UP, TS_KEY_UP},       {KEY_DOWN, TS_KEY_DOWN},           {KEY_LEFT, TS_KEY_LEFT},
        {KEY_RIGHT, TS_KEY_RIGHT}, {KEY_HOME, TS_KEY_HOME},           {KEY_END, TS_KEY_END},
        {KEY_PPAGE, TS_KEY_PGUP},  {KEY_NPAGE, TS_KEY_PGDN},          {KEY_DC, TS_KEY_DELETE},
        {KEY_IC, TS_KEY_INSERT},   {KEY_BTAB, TS_KEY_BACKTAB},        {KEY_F(1), TS_KEY_F1},
        {KEY_ENTER, TS_KEY_ENTER}, {KEY_BACKSPACE, TS_KEY_BACKSPACE},
    };
    for (size_t i = 0; i < TS_COUNT(map); i++)
        if (map[i].code == code) return map[i].key;
    return TS_KEY_NONE;
}

static uint32_t plain(wint_t c) {
    if (c == '\n') return TS_KEY_ENTER;
    return c == 8 ? TS_KEY_BACKSPACE : (uint32_t)c;
}

/* Collects what stands between the two marks of a bracketed paste. The rest may be on its way still. */
static void read_paste(struct real *r, ts_input *in) {
    ts_buf_reset(&r->paste);
    ts_buf_puts(&r->paste, "");
    for (;;) {
        wint_t c;
        int rc = get_wch(&c);
        if (rc == ERR) {
            struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
            if (poll(&p, 1, 500) <= 0) break; /* the end mark never came */
            continue;
        }
        if (rc == KEY_CODE_YES && c == PASTE_END) break;
        if (rc == KEY_CODE_YES || r->paste.len > PASTE_MAX) continue;
        ts_utf8_put(&r->paste, c == '\r' ? '\n' : (uint32_t)c);
    }
    *in = (ts_input){.kind = TS_IN_PASTE, .text = r->paste.data, .n = r->paste.len};
}

static bool read_mouse(struct real *r, ts_input *in) {
    MEVENT e;
    if (getmouse(&e) != OK) return false;
    *in = (ts_input){.kind = TS_IN_WHEEL, .x = e.x, .y = e.y, .delta = e.bstate & BUTTON4_PRESSED ? -3 : 3};
    if (e.bstate & (BUTTON4_PRESSED | BUTTON5_PRESSED)) return true;
    if (!(e.bstate & BUTTON1_PRESSED)) return false;
    double now = ts_now();
    in->kind = TS_IN_CLICK;
    in->twice = now - r->clicked < 0.4 && e.x == r->click_x && e.y == r->click_y;
    r->clicked = in->twice ? 0 : now;
    r->click_x = e.x;
    r->click_y = e.y;
    return true;
}

/* Esc and a character that is there at once are an Alt key; ncurses has waited for longer sequences already. */
static void read_escape(struct real *r, ts_input *in) {
    wint_t c;
    int rc = get_wch(&c);
    if (rc == OK && c > 32 && c != 127)
        in->key = TS_KEY_ALT | (uint32_t)c;
    else if (rc == OK)
        r->waiting = plain(c);
    else if (rc == KEY_CODE_YES)
        r->waiting = special((int)c);
}

static bool real_read(ts_term *t, ts_input *in) {
    struct real *r = (struct real *)t;
    wint_t c;
    *in = (ts_input){.kind = TS_IN_KEY};
    if (r->waiting) {
        in->key = r->waiting;
        r->waiting = 0;
        return true;
    }
    for (;;) {
        int rc = get_wch(&c);
        if (rc == ERR) return false;
        if (rc == OK) {
            in->key = plain(c);
            if (c == TS_KEY_ESC) read_escape(r, in);
            return true;
        }
        if (c == KEY_RESIZE) return *in = (ts_input){.kind = TS_IN_RESIZE}, true;
        if (c == PASTE_BEGIN) return read_paste(r, in), true;
        if (c == KEY_MOUSE && read_mouse(r, in)) return true;
        if ((in->key = special((int)c)) != TS_KEY_NONE) return true;
    }
}

static void real_size(ts_term *t, int *w, int *h) {
    (void)t;
    *w = COLS;
    *h = LINES;
}

static attr_t attributes(ts_style s, bool mono) {
    attr_t a = A_NORMAL;
    if (s.attrs & TS_BOLD) a |= A_BOLD;
    if (s.attrs & TS_DIM) a |= A_DIM;
    if (s.attrs & TS_UNDERLINE) a |= A_UNDERLINE;
    if (s.attrs & TS_REVERSE) a |= A_REVERSE;
    if (!mono && s.color >= 0) a |= (attr_t)COLOR_PAIR(s.color + 1);
    return a;
}

/* The cell as ncurses takes it. A character whose width the C library knows differently (or not at all) would shift the
 * rest of the line; it is shown as a replacement of the width we planned. */
static void draw_cell(const struct real *r, const ts_cell *cell, int x, int y) {
    wchar_t wide[sizeof cell->text + 1];
    size_t n = 0, len = strlen(cell->text);
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        i += ts_utf8_decode(cell->text + i, len - i, &cp);
        wide[n++] = (wchar_t)cp;
    }
    wide[n] = 0;
    attrset(attributes(ts_theme_style((ts_role)cell->role, cell->selected, r->term.mono), r->term.mono));
    if (n == 0 || wcwidth(wide[0]) != cell->width) {
        wide[0] = L'?';
        wide[1] = cell->width == 2 ? L' ' : 0;
        wide[2] = 0;
    }
    mvaddwstr(y, x, wide);
}

static void real_draw(ts_term *t, const ts_canvas *c) {
    struct real *r = (struct real *)t;
    bool all = r->all || r->last.w != c->w || r->last.h != c->h;
    if (!r->ours) return;
    if (r->all) clearok(stdscr, TRUE);
    if (all) {
        ts_canvas_resize(&r->last, c->w, c->h);
        erase();
    }
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            const ts_cell *cell = &c->cells[y * c->w + x];
            if (cell->width == 0) continue;
            if (all || memcmp(cell, &r->last.cells[y * c->w + x], sizeof *cell) != 0) draw_cell(r, cell, x, y);
        }
    memcpy(r->last.cells, c->cells, (size_t)c->w * (size_t)c->h * sizeof *c->cells);
    r->all = false;
    move(c->cursor_y, c->cursor_x);
    refresh();
}

static void real_repaint(ts_term *t) {
    ((struct real *)t)->all = true;
}

static void real_leave(ts_term *t) {
    give_back((struct real *)t);
}

static void real_enter(ts_term *t) {
    take((struct real *)t);
}

static void real_mouse(ts_term *t, bool on) {
    struct real *r = (struct real *)t;
    r->mouse_on = on;
    mousemask(on ? MOUSE_EVENTS : 0, NULL);
}

static void base64(ts_buf *out, const char *s, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)(unsigned char)s[i] << 16;
        if (i + 1 < n) v |= (unsigned)(unsigned char)s[i + 1] << 8;
        if (i + 2 < n) v |= (unsigned char)s[i + 2];
        ts_buf_putc(out, digits[v >> 18]);
        ts_buf_putc(out, digits[v >> 12 & 63]);
        ts_buf_putc(out, i + 1 < n ? digits[v >> 6 & 63] : '=');
        ts_buf_putc(out, i + 2 < n ? digits[v & 63] : '=');
    }
}

/* OSC 52; tmux passes it on when it is wrapped. */
static void real_copy(ts_term *t, const char *text, size_t n) {
    const char *tmux = getenv("TMUX");
    bool wrap = tmux && *tmux;
    ts_buf b = TS_BUF_INIT;
    (void)t;
    ts_buf_puts(&b, wrap ? "\033Ptmux;\033\033]52;c;" : "\033]52;c;");
    base64(&b, text, n);
    ts_buf_puts(&b, wrap ? "\a\033\\" : "\a");
    send(b.data);
    ts_buf_release(&b);
}

static void real_free(ts_term *t) {
    struct real *r = (struct real *)t;
    give_back(r);
    ts_set_fatal_hook(NULL);
    the_one = NULL;
    delscreen(r->screen);
    ts_canvas_release(&r->last);
    ts_buf_release(&r->paste);
    free(r);
}

static void start_colors(struct real *r) {
    if (r->term.mono || !has_colors()) {
        r->term.mono = true;
        return;
    }
    start_color();
    use_default_colors();
    for (short i = 0; i < 8; i++)
        init_pair((short)(i + 1), i, -1);
}

ts_status ts_term_ncurses(ts_term **out, bool mono, bool ascii, ts_err *err) {
    const char *name = getenv("TERM");
    *out = NULL;
    set_escdelay(25);
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen)
        return ts_fail(err, TS_UNSUPPORTED,
                       "the terminal type TERM=\"%s\" is not known here; set TERM (for example to xterm), or use the "
                       "verbs of tunesmith --help",
                       name ? name : "");
    if (!cursor_address) {
        endwin();
        delscreen(screen);
        return ts_fail(err, TS_UNSUPPORTED,
                       "a terminal of type TERM=\"%s\" cannot place its cursor; use the verbs of tunesmith --help",
                       name ? name : "");
    }
    struct real *r = ts_calloc(1, sizeof *r);
    r->term = (ts_term){.fd = STDIN_FILENO,
                        .mono = mono,
                        .ascii = ascii,
                        .read = real_read,
                        .size = real_size,
                        .draw = real_draw,
                        .repaint = real_repaint,
                        .leave = real_leave,
                        .enter = real_enter,
                        .copy = real_copy,
                        .mouse = real_mouse,
                        .free = real_free};
    r->screen = screen;
    r->mouse_on = true;
    mouseinterval(0);
    start_colors(r);
    define_key("\033[200~", PASTE_BEGIN);
    define_key("\033[201~", PASTE_END);
    take(r);
    the_one = r;
    ts_set_fatal_hook(restore_on_crash);
    *out = &r->term;
    return TS_OK;
}
