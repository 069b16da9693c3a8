#include "tui/commands.h"

#include "tui/keys.h"

#include <stdlib.h>
#include <string.h>

const char *const ts_group_names[TS_GROUPS] = {
    [TS_G_DECIDE] = "Decide",         [TS_G_EDIT] = "Write", [TS_G_FIND] = "Find", [TS_G_MARK] = "Mark",
    [TS_G_RUN] = "Train and compare", [TS_G_VIEW] = "Look",  [TS_G_MOVE] = "Move", [TS_G_APP] = "Screens and program",
};

#define TS_COMMAND_ROW(id, name_, places_, keys_, group_, rank_, hint_, help_)                                         \
    [TS_DO_##id] = {name_, places_, keys_, group_, rank_, hint_, help_},
const ts_command ts_commands[TS_COMMAND_COUNT] = {TS_COMMANDS(TS_COMMAND_ROW)};

/* The next key of a list of key names; false at the end. */
static bool next_key(const char **keys, const char **name, size_t *n) {
    while (**keys == ' ')
        ++*keys;
    *name = *keys;
    *n = strcspn(*keys, " ");
    *keys += *n;
    return *n > 0;
}

bool ts_key_is_span(const char *name, size_t n) {
    return n == 4 && name[1] == '.' && name[2] == '.';
}

static bool means(const char *name, size_t n, uint32_t key) {
    if (!ts_key_is_span(name, n)) return ts_key_of(name, n) == key;
    return key >= (unsigned char)name[0] && key <= (unsigned char)name[3];
}

const char *ts_command_keys(ts_command_id id, unsigned place) {
    unsigned places = ts_commands[id].places;
    return (places & place) && !(places >> TS_KEYLESS & place) ? ts_commands[id].keys : "";
}

ts_command_id ts_command_for_key(unsigned place, uint32_t key) {
    for (int i = 0; i < TS_COMMAND_COUNT; i++) {
        const char *keys = ts_command_keys((ts_command_id)i, place), *name;
        size_t n;
        while (next_key(&keys, &name, &n))
            if (means(name, n, key)) return (ts_command_id)i;
    }
    return TS_COMMAND_COUNT;
}

ts_command_id ts_command_named(const char *name, size_t n) {
    for (int i = 0; i < TS_COMMAND_COUNT; i++)
        if (strlen(ts_commands[i].name) == n && memcmp(ts_commands[i].name, name, n) == 0) return (ts_command_id)i;
    return TS_COMMAND_COUNT;
}

void ts_command_key(ts_command_id id, unsigned place, char *out) {
    const char *keys = ts_command_keys(id, place), *name;
    size_t n = 0;
    *out = 0;
    if (!next_key(&keys, &name, &n)) return;
    n = TS_MIN(n, 15);
    memcpy(out, name, n);
    out[n] = 0;
}

static int by_rank(const void *a, const void *b) {
    ts_command_id x = *(const ts_command_id *)a, y = *(const ts_command_id *)b;
    int d = ts_commands[x].rank - ts_commands[y].rank;
    return d ? d : (int)x - (int)y;
}

static size_t hint_width(ts_command_id id, unsigned place) {
    char key[16];
    ts_command_key(id, place, key);
    return strlen(key) + 1 + strlen(ts_commands[id].hint) + 2;
}

size_t ts_command_hints(unsigned place, size_t width, ts_command_usable *usable, void *ctx, ts_command_id *out,
                        size_t max) {
    ts_command_id all[TS_COMMAND_COUNT];
    size_t n = 0, kept = 0, used = 1;
    for (int i = 0; i < TS_COMMAND_COUNT; i++)
        if (*ts_commands[i].hint && *ts_command_keys((ts_command_id)i, place) &&
            (!usable || usable(ctx, (ts_command_id)i))) {
            all[n++] = (ts_command_id)i;
            if (ts_commands[i].rank >= 98) used += hint_width((ts_command_id)i, place);
        }
    qsort(all, n, sizeof *all, by_rank);
    /* first those with a rank, then those without, in the order of the table */
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n && kept < max; i++) {
            int rank = ts_commands[all[i]].rank;
            if (rank >= 98 || (rank == 0) != (pass == 1) || used + hint_width(all[i], place) > width) continue;
            used += hint_width(all[i], place);
            out[kept++] = all[i];
        }
    for (size_t i = 0; i < n && kept < max; i++)
        if (ts_commands[all[i]].rank >= 98) out[kept++] = all[i];
    return kept;
}

static void put_places(ts_buf *out, unsigned places) {
    static const struct {
        unsigned place;
        const char *name;
    } names[] = {{TS_IN_BROWSE, "Browse"},   {TS_IN_RECORD, "Example"}, {TS_IN_TYPING, "typing"},
                 {TS_IN_DUPS, "Duplicates"}, {TS_IN_SCORES, "Scores"},  {TS_IN_RUNS, "Runs"},
                 {TS_IN_COMPARE, "Compare"}};
    const char *comma = "";
    if (places == TS_BY_DIGIT) {
        ts_buf_puts(out, "everywhere; on Compare digits vote");
        return;
    }
    if ((places & TS_IN_LISTS) == TS_IN_LISTS) {
        ts_buf_puts(out, places & TS_IN_TYPING ? "everywhere, typing" : "everywhere");
        return;
    }
    for (size_t i = 0; i < TS_COUNT(names); i++)
        if (places & names[i].place) {
            ts_buf_printf(out, "%s%s", comma, names[i].name);
            comma = ", ";
        }
}

static void put_keys(ts_buf *out, const char *keys) {
    const char *name, *blank = "";
    size_t n;
    while (next_key(&keys, &name, &n)) {
        ts_buf_printf(out, "%s`%.*s`", blank, (int)n, name);
        blank = " ";
    }
}

void ts_command_table(ts_buf *out) {
    for (int g = 0; g < TS_GROUPS; g++) {
        ts_buf_printf(out, "%s| **%s** | | | |\n",
                      g ? "" : "| key | command | where | what it does |\n| --- | --- | --- | --- |\n",
                      ts_group_names[g]);
        for (int i = 0; i < TS_COMMAND_COUNT; i++) {
            if (ts_commands[i].group != (ts_group)g) continue;
            ts_buf_puts(out, "| ");
            put_keys(out, ts_commands[i].keys);
            ts_buf_printf(out, "%s`%s` | ", *ts_commands[i].keys ? " | " : "| ", ts_commands[i].name);
            put_places(out, ts_commands[i].places);
            ts_buf_printf(out, " | %s |\n", ts_commands[i].help);
        }
    }
}
