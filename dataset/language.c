/* Languages in other scripts are told by their letters; those in Latin letters by their most frequent function words
 * (each list: the commonest words that the others do not share much). */
#include "dataset/language.h"

#include "core/base/utf8.h"

#include <pthread.h>
#include <string.h>

static const struct latin {
    const char *name, *words; /* each word between blanks */
} latin[] = {
    {"en",
     " the and of to is in that it for you with are this be on as your from or have by not can will an at if they "
     "what which their when there how i we was were has one all but more use do does did my me so any no up out about "
     "into some them than then also get he she his her "
     "our who why would should could may must just only very such these those make made want need "},
    {"de",
     " der die das und ist nicht ein eine einen zu den mit von sich auf dem für des im sie es werden wird auch ich du "
     "wie oder aus bei nach wenn kann sind ihre dein deine noch über einmal zum zur bis dann "},
    {"fr",
     " le la les et des est un une du dans que pour qui vous sur ne pas ce avec par il au se sont votre plus ou cette "
     "ces aux être nous mais si en l d qu puis "},
    {"es",
     " el la los las y de que en un una es por con para se del no al su lo como más pero sus tu te está este esta son "
     "cada porque si ya qué cuando muy "},
    {"it",
     " il la le e di che un una per è in con non si del della dei sono come più ma anche nel alla da gli lo questo se "
     "tuo tua ogni "},
    {"pt",
     " o a os as e de que um uma do da em para com não é se por mais como dos das no na seu sua mas ao você está são "
     "isso este pelo "},
    {"nl",
     " de het een en van is dat niet op te met voor zijn in je er aan ook als bij door naar maar om dan wordt deze uw "
     "kan nog uit "},
    {"pl", " i w na się nie że do jest to z jak od po dla o są przez lub oraz jego tego który może być twój "},
    {"sv", " och att det som en på är av för med till den har inte om ett du kan din eller från så men vi de "},
};

static const struct script {
    const char *name;
    uint32_t first, last;
} scripts[] = {
    {"ru", 0x0400, 0x04ff}, {"el", 0x0370, 0x03ff}, {"he", 0x0590, 0x05ff},
    {"ar", 0x0600, 0x06ff}, {"hi", 0x0900, 0x097f}, {"th", 0x0e00, 0x0e7f},
    {"ja", 0x3040, 0x30ff}, {"ko", 0xac00, 0xd7af}, {"zh", 0x4e00, 0x9fff},
};

size_t ts_language_count(void) {
    return TS_COUNT(latin) + TS_COUNT(scripts);
}

const char *ts_language_name(int language) {
    if (language < 0 || (size_t)language >= ts_language_count()) return "?";
    size_t i = (size_t)language;
    return i < TS_COUNT(latin) ? latin[i].name : scripts[i - TS_COUNT(latin)].name;
}

int ts_language_find(const char *name) {
    for (int i = 0; i < (int)ts_language_count(); i++)
        if (strcmp(ts_language_name(i), name) == 0) return i;
    return -1;
}

/* The script of a third of the letters or more, if it is not Latin. Kana decide for Japanese among Han. */
int ts_language_script(const char *s, size_t n) {
    size_t letters = 0, count[TS_COUNT(scripts)] = {0};
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        uint32_t cp;
        if (c < 0x80) {
            letters += (c | 32) >= 'a' && (c | 32) <= 'z';
            i++;
            continue;
        }
        i += ts_utf8_decode(s + i, n - i, &cp);
        letters++;
        for (size_t k = 0; k < TS_COUNT(scripts); k++)
            count[k] += cp >= scripts[k].first && cp <= scripts[k].last;
    }
    size_t best = 0;
    for (size_t k = 1; k < TS_COUNT(scripts); k++)
        if (count[k] > count[best]) best = k;
    if (strcmp(scripts[best].name, "zh") == 0 && count[6] * 10 > count[best]) best = 6;
    return letters >= 4 && count[best] * 3 >= letters ? (int)(TS_COUNT(latin) + best) : -1;
}

/* All lists as one table: a word of at most 8 bytes is its own key, packed; the value says which lists have it. */
static struct {
    uint64_t key;
    uint32_t lists;
} table[TS_LANGUAGE_SLOTS];
uint64_t ts_language_used[TS_LANGUAGE_SLOTS / 64];
static pthread_once_t table_made = PTHREAD_ONCE_INIT;

static size_t slot_of(uint64_t key) {
    size_t i = ts_language_slot(key);
    while (table[i].key && table[i].key != key)
        i = (i + 1) % TS_LANGUAGE_SLOTS;
    return i;
}

static uint64_t packed(const char *word, size_t n) {
    uint64_t key = 0;
    memcpy(&key, word, n);
    return key;
}

static void make_table(void) {
    for (size_t l = 0; l < TS_COUNT(latin); l++)
        for (const char *p = latin[l].words + 1; *p;) {
            size_t n = strcspn(p, " ");
            ts_assert(n <= 8);
            size_t i = slot_of(packed(p, n));
            table[i].key = packed(p, n);
            table[i].lists |= 1u << l;
            ts_language_used[i / 64] |= (uint64_t)1 << i % 64;
            p += n + 1;
        }
}

void ts_language_prepare(void) {
    pthread_once(&table_made, make_table);
}

uint32_t ts_language_look_up(uint64_t word) {
    return table[slot_of(word)].lists;
}

static uint32_t lists_with(const ts_buf *word) {
    ts_language_prepare();
    return word->len > 8 || !word->len ? 0 : ts_language_lists(packed(word->data, word->len));
}

bool ts_language_function_word(int language, const ts_buf *word) {
    return language >= 0 && (size_t)language < TS_COUNT(latin) && (lists_with(word) >> language & 1);
}

int ts_language_choose(const size_t *hits, size_t words) {
    size_t best = 0, second = SIZE_MAX;
    for (size_t i = 1; i < TS_COUNT(latin); i++)
        if (hits[i] > hits[best]) best = i;
    for (size_t i = 0; i < TS_COUNT(latin); i++)
        if (i != best && (second == SIZE_MAX || hits[i] > hits[second])) second = i;
    bool sure = hits[best] >= 3 && hits[best] * 100 >= words * 14 && hits[best] * 10 >= hits[second] * 13;
    return sure ? (int)best : -1;
}

int ts_language_of(const char *s, size_t n, ts_words *w) {
    int script = ts_language_script(s, n);
    size_t hits[TS_MAX_LANGUAGES] = {0}, words = 0;
    if (script >= 0) return script;
    ts_words_begin(w, s, n);
    while (words < TS_LANGUAGE_WORDS && ts_words_next(w)) {
        words++;
        uint32_t lists = lists_with(&w->word);
        for (size_t i = 0; lists; i++, lists >>= 1)
            hits[i] += lists & 1;
    }
    return ts_language_choose(hits, words);
}
