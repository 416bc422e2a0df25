/* The load of the bench: HTTP/1.1 calls on keep-alive connections to 127.0.0.1, each answer checked, on one thread.
 *
 *   load --port P --request FILE --expect FILE [--connections N] [--rate R] [--once] [--ramp-s S]
 *        [--warm-s S] [--measure-s S] [--drain-s S] [--count-at OFFSET --count-from N]
 *
 * Without --rate, N connections each call again as soon as they are answered. With it calls arrive at random, R a
 * second (Poisson), whatever was answered; time counts from when a call should have begun, so that a system which
 * stalls is charged for everybody who would have waited. With --once each of N connections, opened over the ramp, makes
 * one call, and what is measured is the time in which all of them have begun and none has ended.
 *
 * An answer must be of status 200 and be FILE, where a byte 0 stands for any byte and a run of bytes 1 for the time an
 * event was sent. --count-at writes the number of the call, ten digits, at that place of the request, so that no two
 * are alike.
 *
 * Says `began` and `ended` when the measured time does, a line each, then the result as JSON.
 */
#define _GNU_SOURCE
#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANY 0
#define STAMP 1
#define HEAD_BYTES_MAX 8192
#define EXAMPLE_BYTES_MAX 400
#define CONNECTIONS_MAX 16384 /* of an open loop */
#define EVENTS_MAX 256
#define STATUS_MAX 1000
#define COUNT_DIGITS 10

enum fault { NONE, DIFFERS, CUT, SILENCE, NO_HTTP, NO_CONNECTION, FAULTS };
static const char *const fault_names[] = {
    "", "another body than the upstream sent", "connection lost before the answer's end", "no answer", "not HTTP", "cannot connect",
};

enum state { CLOSED, CONNECTING, WAITING, IDLE };
enum framing { SIZE, EXTENSION, DATA, DATA_END, TRAILER };

struct connection {
    int fd;
    enum state state;
    char *request; /* its own where requests are counted */
    size_t sent;
    uint64_t begun; /* or when it should have been */
    char head[HEAD_BYTES_MAX]; size_t head_length;
    bool in_body, chunked, closes, differs, had_event;
    int status;
    enum framing framing;
    size_t left; /* of the body, or of its chunk */
    bool trailer_text;
    size_t at; /* in what is expected */
    char example[EXAMPLE_BYTES_MAX]; size_t example_length;
    uint64_t stamp, last_event;
    struct connection *spare;
};

struct samples { float *us; size_t count, room; };

static struct {
    int port, connections;
    double rate, warm_s, measure_s, drain_s, ramp_s;
    bool once;
    long count_at;
    char *request; size_t request_length;
    unsigned char *expected; size_t expected_length;
    size_t *plain; /* how many bytes from here on are to be just so */
} plan = {.connections = 64, .warm_s = 0.5, .measure_s = 2.0, .drain_s = 10.0, .count_at = -1};

static int poller;
static struct connection *spares;
static size_t made, in_flight, begun_streams, ended_calls;
static uint64_t window_began = NEVER, window_ended = NEVER;
static bool over;
static struct samples latency, first_event, delay, gap;
static uint64_t calls, events, body_bytes, counted, faults[FAULTS], statuses[STATUS_MAX];
static char example[EXAMPLE_BYTES_MAX]; static size_t example_length;

static void note(struct samples *samples, uint64_t from, uint64_t to) {
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 4096;
        samples->us = room_for(samples->us, samples->room * sizeof(float));
    }
    samples->us[samples->count++] = to > from ? (float)(to - from) / 1000 : 0;
}

static bool in_window(uint64_t at) { return at >= window_began && at < window_ended; }

static void watch(struct connection *to, int how, bool out) {
    struct epoll_event event = {EPOLLIN | (out ? EPOLLOUT : 0), {.ptr = to}};
    if (epoll_ctl(poller, how, to->fd, &event) != 0) die("epoll_ctl");
}

