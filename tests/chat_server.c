#include "tests/chat_server.h"

#include "core/base/buf.h"
#include "core/base/json.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1 << 20, MOST_TALKS = 1000 };

/* One connection, and its request. */
struct talk {
    chat_server *server;
    pthread_t thread;
    int fd, on_way; /* on_way: 1, or 0 */
    ts_buf head, body;
};

struct chat_server {
    int listener, port;
    pthread_t thread;
    atomic_bool over;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t moved;
    int requests, on_way, most, of_path[256]; /* of_path: requests by the first letter of the path */
    ts_buf head, body;
    struct talk *talks[MOST_TALKS];
    size_t n_talks;
};

/* Before the last bytes of an answer, behind which the next request may come. */
static void leave(struct talk *t) {
    pthread_mutex_lock(&t->server->lock);
    t->server->on_way -= t->on_way;
    t->on_way = 0;
    pthread_mutex_unlock(&t->server->lock);
}

static void say(int fd, const char *s, size_t n) {
    while (n > 0) {
        ssize_t done = send(fd, s, n, MSG_NOSIGNAL);
        if (done <= 0) return;
        s += done;
        n -= (size_t)done;
    }
}

static void put(int fd, const char *s) {
    say(fd, s, strlen(s));
}

static void answer(int fd, const char *status, const char *type, const char *more, const char *body) {
    char *head = ts_printf("HTTP/1.1 %s\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n",
                           status, type, more, strlen(body));
    put(fd, head);
    put(fd, body);
    free(head);
}

/* The last user turn of the request, backwards (ASCII). */
static char *backwards(const struct talk *t) {
    ts_err err;
    ts_json *v = ts_json_parse(ts_buf_str(&t->body), t->body.len, &err);
    const char *text = "";
    for (const ts_json *m = ts_json_child(ts_json_get(v, "messages")); m; m = ts_json_next(m))
        if (strcmp(ts_json_str(ts_json_get(m, "role"), ""), "user") == 0)
            text = ts_json_str(ts_json_get(m, "content"), "");
    char *out = ts_strdup(text);
    for (size_t i = 0, n = strlen(out); i < n / 2; i++) {
        char c = out[i];
        out[i] = out[n - 1 - i];
        out[n - 1 - i] = c;
    }
    ts_json_free(v);
    return out;
}

static void chunk(int fd, const char *s) {
    char *all = ts_printf("%zx\r\n%s\r\n", strlen(s), s);
    put(fd, all);
    free(all);
}

static void put_part(int fd, const char *text, size_t n) {
    ts_buf b = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&b);
    ts_buf_puts(&b,
                "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":"
                "\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":");
    ts_jw_strn(&w, text, n);
    ts_buf_puts(&b, "},\"finish_reason\":null}]}\n\n");
    chunk(fd, b.data);
    ts_buf_release(&b);
}

