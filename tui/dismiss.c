/* Findings that a person says are wrong: a menu of what the rules found in one row, or one rule at once. */
#include "tui/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FINDINGS_MAX = 32 };

/* The menu that is open; there is one at a time. */
static struct {
    int64_t row;
    size_t n;
    struct {
        char rule[40];
        bool dismissed;
    } items[FINDINGS_MAX];
} menu;

static ts_status run_dismiss(ts_act *a, ts_store *st, ts_err *err) {
    return ts_row_dismiss(st, a->id, a->text, a->on, &a->done, err);
}

static void dismiss(ts_app *app, int64_t row, const char *rule, bool on) {
    ts_act *a = ts_act_new(app, run_dismiss);
    a->id = row;
    a->text = ts_strdup(rule);
    a->on = on;
    a->rows_change = true; /* other rows may fit a filter by this score now */
    ts_act_push(a);
}

static void chosen(ts_app *app, void *ctx, size_t index) {
    (void)ctx;
    if (index < menu.n) dismiss(app, menu.row, menu.items[index].rule, !menu.items[index].dismissed);
}

void ts_dismiss_open(ts_app *app, int64_t row, const char *rule) {
    ts_rule_value *rules;
    size_t n;
    char lines[FINDINGS_MAX][80];
    const char *items[FINDINGS_MAX];
    ts_err err;
    if (rule) {
        dismiss(app, row, rule, true);
        return;
    }
    if (ts_row_scores(app->reader, row, &rules, &n, &app->frame, &err) != TS_OK) {
        ts_app_say(app, TS_R_ERROR, "%s", err.text);
        return;
    }
    menu.row = row;
    menu.n = TS_MIN(n, (size_t)FINDINGS_MAX);
    for (size_t i = 0; i < menu.n; i++) {
        snprintf(menu.items[i].rule, sizeof menu.items[i].rule, "%s", rules[i].rule);
        menu.items[i].dismissed = rules[i].dismissed;
        snprintf(lines[i], sizeof lines[i], "%-18s %.2f%s", rules[i].rule, rules[i].value,
                 rules[i].dismissed ? "  dismissed: let it count again" : "");
        items[i] = lines[i];
    }
    if (menu.n == 0)
        ts_app_say(app, TS_R_TEXT, "the rules found nothing in this row");
    else
        ts_menu_open(app, "Which finding is wrong?", items, menu.n, 0, chosen, NULL);
}
