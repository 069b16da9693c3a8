/* The rules, in the order of ts_rules (dataset/score.c). Each is a pure function of one row's texts and what the set
 * is like; 0 is fine. They are hints: where a rule cannot tell, it says 0. */
#include "dataset/score_rules.h"

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/utf8.h"
#include "core/text/normalize.h"
#include "dataset/language.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- patterns ---- */

enum {
    P_PLACEHOLDER_ALL,
    P_PLACEHOLDER_PART,
    P_NO_INPUT,
    P_REFUSAL_STRONG,
    P_REFUSAL,
    P_EMAIL,
    P_PHONE,
    P_URL,
    P_HTML,
    P_HTML_TASK,
    P_LANGUAGE_TASK,
    P_REPEAT_TASK,
    P_CODE,
    P_MAKE_TASK,
    P_SECRET,
    P_PASSWORD,
    P_COUNT
};

static const char *const patterns[P_COUNT] = {
    [P_PLACEHOLDER_ALL] =
        "\\A\\W*(?:n/a|(?-i:NA|none|null|NULL|nil|nan|NaN|undefined)|tbd|to be "
        "(?:done|determined|added)|todo\\b.{0,60}|fixme\\b.{0,60}|"
        "xxx+|no ?output|no answer|answer (?:here|goes here)|placeholder|asdf\\w*|\\.\\.\\.|\xe2\x80\xa6)\\W*\\z",
    [P_PLACEHOLDER_PART] =
        "<\\s*(?:insert|your|add|enter|placeholder|no ?output|answer)\\b[^<>\\n]{0,60}>|"
        "\\[\\s*(?:insert|todo|tbd|answer here)\\b[^\\[\\]\\n]{0,60}\\]|lorem ipsum|\\{\\{\\s*\\w+\\s*\\}\\}|\\bTODO:",
    [P_NO_INPUT] = "<?\\bno ?input\\b>?",
    [P_REFUSAL_STRONG] = "\\b(?:as an?|i(?: am|(?:'|\xe2\x80\x99)?m) (?:just |only )?an?) (?:ai|artificial "
                         "intelligence|(?:large )?language "
                         "model)\\b[^.!?\\n]{0,150}\\b(?:cannot|can(?:'|\xe2\x80\x99)t|don(?:'|\xe2\x80\x99)t|not|no|"
                         "never|unable|lack)\\b",
    [P_REFUSAL] =
        "\\bi(?:'|\xe2\x80\x99)?m (?:sorry|afraid|unable|not "
        "able)\\b[^.\\n]{0,80}\\b(?:can(?:no|'|\xe2\x80\x99)t|cannot|unable|not able|to (?:help|assist|comply))|"
        "\\bi am (?:sorry|afraid|unable|not able)\\b[^.\\n]{0,80}\\b(?:cannot|can(?:'|\xe2\x80\x99)t|unable|not "
        "able|to (?:help|assist|comply))|"
        "\\bi (?:cannot|can(?:'|\xe2\x80\x99)t|won(?:'|\xe2\x80\x99)t|will not) "
        "(?:help|assist|provide|fulfil|fulfill|comply|answer|process|do that|generate|create)\\b|"
        "\\bi (?:do not|don(?:'|\xe2\x80\x99)t) have (?:personal )?(?:opinions|feelings|access to)\\b",
    [P_EMAIL] = "(?<![\\w.+-])[a-z0-9][\\w.+-]*@[a-z0-9-]+(?:\\.[a-z0-9-]+)*\\.[a-z]{2,}\\b",
    [P_PHONE] = "(?<![\\w+])\\+\\d{1,3}[ .-]?\\(?\\d{1,4}\\)?(?:[ .-]?\\d{2,4}){2,4}(?!\\w)|"
                "(?<![\\w.-])(?:\\(\\d{3}\\) ?|\\d{3}[-. ])\\d{3}[-.]\\d{4}(?![\\w-])|"
                "\\b(?:tel|phone|call|mobile|fax)\\b[^\\n\\d]{0,20}\\b0\\d{1,4}[ /-]?\\d{3,}(?:[ -]?\\d{2,})*",
    [P_URL] = "\\bhttps?://\\S+|\\bwww\\.[a-z0-9-]+\\.[a-z]{2,}",
    [P_HTML] = "</"
               "?(?:div|span|p|br|a|b|i|u|em|strong|ul|ol|li|table|tr|td|th|img|script|style|h[1-6]|font|center)\\b[^<>"
               "\\n]{0,200}>|"
               "&(?:nbsp|amp|lt|gt|quot|apos|#\\d{2,5});",
    [P_HTML_TASK] = "\\bhtml|\\bweb ?(?:site|page)|\\bjavascript|\\bcss\\b|\\bxml|\\btag\\b|\\bcode\\b|<\\w+",
    [P_LANGUAGE_TASK] = "translat|language|\\b(?:french|spanish|german|italian|portuguese|dutch|polish|swedish|russian|"
                        "greek|hebrew|arabic|"
                        "hindi|thai|japanese|korean|chinese|mandarin|latin|english)\\b",
    [P_REPEAT_TASK] = "\\brepeat|\\bpoem|\\bsong|\\blyrics|\\bchorus|\\btable\\b|\\bcode\\b|\\bprogram|\\bfunction\\b|"
                      "\\bsequence|\\bpattern",
    [P_MAKE_TASK] = "\\b(?:create|generate|write|compose|construct|suggest|invent|imagine|provide|give|name|make|come "
                    "up|design|list|output|"
                    "rewrite|rephrase|edit|paraphrase|summarize|summarise|identify|classify|describe)\\b",
    /* the makers' own prefixes; they are told by case */
    [P_SECRET] =
        "-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----|"
        "(?-i)\\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\\w{22}|"
        "glpat-[\\w-]{20}|xox[abprs]-[0-9A-Za-z-]{10}|AIza[\\w-]{35}|sk-(?:[a-z]+-)*[A-Za-z0-9_-]{20}|"
        "[srp]k_(?:live|test)_[0-9A-Za-z]{16}|hf_[A-Za-z]{30}|npm_[A-Za-z0-9]{36}|SG\\.[\\w-]{16,}\\.[\\w-]{16}|"
        "eyJ[\\w-]{10,}\\.eyJ[\\w-]{10,}\\.[\\w-]{10})",
    [P_PASSWORD] = "\\b(?:api[_ -]?key|secret(?:[_ -]?key)?|access[_ -]?token|auth[_ -]?token|passw(?:or)?d|pwd)"
                   "[\"']?\\s*(?:[:=]|\\bis\\b)\\s*[\"'`]?(?=[^\\s\"'`]*\\d)(?=[^\\s\"'`]*[a-z])[^\\s\"'`(){}<>,;]{8,}",
    [P_CODE] = "```|[{};]\\s*$|^\\s*(?:def|class|import|return|for|while|if|#include|SELECT|public|var|let|const)\\b.*["
               ":;({]\\s*$",
};

