/* The provider of the bench: answers that were prepared in files, sent when they are due, on one thread.
 *
 *   upstream PORT FOLDER
 *
 * FOLDER/routes has a line for each answer: what the request line holds, what the body holds, the answer's file, with
 * tabs between them; `-` is anything, and the first line that fits counts. An answer's file is a row of pieces, each
 * its length, a newline, and bytes that are written as they stand, but for a run of STAMP_DIGITS zeros between two @,
 * which becomes the time of sending. Between the first two pieces and all others lies the wait.
 *
 * A request may say how long to wait, in microseconds, until the first piece and between pieces: `bench-wait:60000,5000`
 * anywhere near its body's start or end. Otherwise the first comes at once and the others each 5,000.
 */
#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUTES_MAX 32
#define EVENTS_MAX 256
#define LOOKED_AT 1024 /* bytes of a body's start and of its end; what lies between holds nothing for us */
#define GAP_US 5000ull

struct piece { char *bytes; size_t length; char *stamp; };
struct script { struct piece *pieces; size_t count; };
struct route { const char *line, *body; struct script script; };

struct client {
    int fd;
    uint32_t life; /* tells a timer of an earlier connection from one of this */
    char *in; size_t in_length, in_room;
    const struct script *script; /* what is being answered, or NULL */
    size_t next; uint64_t gap_ns;
    char *out; size_t out_length, out_sent; /* what the socket did not take */
    struct client *spare;
};

struct timer { uint64_t due; struct client *client; uint32_t life; };

static struct route routes[ROUTES_MAX];
static size_t route_count;
static int poller;
static struct client *spares;
static struct timer *timers; /* a binary heap, the earliest first */
static size_t timer_count, timer_room;

static void schedule(struct client *client, uint64_t due) {
    if (timer_count == timer_room) {
        timer_room = timer_room ? timer_room * 2 : 1024;
        timers = room_for(timers, timer_room * sizeof *timers);
    }
    size_t at = timer_count++;
    for (; at > 0 && timers[(at - 1) / 2].due > due; at = (at - 1) / 2) timers[at] = timers[(at - 1) / 2];
    timers[at] = (struct timer){due, client, client->life};
}

static struct timer earliest(void) {
    struct timer first = timers[0], last = timers[--timer_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= timer_count) break;
        if (child + 1 < timer_count && timers[child + 1].due < timers[child].due) child++;
        if (timers[child].due >= last.due) break;
        timers[at] = timers[child];
        at = child;
    }
    timers[at] = last;
    return first;
}

static void drop(struct client *client) {
    close(client->fd);
    client->fd = -1;
    client->life++;
    client->script = NULL;
    client->in_length = client->out_length = client->out_sent = 0;
    client->spare = spares;
    spares = client;
}

static void watch(struct client *client, int how, bool out) {
    struct epoll_event event = {EPOLLIN | (out ? EPOLLOUT : 0), {.ptr = client}};
    if (epoll_ctl(poller, how, client->fd, &event) != 0) die("epoll_ctl");
}

