/* Errors: a status code that programs branch on, and a sentence that a person can act on.
 *
 * A function that can fail returns ts_status and takes `ts_err *err` last (NULL is allowed). `err` is
 * written only on failure, once, by the layer that knows most; a caller may put words in front of it with
 * ts_wrap. A text says what was being done, with which file, row or value, what was found, and what to
 * do next. Bad input is never an assertion; a broken promise between our own functions always is. */
#ifndef TS_BASE_ERR_H
#define TS_BASE_ERR_H

typedef enum ts_status {
    TS_OK = 0,
    TS_INVALID,     /* the caller's value makes no sense */
    TS_NOT_FOUND,   /* file, row, name: not there */
    TS_FORMAT,      /* a file or text is not what it claims to be */
    TS_IO,          /* the operating system said no */
    TS_BUSY,        /* somebody else holds it */
    TS_CANCELLED,   /* the person stopped it */
    TS_LIMIT,       /* larger than we take */
    TS_UNSUPPORTED, /* well-formed, known, not done by us */
    TS_CORRUPT,     /* our own data does not hold together */
    TS_NO_MEMORY,
    TS_NO_ROOM /* the disk is full, or a quota or limit on files is reached */
} ts_status;

typedef struct ts_err {
    ts_status code;
    char text[512];
} ts_err;

#define TS_MUST_USE __attribute__((warn_unused_result))
#define TS_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* Writes the sentence into `err` (if any) and returns `code`: `return ts_fail(err, TS_IO, "...")`.
 * Control characters, direction marks and bytes that are no UTF-8 become '?', so that hostile names cannot reach a
 * terminal. */
ts_status ts_fail(ts_err *err, ts_status code, const char *fmt, ...) TS_PRINTF(3, 4);
/* Same, with ": " and the text of errno at the end. TS_NOT_FOUND for ENOENT, TS_NO_MEMORY for ENOMEM,
 * TS_NO_ROOM for ENOSPC, EDQUOT and EFBIG, else TS_IO. */
ts_status ts_fail_errno(ts_err *err, const char *fmt, ...) TS_PRINTF(2, 3);
/* Puts "words: " in front of the text that is there. Returns err's code, or `code` if err is NULL. */
ts_status ts_wrap(ts_err *err, ts_status code, const char *fmt, ...) TS_PRINTF(3, 4);

/* A broken promise of our own: prints the place and aborts, in every build, after the fatal hook ran. */
#define ts_assert(cond) ((cond) ? (void)0 : ts_assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void ts_assert_failed(const char *cond, const char *file, int line);
/* Ends the program because it cannot go on (small allocation failed). Prints `what`, exit code 1. */
_Noreturn void ts_fatal(const char *what);
/* Called before ts_fatal and ts_assert_failed print: the screen gives the terminal back here. NULL to unset. */
void ts_set_fatal_hook(void (*hook)(void));

#define TS_TRY(call)                                                                                                   \
    do {                                                                                                               \
        ts_status ts_try_status_ = (call);                                                                             \
        if (ts_try_status_ != TS_OK) return ts_try_status_;                                                            \
    } while (0)
/* In functions with one `out:` label and a variable `status`. */
#define TS_GOTO(call)                                                                                                  \
    do {                                                                                                               \
        status = (call);                                                                                               \
        if (status != TS_OK) goto out;                                                                                 \
    } while (0)

#endif