/* What a text must have for the pattern to occur in it: one of the alternatives, in any case. NULL: not known, or the
 * pattern is searched too seldom to ask. A test holds searches with and without them against each other on real rows.
 */
static const char *const needs[P_COUNT] = {
    [P_PLACEHOLDER_PART] = "<\n[\nlorem ipsum\n{{\ntodo:",
    [P_NO_INPUT] = "no input\nnoinput",
    [P_REFUSAL_STRONG] = " ai\n artificial intelligence\nlanguage model",
    [P_REFUSAL] = "can\nable\nto help\nto assist\nto comply\nwon\nwill not\n have ",
    [P_EMAIL] = "@",
    [P_PHONE] = "tel\nphone\ncall\nmobile\nfax", /* or signs: ts_look_may_have_phone */
    [P_URL] = "http\nwww.",
    [P_HTML] = "<\n&",
    [P_SECRET] = "private key\nakia\nasia\nghp_\ngho_\nghu_\nghs_\nghr_\ngithub_pat_\nglpat-\nxox\naiza\nsk-\nk_live_\n"
                 "k_test_\nhf_\nnpm_\nsg.\neyj",
    [P_PASSWORD] = "key\nsecret\ntoken\npassw\npwd",
    [P_LANGUAGE_TASK] =
        "translat\nlanguage\nfrench\nspanish\ngerman\nitalian\nportuguese\ndutch\npolish\nswedish\nrussian\n"
        "greek\nhebrew\narabic\nhindi\nthai\njapanese\nkorean\nchinese\nmandarin\nlatin\nenglish",
    [P_REPEAT_TASK] = "repeat\npoem\nsong\nlyrics\nchorus\ntable\ncode\nprogram\nfunction\nsequence\npattern",
    [P_CODE] = "`\n{\n}\n;\n:\n(",
};

