/* call.c - blocking sockets with a limit on silence; enough HTTP for answers with a Content-Length.
 */
#include "call.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SILENCE_S 20 /* longer than any answer may take (`after=` gives up at 10 s) */
#define HEAD_MAX 8192

void call_init(struct call *call, int port)
{
    *call = (struct call){.port = port, .fd = -1, .capacity = 1 << 16};
    call->body = malloc(call->capacity);
    if (call->body == NULL)
        abort();
}

static void hang_up(struct call *call)
{
    if (call->fd >= 0)
        close(call->fd);
    call->fd = -1;
}

void call_done(struct call *call)
{
    hang_up(call);
    free(call->body);
    call->body = NULL;
}

static bool dial(struct call *call)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)call->port)};
    struct timeval silence = {.tv_sec = SILENCE_S};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    call->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (call->fd < 0)
        return false;
    setsockopt(call->fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
    setsockopt(call->fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence);
    setsockopt(call->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(call->fd, (struct sockaddr *)&address, sizeof address) == 0)
        return true;
    hang_up(call);
    return false;
}

static bool send_all(struct call *call, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(call->fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool receive(struct call *call, size_t *have)
{
    if (*have + 4096 > call->capacity) {
        call->capacity *= 2;
        call->body = realloc(call->body, call->capacity);
        if (call->body == NULL)
            abort();
    }
    ssize_t n = recv(call->fd, call->body + *have, call->capacity - *have - 1, 0);
    if (n <= 0)
        return false;
    *have += (size_t)n;
    call->body[*have] = '\0';
    return true;
}

static size_t header_number(const char *head, const char *end, const char *name, size_t otherwise)
{
    const char *at = strcasestr(head, name);
    return at == NULL || at > end ? otherwise : strtoul(at + strlen(name), NULL, 10);
}

/* Head and body arrive in one buffer; the body is moved to its front. */
static int read_answer(struct call *call)
{
    size_t have = 0;
    const char *end = NULL;
    call->body[0] = '\0';
    while ((end = strstr(call->body, "\r\n\r\n")) == NULL)
        if (have > HEAD_MAX || !receive(call, &have))
            return CALL_CUT;
    if (strncmp(call->body, "HTTP/1.1 ", 9) != 0)
        return CALL_CUT;
    int code = (int)strtol(call->body + 9, NULL, 10);
    size_t start = (size_t)(end + 4 - call->body);
    size_t length = header_number(call->body, end, "\r\ncontent-length:", 0);
    const char *closing = strcasestr(call->body, "\r\nconnection: close");
    bool close_after = closing != NULL && closing < end;
    call->retry_after_s = (int)header_number(call->body, end, "\r\nretry-after:", 0);
    call->rejected = (int)header_number(call->body, end, "\r\nx-rejected:", 0);
    while (have < start + length)
        if (!receive(call, &have))
            return CALL_CUT;
    memmove(call->body, call->body + start, length);
    call->body[length] = '\0';
    call->body_n = length;
    if (close_after)
        hang_up(call);
    return code;
}

int call_send(struct call *call, const char *method, const char *path, const char *authorization,
              const char *body, size_t body_n)
{
    char head[1024];
    if (call->fd < 0 && !dial(call))
        return CALL_CUT;
    int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", method, path,
                     call->port);
    if (authorization != NULL && n < (int)sizeof head)
        n += snprintf(head + n, sizeof head - (size_t)n, "Authorization: %s\r\n", authorization);
    if (body != NULL && n < (int)sizeof head)
        n += snprintf(head + n, sizeof head - (size_t)n,
                      "Content-Type: application/json\r\nContent-Length: %zu\r\n", body_n);
    if (n + 2 >= (int)sizeof head)
        abort();
    memcpy(head + n, "\r\n", 2);
    int code = CALL_CUT;
    if (send_all(call, head, (size_t)n + 2) && (body == NULL || send_all(call, body, body_n)))
        code = read_answer(call);
    if (code == CALL_CUT)
        hang_up(call);
    return code;
}
