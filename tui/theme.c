#include "tui/theme.h"

enum { BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE, OWN = -1 };

static const struct {
    ts_style color, mono;
} table[TS_ROLES] = {
    [TS_R_TEXT] = {{OWN, 0}, {OWN, 0}},
    [TS_R_DIM] = {{OWN, TS_DIM}, {OWN, TS_DIM}},
    [TS_R_STRONG] = {{OWN, TS_BOLD}, {OWN, TS_BOLD}},
    [TS_R_TAB] = {{OWN, 0}, {OWN, 0}},
    [TS_R_TAB_ON] = {{OWN, TS_REVERSE | TS_BOLD}, {OWN, TS_REVERSE | TS_BOLD}},
    [TS_R_RULE] = {{OWN, TS_DIM}, {OWN, TS_DIM}},
    [TS_R_TITLE] = {{CYAN, TS_BOLD}, {OWN, TS_BOLD}},
    [TS_R_KEY] = {{CYAN, 0}, {OWN, TS_BOLD}},
    [TS_R_HINT] = {{OWN, 0}, {OWN, 0}},
    [TS_R_LABEL] = {{CYAN, 0}, {OWN, TS_UNDERLINE}},
    [TS_R_NEW] = {{OWN, TS_DIM}, {OWN, 0}},
    [TS_R_ACCEPTED] = {{GREEN, TS_BOLD}, {OWN, TS_BOLD}},
    [TS_R_REJECTED] = {{RED, 0}, {OWN, TS_DIM}},
    [TS_R_LATER] = {{YELLOW, TS_BOLD}, {OWN, TS_BOLD}},
    [TS_R_MARK] = {{MAGENTA, TS_BOLD}, {OWN, TS_BOLD}},
    [TS_R_TAG] = {{BLUE, TS_BOLD}, {OWN, TS_UNDERLINE}},
    [TS_R_HIT] = {{YELLOW, TS_REVERSE}, {OWN, TS_REVERSE}},
    [TS_R_GONE] = {{RED, TS_UNDERLINE}, {OWN, TS_UNDERLINE}},
    [TS_R_ADDED] = {{GREEN, TS_UNDERLINE}, {OWN, TS_UNDERLINE}},
    [TS_R_ESCAPE] = {{MAGENTA, 0}, {OWN, TS_REVERSE}},
    [TS_R_FIELD] = {{OWN, TS_UNDERLINE}, {OWN, TS_UNDERLINE}},
    [TS_R_FIELD_ON] = {{OWN, TS_REVERSE}, {OWN, TS_REVERSE}},
    [TS_R_OK] = {{GREEN, 0}, {OWN, 0}},
    [TS_R_WARN] = {{YELLOW, TS_BOLD}, {OWN, TS_BOLD}},
    [TS_R_ERROR] = {{RED, TS_BOLD}, {OWN, TS_BOLD | TS_REVERSE}},
    [TS_R_TRAIN] = {{CYAN, 0}, {OWN, 0}},
    [TS_R_EVAL] = {{YELLOW, TS_BOLD}, {OWN, TS_BOLD}},
    [TS_R_OTHER] = {{MAGENTA, 0}, {OWN, TS_DIM}},
};

ts_style ts_theme_style(ts_role role, bool selected, bool mono) {
    ts_style s = mono ? table[role].mono : table[role].color;
    if (selected) s = (ts_style){OWN, (uint8_t)(TS_REVERSE | (s.attrs & (TS_BOLD | TS_UNDERLINE)))};
    return s;
}

char ts_style_letter(ts_style s) {
    static const char colors[] = "krgybmcw";
    if (s.color >= 0) {
        char c = colors[s.color];
        return s.attrs & (TS_BOLD | TS_UNDERLINE) ? (char)(c - 'a' + 'A') : c;
    }
    if (s.attrs & TS_REVERSE) return s.attrs & TS_BOLD ? 'S' : 's';
    if (s.attrs & TS_UNDERLINE) return '_';
    if (s.attrs & TS_BOLD) return '*';
    return s.attrs & TS_DIM ? '-' : '.';
}