static bool may_have(const ts_scorer *s, int pattern, ts_side side) {
    const ts_look *l = &s->look[side];
    if (s->unfiltered) return true;
    const ts_needle *needles = s->set->needs[pattern];
    if (pattern == P_PHONE) return ts_look_may_have_phone(l, needles);
    if (pattern == P_PASSWORD && !l->digits && !l->other_digits) return false; /* \d takes digits of all scripts */
    return !needles || ts_look_may_have(l, needles);
}

/* Does the pattern occur in t, a part of that side? */
static bool has(ts_scorer *s, int pattern, ts_text t, ts_side side) {
    size_t start, end;
    return t.n && may_have(s, pattern, side) && ts_matcher_find(s->patterns[pattern], t.s, t.n, 0, &start, &end, NULL);
}

/* Counts for all slots, at zero. Looked up at random, word for word, so pages of 2 MB where the system gives them: the
 * processor then finds each count without walking page tables. */
static uint32_t *new_counts(void) {
    enum { HUGE_PAGE = 1 << 21 };
    size_t size = TS_SCORE_DF_SLOTS * sizeof(uint32_t);
    uint32_t *counts = aligned_alloc(HUGE_PAGE, size);
    if (!counts) ts_fatal("out of memory while preparing the scores");
    madvise(counts, size, MADV_HUGEPAGE);
    memset(counts, 0, size);
    return counts;
}

ts_status ts_score_set_init(ts_score_set *set, ts_err *err) {
    *set = (ts_score_set){.language = -1};
    set->df = new_counts();
    for (int i = 0; i < P_COUNT; i++) {
        ts_buf p = TS_BUF_INIT;
        ts_buf_printf(&p, "%s%s", i == P_CODE ? "(?m)" : "", patterns[i]);
        ts_status status = ts_regex_new(&set->patterns[i], p.data, p.len, i == P_CODE ? 0 : TS_REGEX_CASELESS, err);
        ts_buf_release(&p);
        if (status != TS_OK) return ts_wrap(err, status, "pattern %d of the rules", i);
        set->needs[i] = ts_needles_new(needs[i]);
    }
    return TS_OK;
}

ts_status ts_score_set_checks(ts_score_set *set, const char *path, ts_err *err) {
    ts_buf text = TS_BUF_INIT;
    ts_status status = ts_file_read(path, 1 << 20, &text, err);
    size_t cap = 0, line = 0;
    for (char *p = text.data; status == TS_OK && p && *p;) {
        size_t n = strcspn(p, "\n"), len = n - (n && p[n - 1] == '\r');
        line++;
        if (len && *p != '#' && strspn(p, " \t") < len) {
            ts_regex *re;
            status = ts_regex_new(&re, p, len, 0, err);
            if (status == TS_OK) TS_PUSH(set->checks, set->n_checks, cap, re);
            if (status != TS_OK) ts_wrap(err, status, "%s line %zu", path, line);
        }
        p += n + (p[n] == '\n');
    }
    ts_buf_release(&text);
    return status;
}

void ts_score_set_release(ts_score_set *set) {
    for (int i = 0; i < P_COUNT; i++) {
        ts_regex_free(set->patterns[i]);
        free(set->needs[i]);
    }
    for (size_t i = 0; i < set->n_checks; i++)
        ts_regex_free(set->checks[i]);
    for (size_t i = 0; i < set->n_own; i++)
        ts_regex_free(set->own[i].pattern);
    free(set->checks);
    free(set->df);
}

