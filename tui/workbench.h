/* The workbench: all screens on one workspace, until the person quits. */
#ifndef TS_TUI_WORKBENCH_H
#define TS_TUI_WORKBENCH_H

#include "core/base/err.h"

#include <stdbool.h>

typedef struct ts_ui_options {
    const char *color; /* "auto" (NULL), "always", "never"; auto follows NO_COLOR */
    bool ascii;        /* no box lines, blocks or braille; also where the locale is not UTF-8 */
} ts_ui_options;

/* Returns the exit code: 0 quit, 1 the workspace cannot be opened (a sentence went to stderr), 2 stdin or stdout is no
 * terminal that can be used. setlocale was called. */
int ts_workbench(const char *workspace, const ts_ui_options *o);

#endif