static void hang_up(struct connection *to) {
    if (to->fd >= 0) close(to->fd);
    to->fd = -1;
    to->state = CLOSED;
}

static void begin(struct connection *to, uint64_t due);

/* An answer is whole, or will never be. */
static void answered(struct connection *to, enum fault fault, uint64_t now) {
    bool lost = fault != NONE && fault != DIFFERS;
    in_flight--;
    ended_calls++;
    if (fault == NONE && to->status != 200) statuses[to->status]++;
    else if (fault == NONE && (to->differs || to->at != plan.expected_length)) fault = DIFFERS;
    if (fault != NONE) faults[fault]++;
    if (fault == NONE && to->status == 200) {
        calls++;
        if (in_window(plan.rate > 0 ? to->begun : now)) note(&latency, to->begun, now);
    } else if (example_length == 0) {
        memcpy(example, to->example, example_length = to->example_length);
    }
    if (lost || to->closes || over || plan.once) hang_up(to);
    else to->state = IDLE;
    if (plan.rate > 0) { to->spare = spares; spares = to; }
    else if (!plan.once && !over && fault != NO_CONNECTION) begin(to, now);
}

static void push(struct connection *to, uint64_t now) {
    while (to->sent < plan.request_length) {
        ssize_t sent = send(to->fd, to->request + to->sent, plan.request_length - to->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) { watch(to, EPOLL_CTL_MOD, true); return; }
        if (sent < 0) { answered(to, CUT, now); return; }
        to->sent += (size_t)sent;
    }
}