void ts_scorer_init(ts_scorer *s, const ts_score_set *set) {
    *s = (ts_scorer){.set = set};
    for (int i = 0; i < P_COUNT; i++)
        s->patterns[i] = ts_matcher_new(set->patterns[i]);
    s->checks = ts_calloc(TS_MAX(set->n_checks, 1), sizeof *s->checks);
    for (size_t i = 0; i < set->n_checks; i++)
        s->checks[i] = ts_matcher_new(set->checks[i]);
    for (size_t i = 0; i < set->n_own; i++)
        s->own[i] = ts_matcher_new(set->own[i].pattern);
}

void ts_scorer_release(ts_scorer *s) {
    for (int i = 0; i < P_COUNT; i++)
        ts_matcher_free(s->patterns[i]);
    for (size_t i = 0; i < s->set->n_checks; i++)
        ts_matcher_free(s->checks[i]);
    for (size_t i = 0; i < s->set->n_own; i++)
        ts_matcher_free(s->own[i]);
    free(s->checks);
    ts_words_release(&s->words);
    ts_buf_release(&s->a);
    ts_buf_release(&s->b);
    for (int i = 0; i < 2; i++)
        ts_look_release(&s->look[i]);
    ts_hash_set_release(&s->hashes);
    ts_hash_set_release(&s->seen);
    free(s->list);
    free(s->df);
}

/* ---- small helps ---- */

static bool blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static ts_text trimmed(ts_text t) {
    while (t.n && blank(t.s[t.n - 1]))
        t.n--;
    while (t.n && blank(*t.s)) {
        t.s++;
        t.n--;
    }
    return t;
}

/* Words of a part of one side. */
static size_t count_words(const ts_scorer *s, ts_text part, ts_side side) {
    const ts_look *l = &s->look[side];
    size_t from = (size_t)(part.s - l->text.s);
    return part.n ? ts_look_words(l, from, from + part.n) : 0;
}

static size_t answer_words(const ts_scorer *s) {
    return s->look[TS_SIDE_ANSWER].n;
}

static ts_text head_of(ts_text t, size_t n) {
    while (n < t.n && n > 0 && ((unsigned char)t.s[n] & 0xc0) == 0x80)
        n--;
    return (ts_text){t.s, TS_MIN(n, t.n)};
}

static size_t slot_of(uint64_t hash) {
    return (size_t)(hash & (TS_SCORE_DF_SLOTS - 1));
}

static void count(ts_scorer *s, uint64_t hash) {
    s->df[slot_of(hash)]++;
}

void ts_score_survey(ts_scorer *s, const ts_score_text *t, int *language, size_t *words) {
    if (!s->df) s->df = new_counts();
    ts_look_for_words(&s->look[TS_SIDE_PROMPT], t->prompt, &s->words);
    ts_look_for_words(&s->look[TS_SIDE_ANSWER], t->answer, &s->words);
    for (int k = 0; k < 2; k++) {
        const ts_look *l = &s->look[k];
        ts_hash_set_begin(&s->hashes, l->n);
        for (size_t i = 0; i < l->n; i++)
            if (l->words[i].stem && ts_hash_set_add(&s->hashes, l->words[i].stem)) count(s, l->words[i].stem);
    }
    for (const char *p = t->answer.s, *end = p + t->answer.n; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl ? nl : end) - p);
        if (n) count(s, ts_hash64(p, n, 9));
        p = nl ? nl + 1 : end;
    }
    *words = answer_words(s);
    *language = ts_look_language(&s->look[TS_SIDE_ANSWER]);
}

void ts_score_surveyed(ts_score_set *set, ts_scorer *s) {
    for (size_t i = 0; s->df && i < TS_SCORE_DF_SLOTS; i++)
        set->df[i] += s->df[i];
    free(s->df);
    s->df = NULL;
}

/* ---- the rules ---- */

static double rule_empty(ts_scorer *s, const ts_score_text *t) {
    (void)s;
    return !trimmed(t->answer).n || !trimmed(t->prompt).n;
}

