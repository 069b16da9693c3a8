/* The table of verbs, in the order `tunesmith --help` shows them. A new verb is one file and one row here. */
#include "tui/cli.h"

/* clang-format off */
#define TS_VERBS(X) \
    X(init) X(config) \
    X(import) X(rejects) X(list) X(show) X(set) X(add) X(edit) \
    X(undo) X(redo) X(history) X(purge) \
    X(dedupe) X(score) X(stats) X(select) X(check) \
    X(snapshot) X(export) \
    X(plan) X(train) X(runs) \
    X(generate) X(nll) X(compare) X(vote) \
    X(report) X(advise) \
    X(combine) X(merge) X(convert) X(new_model) \
    X(tokenize) X(render) X(inspect) X(doctor) X(open) X(keys) \
    X(engine)
/* clang-format on */

#define DECLARE(name) extern const ts_verb ts_verb_##name;
TS_VERBS(DECLARE)

#define ROW(name) &ts_verb_##name,
const ts_verb *const ts_verbs[] = {TS_VERBS(ROW) NULL};
