#include "tui/keys.h"

#include "core/base/buf.h"
#include "core/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t key;
} names[] = {
    {"Tab", TS_KEY_TAB},    {"Enter", TS_KEY_ENTER}, {"Esc", TS_KEY_ESC},       {"BkSp", TS_KEY_BACKSPACE},
    {"Up", TS_KEY_UP},      {"Down", TS_KEY_DOWN},   {"Left", TS_KEY_LEFT},     {"Right", TS_KEY_RIGHT},
    {"Home", TS_KEY_HOME},  {"End", TS_KEY_END},     {"PgUp", TS_KEY_PGUP},     {"PgDn", TS_KEY_PGDN},
    {"Del", TS_KEY_DELETE}, {"Ins", TS_KEY_INSERT},  {"S-Tab", TS_KEY_BACKTAB}, {"F1", TS_KEY_F1},
    {"Space", ' '},
};

void ts_key_name(uint32_t key, char *out) {
    for (size_t i = 0; i < TS_COUNT(names); i++)
        if (names[i].key == key) {
            snprintf(out, 16, "%s", names[i].name);
            return;
        }
    ts_buf b = TS_BUF_INIT;
    if (key >= TS_KEY_ALT) ts_buf_puts(&b, "M-");
    key &= TS_KEY_ALT - 1;
    if (key < 32)
        ts_buf_printf(&b, "^%c", (int)(key + 64));
    else
        ts_utf8_put(&b, key);
    snprintf(out, 16, "%s", ts_buf_str(&b));
    ts_buf_release(&b);
}

uint32_t ts_key_of(const char *name, size_t n) {
    uint32_t cp;
    if (n == 0) return TS_KEY_NONE;
    for (size_t i = 0; i < TS_COUNT(names); i++)
        if (strlen(names[i].name) == n && memcmp(names[i].name, name, n) == 0) return names[i].key;
    if (n == 2 && name[0] == '^') return (uint32_t)name[1] & 0x1f;
    if (n > 2 && memcmp(name, "M-", 2) == 0) return TS_KEY_ALT | ts_key_of(name + 2, n - 2);
    return ts_utf8_decode(name, n, &cp) == n ? cp : TS_KEY_NONE;
}
