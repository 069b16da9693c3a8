/* A server on this machine that speaks the chat completions API, with faults: the path says how it behaves.
 *
 *   /v1/chat/completions      a stream of chunks as OpenAI sends them; says what the last user turn said, backwards
 *   /whole/..                 one JSON object, as servers without streams send it
 *   /busy/..                  429 with Retry-After 0 twice, then as /v1
 *   /broken/..                500 with a JSON error
 *   /key/..                   401, the key repeated in the words
 *   /html/.. /garbage/..      200 with a web page; with bytes that are nothing
 *   /cut/.. /once/..          breaks off in the middle of a chunk; only the first time
 *   /slow/..                  takes the request and says nothing
 *   /endless/..               sends and sends (20 MB)
 *   /xerror/..                a stream that ends with an error object
 *   /meet3/..                 answers nobody before 3 requests (any digit) have been on their way at once
 *   /few2/..                  429 with Retry-After 0 to what comes while 2 requests (any digit) are on their way
 *
 * Every connection has a thread of its own. */
#ifndef TS_TESTS_CHAT_SERVER_H
#define TS_TESTS_CHAT_SERVER_H

typedef struct chat_server chat_server;
chat_server *chat_server_new(void);
void chat_server_free(chat_server *s);
int chat_server_port(const chat_server *s);
int chat_server_requests(chat_server *s);
int chat_server_most(chat_server *s); /* requests on their way at once, at the most */
/* Of the latest request; live until the next one. */
const char *chat_server_body(const chat_server *s);
const char *chat_server_headers(const chat_server *s);

#endif
