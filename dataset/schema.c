/* The tables. What a list reads by the thousand (example) is apart from the texts (body), so that filters and orders
 * touch few pages. example, body, dismissed and apart are covered by the history; metric, score, lm_score, dup and
 * dup_group are derived and can be made again; the rest is written once or is a setting.
 *
 * example.id is never used twice (counter), revision is the step that last changed the texts, hash the XXH3-64 of the
 * texts (dataset/store.c). batch.state: 0 there, 1 hidden by undo, 2 dropped (rows are cleared by the next import).
 * step.state: 0 done, 1 undone, 2 dropped. */
#include "dataset/db.h"

#include <sqlite3.h>

static const char version_1[] =
    "CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO counter VALUES('example',0),('step',0),('version',0),('batch',0);"
    "CREATE TABLE setting(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE batch(id INTEGER PRIMARY KEY, step INTEGER NOT NULL, path TEXT NOT NULL, format TEXT NOT NULL,"
    " rows_read INTEGER NOT NULL, imported INTEGER NOT NULL, rejected INTEGER NOT NULL, at INTEGER NOT NULL,"
    " state INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE example(id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, line INTEGER NOT NULL,"
    " shape INTEGER NOT NULL, status INTEGER NOT NULL DEFAULT 0, rating INTEGER NOT NULL DEFAULT 0,"
    " tags TEXT NOT NULL DEFAULT '', hash INTEGER NOT NULL, revision INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE body(id INTEGER PRIMARY KEY, instruction TEXT NOT NULL, input TEXT NOT NULL, output TEXT NOT NULL,"
    " system TEXT, messages TEXT, extra TEXT);"
    "CREATE TABLE dismissed(id INTEGER NOT NULL, rule TEXT NOT NULL, PRIMARY KEY(id, rule)) WITHOUT ROWID;"
    "CREATE TABLE reject(id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, line INTEGER NOT NULL, code TEXT NOT NULL,"
    " detail TEXT NOT NULL, text BLOB NOT NULL, cut INTEGER NOT NULL);"
    "CREATE TABLE step(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, label TEXT NOT NULL,"
    " kind INTEGER NOT NULL, value INTEGER NOT NULL, tag TEXT, rows INTEGER NOT NULL, state INTEGER NOT NULL,"
    " changes BLOB);"
    "CREATE INDEX step_undone ON step(id) WHERE state=1;"
    "CREATE TABLE step_chunk(step INTEGER NOT NULL, seq INTEGER NOT NULL, first_id INTEGER NOT NULL,"
    " last_id INTEGER NOT NULL, runs BLOB NOT NULL, PRIMARY KEY(step, seq)) WITHOUT ROWID;"
    "CREATE TABLE step_row(id INTEGER NOT NULL, step INTEGER NOT NULL, PRIMARY KEY(id, step)) WITHOUT ROWID;"
    "CREATE TABLE metric(id INTEGER PRIMARY KEY, tokens INTEGER, score REAL, split INTEGER);"
    "CREATE TABLE score(id INTEGER NOT NULL, rule TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY(id, rule))"
    " WITHOUT ROWID;"
    "CREATE TABLE dup_group(id INTEGER PRIMARY KEY, rows INTEGER NOT NULL, weakest REAL NOT NULL);"
    "CREATE TABLE dup(id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, similarity REAL NOT NULL, keep INTEGER NOT NULL);"
    "CREATE INDEX dup_by_group ON dup(grp);";

/* 2: what compare asked, what was answered, and how people voted */
static const char version_2[] =
    "INSERT INTO counter VALUES('prompt',0),('answer',0);"
    "CREATE TABLE prompt(id INTEGER PRIMARY KEY, messages TEXT NOT NULL, reference TEXT, created INTEGER NOT NULL);"
    "CREATE TABLE answer(id INTEGER PRIMARY KEY, prompt INTEGER NOT NULL, side TEXT NOT NULL, text TEXT NOT NULL,"
    " detail TEXT, created INTEGER NOT NULL);"
    "CREATE INDEX prompt_by_text ON prompt(messages);"
    "CREATE UNIQUE INDEX answer_by_side ON answer(prompt, side);"
    "CREATE TABLE vote(prompt INTEGER NOT NULL, at INTEGER NOT NULL, side TEXT NOT NULL, blind INTEGER NOT NULL,"
    " note TEXT NOT NULL DEFAULT '', PRIMARY KEY(prompt)) WITHOUT ROWID;";

/* 3: the batch that brought a rejected row in after all; 0: none */
static const char version_3[] = "ALTER TABLE reject ADD COLUMN repaired INTEGER NOT NULL DEFAULT 0;";

/* 4: pairs of rows that a person found to be no duplicates; a < b */
static const char version_4[] = "CREATE TABLE apart(a INTEGER NOT NULL, b INTEGER NOT NULL, PRIMARY KEY(a, b))"
                                " WITHOUT ROWID;"
                                "CREATE INDEX apart_b ON apart(b);";

/* 5: snapshots by name (side: 0 training, 1 held out, -1 not split); undo finds its step and the rows of a step by key
 */
static const char version_5[] =
    "CREATE TABLE snapshot(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, who TEXT NOT NULL,"
    " query TEXT NOT NULL, seed INTEGER NOT NULL, fraction REAL NOT NULL, rows INTEGER NOT NULL,"
    " valid INTEGER NOT NULL, hash TEXT NOT NULL);"
    "CREATE TABLE snapshot_row(snapshot INTEGER NOT NULL, id INTEGER NOT NULL, hash INTEGER NOT NULL,"
    " side INTEGER NOT NULL, PRIMARY KEY(snapshot, id)) WITHOUT ROWID;"
    "CREATE INDEX step_done ON step(id) WHERE state=0;"
    "CREATE INDEX step_row_by_step ON step_row(step);";

/* 6: what a model makes of a row's texts, by their hash: the same texts are never scored twice. lm_model.shown: 1 the
 * model whose scores are shown, 2 the run whose are; 0 any other. NULL: it could not be measured (dataset/lmscore.h) */
static const char version_6[] =
    "CREATE TABLE lm_model(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
    " shown INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE lm_score(model INTEGER NOT NULL, hash INTEGER NOT NULL, tokens INTEGER NOT NULL, loss REAL,"
    " loss_max REAL, perplexity REAL, perplexity_max REAL, ifd_loss REAL, ifd_loss_max REAL, ifd_ppl REAL,"
    " ifd_ppl_max REAL, learning REAL, noise REAL, PRIMARY KEY(model, hash)) WITHOUT ROWID;";

/* 7: rows that a person chose to keep of their duplicates, for every later search */
static const char version_7[] = "CREATE TABLE keeper(id INTEGER PRIMARY KEY);";

static const char *const steps[TS_SCHEMA_VERSION] = {version_1, version_2, version_3, version_4,
                                                     version_5, version_6, version_7};

ts_status ts_schema_upgrade(sqlite3 *db, int from, int to, ts_err *err) {
    char pragma[64];
    ts_assert(from >= 0 && from <= to && to <= TS_SCHEMA_VERSION);
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (int v = from; v < to && rc == SQLITE_OK; v++)
        rc = sqlite3_exec(db, steps[v], NULL, NULL, NULL);
    sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA user_version=%d", to);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, pragma, NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK) return TS_OK;
    ts_status status = ts_fail(err, TS_IO, "cannot set up the tables: %s", sqlite3_errmsg(db));
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}
