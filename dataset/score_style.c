/* Rules on code, secrets and style: brackets left open, keys, coarse words, variety of words, readability. */
#include "core/base/hash.h"
#include "dataset/score_rules.h"

#include <stdlib.h>
#include <string.h>

/* ---- unclosed ---- */

static size_t count_fences(ts_text t) {
    size_t n = 0;
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
        if (!strchr("([{)]}", t.s[i]) || !t.s[i]) continue;
        if (strchr("([{", t.s[i]))
            depth += !is_sign(t, i);
        else if (depth)
            depth--;
    }
    return depth;
}

double ts_rule_unclosed(ts_scorer *s, const ts_score_text *t) {
    (void)s;
    if (count_fences(t->answer) % 2) return 1;
    size_t open = open_brackets(t->answer);
    return open ? TS_MIN(1, 0.5 + 0.1 * (double)open) : 0;
}

/* ---- profanity ---- */

/* Whole words that are coarse in any company. Words that also have a harmless sense are not here. */
static bool is_coarse(const ts_buf *word) {
    static const char list[] =
        " fuck fucks fucked fucker fuckers fucking motherfucker motherfuckers motherfucking shit shits shitty bullshit "
        "shithead asshole assholes arsehole arseholes bitch bitches bitching cunt cunts dickhead dickheads wanker "
        "wankers twat twats whore whores slut sluts cocksucker cocksuckers dipshit jackass dumbass goddamn ";
    static const char starts[] = "fmsbacdwtjg";
    char key[20];
    if (word->len < 4 || word->len + 3 > sizeof key || !strchr(starts, word->data[0])) return false;
    key[0] = ' ';
    memcpy(key + 1, word->data, word->len);
    memcpy(key + 1 + word->len, " ", 2);
    return strstr(list, key) != NULL;
}

static size_t count_coarse(ts_scorer *s, ts_text t) {
    size_t n = 0;
    ts_words_begin(&s->words, t.s, t.n);
    while (ts_words_next(&s->words))
        n += is_coarse(&s->words.word);
    return n;
}

double ts_rule_profanity(ts_scorer *s, const ts_score_text *t) {
    size_t n = count_coarse(s, t->answer);
    if (n) return TS_MIN(1, 0.6 + 0.2 * (double)(n - 1));
    return count_coarse(s, t->prompt) ? 0.3 : 0;
}

/* ---- variety: MTLD (McCarthy and Jarvis 2010) ---- */

enum { SEEN_SLOTS = 2048, LONGEST_FACTOR = 1000 };

/* Words per factor: a factor ends as soon as the share of different words falls below .72. One way through. */
static double mtld_one_way(const uint64_t *words, size_t n, bool backward) {
    static const double cut = 0.72;
    uint64_t seen[SEEN_SLOTS];
    size_t types = 0, tokens = 0;
    double factors = 0;
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < n; i++) {
        uint64_t w = words[backward ? n - 1 - i : i] | 1;
        size_t slot = (size_t)(w >> 40) % SEEN_SLOTS;
        while (seen[slot] && seen[slot] != w)
            slot = (slot + 1) % SEEN_SLOTS;
        types += !seen[slot];
        seen[slot] = w;
        tokens++;
        if ((double)types / (double)tokens >= cut && tokens < LONGEST_FACTOR) continue;
        factors++;
        types = tokens = 0;
        memset(seen, 0, sizeof seen);
    }
    if (tokens) factors += (1 - (double)types / (double)tokens) / (1 - cut);
    return factors > 0 ? (double)n / factors : (double)n;
}

double ts_mtld(const uint64_t *words, size_t n) {
    return n ? (mtld_one_way(words, n, false) + mtld_one_way(words, n, true)) / 2 : 0;
}

double ts_rule_variety(ts_scorer *s, const ts_score_text *t) {
    enum { LEAST_WORDS = 50, POOR = 22 };
    size_t n = 0;
    ts_words_begin(&s->words, t->answer.s, t->answer.n);
    while (ts_words_next(&s->words))
        TS_PUSH(s->hashes[0], n, s->cap[0], ts_hash64(s->words.word.data, s->words.word.len, 0));
    if (n < LEAST_WORDS) return 0;
    double mtld = ts_mtld(s->hashes[0], n);
    if (mtld >= POOR || ts_score_special(s, t)) return 0;
    return TS_MIN(1, 0.3 + (POOR - mtld) / POOR);
}

/* ---- readability: automated readability index (Smith and Senter 1967) ---- */

double ts_ari(ts_words *w, ts_text t, size_t *words) {
    size_t letters = 0, sentences = 0;
    *words = 0;
    ts_words_begin(w, t.s, t.n);
    while (ts_words_next(w)) {
        ++*words;
        for (size_t i = w->start; i < w->end; i++)
            letters += ((unsigned char)w->s[i] & 0xc0) != 0x80;
    }
    /* a sentence ends at . ! ? before a blank, a line at its end */
    for (size_t i = 0; i < t.n; i++) {
        bool last = i + 1 == t.n;
        sentences += strchr(".!?", t.s[i]) && t.s[i] ? last || strchr(" \n\t\"')", t.s[i + 1]) != NULL
                                                     : t.s[i] == '\n' && i && !strchr("\n.!?", t.s[i - 1]);
    }
    if (!*words) return 0;
    return 4.71 * (double)letters / (double)*words + 0.5 * (double)*words / (double)TS_MAX(sentences, 1) - 21.43;
}

double ts_rule_readability(ts_scorer *s, const ts_score_text *t) {
    enum { LEAST_WORDS = 30, HARD = 22 };
    size_t words;
    if (t->answer.n < LEAST_WORDS * 2) return 0;
    double ari = ts_ari(&s->words, t->answer, &words);
    if (words < LEAST_WORDS || ari <= HARD || ts_score_special(s, t)) return 0;
    return TS_MIN(1, 0.3 + (ari - HARD) / 20);
}