/* False if the connection is gone. */
static bool flush(struct client *client) {
    while (client->out_sent < client->out_length) {
        ssize_t sent = send(client->fd, client->out + client->out_sent, client->out_length - client->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return true;
        if (sent < 0) return drop(client), false;
        client->out_sent += (size_t)sent;
    }
    client->out_length = client->out_sent = 0;
    watch(client, EPOLL_CTL_MOD, false);
    return true;
}

static bool put(struct client *client, const char *bytes, size_t length) {
    if (client->out_length == 0) {
        ssize_t sent = send(client->fd, bytes, length, MSG_NOSIGNAL);
        if (sent == (ssize_t)length) return true;
        if (sent < 0 && errno != EAGAIN) return drop(client), false;
        if (sent > 0) bytes += sent, length -= (size_t)sent;
        watch(client, EPOLL_CTL_MOD, true);
    }
    client->out = room_for(client->out, client->out_length + length);
    memcpy(client->out + client->out_length, bytes, length);
    client->out_length += length;
    return true;
}

/* One piece, and when the next is due: counted from when this one was, so that a late piece delays no other. */
static void step(struct client *client, uint64_t due) {
    const struct script *script = client->script;
    const struct piece *piece = &script->pieces[client->next++];
    if (piece->stamp != NULL) write_digits(piece->stamp, STAMP_DIGITS, now_ns());
    if (!put(client, piece->bytes, piece->length)) return;
    if (client->next < script->count) schedule(client, due + client->gap_ns);
    else client->script = NULL;
}

static bool holds(const char *bytes, size_t length, const char *wanted) {
    return *wanted == '-' || memmem(bytes, length, wanted, strlen(wanted)) != NULL;
}

static const char *found_near_ends(const char *body, size_t length, const char *wanted) {
    if (length <= 2 * LOOKED_AT) return memmem(body, length, wanted, strlen(wanted));
    const char *found = memmem(body, LOOKED_AT, wanted, strlen(wanted));
    return found ? found : memmem(body + length - LOOKED_AT, LOOKED_AT, wanted, strlen(wanted));
}

static const struct script *script_for(const char *line, size_t line_length, const char *body, size_t length) {
    for (size_t at = 0; at < route_count; at++)
        if (holds(line, line_length, routes[at].line) && (*routes[at].body == '-' || found_near_ends(body, length, routes[at].body)))
            return &routes[at].script;
    return NULL;
}

static void refuse(struct client *client, const char *status) {
    char answer[128];
    int length = snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\ncontent-length: 0\r\n\r\n", status);
    put(client, answer, (size_t)length);
}

/* Answers the first whole request of what has come, unless an earlier one is still being answered. */
static void serve(struct client *client) {
    while (client->fd >= 0 && client->script == NULL) {
        size_t head = head_end(client->in, client->in_length);
        if (head == 0) return;
        const char *value = header(client->in, head, "content-length");
        size_t length = value ? strtoul(value, NULL, 10) : 0, whole = head + length;
        if (client->in_length < whole) return;
        const char *line_end = memchr(client->in, '\r', head), *body = client->in + head;
        const struct script *script = script_for(client->in, (size_t)(line_end - client->in), body, length);
        unsigned long first_us = 0, gap_us = GAP_US;
        const char *wait = found_near_ends(body, length, "bench-wait:");
        if (wait != NULL) sscanf(wait, "bench-wait:%lu,%lu", &first_us, &gap_us);
        memmove(client->in, client->in + whole, client->in_length - whole);
        client->in_length -= whole;
        if (value == NULL) { refuse(client, "411 Length Required"); continue; }
        if (script == NULL) { refuse(client, "404 Not Found"); continue; }
        client->script = script;
        client->next = 0;
        client->gap_ns = gap_us * 1000;
        if (first_us > 0) schedule(client, now_ns() + first_us * 1000);
        else step(client, now_ns());
    }
}

static void receive(struct client *client) {
    if (client->in_room - client->in_length < 4096)
        client->in = room_for(client->in, (client->in_room = client->in_room ? client->in_room * 2 : 8192) + 1);
    ssize_t got = recv(client->fd, client->in + client->in_length, client->in_room - client->in_length, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { drop(client); return; }
    client->in_length += (size_t)got;
    client->in[client->in_length] = 0;
    serve(client);
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct client *client = spares;
        if (client != NULL) spares = client->spare;
        else if ((client = calloc(1, sizeof *client)) == NULL) die("memory");
        client->fd = fd;
        watch(client, EPOLL_CTL_ADD, false);
    }
}

static void run_due(void) {
    while (timer_count > 0 && timers[0].due <= now_ns()) {
        struct timer timer = earliest();
        if (timer.client->life != timer.life) continue;
        step(timer.client, timer.due);
        serve(timer.client);
    }
}

static struct script script_of(const char *path) {
    static const char stamp[] = "@0000000000000000000@";
    size_t length;
    char *bytes = contents(path, &length), *end = bytes + length;
    struct script script = {0};
    while (bytes < end) {
        char *start;
        size_t piece = strtoul(bytes, &start, 10);
        if (*start != '\n' || piece == 0 || piece > (size_t)(end - start - 1)) {
            fprintf(stderr, "%s: not a row of pieces\n", path);
            exit(1);
        }
        start++;
        char *place = memmem(start, piece, stamp, sizeof stamp - 1);
        script.pieces = room_for(script.pieces, (script.count + 1) * sizeof *script.pieces);
        script.pieces[script.count++] = (struct piece){start, piece, place ? place + 1 : NULL};
        bytes = start + piece;
    }
    return script;
}

static void read_routes(const char *folder) {
    char path[4096];
    size_t length;
    snprintf(path, sizeof path, "%s/routes", folder);
    char *rest = NULL;
    for (char *line = strtok_r(contents(path, &length), "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char *fields = NULL;
        const char *wanted = strtok_r(line, "\t", &fields);
        const char *body = strtok_r(NULL, "\t", &fields), *file = strtok_r(NULL, "\t", &fields);
        if (file == NULL || route_count == ROUTES_MAX) {
            fprintf(stderr, "%s: a line that cannot be taken\n", path);
            exit(1);
        }
        char answer[4096];
        snprintf(answer, sizeof answer, "%s/%s", folder, file);
        routes[route_count++] = (struct route){wanted, body, script_of(answer)};
    }
}

int main(int argc, char **argv) {
    if (argc != 3) { fprintf(stderr, "usage: upstream PORT FOLDER\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    wake_exactly();
    read_routes(argv[2]);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = loopback(atoi(argv[1]));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0) die("listen");
    struct epoll_event wanted = {EPOLLIN, {.ptr = NULL}}, events[EVENTS_MAX];
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wanted) != 0) die("epoll_ctl");
    for (;;) {
        run_due();
        struct timespec wait = until(timer_count ? timers[0].due : NEVER);
        int count = epoll_pwait2(poller, events, EVENTS_MAX, &wait, NULL);
        for (int at = 0; at < count; at++) {
            struct client *client = events[at].data.ptr;
            if (client == NULL) { accept_all(listener); continue; }
            if (client->fd >= 0 && events[at].events & EPOLLOUT && !flush(client)) continue;
            if (client->fd >= 0 && events[at].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(client);
        }
    }
}
