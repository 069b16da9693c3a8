#include "tests/support.h"

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/rand.h"
#include "core/base/utf8.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ts_err err;

static void errors_carry_no_control_characters(void **state) {
    (void)state;
    ts_fail(&err, TS_IO, "cannot read %s", "a\033[31m.json");
    assert_string_equal(err.text, "cannot read a?[31m.json");
    assert_int_equal(ts_wrap(&err, TS_INVALID, "importing"), TS_IO);
    assert_string_equal(err.text, "importing: cannot read a?[31m.json");
    /* U+009B is escape and bracket in one; U+202E turns the direction; a lone byte is no UTF-8; letters stay */
    ts_fail(&err, TS_IO, "%s",
            "\xc2\x9b"
            "2J \xe2\x80\xae \xff \xc3\xa4");
    assert_string_equal(err.text, "?2J ? ? \xc3\xa4");
    char longer[2000] = "";
    for (size_t i = 0; i + 2 < sizeof longer; i += 2)
        memcpy(longer + i, "\xc3\xa4", 3);
    ts_fail(&err, TS_IO, "a%s", longer);
    assert_true(strlen(err.text) > 500);
    assert_int_equal(ts_utf8_check(err.text, strlen(err.text)), strlen(err.text));
}

/* A file that is no regular one is written to, not replaced; a link stays a link; a pipe nobody writes to is refused.
 */