static void stream(struct talk *t, bool cut, bool error) {
    int fd = t->fd;
    char *text = backwards(t);
    size_t n = strlen(text);
    put(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: "
            "close\r\n\r\n");
    chunk(fd, "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":"
              "null}]}\n\n");
    put_part(fd, text, n / 2);
    if (cut) {
        put(fd, "40\r\ndata: {\"choices\":[{\"ind"); /* in the middle of a chunk */
    } else if (error) {
        chunk(fd, "data: {\"error\":{\"message\":\"the model fell over\",\"type\":\"server_error\"}}\n\n");
        leave(t);
        chunk(fd, "");
    } else {
        put_part(fd, text + n / 2, n - n / 2);
        chunk(fd, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
        chunk(fd, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":500,\"total_tokens\":"
                  "1500}}\n\ndata: [DONE]\n\n");
        leave(t);
        chunk(fd, "");
    }
    free(text);
}

static void whole(const struct talk *t) {
    char *text = backwards(t);
    ts_buf b = TS_BUF_INIT;
    ts_jw w = ts_jw_to(&b);
    ts_buf_puts(&b,
                "{\"id\":\"chatcmpl-2\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
                "\"assistant\",\"content\":");
    ts_jw_str(&w, text);
    ts_buf_puts(&b, "},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}");
    answer(t->fd, "200 OK", "application/json", "", b.data);
    ts_buf_release(&b);
    free(text);
}

static void repeat_key(const struct talk *t) {
    const char *key = strstr(ts_buf_str(&t->head), "Bearer ");
    size_t n = key ? strcspn(key + 7, "\r\n") : 0;
    char *body =
        ts_printf("{\"error\":{\"message\":\"Incorrect API key provided: %.*s. Also sk-other123456.\",\"type\":"
                  "\"invalid_request_error\"}}",
                  (int)n, key ? key + 7 : "");
    answer(t->fd, "401 Unauthorized", "application/json", "", body);
    free(body);
}

static void endless(int fd) {
    char line[8192];
    memset(line, 'x', sizeof line);
    put(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: ");
    for (int i = 0; i < 20 << 7; i++)
        say(fd, line, sizeof line);
}

/* Until `n` requests have been on their way at once; gives up when the server ends. */
static void meet(chat_server *s, int n) {
    pthread_mutex_lock(&s->lock);
    while (s->most < n && !s->over)
        pthread_cond_wait(&s->moved, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void behave(struct talk *t, const char *path, int times, int on_way) {
    static const char error[] = "{\"error\":{\"message\":\"Rate limit reached\",\"type\":\"requests\"}}";
    struct pollfd gone = {t->fd, POLLIN, 0};
    if (strncmp(path, "/meet", 5) == 0 && isdigit((unsigned char)path[5])) meet(t->server, path[5] - '0');
    bool many = strncmp(path, "/few", 4) == 0 && on_way > path[4] - '0';
    if (strncmp(path, "/whole/", 7) == 0)
        whole(t);
    else if (many || (strncmp(path, "/busy/", 6) == 0 && times <= 2))
        leave(t), answer(t->fd, "429 Too Many Requests", "application/json", "Retry-After: 0\r\n", error);
    else if (strncmp(path, "/r500/", 6) == 0)
        answer(t->fd, "500 Internal Server Error", "application/json", "", error);
    else if (strncmp(path, "/key/", 5) == 0)
        repeat_key(t);
    else if (strncmp(path, "/html/", 6) == 0)
        answer(t->fd, "200 OK", "text/html; charset=utf-8", "", "<!DOCTYPE html><html><b>Sign in</b></html>");
    else if (strncmp(path, "/garbage/", 9) == 0)
        answer(t->fd, "200 OK", "application/octet-stream", "", "\x01\x02\xff\x1b[31m no json {{{");
    else if (strncmp(path, "/slow/", 6) == 0)
        poll(&gone, 1, 5000);
    else if (strncmp(path, "/endless/", 9) == 0)
        endless(t->fd);
    else
        stream(t, strncmp(path, "/cut/", 5) == 0 || (strncmp(path, "/once/", 6) == 0 && times == 1),
               strncmp(path, "/xerror/", 8) == 0);
}

/* Reads head and body; false: nothing came. */
static bool receive(struct talk *t) {
    char piece[4096];
    size_t head = 0, wanted = 0;
    ts_buf all = TS_BUF_INIT;
    while (all.len < MOST && (!head || all.len < head + wanted)) {
        ssize_t n = recv(t->fd, piece, sizeof piece, 0);
        if (n <= 0) break;
        ts_buf_add(&all, piece, (size_t)n);
        const char *end = strstr(all.data, "\r\n\r\n"), *length = strcasestr(all.data, "Content-Length:");
        if (!head && end) {
            head = (size_t)(end - all.data) + 4;
            wanted = length ? (size_t)strtoul(length + 15, NULL, 10) : 0;
            if (strcasestr(all.data, "Expect: 100")) put(t->fd, "HTTP/1.1 100 Continue\r\n\r\n");
        }
    }
    ts_buf_add(&t->head, ts_buf_str(&all), head);
    if (all.len > head) ts_buf_add(&t->body, all.data + head, all.len - head);
    ts_buf_release(&all);
    return head > 0;
}

static void keep(ts_buf *to, const ts_buf *from) {
    ts_buf_reset(to);
    ts_buf_add(to, ts_buf_str(from), from->len);
}

static void *talk(void *ctx) {
    struct talk *t = ctx;
    chat_server *s = t->server;
    char path[80] = "";
    if (receive(t)) {
        sscanf(ts_buf_str(&t->head), "POST %79s", path);
        pthread_mutex_lock(&s->lock);
        keep(&s->head, &t->head);
        keep(&s->body, &t->body);
        s->requests++;
        int times = ++s->of_path[(unsigned char)path[1]], on_way = ++s->on_way;
        t->on_way = 1;
        s->most = TS_MAX(s->most, on_way);
        pthread_cond_broadcast(&s->moved);
        pthread_mutex_unlock(&s->lock);
        behave(t, path, times, on_way);
        leave(t);
    }
    shutdown(t->fd, SHUT_RDWR);
    return NULL;
}

static void *serve(void *ctx) {
    chat_server *s = ctx;
    while (!s->over && s->n_talks < MOST_TALKS) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0) break;
        struct talk *t = ts_calloc(1, sizeof *t);
        *t = (struct talk){.server = s, .fd = fd};
        if (pthread_create(&t->thread, NULL, talk, t) != 0) abort();
        s->talks[s->n_talks++] = t;
    }
    return NULL;
}

chat_server *chat_server_new(void) {
    chat_server *s = ts_calloc(1, sizeof *s);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->moved, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s->listener, (struct sockaddr *)&at, n) != 0 || listen(s->listener, 64) != 0 ||
        getsockname(s->listener, (struct sockaddr *)&at, &n) != 0)
        abort();
    s->port = ntohs(at.sin_port);
    pthread_create(&s->thread, NULL, serve, s);
    return s;
}

void chat_server_free(chat_server *s) {
    pthread_mutex_lock(&s->lock);
    s->over = true;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
    shutdown(s->listener, SHUT_RDWR); /* wakes accept */
    pthread_join(s->thread, NULL);
    close(s->listener);
    for (size_t i = 0; i < s->n_talks; i++) {
        struct talk *t = s->talks[i];
        shutdown(t->fd, SHUT_RDWR);
        pthread_join(t->thread, NULL);
        close(t->fd);
        ts_buf_release(&t->head);
        ts_buf_release(&t->body);
        free(t);
    }
    pthread_cond_destroy(&s->moved);
    pthread_mutex_destroy(&s->lock);
    ts_buf_release(&s->head);
    ts_buf_release(&s->body);
    free(s);
}

int chat_server_port(const chat_server *s) {
    return s->port;
}

static int read_number(chat_server *s, const int *number) {
    pthread_mutex_lock(&s->lock);
    int n = *number;
    pthread_mutex_unlock(&s->lock);
    return n;
}

int chat_server_requests(chat_server *s) {
    return read_number(s, &s->requests);
}

int chat_server_most(chat_server *s) {
    return read_number(s, &s->most);
}

const char *chat_server_body(const chat_server *s) {
    return ts_buf_str(&s->body);
}

const char *chat_server_headers(const chat_server *s) {
    return ts_buf_str(&s->head);
}