static double rule_placeholder(ts_scorer *s, const ts_score_text *t) {
    ts_text answer = trimmed(t->answer), input = trimmed(t->input);
    if (answer.n < 80 && has(s, P_PLACEHOLDER_ALL, answer, TS_SIDE_ANSWER)) return 1;
    if (has(s, P_PLACEHOLDER_PART, t->answer, TS_SIDE_ANSWER) ||
        has(s, P_PLACEHOLDER_PART, t->instruction, TS_SIDE_PROMPT))
        return 0.7;
    return input.n < 16 && has(s, P_NO_INPUT, input, TS_SIDE_PROMPT) ? 0.5 : 0;
}

static double rule_refusal(ts_scorer *s, const ts_score_text *t) {
    ts_text head = head_of(trimmed(t->answer), 300);
    if (has(s, P_REFUSAL_STRONG, head, TS_SIDE_ANSWER)) return 1;
    return has(s, P_REFUSAL, head_of(head, 200), TS_SIDE_ANSWER) ? 0.8 : 0;
}

/* Where both are ASCII, folding leaves the words as they are: they must begin with the same one. */
static bool may_echo(const ts_scorer *s) {
    const ts_look *p = &s->look[TS_SIDE_PROMPT], *a = &s->look[TS_SIDE_ANSWER];
    return s->unfiltered || !p->ascii || !a->ascii || (p->n && a->n && p->words[0].hash == a->words[0].hash);
}

static double rule_echo(ts_scorer *s, const ts_score_text *t) {
    ts_text instruction = trimmed(t->instruction), answer = trimmed(t->answer), input = trimmed(t->input);
    size_t most = instruction.n * 2 + 64;
    if (!answer.n) return 0;
    if (may_echo(s) && ts_look_words(&s->look[TS_SIDE_PROMPT], 0, t->instruction.n) >= 4) {
        ts_buf_reset(&s->a);
        ts_buf_reset(&s->b);
        ts_fold_text(instruction.s, instruction.n, &s->a);
        ts_fold_text(answer.s, answer.n <= most ? answer.n : head_of(answer, most).n, &s->b);
        if (s->b.len >= s->a.len && memcmp(s->a.data, s->b.data, s->a.len) == 0) return 1;
    }
    return input.n > 30 && input.n == answer.n && memcmp(input.s, answer.s, input.n) == 0 ? 0.6 : 0;
}

/* ---- truncated ---- */

static bool is_item(ts_text line) {
    size_t i = 0;
    while (i < line.n && blank(line.s[i]))
        i++;
    if (i < line.n && strchr("-*+", line.s[i])) return true;
    size_t digits = i;
    while (digits < line.n && line.s[digits] >= '0' && line.s[digits] <= '9')
        digits++;
    return digits > i && digits - i <= 3 && digits < line.n && strchr(".)", line.s[digits]);
}

/* Does the line end as a sentence or an expression does? */
static bool line_ends(ts_text line) {
    line = trimmed(line);
    if (!line.n) return true;
    unsigned char c = (unsigned char)line.s[line.n - 1];
    if (c >= 0x80) { /* closing quotes, CJK full stops, emoji; a letter does not end a sentence */
        size_t at = line.n - 1;
        uint32_t cp;
        while (at > 0 && ((unsigned char)line.s[at] & 0xc0) == 0x80)
            at--;
        ts_utf8_decode(line.s + at, line.n - at, &cp);
        return !ts_is_letter(cp);
    }
    return strchr(".!?)]}\"'`:;|>*_~=/%$#0123456789", c) != NULL && c;
}

/* Words that no sentence ends with. */
static bool hangs(ts_text line) {
    static const char words[] =
        " the a an and or of to from with for in on at by that which is are your their but because as "
        "into than when while if so they being been was were will would could should might must has have had "
        "between during through about ";
    char key[16];
    if (!line.n) return false;
    size_t n = 0, end = line.n;
    while (n < end && ((line.s[end - 1 - n] | 32) >= 'a' && (line.s[end - 1 - n] | 32) <= 'z'))
        n++;
    if (n == 0 || n + 3 > sizeof key || n == end) return end > 0 && line.s[end - 1] == ',';
    key[0] = ' ';
    for (size_t i = 0; i < n; i++)
        key[i + 1] = line.s[end - n + i];
    key[n + 1] = ' ';
    key[n + 2] = 0;
    return strstr(words, key) != NULL;
}

