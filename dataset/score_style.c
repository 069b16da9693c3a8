/* Rules on code, secrets and style: brackets left open, keys, coarse words, variety of words, readability. */
#include "dataset/score_rules.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- unclosed ---- */

size_t ts_score_fences(const ts_scorer *s, ts_text t) {
    size_t n = 0;
    if (!s->look[TS_SIDE_ANSWER].bytes['`']) return 0;
    for (size_t i = 0; i + 2 < t.n; i++)
        if (memcmp(t.s + i, "```", 3) == 0) {
            n++;
            i += 2;
        }
    return n;
}

/* A bracket that is part of a face, quoted alone ('(') or escaped does not count. */
static bool is_sign(ts_text t, size_t i) {
    char before = i ? t.s[i - 1] : ' ', after = i + 1 < t.n ? t.s[i + 1] : ' ';
    return (before && strchr(":;=-\\", before)) || (before == after && before && strchr("'\"`", before));
}

/* Opening brackets without their closing ones. Closers of another kind close too ([0, 1) is an interval), and closers
 * without an opener are left alone (a) and 1) number lists). */
static size_t open_brackets(ts_text t) {
    size_t depth = 0;
    for (size_t i = 0; i < t.n; i++) {
        char c = t.s[i];
        if (c == '(' || c == '[' || c == '{')
            depth += !is_sign(t, i);
        else if (depth && (c == ')' || c == ']' || c == '}'))
            depth--;
    }
    return depth;
}

double ts_rule_unclosed(ts_scorer *s, const ts_score_text *t) {
    const unsigned char *bytes = s->look[TS_SIDE_ANSWER].bytes;
    if (ts_score_fences(s, t->answer) % 2) return 1;
    size_t open = bytes['('] || bytes['['] || bytes['{'] ? open_brackets(t->answer) : 0;
    return open ? TS_MIN(1, 0.5 + 0.1 * (double)open) : 0;
}

/* ---- profanity ---- */

/* Whole words that are coarse in any company. Words that also have a harmless sense are not here. */
static const char coarse[] =
    "fuck fucks fucked fucker fuckers fucking motherfucker motherfuckers motherfucking shit shits shitty bullshit "
    "shithead asshole assholes arsehole arseholes bitch bitches bitching cunt cunts dickhead dickheads wanker "
    "wankers twat twats whore whores slut sluts cocksucker cocksuckers dipshit jackass dumbass goddamn ";
static ts_hash_set coarse_words;
static pthread_once_t coarse_made = PTHREAD_ONCE_INIT;

static void make_coarse(void) {
    ts_hash_set_begin(&coarse_words, sizeof coarse / 5);
    for (const char *p = coarse; *p;) {
        size_t n = strcspn(p, " ");
        ts_hash_set_add(&coarse_words, ts_word_hash(p, n));
        p += n + 1;
    }
}

static size_t count_coarse(const ts_look *l) {
    size_t n = 0;
    pthread_once(&coarse_made, make_coarse);
    for (size_t i = 0; i < l->n; i++)
        n += l->words[i].stem && ts_hash_set_has(&coarse_words, l->words[i].hash);
    return n;
}

double ts_rule_profanity(ts_scorer *s, const ts_score_text *t) {
    size_t n = count_coarse(&s->look[TS_SIDE_ANSWER]);
    (void)t;
    if (n) return TS_MIN(1, 0.6 + 0.2 * (double)(n - 1));
    return count_coarse(&s->look[TS_SIDE_PROMPT]) ? 0.3 : 0;
}

/* ---- variety: MTLD (McCarthy and Jarvis 2010) ---- */

enum { SEEN_SLOTS = 2048, LONGEST_FACTOR = 1000 };

