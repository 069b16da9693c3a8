/* The one loop, and the signals that reach it through the same pipe as finished jobs. */
#include "core/base/file.h"
#include "tui/app.h"

#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t asked_to_end, asked_to_stop;
static ts_wake *signal_wake;

static void on_signal(int sig) {
    if (sig == SIGTSTP)
        asked_to_stop = 1;
    else
        asked_to_end = 1;
    if (signal_wake) ts_wake_ring(signal_wake);
}

static void set_signals(ts_app *app) {
    static const int ends[] = {SIGTERM, SIGHUP, SIGINT, SIGTSTP};
    signal_wake = &app->wake;
    for (size_t i = 0; i < TS_COUNT(ends); i++) {
        struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        sigaction(ends[i], &act, NULL);
    }
}

/* Ctrl-Z: the terminal is given back before we stop and taken again when the shell wakes us. */
static void stop_for_a_while(ts_app *app) {
    app->suspend = false;
    asked_to_stop = 0;
    app->term->leave(app->term);
    raise(SIGSTOP);
    app->term->enter(app->term);
    app->dirty = true;
}

void ts_app_run(ts_app *app) {
    set_signals(app);
    while (!app->quit && !asked_to_end) {
        double wait = ts_app_step(app);
        if (app->suspend || asked_to_stop) {
            stop_for_a_while(app);
            continue;
        }
        if (app->quit) break;
        struct pollfd fds[2] = {{.fd = app->term->fd, .events = POLLIN}, {.fd = app->wake.read_fd, .events = POLLIN}};
        int rc = poll(fds, 2, (int)(wait * 1000) + 1);                          /* a resize interrupts it */
        if (rc > 0 && (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))) break; /* the terminal is gone */
        if (rc > 0 && fds[1].revents) ts_wake_clear(&app->wake);
    }
    signal_wake = NULL;
}

static bool wants_mono(const ts_ui_options *o) {
    const char *no_color = getenv("NO_COLOR");
    if (o->color && strcmp(o->color, "never") == 0) return true;
    if (o->color && strcmp(o->color, "always") == 0) return false;
    return no_color && *no_color;
}

int ts_workbench(const char *workspace, const ts_ui_options *o) {
    ts_err err;
    ts_term *term = NULL;
    ts_app *app = NULL;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fprintf(stderr,
                "tunesmith: the workbench needs a terminal for input and output; without one use the verbs that "
                "tunesmith --help lists\n");
        return 2;
    }
    if (o->color && strcmp(o->color, "auto") != 0 && strcmp(o->color, "always") != 0 &&
        strcmp(o->color, "never") != 0) {
        fprintf(stderr, "tunesmith: --color takes auto, always or never, not \"%s\"\n", o->color);
        return 2;
    }
    /* open the workspace once before the screen is taken, so that a wrong name is answered on a sane terminal */
    ts_store *st = NULL;
    if (ts_store_open(&st, workspace, "screen", &err) != TS_OK) {
        fprintf(stderr, "tunesmith: %s\n", err.text);
        return 1;
    }
    ts_store_close(st);
    bool ascii = o->ascii || strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
    if (ts_term_ncurses(&term, wants_mono(o), ascii, &err) != TS_OK) {
        fprintf(stderr, "tunesmith: %s\n", err.text);
        return 2;
    }
    if (ts_app_new(&app, workspace, term, &err) != TS_OK) {
        fprintf(stderr, "tunesmith: %s\n", err.text);
        return 1;
    }
    ts_app_run(app);
    ts_app_free(app);
    return 0;
}
