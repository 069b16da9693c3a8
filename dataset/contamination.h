/* Contamination: do rows that are trained on hold prompts that a model is later tested with?
 *
 * The outside prompts come from a file of any of these shapes: JSON array or JSONL of objects (what a user says is
 * taken: instruction, input, question, prompt, query, text, the strings of turns, and the user turns of messages and
 * conversations), or plain text with one prompt a line. Words are compared as everywhere (dataset/words.h: lower
 * case, without punctuation). A run is a stretch of words that a row's prompt or its answer shares with one outside
 * prompt; the longest run of each row is found. A prompt of fewer than TS_LEAK_LEAST words cannot be found and is
 * counted. Where the same TS_LEAK_LEAST words occur more than TS_LEAK_PLACES times in the outside prompts, only the
 * first so many places are followed. */
#ifndef TS_DATASET_CONTAMINATION_H
#define TS_DATASET_CONTAMINATION_H

#include "dataset/store.h"

enum { TS_LEAK_LEAST = 8, TS_LEAK_PLACES = 256, TS_LEAK_LEVELS = 3 };
/* 8, 10 and 13 words: what is counted (8 and 13: GPT-3's rule for short and long tests). */
extern const size_t ts_leak_levels[TS_LEAK_LEVELS];

typedef struct ts_leak {
    int64_t id;     /* row */
    size_t words;   /* of the longest run */
    bool in_answer; /* else in the prompt */
    size_t prompt;  /* outside prompt, from 1 in the order of the file */
    int64_t line;   /* its line in the file; 0 where the file is one JSON array */
    ts_text run;    /* the row's text of the run */
} ts_leak;

typedef struct ts_leak_report {
    int64_t rows, prompts, short_prompts;
    int64_t rows_at[TS_LEAK_LEVELS];    /* rows with a run of that many words or more */
    int64_t prompts_at[TS_LEAK_LEVELS]; /* outside prompts with such a run in some row */
    ts_leak *leaks;                     /* rows with a run of `least` words or more, longest first, then by id */
    size_t n;
} ts_leak_report;

/* A job; `where` NULL: status!=rejected. least: TS_LEAK_LEAST or more. What is reported lives in `arena`. A file
 * without prompts is TS_INVALID with a sentence that says what was looked for. */
TS_MUST_USE ts_status ts_contamination(ts_store *st, const char *path, const char *where, size_t least,
                                       ts_progress *progress, ts_leak_report *out, ts_arena *arena, ts_err *err);

#endif