static double rule_truncated(ts_scorer *s, const ts_score_text *t) {
    ts_text answer = trimmed(t->answer), last = answer;
    size_t like = 0, like_ended = 0, fences, last_words, sentences = 0;
    fences = ts_score_fences(s, answer);
    if (fences % 2) return 1;
    if (!answer.n || line_ends(answer)) return 0;
    size_t cut = answer.n;
    while (cut > 0 && answer.s[cut - 1] != '\n')
        cut--;
    last = trimmed((ts_text){answer.s + cut, answer.n - cut});
    if (has(s, P_CODE, fences ? last : answer, TS_SIDE_ANSWER)) return 0; /* behind a closed block of code comes text */
    last_words = count_words(s, last, TS_SIDE_ANSWER);
    for (const char *p = answer.s, *end = answer.s + cut; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        ts_text line = trimmed((ts_text){p, (size_t)((nl ? nl : end) - p)});
        if (line.n && is_item(line) == is_item(last)) {
            like++;
            like_ended += strchr(".!?", line.s[line.n - 1]) != NULL;
        }
        p = nl ? nl + 1 : end;
    }
    for (size_t i = 0; i + 2 < last.n; i++)
        sentences += strchr(".!?", last.s[i]) && last.s[i + 1] == ' ' && i > 3;
    if (last_words >= 4 && hangs(last)) return 1;
    if (is_item(last)) return like >= 1 && like_ended * 10 >= like * 8 && last_words >= 2 ? 0.9 : 0;
    if (last_words < 5 || answer_words(s) < 10) return 0;
    if (sentences) return 0.8;
    return like >= 2 && like_ended == like && last_words >= 6 ? 0.6 : 0;
}

/* ---- repetition ---- */

static double rule_repetition(ts_scorer *s, const ts_score_text *t) {
    enum { GRAM = 4 };
    const ts_look *l = &s->look[TS_SIDE_ANSWER];
    size_t repeats = 0;
    if (l->n < 24) return 0;
    size_t grams = l->n - GRAM + 1;
    ts_hash_set_begin(&s->hashes, grams);
    for (size_t i = 0; i < grams; i++) {
        uint64_t h = 0;
        for (size_t k = 0; k < GRAM; k++)
            h = (h ^ h >> 29) * 0x9e3779b97f4a7c15u + l->words[i + k].hash;
        repeats += !ts_hash_set_add(&s->hashes, h);
    }
    double share = (double)repeats / (double)grams;
    if (share < 0.3 || has(s, P_REPEAT_TASK, t->prompt, TS_SIDE_PROMPT) || has(s, P_CODE, t->answer, TS_SIDE_ANSWER))
        return 0;
    return TS_MIN(1, 0.4 + (share - 0.3) * 1.5);
}

static double rule_language(ts_scorer *s, const ts_score_text *t) {
    if (s->set->language < 0) return 0;
    int language = ts_look_language(&s->look[TS_SIDE_ANSWER]);
    if (language < 0 || language == s->set->language) return 0;
    if (answer_words(s) < 5 || has(s, P_LANGUAGE_TASK, t->prompt, TS_SIDE_PROMPT) ||
        has(s, P_CODE, t->answer, TS_SIDE_ANSWER))
        return 0;
    return ts_look_language(&s->look[TS_SIDE_PROMPT]) == language ? 0.6 : 1;
}

static double rule_format(ts_scorer *s, const ts_score_text *t) {
    size_t missing = 0, start, end;
    for (size_t i = 0; i < s->set->n_checks; i++)
        missing += !ts_matcher_find(s->checks[i], t->answer.s, t->answer.n, 0, &start, &end, NULL);
    return missing ? 0.5 + 0.5 * (double)missing / (double)s->set->n_checks : 0;
}

static double rule_email(ts_scorer *s, const ts_score_text *t) {
    return has(s, P_EMAIL, t->answer, TS_SIDE_ANSWER) ? 1 : has(s, P_EMAIL, t->prompt, TS_SIDE_PROMPT) ? 0.5 : 0;
}

