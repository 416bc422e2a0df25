/* What the bench's two programs have in common: the clock, files, and reading the head of an HTTP/1.1 message. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define NEVER UINT64_MAX

/* A place in an event where the upstream writes when it sent it: CLOCK_MONOTONIC, nanoseconds, zeros in front. */
#define STAMP_DIGITS 19

static inline uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline _Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

static inline void *room_for(void *old, size_t bytes) {
    void *room = realloc(old, bytes);
    if (room == NULL) die("memory");
    return room;
}

/* A number in decimal, exactly `digits` of them. */
static inline void write_digits(char *to, int digits, uint64_t number) {
    for (int digit = digits - 1; digit >= 0; digit--, number /= 10) to[digit] = (char)('0' + number % 10);
}

static inline struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* How long to wait for `due`. */
static inline struct timespec until(uint64_t due) {
    uint64_t now = now_ns(), left = due == NEVER ? NS_PER_S : due > now ? due - now : 0;
    return (struct timespec){(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)};
}

/* Timers as exact as the kernel can: by default it may be 50 microseconds late. */
static inline void wake_exactly(void) { prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); }

/* The whole file, with a zero byte behind it. */
static inline char *contents(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) die(path);
    size_t room = 4096, have = 0, got;
    char *bytes = room_for(NULL, room);
    while ((got = fread(bytes + have, 1, room - have - 1, file)) > 0) {
        have += got;
        if (have + 1 == room) bytes = room_for(bytes, room *= 2);
    }
    if (ferror(file)) die(path);
    fclose(file);
    bytes[have] = 0;
    *length = have;
    return bytes;
}

/* Where the head that begins at `bytes` ends (behind its blank line), or 0. */
static inline size_t head_end(const char *bytes, size_t length) {
    const char *blank = memmem(bytes, length, "\r\n\r\n", 4);
    return blank == NULL ? 0 : (size_t)(blank - bytes) + 4;
}

/* The value of a header, up to its line's end, or NULL. `head` ends with a blank line. */
static inline const char *header(const char *head, size_t length, const char *name) {
    size_t wanted = strlen(name);
    const char *end = head + length, *line = memchr(head, '\n', length);
    while (line != NULL && (size_t)(end - ++line) > wanted) {
        if (strncasecmp(line, name, wanted) == 0 && line[wanted] == ':') {
            const char *value = line + wanted + 1;
            while (*value == ' ') value++;
            return value;
        }
        line = memchr(line, '\n', (size_t)(end - line));
    }
    return NULL;
}

#endif
