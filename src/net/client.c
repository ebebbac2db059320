/* client.c - libcurl, one easy handle, one request after the other on a kept connection.
 *
 * A key travels in the request, so we never follow a redirect and never go through a proxy to reach
 * ourselves. */
#include "net/client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"

#define CONNECT_MS 5000L
#define ANSWER_MS                                                                                  \
    120000L /* the longest our server takes: a query of 30 s, a body at its slowest                \
             */

struct http_client {
    CURL *curl;
    struct buf url, authorization;
    size_t base_bytes; /* of url: what every request begins with */
    long answer_ms;
    struct buf *body; /* during a call */
};

static void curl_start(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        fatal("could not start libcurl");
}

struct http_client *http_client_new(const char *base_url, const char *bearer)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, curl_start);

    struct http_client *client = mem_zero(sizeof *client);
    client->answer_ms = ANSWER_MS;
    client->curl = curl_easy_init();
    if (client->curl == NULL)
        fatal("out of memory (libcurl)");
    struct str base = str_of(base_url);
    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    buf_init(&client->url, 64 << 10);
    buf_str(&client->url, base);
    client->base_bytes = client->url.n;
    buf_init(&client->authorization, 8 << 10);
    if (bearer != NULL)
        buf_fmt(&client->authorization, "Authorization: Bearer %s", bearer);
    return client;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    buf_done(&client->url);
    buf_done(&client->authorization);
    free(client);
}

void http_client_wait(struct http_client *client, int64_t answer_ms)
{
    client->answer_ms = (long)answer_ms;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *ctx)
{
    struct http_client *client = ctx;
    buf_put(client->body, bytes, size * count);
    return client->body->overflow ? 0 : size * count; /* 0 makes libcurl stop */
}

static struct curl_slist *header_add(struct curl_slist *list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(list, line);
    if (longer == NULL)
        fatal("out of memory (libcurl)");
    return longer;
}

static struct curl_slist *headers_make(struct http_client *client, const char *type,
                                       struct str body)
{
    struct curl_slist *headers = header_add(NULL, "Expect:"); /* our server takes bodies at once */
    if (client->authorization.n > 0)
        headers = header_add(headers, client->authorization.p);
    if (body.n > 0 && type != NULL) {
        struct buf line;
        buf_init(&line, 1 << 10);
        buf_fmt(&line, "Content-Type: %s", type);
        CHECK(!line.overflow);
        headers = header_add(headers, line.p);
        buf_done(&line);
    }
    return headers;
}

static void options_set(struct http_client *client, const char *method, struct str body,
                        struct curl_slist *headers)
{
    CURL *curl = client->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, client->url.p);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, client->answer_ms);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        return;
    }
    if (body.n > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.n > 0 ? body.p : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

static enum status failure(CURLcode result, const struct buf *body, const char *url,
                           struct err *err)
{
    if (body->overflow)
        return err_set(err, ST_TOO_LARGE, "could not read the answer: it is larger than %zu bytes",
                       body->max);
    if (result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST) {
        (void)err_set(err, ST_BUSY, "could not reach %.100s: %s", url, curl_easy_strerror(result));
        return err_hint(err, ST_BUSY, "is the server running there?");
    }
    enum status status = result == CURLE_OPERATION_TIMEDOUT ? ST_TIMEOUT : ST_IO;
    return err_set(err, status, "could not talk to %.100s: %s", url, curl_easy_strerror(result));
}

enum status http_client_send(struct http_client *client, const char *method, const char *path,
                             const char *type, struct str body, int *ret_code, struct buf *ret_body,
                             struct err *err)
{
    client->url.n = client->base_bytes;
    buf_text(&client->url, path);
    if (client->url.overflow) {
        client->url.overflow = false;
        return err_set(err, ST_TOO_LARGE, "could not send the request: its path is too long");
    }
    buf_reset(ret_body);
    client->body = ret_body;
    struct curl_slist *headers = headers_make(client, type, body);
    options_set(client, method, body, headers);
    CURLcode result = curl_easy_perform(client->curl);
    curl_slist_free_all(headers);
    if (result != CURLE_OK) {
        client->url.p[client->base_bytes] = '\0'; /* a query may hold personal data */
        return failure(result, ret_body, client->url.p, err);
    }
    long code = 0;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &code);
    *ret_code = (int)code;
    return ST_OK;
}