/* Words per factor: a factor ends as soon as the share of different words falls below .72. One way through. */
static double mtld_one_way(const uint64_t *words, size_t n, bool backward) {
    static const double cut = 0.72;
    uint64_t seen[SEEN_SLOTS];
    size_t types = 0, tokens = 0, slots = 64;
    double factors = 0;
    while (slots < SEEN_SLOTS && slots < 2 * n) /* short texts need not clear all of it */
        slots *= 2;
    memset(seen, 0, slots * sizeof *seen);
    for (size_t i = 0; i < n; i++) {
        uint64_t w = words[backward ? n - 1 - i : i] | 1;
        size_t slot = (size_t)(w >> 40) & (slots - 1);
        while (seen[slot] && seen[slot] != w)
            slot = (slot + 1) & (slots - 1);
        types += !seen[slot];
        seen[slot] = w;
        tokens++;
        if ((double)types / (double)tokens >= cut && tokens < LONGEST_FACTOR) continue;
        factors++;
        types = tokens = 0;
        memset(seen, 0, slots * sizeof *seen);
    }
    if (tokens) factors += (1 - (double)types / (double)tokens) / (1 - cut);
    return factors > 0 ? (double)n / factors : (double)n;
}

double ts_mtld(const uint64_t *words, size_t n) {
    return n ? (mtld_one_way(words, n, false) + mtld_one_way(words, n, true)) / 2 : 0;
}

double ts_rule_variety(ts_scorer *s, const ts_score_text *t) {
    enum { LEAST_WORDS = 50, POOR = 22 };
    const ts_look *l = &s->look[TS_SIDE_ANSWER];
    if (l->n < LEAST_WORDS) return 0;
    TS_GROW(s->list, s->cap_list, l->n);
    for (size_t i = 0; i < l->n; i++)
        s->list[i] = l->words[i].hash;
    if (!s->unfiltered && mtld_one_way(s->list, l->n, false) >= 2 * POOR) return 0; /* whatever the other way gives */
    double mtld = ts_mtld(s->list, l->n);
    if (mtld >= POOR || ts_score_special(s, t)) return 0;
    return TS_MIN(1, 0.3 + (POOR - mtld) / POOR);
}

/* ---- readability: automated readability index (Smith and Senter 1967) ---- */

/* A sentence ends at . ! ? before a blank, a line at its end. */
static bool ends_sentence(ts_text t, size_t i) {
    if (t.s[i] == '\n') return i && !strchr("\n.!?", t.s[i - 1]);
    return i + 1 == t.n || strchr(" \n\t\"')", t.s[i + 1]) != NULL;
}

/* At most `most`. */
static size_t count_sentences(ts_text t, size_t most) {
    size_t n = 0;
    for (const char *c = ".\n!?"; *c && n < most; c++)
        for (const char *p = t.s, *end = p + t.n; n < most && (p = memchr(p, *c, (size_t)(end - p))) != NULL; p++)
            n += ends_sentence(t, (size_t)(p - t.s));
    return n;
}

static double ari_of(const ts_look *l, size_t letters, size_t sentences) {
    return 4.71 * (double)letters / (double)l->n + 0.5 * (double)l->n / (double)TS_MAX(sentences, 1) - 21.43;
}

static size_t count_letters(const ts_look *l) {
    size_t letters = 0;
    for (size_t i = 0; i < l->n; i++)
        letters += l->words[i].letters;
    return letters;
}

double ts_ari(const ts_look *l) {
    return l->n ? ari_of(l, count_letters(l), count_sentences(l->text, SIZE_MAX)) : 0;
}

double ts_rule_readability(ts_scorer *s, const ts_score_text *t) {
    enum { LEAST_WORDS = 30, HARD = 22 };
    const ts_look *l = &s->look[TS_SIDE_ANSWER];
    if (t->answer.n < LEAST_WORDS * 2 || l->n < LEAST_WORDS) return 0;
    size_t letters = count_letters(l), enough = 1; /* sentences: with so many it is not hard */
    while (enough < l->n && ari_of(l, letters, enough) > HARD)
        enough++;
    if (s->unfiltered || enough == l->n) enough = SIZE_MAX;
    double ari = ari_of(l, letters, count_sentences(l->text, enough));
    if (ari <= HARD || ts_score_special(s, t)) return 0;
    return TS_MIN(1, 0.3 + (ari - HARD) / 20);
}
