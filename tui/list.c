#include "tui/list.h"

void ts_list_fit(ts_list *l, size_t count, int height) {
    size_t rows = (size_t)TS_MAX(height, 1);
    l->count = count;
    l->height = (int)rows;
    if (l->cursor >= count) l->cursor = count ? count - 1 : 0;
    if (l->cursor < l->top) l->top = l->cursor;
    if (l->cursor >= l->top + rows) l->top = l->cursor - rows + 1;
    if (l->top + rows > count) l->top = count > rows ? count - rows : 0;
}

void ts_list_move(ts_list *l, int64_t by) {
    int64_t to = (int64_t)l->cursor + by, last = l->count ? (int64_t)l->count - 1 : 0;
    l->cursor = (size_t)TS_MAX(0, TS_MIN(to, last));
}

void ts_list_scroll(ts_list *l, int64_t by) {
    int64_t last = (int64_t)l->count > l->height ? (int64_t)l->count - l->height : 0;
    int64_t top = TS_MAX(0, TS_MIN((int64_t)l->top + by, last));
    l->top = (size_t)top;
    if (l->cursor < l->top) l->cursor = l->top;
    if (l->count && l->cursor >= l->top + (size_t)l->height) l->cursor = l->top + (size_t)l->height - 1;
}

bool ts_list_command(ts_list *l, ts_command_id id) {
    int64_t page = l->height > 1 ? l->height - 1 : 1, all = (int64_t)l->count;
    int64_t by;
    switch (id) {
    case TS_DO_DOWN:
        by = 1;
        break;
    case TS_DO_UP:
        by = -1;
        break;
    case TS_DO_FIRST:
        by = -all;
        break;
    case TS_DO_LAST:
        by = all;
        break;
    case TS_DO_PAGE_DOWN:
        by = page;
        break;
    case TS_DO_PAGE_UP:
        by = -page;
        break;
    case TS_DO_HALF_DOWN:
        by = (page + 1) / 2;
        break;
    case TS_DO_HALF_UP:
        by = -(page + 1) / 2;
        break;
    default:
        return false;
    }
    ts_list_move(l, by);
    return true;
}
