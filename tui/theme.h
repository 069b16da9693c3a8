/* Roles instead of colours: code says what a cell means, one table says how that looks. Only the eight ANSI colours on
 * the terminal's own background, so light and dark terminals both work; every colour comes with a sign, a word or an
 * attribute, so the mono palette (NO_COLOR, --color=never, terminals without colours) loses nothing. */
#ifndef TS_TUI_THEME_H
#define TS_TUI_THEME_H

#include <stdbool.h>
#include <stdint.h>

typedef enum ts_role {
    TS_R_TEXT,
    TS_R_DIM,
    TS_R_STRONG,
    TS_R_TAB,
    TS_R_TAB_ON,
    TS_R_RULE,
    TS_R_TITLE,
    TS_R_KEY,
    TS_R_HINT,
    TS_R_LABEL,
    TS_R_NEW,
    TS_R_ACCEPTED,
    TS_R_REJECTED,
    TS_R_LATER,
    TS_R_MARK,
    TS_R_TAG,
    TS_R_HIT,
    TS_R_GONE,
    TS_R_ADDED,
    TS_R_ESCAPE,
    TS_R_FIELD,
    TS_R_FIELD_ON,
    TS_R_OK,
    TS_R_WARN,
    TS_R_ERROR,
    TS_R_TRAIN,
    TS_R_EVAL,
    TS_R_OTHER,
    TS_ROLES
} ts_role;

enum ts_attr { TS_BOLD = 1, TS_DIM = 2, TS_UNDERLINE = 4, TS_REVERSE = 8 };

typedef struct ts_style {
    int8_t color; /* 0 to 7 (ANSI), -1 the terminal's own */
    uint8_t attrs;
} ts_style;

/* How a role looks; `selected`: the cell is in the row under the cursor. */
ts_style ts_theme_style(ts_role role, bool selected, bool mono);
/* One sign for a style, for test frames: . plain, * bold, - dim, _ underlined, s reverse (S and bold); a colour is its
 * first letter, k for black, a capital when also bold or underlined. */
char ts_style_letter(ts_style style);

#endif