static void what_is_no_file_is_not_replaced(void **state) {
    (void)state;
    const char *dir = ts_test_dir();
    char *pipe = ts_path_join(dir, "pipe"), *link = ts_path_join(dir, "link"), *real = ts_path_join(dir, "real");
    ts_map map;
    struct stat st;
    assert_int_equal(symlink("real", link), 0);
    assert_ok(ts_file_write(real, "old", 3, &err));
    assert_ok(ts_file_write(link, "new!", 4, &err));
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(ts_file_size(real), 4);
    assert_int_equal(ts_file_write("", "x", 1, &err), TS_INVALID);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(ts_map_open(&map, pipe, &err), TS_INVALID);
    int reader = open(pipe, O_RDONLY | O_NONBLOCK);
    char got[4] = "";
    assert_ok(ts_file_write(pipe, "x", 1, &err));
    assert_int_equal(read(reader, got, sizeof got), 1);
    close(reader);
    assert_int_equal(lstat(pipe, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    free(pipe);
    free(link);
    free(real);
}

static void json_refuses_what_cjson_would_take(void **state) {
    (void)state;
    assert_null(ts_json_parse("{\"a\":1} x", 9, &err));
    assert_null(ts_json_parse("\"a\\u0000b\"", 10, &err));
    assert_null(ts_json_parse("", 0, &err));
    assert_null(ts_json_parse("\"\xff\"", 3, &err));
    assert_non_null(strstr(err.text, "UTF-8"));
    assert_null(ts_json_parse("{\"a\":\n  tru}", 12, &err));
    assert_non_null(strstr(err.text, "line 2"));
    static const char text[] = "{\"A\":1,\"a\":\"\\\\u0000\"}";
    ts_json *v = ts_json_parse(text, strlen(text), &err);
    assert_non_null(v);
    assert_string_equal(ts_json_str(ts_json_get(v, "a"), ""), "\\u0000");
    ts_json_free(v);
}

static void json_writer_round_trips(void **state) {
    (void)state;
    ts_buf b = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&b);
    ts_jw_obj(&w);
    ts_jw_kstr(&w, "text", "line\n\"q\" \\ \x01 \xff");
    ts_jw_knum(&w, "third", 1.0 / 3);
    ts_jw_knum(&w, "nan", 0.0 / 0.0);
    ts_jw_key(&w, "list");
    ts_jw_arr(&w);
    ts_jw_int(&w, -7);
    ts_jw_bool(&w, true);
    ts_jw_end_arr(&w);
    ts_jw_end_obj(&w);
    assert_string_equal(b.data, "{\"text\":\"line\\n\\\"q\\\" \\\\ \\u0001 \xef\xbf\xbd\",\"third\":0.3333333333333333,"
                                "\"nan\":null,\"list\":[-7,true]}");
    ts_json *v = ts_json_parse(b.data, b.len, &err);
    assert_true(ts_json_num(ts_json_get(v, "third"), 0) == 1.0 / 3);
    ts_json_free(v);
    ts_buf_release(&b);
}

static void utf8_knows_good_from_bad(void **state) {
    (void)state;
    static const char *const bad[] = {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xff"};
    for (size_t i = 0; i < TS_COUNT(bad); i++)
        assert_int_equal(ts_utf8_check(bad[i], strlen(bad[i])), 0);
    assert_int_equal(ts_utf8_check("a\xe2\x82\xac\xf0\x9f\x9a\x80", 8), 8);
    ts_buf b = TS_BUF_INIT;
    ts_utf8_repair(&b, "a\xe2\x82z\xf0\x9f\x9a", 7); /* one mark for each cut sequence */
    assert_string_equal(b.data, "a\xef\xbf\xbdz\xef\xbf\xbd");
    ts_buf_release(&b);
}

static void a_file_is_replaced_whole_or_not_at_all(void **state) {
    (void)state;
    char *path = ts_path_join(ts_test_dir(), "with space.txt");
    ts_buf b = TS_BUF_INIT;
    assert_ok(ts_file_write(path, "old", 3, &err));
    ts_out f;
    assert_ok(ts_out_open(&f, path, &err));
    ts_out_add(&f, "new", 3);
    ts_out_drop(&f);
    assert_ok(ts_file_read(path, 100, &b, &err));
    assert_string_equal(b.data, "old");
    ts_names names = {0};
    char *dir = ts_path_dir(path);
    assert_ok(ts_dir_list(dir, &names, &err));
    assert_int_equal(names.n, 1); /* no temporary file stays */
    ts_names_release(&names);
    assert_int_equal(ts_file_read(path, 2, &b, &err), TS_LIMIT);
    assert_int_equal(ts_file_read(dir, 2, &b, &err), TS_INVALID);
    assert_int_equal(ts_file_write("/dev/full/x", "a", 1, &err), TS_IO);
    free(dir);
    free(path);
    ts_buf_release(&b);
}

static void a_lock_is_seen_and_ends_with_its_holder(void **state) {
    (void)state;
    char *path = ts_path_join(ts_test_dir(), "lock");
    ts_lock a = TS_LOCK_INIT, b = TS_LOCK_INIT;
    assert_ok(ts_lock_take(&a, path, "pid 12", &err));
    assert_true(ts_lock_is_held(path));
    assert_int_equal(ts_lock_take(&b, path, "", &err), TS_BUSY);
    assert_non_null(strstr(err.text, "pid 12"));
    ts_lock_release(&a);
    assert_false(ts_lock_is_held(path));
    assert_ok(ts_lock_take(&b, path, "", &err));
    ts_lock_release(&b);
    free(path);
}

static void a_permutation_has_everything_once(void **state) {
    (void)state;
    ts_rand r, same;
    ts_rand_seed(&r, 42);
    same = r;
    size_t p[100], q[100];
    char seen[100] = {0};
    ts_rand_permutation(&r, p, 100);
    ts_rand_permutation(&same, q, 100);
    assert_memory_equal(p, q, sizeof p);
    for (size_t i = 0; i < 100; i++)
        seen[p[i]]++;
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_carry_no_control_characters),
        cmocka_unit_test(what_is_no_file_is_not_replaced),
        cmocka_unit_test(json_refuses_what_cjson_would_take),
        cmocka_unit_test(json_writer_round_trips),
        cmocka_unit_test(utf8_knows_good_from_bad),
        cmocka_unit_test(a_file_is_replaced_whole_or_not_at_all),
        cmocka_unit_test(a_lock_is_seen_and_ends_with_its_holder),
        cmocka_unit_test(a_permutation_has_everything_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
