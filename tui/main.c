/* tunesmith: `tunesmith VERB ...` runs a verb, `tunesmith [WORKSPACE]` opens the workbench on a workspace. */
#include "core/base/file.h"
#include "core/work/child.h"
#include "tui/cli.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int print_overview(FILE *out) {
    fputs("tunesmith " TS_VERSION ": curate instruction data and tune language models in a terminal\n\n"
          "usage: tunesmith [WORKSPACE]        open the workbench on a workspace (this folder if it is one)\n"
          "       tunesmith VERB ...           the same from the command line; tunesmith VERB --help tells more\n\n",
          out);
    for (size_t i = 0; ts_verbs[i]; i++)
        if (!ts_verbs[i]->hidden) fprintf(out, "  %-10s %s\n", ts_verbs[i]->name, ts_verbs[i]->help);
    fputs("\nexit codes: 0 fine, 1 failed, 2 wrong usage, 3 finished but found problems, 130 interrupted\n", out);
    if (out == stderr) return TS_EXIT_USAGE;
    if (fflush(stdout) == 0) return TS_EXIT_OK;
    perror("tunesmith: cannot write to stdout");
    return TS_EXIT_FAILED;
}

static int open_workbench(int argc, char **argv) {
    const ts_verb *open = ts_verb_find("open");
    return open ? ts_verb_run(open, argc, argv) : print_overview(stderr);
}

/* A standard descriptor that came closed would be given to the next file opened, and messages would go into it. stdin
 * is empty then; writing to such a stdout fails and is reported. */
static void occupy_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 2 ? O_RDWR : O_RDONLY) != fd) _exit(TS_EXIT_FAILED);
}

int main(int argc, char **argv) {
    occupy_standard_descriptors();
    ts_child_spare_blas_threads();
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* numbers in files and output never depend on the country */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file over the limit is a full disk: reported, not deadly */
    ts_child_self_is_tunesmith();
    const char *first = argc > 1 ? argv[1] : NULL;
    char here[] = ".", help[] = "--help", *words[] = {here};
    if (!first) return ts_file_exists("tunesmith.db") ? open_workbench(1, words) : print_overview(stdout);
    if (strcmp(first, "--version") == 0) return printf("tunesmith %s\n", TS_VERSION) < 0 || fflush(stdout) != 0;
    words[0] = help;
    if (strcmp(first, "help") == 0 && argc > 2 && ts_verb_find(argv[2]))
        return ts_verb_run(ts_verb_find(argv[2]), 1, words);
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || strcmp(first, "help") == 0)
        return print_overview(stdout);
    const ts_verb *verb = ts_verb_find(first);
    if (verb) return ts_verb_run(verb, argc - 2, argv + 2);
    if (first[0] == '-' || ts_is_dir(first)) return open_workbench(argc - 1, argv + 1);
    ts_err err;
    ts_fail(
        &err, TS_INVALID,
        "\"%.80s\" is neither a verb nor a workspace folder. tunesmith --help lists the verbs; tunesmith init FOLDER "
        "makes a workspace.",
        first);
    fprintf(stderr, "tunesmith: %s\n", err.text);
    return TS_EXIT_USAGE;
}
