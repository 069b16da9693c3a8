#include "tui/cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const ts_verb *ts_verb_find(const char *name) {
    for (size_t i = 0; ts_verbs[i]; i++)
        if (strcmp(ts_verbs[i]->name, name) == 0) return ts_verbs[i];
    return NULL;
}

static const char *const common_help =
    "  --json                     machine-readable output\n"
    "  --quiet                    no progress and no remarks on stderr\n"
    "  --progress-lines           progress as lines of JSON on stderr, for programs\n"
    "  --help                     this text\n";

static void print_default(const ts_opt *o, const void *defaults) {
    const char *at = (const char *)defaults + o->at;
    if (!defaults) return;
    if (o->kind == TS_OPT_TEXT && *(const char *const *)(const void *)at)
        printf(" (%s)", *(const char *const *)(const void *)at);
    else if (o->kind == TS_OPT_INT && *(const int64_t *)(const void *)at &&
             *(const int64_t *)(const void *)at != INT64_MIN)
        printf(" (%lld)", (long long)*(const int64_t *)(const void *)at);
    else if (o->kind == TS_OPT_NUM && *(const double *)(const void *)at != 0 &&
             !isnan(*(const double *)(const void *)at))
        printf(" (%g)", *(const double *)(const void *)at);
}

static int print_help(const ts_verb *v) {
    printf("usage: tunesmith %s%s%s%s\n\n%s\n", v->name, *v->args ? " " : "", v->args, v->n_opts ? " [OPTIONS]" : "",
           v->help);
    if (v->more) printf("\n%s\n", v->more);
    printf("\noptions:\n");
    for (size_t i = 0; i < v->n_opts; i++) {
        const ts_opt *o = &v->opts[i];
        char name[64];
        snprintf(name, sizeof name, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("  %-26s %s", name, o->help);
        print_default(o, v->defaults);
        printf("\n");
    }
    fputs(common_help, stdout);
    return TS_EXIT_OK;
}

static void TS_PRINTF(2, 0) complain(const ts_cmd *cmd, const char *fmt, va_list ap) {
    ts_err err;
    char text[sizeof err.text];
    vsnprintf(text, sizeof text, fmt, ap);
    ts_fail(&err, TS_INVALID, "%s", text); /* drops control characters */
    fprintf(stderr, "tunesmith %s: %s\n", cmd->verb->name, err.text);
}

int ts_cmd_usage(const ts_cmd *cmd, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    complain(cmd, fmt, ap);
    va_end(ap);
    fprintf(stderr, "usage: tunesmith %s %s   (tunesmith %s --help tells more)\n", cmd->verb->name, cmd->verb->args,
            cmd->verb->name);
    return TS_EXIT_USAGE;
}

int ts_cmd_fail(const ts_cmd *cmd, const ts_err *err) {
    fflush(stdout);
    fprintf(stderr, "tunesmith %s: %s\n", cmd->verb->name, err->text);
    return err->code == TS_CANCELLED ? TS_EXIT_INTERRUPTED : TS_EXIT_FAILED;
}

void ts_cmd_note(const ts_cmd *cmd, const char *fmt, ...) {
    va_list ap;
    if (cmd->quiet) return;
    va_start(ap, fmt);
    complain(cmd, fmt, ap);
    va_end(ap);
}

void ts_cmd_print_line(ts_buf *line) {
    ts_buf_putc(line, '\n');
    fwrite(line->data, 1, line->len, stdout);
    ts_buf_reset(line);
}

/* What parsing collects beside the option struct. */
struct parsed {
    ts_cmd cmd;
    void *opts;
    size_t cap_args;
    bool help;
};

static bool parse_number(const char *text, double *out) {
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return end != text && !*end && errno == 0 && isfinite(*out);
}

static bool parse_int(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    *out = v;
    return end != text && !*end && errno == 0;
}

/* 0 when stored, else the exit code. */
static int store_value(struct parsed *p, const ts_opt *o, const char *value) {
    void *at = (char *)p->opts + o->at;
    ts_texts *list = at;
    switch (o->kind) {
    case TS_OPT_FLAG:
        *(bool *)at = true;
        break;
    case TS_OPT_TEXT:
        *(const char **)at = value;
        break;
    case TS_OPT_INT:
        if (!parse_int(value, at))
            return ts_cmd_usage(&p->cmd, "--%s takes a whole number, not \"%s\"", o->name, value);
        break;
    case TS_OPT_NUM:
        if (!parse_number(value, at)) return ts_cmd_usage(&p->cmd, "--%s takes a number, not \"%s\"", o->name, value);
        break;
    case TS_OPT_LIST:
        TS_PUSH(list->items, list->n, list->cap, value);
        break;
    }
    return 0;
}

static const ts_opt *find_option(const ts_verb *v, const char *name, size_t n) {
    for (size_t i = 0; i < v->n_opts; i++)
        if (strlen(v->opts[i].name) == n && memcmp(v->opts[i].name, name, n) == 0) return &v->opts[i];
    return NULL;
}

static bool common_flag(struct parsed *p, const char *name) {
    bool json = strcmp(name, "json") == 0, quiet = strcmp(name, "quiet") == 0, help = strcmp(name, "help") == 0,
         lines = strcmp(name, "progress-lines") == 0;
    p->cmd.json |= json;
    p->cmd.quiet |= quiet;
    p->cmd.progress_lines |= lines;
    p->help |= help;
    return json || quiet || help || lines;
}

/* argv[i] begins with "--"; *i moves over a value in the next word. */
static int parse_option(struct parsed *p, int argc, char **argv, int *i) {
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const ts_opt *o = find_option(p->cmd.verb, name, n);
    if (!o)
        return common_flag(p, name) ? 0 : ts_cmd_usage(&p->cmd, "there is no option --%.*s", (int)TS_MIN(n, 60), name);
    if (o->kind == TS_OPT_FLAG)
        return equals ? ts_cmd_usage(&p->cmd, "--%s takes no value", o->name) : store_value(p, o, NULL);
    if (equals) return store_value(p, o, equals + 1);
    if (*i + 1 >= argc) return ts_cmd_usage(&p->cmd, "--%s needs a value (%s)", o->name, o->value);
    return store_value(p, o, argv[++*i]);
}

static int parse(struct parsed *p, int argc, char **argv) {
    bool only_args = false;
    for (int i = 0; i < argc; i++) {
        if (!only_args && strcmp(argv[i], "--") == 0) {
            only_args = true;
        } else if (!only_args && strcmp(argv[i], "-h") == 0) {
            p->help = true;
        } else if (!only_args && strncmp(argv[i], "--", 2) == 0) {
            int code = parse_option(p, argc, argv, &i);
            if (code) return code;
        } else {
            TS_PUSH(p->cmd.args, p->cmd.n_args, p->cap_args, argv[i]);
        }
    }
    if (p->help) return 0;
    const ts_verb *v = p->cmd.verb;
    if (p->cmd.n_args < (size_t)v->min_args)
        return ts_cmd_usage(&p->cmd, v->min_args == 1 ? "an argument is missing" : "arguments are missing");
    if (v->max_args >= 0 && p->cmd.n_args > (size_t)v->max_args)
        return ts_cmd_usage(&p->cmd, "\"%s\" is one argument too many", p->cmd.args[v->max_args]);
    return 0;
}

/* A full disk or a closed pipe shows only when stdout is flushed. */
static int flush_results(const ts_cmd *cmd, int code) {
    ts_err err;
    if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE) {
        ts_fail_errno(&err, "cannot write the results to stdout");
        return ts_cmd_fail(cmd, &err);
    }
    return code;
}

static void free_lists(const ts_verb *v, void *opts) {
    for (size_t i = 0; i < v->n_opts; i++)
        if (v->opts[i].kind == TS_OPT_LIST) free(((ts_texts *)(void *)((char *)opts + v->opts[i].at))->items);
}

int ts_verb_run(const ts_verb *verb, int argc, char **argv) {
    struct parsed p = {.cmd.verb = verb, .opts = ts_calloc(1, verb->size)};
    if (verb->defaults) memcpy(p.opts, verb->defaults, verb->size);
    int code = parse(&p, argc, argv);
    if (code == 0) code = flush_results(&p.cmd, p.help ? print_help(verb) : verb->run(&p.cmd, p.opts));
    free_lists(verb, p.opts);
    free(p.opts);
    free(p.cmd.args);
    return code;
}
