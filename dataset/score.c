/* The table of rules, and the overall score of stored values. What the rules look for is in score_rules.c; the pass
 * over all rows in score_run.c. */
#include "dataset/score.h"

#include "dataset/db.h"

#include <sqlite3.h>
#include <string.h>

const ts_rule ts_rules[] = {
    {"empty", 1.0, "no prompt or no answer", "rows that are meant to answer with nothing"},
    {"placeholder", 0.9, "N/A, <insert answer here>, lorem ipsum, [your name] instead of text",
     "templates that are the point of the task"},
    {"refusal", 0.9, "the answer declines: as an AI, I cannot help with that", "refusals that are meant to be learned"},
    {"echo", 0.7, "the answer begins by repeating the prompt, or is it", "tasks that ask to repeat or correct a text"},
    {"truncated", 0.7, "the answer stops in the middle: no end of sentence, an open bracket or code block",
     "code, lists and one-word answers"},
    {"repetition", 0.6, "the same words again and again", "poems, refrains, tables"},
    {"language", 0.8, "the answer is in another language than most of the set",
     "translations, names, very short answers"},
    {"format", 0.6, "the answer misses a pattern of the check file (setting check)",
     "none: the file says what is wanted"},
    {"email", 0.4, "an e-mail address in the answer or the prompt", "examples of addresses"},
    {"phone", 0.4, "a telephone number in the answer or the prompt", "other long numbers with blanks"},
    {"url", 0.1, "a web address", "tasks about web pages"},
    {"mismatch", 0.7, "prompt and answer have no telling word in common",
     "answers that need none of the prompt's words"},
    {"length", 0.2, "the answer is far shorter or longer than those of this set", "short answers that are right"},
    {"html", 0.3, "HTML tags left in the text", "tasks about HTML"},
    {"nonascii", 0.1, "a large share of characters that are not ASCII in an English set",
     "names, formulas, other languages"},
    {"unclosed", 0.5, "a code block or bracket that is never closed", "brackets that stand for themselves"},
    {"secret", 0.9, "an API key, a private key, a password in the text", "made-up keys in examples"},
    {"profanity", 0.3, "coarse English words; other languages are not looked at", "quotations"},
    {"variety", 0.2, "few different words (MTLD under 22; texts of 50 words or more)", "drills, lists of like items"},
    {"readability", 0.1, "very long words and sentences (ARI above 22; texts of 30 words or more)",
     "technical terms, lists without full stops"},
    {NULL, 0, NULL, NULL},
};

size_t ts_rule_count(void) {
    return TS_COUNT(ts_rules) - 1;
}

size_t ts_rule_find(const char *name, size_t n) {
    for (size_t i = 0; i < ts_rule_count(); i++)
        if (strlen(ts_rules[i].name) == n && memcmp(ts_rules[i].name, name, n) == 0) return i;
    return ts_rule_count();
}

ts_status ts_score_refresh(ts_store *st, int64_t id, ts_err *err) {
    sqlite3_stmt *s = ts_db_stmt(st,
                                 "SELECT rule,value FROM score s WHERE id=?1 AND NOT EXISTS"
                                 "(SELECT 1 FROM dismissed x WHERE x.id=s.id AND x.rule=s.rule)",
                                 err);
    double overall = 1;
    if (!s) return err ? err->code : TS_IO;
    sqlite3_bind_int64(s, 1, id);
    while (sqlite3_step(s) == SQLITE_ROW) {
        ts_text name = ts_db_text(s, 0);
        size_t rule = ts_rule_find(name.s, name.n);
        if (ts_rule_exists(name.s, name.n))
            overall *= 1 - (rule < ts_rule_count() ? ts_rules[rule].weight : 1) * sqlite3_column_double(s, 1);
    }
    sqlite3_reset(s);
    s = ts_db_stmt(st, "UPDATE metric SET score=?2 WHERE id=?1 AND score IS NOT NULL", err);
    if (s) sqlite3_bind_int64(s, 1, id);
    if (s) sqlite3_bind_double(s, 2, overall);
    return ts_db_step(st, s, "store a score", err);
}
