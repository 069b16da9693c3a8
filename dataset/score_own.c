/* Rules of the user's own: a text file, one rule a line. */
#include "core/base/file.h"
#include "dataset/score_rules.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool ts_rule_own_name(const char *name, size_t n) {
    if (n < 4 || n >= TS_RULE_NAME || memcmp(name, "my_", 3) != 0) return false;
    for (size_t i = 3; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_') return false;
    return true;
}

bool ts_rule_exists(const char *name, size_t n) {
    return ts_rule_find(name, n) < ts_rule_count() || ts_rule_own_name(name, n);
}

/* The next word of a line; *p behind it. */
static ts_text next_word(const char **p, const char *end) {
    while (*p < end && (**p == ' ' || **p == '\t'))
        ++*p;
    const char *start = *p;
    while (*p < end && **p != ' ' && **p != '\t')
        ++*p;
    return (ts_text){start, (size_t)(*p - start)};
}

static bool is(ts_text t, const char *word) {
    return t.n == strlen(word) && memcmp(t.s, word, t.n) == 0;
}

static bool same_name(const ts_own_rule *r, ts_text name) {
    return strlen(r->name) == name.n + 3 && memcmp(r->name + 3, name.s, name.n) == 0;
}

static ts_status take_rule(ts_score_set *set, const char *p, const char *end, ts_err *err) {
    ts_text name = next_word(&p, end), field = next_word(&p, end), points = next_word(&p, end);
    ts_own_rule r = {.field = is(field, "prompt") ? TS_OWN_PROMPT : is(field, "answer") ? TS_OWN_ANSWER : TS_OWN_BOTH};
    char *behind;
    double value = points.n ? strtod(points.s, &behind) : 0;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    if (p == end) return ts_fail(err, TS_INVALID, "a rule is: name field points pattern");
    memcpy(r.name, "my_", 3);
    if (name.n + 4 > sizeof r.name)
        return ts_fail(err, TS_INVALID, "the name \"%.40s\" is too long (%d letters at most)", name.s,
                       TS_RULE_NAME - 4);
    memcpy(r.name + 3, name.s, name.n);
    if (!ts_rule_own_name(r.name, name.n + 3))
        return ts_fail(err, TS_INVALID, "a rule's name is letters, digits and _, not \"%s\"", r.name + 3);
    if (r.field == TS_OWN_BOTH && !is(field, "both"))
        return ts_fail(err, TS_INVALID, "the field is prompt, answer or both, not \"%.*s\"", (int)TS_MIN(field.n, 40),
                       field.s);
    if (behind != points.s + points.n || !(value >= 1 && value <= 100))
        return ts_fail(err, TS_INVALID, "points are 1 to 100 (per cent of the score), not \"%.*s\"",
                       (int)TS_MIN(points.n, 40), points.s);
    for (size_t i = 0; i < set->n_own; i++)
        if (same_name(&set->own[i], name)) return ts_fail(err, TS_INVALID, "\"%s\" is there twice", r.name + 3);
    if (set->n_own == TS_OWN_RULES)
        return ts_fail(err, TS_INVALID, "there are more than %d rules; take some out", TS_OWN_RULES);
    r.value = value / 100;
    TS_TRY(ts_regex_new(&r.pattern, p, (size_t)(end - p), 0, err));
    set->own[set->n_own++] = r;
    return TS_OK;
}

ts_status ts_score_set_own(ts_score_set *set, const char *path, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    ts_status status = ts_file_read(path, 1 << 20, &text, err);
    size_t line = 0;
    for (char *p = text.data; status == TS_OK && p && *p;) {
        size_t n = strcspn(p, "\n"), len = n - (n && p[n - 1] == '\r');
        line++;
        if (len && *p != '#' && strspn(p, " \t") < len) status = take_rule(set, p, p + len, err);
        if (status != TS_OK) ts_wrap(err, status, "%s line %zu", path, line);
        p += n + (p[n] == '\n');
    }
    ts_buf_release(&text);
    return status;
}

double ts_score_own(ts_scorer *s, size_t rule, const ts_score_text *t) {
    const ts_own_rule *r = &s->set->own[rule];
    const ts_text texts[] = {t->prompt, t->answer};
    size_t start, end;
    for (int i = 0; i < 2; i++)
        if ((r->field == TS_OWN_BOTH || (int)r->field == i) && texts[i].n &&
            ts_matcher_find(s->own[rule], texts[i].s, texts[i].n, 0, &start, &end, NULL))
            return r->value;
    return 0;
}
