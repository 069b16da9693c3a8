#include "dataset/db.h"

#include "core/base/file.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

/* A whole, consistent copy, made by SQLite itself; an older copy of the same version is replaced. */
static ts_status back_up(ts_store *st, int version, ts_err *err) {
    char *copy = ts_printf("%s.v%d.bak", st->path, version);
    unlink(copy);
    sqlite3_stmt *s = NULL;
    ts_status status = TS_OK;
    if (sqlite3_prepare_v2(st->db, "VACUUM INTO ?1", -1, &s, NULL) != SQLITE_OK ||
        sqlite3_bind_text(s, 1, copy, -1, SQLITE_STATIC) != SQLITE_OK || sqlite3_step(s) != SQLITE_DONE)
        status = ts_db_fail(st, "copy the older database before bringing it up to date", err);
    sqlite3_finalize(s);
    free(copy);
    return status;
}

ts_status ts_migrate(ts_store *st, ts_err *err) {
    int application = (int)ts_db_int(st, "PRAGMA application_id", 0);
    int version = (int)ts_db_int(st, "PRAGMA user_version", -1);
    if (version < 0) return ts_db_fail(st, "open the workspace", err);
    if (application != TS_APPLICATION_ID)
        return ts_fail(err, TS_FORMAT, "%s is not a tunesmith database: another program made it", st->path);
    if (version > TS_SCHEMA_VERSION)
        return ts_fail(err, TS_UNSUPPORTED,
                       "%s was made by a newer tunesmith (format %d, this program knows up to %d); use that program, "
                       "nothing was changed",
                       st->folder, version, TS_SCHEMA_VERSION);
    if (version == TS_SCHEMA_VERSION) return TS_OK;
    if (st->read_only)
        return ts_fail(err, TS_IO, "%s is of an older format and may only be read; it must be changed to be opened",
                       st->folder);
    TS_TRY(back_up(st, version, err));
    return ts_schema_upgrade(st->db, version, TS_SCHEMA_VERSION, err);
}
