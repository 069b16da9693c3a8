/* What tests of training share: a folder of its own for every test, rows that can be learned, runs on the tiny model.
 * A failure fails the test. */
#ifndef TESTS_TRAIN_SUPPORT_H
#define TESTS_TRAIN_SUPPORT_H

#include "core/engine/train.h"

/* A cmocka setup: the test's own empty folder. */
int train_fresh(void **state);
const char *train_dir(void);
/* A path in it; the caller frees. */
char *train_path(const char *name);
void train_write(const char *name, const char *text);
/* n rows of ids: a supervised pattern that can be learned, of different lengths. */
void train_rows(const char *name, size_t n, uint64_t seed);

void train_set(ts_run_settings *s, const char *option, const char *value);
/* A small LoRA run with dropout on the tiny model, which is made in the folder "tiny" when it is not there. */
void train_settings(ts_run_settings *s);
/* A run folder `name` from train.jsonl (and valid.jsonl if `valid`). The path is the caller's; s is released. */
char *train_create(const char *name, ts_run_settings *s, bool valid);
/* What the run tells so far; the caller releases it. */
ts_follow train_follow(const char *dir);
void assert_same_run_file(const char *a_dir, const char *b_dir, const char *name);

/* For ts_train_options: train_stop_after cancels with the at-th line that the run tells. */
typedef struct ts_train_stopper {
    ts_progress progress;
    int lines, at;
} ts_train_stopper;
void train_stop_after(void *ctx, const char *line);

#endif