static void begin(struct connection *to, uint64_t due) {
    to->begun = due;
    to->sent = to->head_length = to->at = to->example_length = 0;
    to->in_body = to->differs = to->had_event = false;
    to->status = 0;
    in_flight++;
    if (plan.count_at >= 0) write_digits(to->request + plan.count_at, COUNT_DIGITS, counted++);
    if (to->state == IDLE) {
        to->state = WAITING;
        push(to, due);
        return;
    }
    struct sockaddr_in address = loopback(plan.port);
    int on = 1;
    to->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (to->fd < 0) die("socket");
    setsockopt(to->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    to->state = CONNECTING;
    if (connect(to->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
        answered(to, NO_CONNECTION, due);
        return;
    }
    watch(to, EPOLL_CTL_ADD, true);
}

static struct connection *another(void) {
    struct connection *to = calloc(1, sizeof *to);
    if (to == NULL) die("memory");
    to->fd = -1;
    to->request = plan.request;
    if (plan.count_at >= 0) memcpy(to->request = room_for(NULL, plan.request_length), plan.request, plan.request_length);
    made++;
    return to;
}

static void arrived(struct connection *to, uint64_t now) {
    uint64_t sent = to->stamp;
    to->stamp = 0;
    bool window = in_window(now);
    if (window) {
        events++;
        note(&delay, sent, now);
        if (to->had_event) note(&gap, to->last_event, now);
    }
    if (!to->had_event) {
        begun_streams++;
        if (window || plan.once) note(&first_event, to->begun, now);
    }
    to->had_event = true;
    to->last_event = now;
}

/* Bytes of a body, in order, against what is expected. */
static void check(struct connection *to, const char *bytes, size_t length, uint64_t now) {
    if (in_window(now)) body_bytes += length;
    if (to->example_length < EXAMPLE_BYTES_MAX) {
        size_t kept = length < EXAMPLE_BYTES_MAX - to->example_length ? length : EXAMPLE_BYTES_MAX - to->example_length;
        memcpy(to->example + to->example_length, bytes, kept);
        to->example_length += kept;
    }
    if (to->status != 200 || to->differs) return;
    if (length > plan.expected_length - to->at) { to->differs = true; return; }
    while (length > 0) {
        size_t run = plan.plain[to->at];
        if (run > 0) {
            if (run > length) run = length;
            if (memcmp(bytes, plan.expected + to->at, run) != 0) { to->differs = true; return; }
        } else {
            run = 1;
            if (plan.expected[to->at] == STAMP) {
                if (*bytes < '0' || *bytes > '9') { to->differs = true; return; }
                to->stamp = to->stamp * 10 + (uint64_t)(*bytes - '0');
                if (plan.expected[to->at + 1] != STAMP) arrived(to, now);
            }
        }
        bytes += run;
        length -= run;
        to->at += run;
    }
}

/* How many bytes of `bytes` belong to the body; sets `whole` once it has ended. -1: this is no chunked body. */
static ssize_t unframe(struct connection *to, const char *bytes, size_t length, uint64_t now, bool *whole) {
    size_t at = 0;
    while (at < length && !*whole) {
        char byte = bytes[at];
        switch (to->framing) {
        case DATA: {
            size_t run = length - at < to->left ? length - at : to->left;
            check(to, bytes + at, run, now);
            at += run;
            to->left -= run;
            if (to->left == 0 && to->chunked) to->framing = DATA_END;
            else if (to->left == 0) *whole = true;
            continue;
        }
        case SIZE:
            if (byte == '\n') to->framing = to->left ? DATA : TRAILER, to->trailer_text = false;
            else if (byte == ';') to->framing = EXTENSION;
            else if (isxdigit((unsigned char)byte)) to->left = to->left * 16 + (size_t)(byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
            else if (byte != '\r') return -1;
            break;
        case EXTENSION:
            if (byte == '\n') to->framing = to->left ? DATA : TRAILER, to->trailer_text = false;
            break;
        case DATA_END:
            if (byte == '\n') to->framing = SIZE, to->left = 0;
            else if (byte != '\r') return -1;
            break;
        case TRAILER:
            if (byte == '\n' && !to->trailer_text) *whole = true;
            to->trailer_text = byte != '\n' && (byte != '\r' || to->trailer_text);
            break;
        }
        at++;
    }
    return (ssize_t)at;
}

/* Reads the head, once it is whole. False if it is none that we know. */
static bool read_head(struct connection *to, size_t length) {
    if (length < 13 || memcmp(to->head, "HTTP/1.1 ", 9) != 0) return false;
    to->status = atoi(to->head + 9);
    if (to->status < 100 || to->status >= STATUS_MAX) return false;
    const char *size = header(to->head, length, "content-length");
    const char *coding = header(to->head, length, "transfer-encoding");
    const char *stay = header(to->head, length, "connection");
    to->closes = stay != NULL && strncasecmp(stay, "close", 5) == 0;
    to->chunked = coding != NULL && strncasecmp(coding, "chunked", 7) == 0;
    if (!to->chunked && size == NULL) return false;
    to->left = to->chunked ? 0 : strtoul(size, NULL, 10);
    to->framing = to->chunked ? SIZE : DATA;
    return to->in_body = true;
}

static void receive(struct connection *to) {
    static char bytes[262144];
    ssize_t got = recv(to->fd, bytes, sizeof bytes, 0);
    uint64_t now = now_ns();
    if (got < 0 && errno == EAGAIN) return;
    if (to->state == IDLE) { hang_up(to); return; } /* It was kept for the next call, which will make its own. */
    if (got <= 0) { answered(to, CUT, now); return; }
    const char *rest = bytes;
    size_t length = (size_t)got;
    bool whole = false;
    if (!to->in_body) {
        size_t before = to->head_length, room = HEAD_BYTES_MAX - 1 - before, taken = length < room ? length : room;
        memcpy(to->head + before, bytes, taken);
        to->head_length += taken;
        to->head[to->head_length] = 0;
        size_t end = head_end(to->head, to->head_length);
        if (end == 0 && to->head_length < HEAD_BYTES_MAX - 1) return;
        if (end == 0 || !read_head(to, end)) { answered(to, NO_HTTP, now); return; }
        rest += end - before;
        length -= end - before;
        whole = !to->chunked && to->left == 0;
    }
    ssize_t used = unframe(to, rest, length, now, &whole);
    if (used < 0 || (whole && (size_t)used < length)) answered(to, NO_HTTP, now);
    else if (whole) answered(to, NONE, now);
}

static void turn(struct connection *to, uint32_t what) {
    if (to->fd < 0) return;
    if (to->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(to->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) { answered(to, NO_CONNECTION, now_ns()); return; }
        to->state = WAITING;
    }
    if (what & EPOLLOUT) {
        watch(to, EPOLL_CTL_MOD, false);
        if (to->state == WAITING) push(to, now_ns());
    }
    if (to->fd >= 0 && what & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(to);
}

static void say(const char *word) {
    puts(word);
    fflush(stdout);
}

static int by_size(const void *one, const void *other) {
    float left = *(const float *)one, right = *(const float *)other;
    return (left > right) - (left < right);
}

static void print_samples(const char *name, struct samples *samples) {
    if (samples->count == 0) { printf(",\"%s\":null", name); return; }
    qsort(samples->us, samples->count, sizeof(float), by_size);
#define SHARE(part) samples->us[(size_t)((double)(samples->count - 1) * (part))]
    printf(",\"%s\":{\"count\":%zu,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f}", name, samples->count,
        (double)SHARE(.5), (double)SHARE(.9), (double)SHARE(.99), (double)SHARE(.999), (double)SHARE(1));
}

static void print_text(const char *bytes, size_t length) {
    putchar('"');
    for (size_t at = 0; at < length; at++) {
        unsigned char byte = (unsigned char)bytes[at];
        if (byte == '"' || byte == '\\') printf("\\%c", byte);
        else if (byte < 32 || byte > 126) printf("\\u%04x", byte);
        else putchar(byte);
    }
    putchar('"');
}

static void print_result(double seconds) {
    printf("{\"answers\":%.3f,\"seconds\":%.6f,\"calls\":%llu,\"events\":%llu", (double)body_bytes / (double)plan.expected_length, seconds,
        (unsigned long long)calls, (unsigned long long)events);
    print_samples("latency", &latency);
    print_samples("first_event", &first_event);
    print_samples("delay", &delay);
    print_samples("gap", &gap);
    const char *separator = "";
    printf(",\"errors\":{");
    for (int fault = 1; fault < FAULTS; fault++)
        if (faults[fault] > 0) printf("%s\"%s\":%llu", separator, fault_names[fault], (unsigned long long)faults[fault]), separator = ",";
    for (int status = 0; status < STATUS_MAX; status++)
        if (statuses[status] > 0) printf("%s\"status %d\":%llu", separator, status, (unsigned long long)statuses[status]), separator = ",";
    if (calls == 0 && *separator == 0) printf("\"nothing was answered\":1");
    printf("},\"example\":");
    print_text(example, example_length);
    puts("}");
}

static void read_expected(const char *path) {
    plan.expected = (unsigned char *)contents(path, &plan.expected_length);
    if (plan.expected_length == 0) { fprintf(stderr, "%s: an empty answer cannot be told from none\n", path); exit(2); }
    plan.plain = room_for(NULL, plan.expected_length * sizeof *plan.plain);
    size_t run = 0;
    for (size_t at = plan.expected_length; at-- > 0;) {
        bool wild = plan.expected[at] == ANY || plan.expected[at] == STAMP;
        plan.plain[at] = run = wild ? 0 : run + 1;
    }
}

static void read_options(int argc, char **argv) {
    static const struct option options[] = {
        {"port", 1, NULL, 'p'}, {"request", 1, NULL, 'q'}, {"expect", 1, NULL, 'e'}, {"connections", 1, NULL, 'c'}, {"rate", 1, NULL, 'r'},
        {"once", 0, NULL, 'o'}, {"ramp-s", 1, NULL, 'u'}, {"warm-s", 1, NULL, 'w'}, {"measure-s", 1, NULL, 'm'}, {"drain-s", 1, NULL, 'd'},
        {"count-at", 1, NULL, 'n'}, {"count-from", 1, NULL, 'f'}, {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (option) {
        case 'p': plan.port = atoi(optarg); break;
        case 'q': plan.request = contents(optarg, &plan.request_length); break;
        case 'e': read_expected(optarg); break;
        case 'c': plan.connections = atoi(optarg); break;
        case 'r': plan.rate = atof(optarg); break;
        case 'o': plan.once = true; break;
        case 'u': plan.ramp_s = atof(optarg); break;
        case 'w': plan.warm_s = atof(optarg); break;
        case 'm': plan.measure_s = atof(optarg); break;
        case 'd': plan.drain_s = atof(optarg); break;
        case 'n': plan.count_at = atol(optarg); break;
        case 'f': counted = strtoull(optarg, NULL, 10); break;
        default: exit(2);
    }
    bool counts = plan.count_at < 0 || (size_t)plan.count_at + COUNT_DIGITS <= plan.request_length;
    if (plan.port <= 0 || plan.request == NULL || plan.expected == NULL || plan.connections <= 0 || !counts) {
        fprintf(stderr, "usage: see the head of load.c\n");
        exit(2);
    }
}

/* Begins every call that is due at `now`; when the next one is. */
static uint64_t begin_due(uint64_t started, uint64_t now) {
    static uint64_t arrival;
    if (over) return NEVER;
    if (plan.rate > 0) {
        if (arrival == 0) arrival = started;
        for (; arrival <= now; arrival += (uint64_t)(-log(1 - drand48()) / plan.rate * 1e9)) {
            struct connection *to = spares;
            if (to != NULL) spares = to->spare;
            else if (made < CONNECTIONS_MAX) to = another();
            else { faults[SILENCE]++; continue; } /* So many wait already that this one would in vain. */
            begin(to, arrival);
        }
        return arrival;
    }
    while (made < (size_t)plan.connections) {
        uint64_t due = started + (uint64_t)(plan.ramp_s * 1e9 * (double)made / plan.connections);
        if (due > now) return due;
        begin(another(), now);
    }
    return NEVER;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    wake_exactly();
    read_options(argc, argv);
    poller = epoll_create1(EPOLL_CLOEXEC);
    uint64_t started = now_ns();
    srand48((long)started);
    uint64_t begins = plan.once ? NEVER : started + (uint64_t)(plan.warm_s * 1e9);
    uint64_t measured = (uint64_t)(plan.measure_s * 1e9), ends = plan.once ? started + measured : begins + measured;
    bool said_began = false;
    struct epoll_event ready[EVENTS_MAX];
    for (;;) {
        uint64_t now = now_ns();
        if (plan.once && !said_began && (begun_streams >= (size_t)plan.connections || ended_calls > 0)) begins = now;
        if (!said_began && now >= begins) { window_began = now; said_began = true; say("began"); }
        if (plan.once && said_began && ended_calls > 0 && !over) ends = now;
        if (!over && now >= ends) {
            if (!said_began) { window_began = now; said_began = true; say("began"); }
            window_ended = now;
            over = true;
            say("ended");
        }
        if (over && (in_flight == 0 || now >= window_ended + (uint64_t)(plan.drain_s * 1e9))) break;
        uint64_t due = begin_due(started, now);
        if (begins > now && begins < due) due = begins;
        if (!over && ends < due) due = ends;
        struct timespec wait = until(due);
        int count = epoll_pwait2(poller, ready, EVENTS_MAX, &wait, NULL);
        for (int at = 0; at < count; at++) turn(ready[at].data.ptr, ready[at].events);
    }
    faults[SILENCE] += in_flight;
    print_result((double)(window_ended - window_began) / 1e9);
    return 0;
}
