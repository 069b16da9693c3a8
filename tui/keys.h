/* Keys, pasted text and mouse events as one kind of value, whatever the terminal. */
#ifndef TS_TUI_KEYS_H
#define TS_TUI_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A key is a Unicode character (control characters are Ctrl keys: 1 is Ctrl-A) or one of these. */
enum ts_key {
    TS_KEY_NONE = 0,
    TS_KEY_TAB = 9,
    TS_KEY_ENTER = 13,
    TS_KEY_ESC = 27,
    TS_KEY_BACKSPACE = 127,
    TS_KEY_UP = 0x110000,
    TS_KEY_DOWN,
    TS_KEY_LEFT,
    TS_KEY_RIGHT,
    TS_KEY_HOME,
    TS_KEY_END,
    TS_KEY_PGUP,
    TS_KEY_PGDN,
    TS_KEY_DELETE,
    TS_KEY_INSERT,
    TS_KEY_BACKTAB,
    TS_KEY_F1,
    TS_KEY_ALT = 0x1000000, /* added to a character */
};
#define TS_CTRL(c) ((uint32_t)(c)&0x1f)

typedef enum ts_input_kind { TS_IN_NONE, TS_IN_KEY, TS_IN_PASTE, TS_IN_RESIZE, TS_IN_CLICK, TS_IN_WHEEL } ts_input_kind;

typedef struct ts_input {
    ts_input_kind kind;
    uint32_t key;
    const char *text; /* pasted bytes, not NUL-terminated; valid until the next read */
    size_t n;
    int x, y;   /* click, wheel */
    int delta;  /* wheel: rows, down is positive */
    bool twice; /* click: a double click */
} ts_input;

/* The name people see: "a", "^R", "PgDn", "Space", "M-r". Into out of at least 16 bytes. */
void ts_key_name(uint32_t key, char *out);
/* The key of a name of length n; TS_KEY_NONE when there is none. */
uint32_t ts_key_of(const char *name, size_t n);

#endif