static double rule_phone(ts_scorer *s, const ts_score_text *t) {
    return has(s, P_PHONE, t->answer, TS_SIDE_ANSWER) ? 1 : has(s, P_PHONE, t->prompt, TS_SIDE_PROMPT) ? 0.5 : 0;
}

static double rule_url(ts_scorer *s, const ts_score_text *t) {
    return has(s, P_URL, t->answer, TS_SIDE_ANSWER) ? 1 : has(s, P_URL, t->prompt, TS_SIDE_PROMPT) ? 0.5 : 0;
}

/* ---- mismatch ---- */

static uint32_t df_of(const ts_scorer *s, uint64_t hash) {
    return s->set->df[slot_of(hash)];
}

/* A stem that few prompts and answers of this set have. */
static bool is_telling(const ts_scorer *s, uint64_t stem) {
    return (double)df_of(s, stem) <= TS_MAX(0.24 * (double)s->set->rows, 6);
}

/* What it says that two texts share a stem: the rarer in the set, the more (its inverse document frequency). */
static double weight_of(const ts_scorer *s, uint64_t stem) {
    return log((2 * (double)s->set->rows + 1) / TS_MAX((double)df_of(s, stem), 1));
}

/* Into s->hashes: those of the stems in s->seen that the answer has in lines which not many answers have (as a closing
 * line). */
static void find_shared(ts_scorer *s, ts_text answer) {
    const ts_look *a = &s->look[TS_SIDE_ANSWER];
    size_t w = 0;
    for (size_t at = 0; at < answer.n;) {
        const char *nl = memchr(answer.s + at, '\n', answer.n - at);
        size_t end = nl ? (size_t)(nl - answer.s) : answer.n;
        bool counts =
            s->set->rows < 20 || (double)df_of(s, ts_hash64(answer.s + at, end - at, 9)) < 0.2 * (double)s->set->rows;
        for (; w < a->n && a->words[w].start < end; w++) {
            uint64_t stem = a->words[w].stem;
            if (counts && stem && ts_hash_set_has(&s->seen, stem)) ts_hash_set_add(&s->hashes, stem);
        }
        at = end + 1;
    }
}

/* How many different stems of the prompt are telling, and which share of its stems, by weight, the answer has. */
static double shared_stems(ts_scorer *s, ts_text answer, size_t *telling) {
    const ts_look *p = &s->look[TS_SIDE_PROMPT];
    double all = 0, shared = 0;
    size_t n = 0;
    *telling = 0;
    TS_GROW(s->list, s->cap_list, p->n);
    ts_hash_set_begin(&s->seen, p->n);
    ts_hash_set_begin(&s->hashes, p->n);
    for (size_t i = 0; i < p->n; i++) {
        uint64_t stem = p->words[i].stem;
        if (!stem || !ts_hash_set_add(&s->seen, stem)) continue;
        s->list[n++] = stem;
        __builtin_prefetch(&s->set->df[slot_of(stem)]);
    }
    find_shared(s, answer);
    for (size_t i = 0; i < n; i++) {
        double weight = weight_of(s, s->list[i]);
        *telling += is_telling(s, s->list[i]);
        all += weight;
        if (ts_hash_set_has(&s->hashes, s->list[i])) shared += weight;
    }
    return all > 0 ? shared / all : 1;
}

static double rule_mismatch(ts_scorer *s, const ts_score_text *t) {
    static const double LEAST_SHARED = 0.08; /* on real rows .05 misses more, .12 speaks on more that are fine */
    size_t telling;
    if (answer_words(s) < 12 || shared_stems(s, t->answer, &telling) >= LEAST_SHARED || telling < 3) return 0;
    if (telling < 6 && has(s, P_MAKE_TASK, t->instruction, TS_SIDE_PROMPT)) return 0;
    if (has(s, P_CODE, t->answer, TS_SIDE_ANSWER)) return 0;
    if (has(s, P_LANGUAGE_TASK, t->prompt, TS_SIDE_PROMPT) &&
        (trimmed(t->input).n || ts_look_language(&s->look[TS_SIDE_ANSWER]) != s->set->language))
        return 0;
    return 0.7;
}

static double rule_length(ts_scorer *s, const ts_score_text *t) {
    (void)t;
    if (s->set->rows < 30 || s->set->log_words_deviation < 1e-6) return 0;
    double z = (log(1 + (double)answer_words(s)) - s->set->log_words) / TS_MAX(s->set->log_words_deviation, 0.15);
    return fabs(z) < 3.5 ? 0 : TS_MIN(1, 0.3 + (fabs(z) - 3.5) / 4);
}

static double rule_html(ts_scorer *s, const ts_score_text *t) {
    if (!has(s, P_HTML, t->answer, TS_SIDE_ANSWER) && !has(s, P_HTML, t->prompt, TS_SIDE_PROMPT)) return 0;
    return has(s, P_HTML_TASK, t->instruction, TS_SIDE_PROMPT) || has(s, P_CODE, t->answer, TS_SIDE_ANSWER) ? 0 : 1;
}

static double rule_nonascii(ts_scorer *s, const ts_score_text *t) {
    size_t letters = 0, foreign = 0;
    if (s->look[TS_SIDE_ANSWER].ascii || s->set->language != ts_language_find("en")) return 0;
    for (size_t i = 0; i < t->answer.n;) {
        unsigned char c = (unsigned char)t->answer.s[i];
        uint32_t cp = c;
        i += c < 0x80 ? 1 : ts_utf8_decode(t->answer.s + i, t->answer.n - i, &cp);
        letters += c >= 0x80 ? ts_is_letter(cp) : (c | 32) >= 'a' && (c | 32) <= 'z';
        foreign += c >= 0x80 && ts_is_letter(cp);
    }
    if (letters < 20 || foreign * 10 <= letters || has(s, P_LANGUAGE_TASK, t->prompt, TS_SIDE_PROMPT)) return 0;
    return TS_MIN(1, 2.0 * (double)foreign / (double)letters);
}

static double rule_secret(ts_scorer *s, const ts_score_text *t) {
    if (has(s, P_SECRET, t->answer, TS_SIDE_ANSWER) || has(s, P_SECRET, t->prompt, TS_SIDE_PROMPT)) return 1;
    return has(s, P_PASSWORD, t->answer, TS_SIDE_ANSWER)   ? 0.7
           : has(s, P_PASSWORD, t->prompt, TS_SIDE_PROMPT) ? 0.4
                                                           : 0;
}

bool ts_score_special(ts_scorer *s, const ts_score_text *t) {
    return has(s, P_REPEAT_TASK, t->prompt, TS_SIDE_PROMPT) || has(s, P_CODE, t->answer, TS_SIDE_ANSWER);
}

static double (*const rules[])(ts_scorer *s, const ts_score_text *t) = {
    rule_empty,       rule_placeholder, rule_refusal,      rule_echo,       rule_truncated,
    rule_repetition,  rule_language,    rule_format,       rule_email,      rule_phone,
    rule_url,         rule_mismatch,    rule_length,       rule_html,       rule_nonascii,
    ts_rule_unclosed, rule_secret,      ts_rule_profanity, ts_rule_variety, ts_rule_readability,
};

double ts_score_row(ts_scorer *s, const ts_score_text *t, float values[TS_MAX_RULES]) {
    double overall = 1;
    ts_assert(TS_COUNT(rules) == ts_rule_count());
    ts_look_at(&s->look[TS_SIDE_PROMPT], t->prompt, &s->words);
    ts_look_at(&s->look[TS_SIDE_ANSWER], t->answer, &s->words);
    for (size_t i = 0; i < TS_COUNT(rules); i++) {
        double v = i == 0 || values[0] == 0 || t->answer.n ? rules[i](s, t) : 0;
        values[i] = (float)v;
        overall *= 1 - ts_rules[i].weight * v;
    }
    for (size_t i = 0; i < s->set->n_own; i++) {
        double v = ts_score_own(s, i, t);
        values[TS_COUNT(rules) + i] = (float)v;
        overall *= 1 - v;
    }
    return overall;
}
