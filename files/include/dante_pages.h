/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The dante4l authors
 *
 * Reads Dante time and UTC from the clock pages that dante4l, dante2sys and danteshm publish in /dev/shm.
 *
 * This file is the whole library: C11 with the built-in functions of GCC or Clang, or C++11. It needs libc only. docs/pages.md
 * specifies the layout. It is stable: within a major version fields are only appended.
 *
 *   struct dante_page page;
 *   struct dante_dante4l clock;
 *   dante_page_open(&page, DANTE_DANTE4L, NULL);        // may fail now: each read tries again
 *   if (dante_read_dante4l(&page, &clock) == DANTE_OK) ...
 *   dante_page_close(&page);
 *
 * With -std=c11 include this file before all others, or define _POSIX_C_SOURCE as 200809L: it needs POSIX 2008.
 *
 * Units: every *_ns is a signed count of ns on the clock that its name or comment states. rate, frequency, rate_sigma and wander are
 * fractions (12e-6 is 12 ppm). A positive rate means that the leader runs faster than this host's oscillator. A sigma is one
 * standard deviation.
 *
 * The functions read a page with pread(2) and never map it, so that a truncated file cannot kill the reader by SIGBUS. No function
 * sleeps or prints. dante_page_open(), and each read that opens the page again, may query the user database (getpwnam_r), which can
 * allocate memory and block, for example on a network. It is not queried for pages of root or of the reader's own user.
 *
 * Threads: one struct dante_page must not be used by two threads at a time. */
#ifndef DANTE_PAGES_H
#define DANTE_PAGES_H

#if defined __STRICT_ANSI__ && !defined _POSIX_C_SOURCE && !defined _XOPEN_SOURCE && !defined _GNU_SOURCE && !defined _DEFAULT_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if !defined __BYTE_ORDER__ || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "dante_pages.h supports little-endian machines only: see docs/pages.md"
#endif

#ifdef __cplusplus
extern "C" {
#define DANTE_ASSERT static_assert
#else
#define DANTE_ASSERT _Static_assert
#endif

/* ---- parts of every page ---- */

/* "D4L_PAGE" in the order of the bytes in memory. */
#define DANTE_MAGIC "D4L_PAGE"
/* Size of the head, bytes; the body follows. */
#define DANTE_HEAD_SIZE 128
/* Size of the tail, bytes. The tail follows the body and is its checksum (see docs/pages.md). */
#define DANTE_TAIL_SIZE 8
/* Largest size of a page, bytes. */
#define DANTE_MAX_SIZE (1 << 20)
/* Number of samples in struct dante_dante4l. */
#define DANTE_RING 64
/* Sizes of the three pages as this version writes them, bytes: head, body and tail. */
#define DANTE_DANTE4L_SIZE 3976
#define DANTE_DANTE2SYS_SIZE 272
#define DANTE_DANTESHM_SIZE 176

/* Kinds of pages: the upper half of the layout word. */
enum dante_kind { DANTE_DANTE4L = 1, DANTE_DANTE2SYS = 2, DANTE_DANTESHM = 3 };
/* Major version of all three pages that this header reads: the lower half of the layout word. */
#define DANTE_MAJOR 1

enum dante_life { DANTE_BEING_MADE = 0, DANTE_LIVE = 1, DANTE_ENDED = 2, DANTE_REPLACED = 3 };

struct dante_head {
    char magic[8];
    uint32_t version;            /* DANTE_MAJOR */
    uint32_t kind;               /* enum dante_kind */
    uint64_t size;               /* of the file, bytes */
    uint32_t pid;                /* of the writer */
    uint32_t life;               /* enum dante_life */
    uint64_t instance;           /* a random number that the writer draws when it starts */
    int64_t heartbeat_until_ns;  /* CLOCK_MONOTONIC_RAW; a live page is stale after it */
    uint64_t doorbell;           /* count of publications */
    uint64_t sequence;           /* odd while the body is being written, 0 before the first body */
    uint32_t array_offset;       /* of the ring, from the beginning of the page, bytes */
    uint32_t array_stride;       /* from one entry to the next, bytes */
    uint64_t array_entries;
    uint64_t reserved[6];        /* 0 */
};

/* ---- dante4l ---- */

enum dante_protocol { DANTE_PROTOCOL_NONE = 0, DANTE_PTPV1 = 1, DANTE_PTPV2 = 2 };
enum dante_port_state {
    DANTE_PORT_INITIALIZING = 0,
    DANTE_PORT_FAULTY = 1,
    DANTE_PORT_LISTENING = 3,
    DANTE_PORT_UNCALIBRATED = 7,
    DANTE_PORT_SLAVE = 8
};
enum dante_kernel_clock { DANTE_KERNEL_UNKNOWN = 0, DANTE_KERNEL_UNSYNCHRONISED = 1, DANTE_KERNEL_SYNCHRONISED = 2 };
enum dante_timestamp_source {
    DANTE_TIMESTAMPS_NONE = 0,
    DANTE_TIMESTAMPS_SOFTWARE = 1,
    DANTE_TIMESTAMPS_SOFTWARE_NS = 2,
    DANTE_TIMESTAMPS_HARDWARE = 3
};

/* struct dante_dante4l.flags */
#define DANTE_CLOCK_HAS_LEADER 1u
#define DANTE_CLOCK_HAS_MAP 2u
#define DANTE_CLOCK_HAS_PATH_DELAY 4u
/* `map` already contains path_delay_ns: do not add it. Set whenever DANTE_CLOCK_HAS_PATH_DELAY is set. */
#define DANTE_MAP_HAS_PATH_DELAY 8u
/* The leader is followed now and the clock map has converged. Programs use this flag and not the state: later versions may have
 * other states. */
#define DANTE_CLOCK_LOCKED 16u
/* struct dante_dante4l.timescale; this version sets DANTE_TIMESCALE_UTC_OFFSET_VALID only. */
#define DANTE_TIMESCALE_PTP 1u
#define DANTE_TIMESCALE_UTC_OFFSET_VALID 2u
#define DANTE_TIMESCALE_TRACEABLE 4u
#define DANTE_TIMESCALE_FREQUENCY_TRACEABLE 8u
#define DANTE_TIMESCALE_LEAP_61 16u
#define DANTE_TIMESCALE_LEAP_59 32u

/* Clock map: Dante time over CLOCK_MONOTONIC_RAW as a straight line, with its uncertainty at raw0_ns. */
struct dante_map {
    int64_t raw0_ns;
    int64_t dante0_ns;
    double rate;
    int64_t offset_sigma_ns;
    double rate_sigma;
    double correlation;  /* of the errors of Dante time and rate, -1 to 1 */
    double wander;       /* growth of rate_sigma within a second */
};

struct dante_sample {
    uint64_t number;  /* number of the sample on its port; not the index in the ring */
    uint64_t timeline;
    int64_t arrived_raw_ns;
    int64_t arrived_real_ns;
    int64_t origin_ns;
    int64_t residual_ns;  /* local minus leader, against the map */
    uint32_t accepted;    /* 0: an outlier */
    uint32_t port;
};

struct dante_dante4l {
    uint8_t protocol;      /* enum dante_protocol */
    uint8_t state;         /* enum dante_port_state, for display only: programs use DANTE_CLOCK_LOCKED */
    uint8_t kernel_clock;  /* enum dante_kernel_clock */
    uint8_t timestamp_source;  /* enum dante_timestamp_source */
    uint32_t flags;
    uint16_t timescale;
    int16_t utc_offset_s;  /* the leader's time minus UTC */
    uint8_t domain;
    uint8_t reserved[3];
    uint8_t sender[8];
    uint8_t grandmaster[8];
    uint16_t sender_port;
    uint16_t grandmaster_port;
    uint32_t reserved_2;
    uint8_t subdomain[16];
    uint64_t timeline;
    struct dante_map map;
    int64_t path_delay_ns;
    int64_t kernel_max_error_ns;
    uint64_t samples;  /* count of all samples written to the ring in this run */
    uint64_t reserved_3[14];
    struct dante_sample ring[DANTE_RING];
};

/* ---- dante2sys ---- */

enum dante_steer_state {
    DANTE_STEER_WAITING = 0,
    DANTE_STEER_ACQUIRING = 1,
    DANTE_STEER_LOCKED = 2,
    DANTE_STEER_HOLDOVER = 3,
    DANTE_STEER_REFUSED = 4,
    DANTE_STEER_YIELDED = 5
};
enum dante_steered_clock { DANTE_CLOCK_REALTIME = 0, DANTE_CLOCK_VIRTUAL = 1, DANTE_CLOCK_HARDWARE = 2 };
enum dante_utc_source { DANTE_UTC_NONE = 0, DANTE_UTC_NTP = 1, DANTE_UTC_LEADER = 2 };
enum dante_leap { DANTE_LEAP_NONE = 0, DANTE_LEAP_INSERT = 1, DANTE_LEAP_DELETE = 2 };

/* struct dante_dante2sys.flags */
#define DANTE_STEER_HAS_PIECE 1u
#define DANTE_STEER_HAS_UTC 2u
#define DANTE_STEER_UTC_SYNCHRONISED 4u
#define DANTE_STEER_UTC_BY_HAND 8u

/* UTC over Dante time, in integers: see dante_piece_utc(). */
struct dante_piece {
    uint64_t origin;
    uint64_t serial;
    int64_t dante0_ns;
    int64_t utc0_ns;  /* since 1970 */
    int64_t slope;    /* rate of UTC relative to Dante time minus one, in units of 2^-48 */
};

struct dante_dante2sys {
    uint8_t state;       /* enum dante_steer_state */
    uint8_t clock;       /* enum dante_steered_clock */
    uint8_t utc_source;  /* enum dante_utc_source */
    uint8_t leap;        /* enum dante_leap */
    uint32_t flags;
    double frequency;
    uint64_t key_instance;  /* head.instance of the dante4l whose Dante time the pieces refer to */
    uint64_t key_number;    /* the timeline that the pieces refer to */
    struct dante_piece piece;
    struct dante_piece next;  /* serial 0: none; this version never sets it */
    int64_t next_from_dante_ns;
    int32_t leap_seconds;  /* to be added to UTC by a piece */
    uint32_t reserved;
    int64_t utc_bound_ns;
};

/* ---- danteshm ---- */

enum dante_relay_state { DANTE_RELAY_WAITING = 0, DANTE_RELAY_FEEDING = 1 };
enum dante_epoch_source { DANTE_EPOCH_NONE = 0, DANTE_EPOCH_CLOCK = 1, DANTE_EPOCH_UNSYNCHRONISED = 2, DANTE_EPOCH_DANTE2SYS = 3 };
enum dante_relay_waiting { DANTE_WAITING_NOTHING = 0, DANTE_WAITING_LEADER = 1, DANTE_WAITING_UTC = 2, DANTE_WAITING_PAUSE = 3 };

struct dante_danteshm {
    uint8_t state;         /* enum dante_relay_state */
    uint8_t epoch_source;  /* enum dante_epoch_source */
    uint8_t waiting;       /* enum dante_relay_waiting */
    uint8_t reserved[5];
    int64_t epoch_ns;      /* epoch offset (K): UTC minus Dante time */
    uint64_t key_instance;
    uint64_t key_number;
    int64_t last_sample_raw_ns;
};

/* ---- the layout, checked by the compiler: structure, base (offset of the structure), field, offset and size in bytes ---- */

#define DANTE_FIELD(type, base, field, offset, bytes)                                                     \
    DANTE_ASSERT((base) + offsetof(struct dante_##type, field) == (offset) &&                             \
                     sizeof(((struct dante_##type *)NULL)->field) == (bytes),                             \
                 "struct dante_" #type "." #field)

DANTE_FIELD(head, 0, magic, 0, 8);
DANTE_FIELD(head, 0, version, 8, 4);
DANTE_FIELD(head, 0, kind, 12, 4);
DANTE_FIELD(head, 0, size, 16, 8);
DANTE_FIELD(head, 0, pid, 24, 4);
DANTE_FIELD(head, 0, life, 28, 4);
DANTE_FIELD(head, 0, instance, 32, 8);
DANTE_FIELD(head, 0, heartbeat_until_ns, 40, 8);
DANTE_FIELD(head, 0, doorbell, 48, 8);
DANTE_FIELD(head, 0, sequence, 56, 8);
DANTE_FIELD(head, 0, array_offset, 64, 4);
DANTE_FIELD(head, 0, array_stride, 68, 4);
DANTE_FIELD(head, 0, array_entries, 72, 8);
DANTE_FIELD(head, 0, reserved, 80, 48);

DANTE_FIELD(dante4l, 128, protocol, 128, 1);
DANTE_FIELD(dante4l, 128, state, 129, 1);
DANTE_FIELD(dante4l, 128, kernel_clock, 130, 1);
DANTE_FIELD(dante4l, 128, timestamp_source, 131, 1);
DANTE_FIELD(dante4l, 128, flags, 132, 4);
DANTE_FIELD(dante4l, 128, timescale, 136, 2);
DANTE_FIELD(dante4l, 128, utc_offset_s, 138, 2);
DANTE_FIELD(dante4l, 128, domain, 140, 1);
DANTE_FIELD(dante4l, 128, reserved, 141, 3);
DANTE_FIELD(dante4l, 128, sender, 144, 8);
DANTE_FIELD(dante4l, 128, grandmaster, 152, 8);
DANTE_FIELD(dante4l, 128, sender_port, 160, 2);
DANTE_FIELD(dante4l, 128, grandmaster_port, 162, 2);
DANTE_FIELD(dante4l, 128, reserved_2, 164, 4);
DANTE_FIELD(dante4l, 128, subdomain, 168, 16);
DANTE_FIELD(dante4l, 128, timeline, 184, 8);
DANTE_FIELD(dante4l, 128, map, 192, 56);
DANTE_FIELD(dante4l, 128, path_delay_ns, 248, 8);
DANTE_FIELD(dante4l, 128, kernel_max_error_ns, 256, 8);
DANTE_FIELD(dante4l, 128, samples, 264, 8);
DANTE_FIELD(dante4l, 128, reserved_3, 272, 112);
DANTE_FIELD(dante4l, 128, ring, 384, 3584);

DANTE_FIELD(map, 0, raw0_ns, 0, 8);
DANTE_FIELD(map, 0, dante0_ns, 8, 8);
DANTE_FIELD(map, 0, rate, 16, 8);
DANTE_FIELD(map, 0, offset_sigma_ns, 24, 8);
DANTE_FIELD(map, 0, rate_sigma, 32, 8);
DANTE_FIELD(map, 0, correlation, 40, 8);
DANTE_FIELD(map, 0, wander, 48, 8);

DANTE_FIELD(sample, 0, number, 0, 8);
DANTE_FIELD(sample, 0, timeline, 8, 8);
DANTE_FIELD(sample, 0, arrived_raw_ns, 16, 8);
DANTE_FIELD(sample, 0, arrived_real_ns, 24, 8);
DANTE_FIELD(sample, 0, origin_ns, 32, 8);
DANTE_FIELD(sample, 0, residual_ns, 40, 8);
DANTE_FIELD(sample, 0, accepted, 48, 4);
DANTE_FIELD(sample, 0, port, 52, 4);

DANTE_FIELD(dante2sys, 128, state, 128, 1);
DANTE_FIELD(dante2sys, 128, clock, 129, 1);
DANTE_FIELD(dante2sys, 128, utc_source, 130, 1);
DANTE_FIELD(dante2sys, 128, leap, 131, 1);
DANTE_FIELD(dante2sys, 128, flags, 132, 4);
DANTE_FIELD(dante2sys, 128, frequency, 136, 8);
DANTE_FIELD(dante2sys, 128, key_instance, 144, 8);
DANTE_FIELD(dante2sys, 128, key_number, 152, 8);
DANTE_FIELD(dante2sys, 128, piece, 160, 40);
DANTE_FIELD(dante2sys, 128, next, 200, 40);
DANTE_FIELD(dante2sys, 128, next_from_dante_ns, 240, 8);
DANTE_FIELD(dante2sys, 128, leap_seconds, 248, 4);
DANTE_FIELD(dante2sys, 128, reserved, 252, 4);
DANTE_FIELD(dante2sys, 128, utc_bound_ns, 256, 8);

DANTE_FIELD(piece, 0, origin, 0, 8);
DANTE_FIELD(piece, 0, serial, 8, 8);
DANTE_FIELD(piece, 0, dante0_ns, 16, 8);
DANTE_FIELD(piece, 0, utc0_ns, 24, 8);
DANTE_FIELD(piece, 0, slope, 32, 8);

DANTE_FIELD(danteshm, 128, state, 128, 1);
DANTE_FIELD(danteshm, 128, epoch_source, 129, 1);
DANTE_FIELD(danteshm, 128, waiting, 130, 1);
DANTE_FIELD(danteshm, 128, reserved, 131, 5);
DANTE_FIELD(danteshm, 128, epoch_ns, 136, 8);
DANTE_FIELD(danteshm, 128, key_instance, 144, 8);
DANTE_FIELD(danteshm, 128, key_number, 152, 8);
DANTE_FIELD(danteshm, 128, last_sample_raw_ns, 160, 8);

DANTE_ASSERT(sizeof(struct dante_head) == DANTE_HEAD_SIZE, "head");
DANTE_ASSERT(sizeof(struct dante_sample) == 56 && sizeof(struct dante_map) == 56 && sizeof(struct dante_piece) == 40, "records");
DANTE_ASSERT(DANTE_HEAD_SIZE + sizeof(struct dante_dante4l) + DANTE_TAIL_SIZE == DANTE_DANTE4L_SIZE, "dante4l");
DANTE_ASSERT(DANTE_HEAD_SIZE + sizeof(struct dante_dante2sys) + DANTE_TAIL_SIZE == DANTE_DANTE2SYS_SIZE, "dante2sys");
DANTE_ASSERT(DANTE_HEAD_SIZE + sizeof(struct dante_danteshm) + DANTE_TAIL_SIZE == DANTE_DANTESHM_SIZE, "danteshm");

/* ---- results ---- */

enum dante_result {
    DANTE_OK = 0,
    /* The page was read, but its writer does not update it any more. A clock map still gives Dante time, with a growing
     * uncertainty. */
    DANTE_STALE = 1,      /* the writer died or hangs */
    DANTE_STOPPED = 2,    /* the writer ended normally */
    DANTE_UNLOCKED = 3,   /* dante_time_at(), dante_time_now(): dante4l is not locked to a leader; the time is by its last map */
    /* Nothing was read. Keep the values that were read before, and try again: the next read opens the page again. */
    DANTE_ABSENT = -1,    /* there is no page, or its writer is making it */
    DANTE_FOREIGN = -2,   /* wrong owner, writable by other users, or not a regular file */
    DANTE_VERSION = -3,   /* another major version: build this program with a later header */
    DANTE_TORN = -4,      /* torn in DANTE_ATTEMPTS attempts: it is being written, or was truncated and extended again */
    DANTE_SIZE = -5,      /* the size of the file is not the one in its head: it was truncated or extended */
    DANTE_GARBAGE = -6,   /* not a page of this kind */
    DANTE_SYSTEM = -7,    /* a system call failed: see errno */
    DANTE_BAD_NAME = -8,  /* the name of the instance is not 1 to 32 letters, digits, '-' or '_' */
    /* The page was read, but lacks the requested value. */
    DANTE_NO_MAP = -9,    /* Dante time is unknown */
    DANTE_NO_PIECE = -10  /* UTC is unknown for this timeline */
};

static inline const char *dante_result_text(int result) {
    switch (result) {
    case DANTE_OK: return "ok";
    case DANTE_STALE: return "stale: the writer died or hangs";
    case DANTE_STOPPED: return "stopped";
    case DANTE_UNLOCKED: return "dante4l is not locked to a leader";
    case DANTE_ABSENT: return "absent";
    case DANTE_FOREIGN: return "not trusted: wrong owner or mode";
    case DANTE_VERSION: return "another major version";
    case DANTE_TORN: return "torn: changed while it was read";
    case DANTE_SIZE: return "wrong size";
    case DANTE_GARBAGE: return "not a page of this kind";
    case DANTE_SYSTEM: return "a system call failed";
    case DANTE_BAD_NAME: return "invalid instance name";
    case DANTE_NO_MAP: return "Dante time is unknown";
    case DANTE_NO_PIECE: return "UTC is unknown";
    default: return "unknown result";
    }
}

/* ---- opening and reading ---- */

/* Number of attempts to read a page that is being written. They follow each other at once. */
#define DANTE_ATTEMPTS 16

struct dante_page {
    int fd;                  /* -1 while the page is not open */
    int kind;                /* enum dante_kind */
    char path[64];           /* for inotify_add_watch(2) */
    struct dante_head head;  /* of the last read; valid if that returned 0 or more */
};

static inline const char *dante_program(int kind) {
    return kind == DANTE_DANTE4L ? "dante4l" : kind == DANTE_DANTE2SYS ? "dante2sys" : "danteshm";
}

static inline int64_t dante_raw_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void dante_page_close(struct dante_page *page) {
    if (page->fd >= 0) close(page->fd);
    page->fd = -1;
}

/* Reads exactly `size` bytes, or fails. */
static inline int dante_pread_(int fd, void *to, size_t size, uint64_t offset) {
    char *bytes = (char *)to;
    while (size > 0) {
        ssize_t got = pread(fd, bytes, size, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return DANTE_SYSTEM;
        if (got == 0) return DANTE_SIZE;
        bytes += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return DANTE_OK;
}

/* Checks that the page belongs to root, to this user or to the daemon's service user, and that no other user can write to it. */
static inline int dante_check_owner_(const struct stat *file, int kind) {
    if (!S_ISREG(file->st_mode) || (file->st_mode & (S_IWGRP | S_IWOTH))) return DANTE_FOREIGN;
    if (file->st_uid == 0 || file->st_uid == geteuid()) return DANTE_OK;
    char buffer[4096];
    struct passwd entry, *found = NULL;
    if (getpwnam_r(dante_program(kind), &entry, buffer, sizeof buffer, &found) != 0 || found == NULL) return DANTE_FOREIGN;
    return file->st_uid == entry.pw_uid ? DANTE_OK : DANTE_FOREIGN;
}

/* Whether the page's name still refers to the open file. */
static inline int dante_is_named_(const struct dante_page *page) {
    struct stat ours, named;
    return fstat(page->fd, &ours) == 0 && lstat(page->path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

static inline int dante_reopen_(struct dante_page *page) {
    struct stat file;
    dante_page_close(page);
    /* O_NONBLOCK: opening a FIFO would block until it has a writer. ELOOP: a symbolic link. ENXIO: a socket. */
    page->fd = open(page->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (page->fd < 0) return errno == ENOENT ? DANTE_ABSENT : errno == ELOOP || errno == ENXIO ? DANTE_FOREIGN : DANTE_SYSTEM;
    if (fstat(page->fd, &file) != 0) return DANTE_SYSTEM;
    return dante_check_owner_(&file, page->kind);
}

/* Checks that the head is that of a page that this header reads. */
static inline int dante_check_head_(const struct dante_head *head, int kind) {
    static const char none[8] = {0};
    if (memcmp(head->magic, none, 8) == 0) return DANTE_ABSENT;
    if (memcmp(head->magic, DANTE_MAGIC, 8) != 0) return DANTE_GARBAGE;
    if (head->life != DANTE_LIVE && head->life != DANTE_ENDED) return DANTE_ABSENT;
    if (head->kind != (uint32_t)kind) return DANTE_GARBAGE;
    if (head->version != DANTE_MAJOR) return DANTE_VERSION;
    if (head->size < DANTE_HEAD_SIZE + DANTE_TAIL_SIZE || head->size > DANTE_MAX_SIZE || head->size % 8 != 0) return DANTE_GARBAGE;
    uint64_t end = head->size - DANTE_TAIL_SIZE;
    if (head->array_offset == 0 && head->array_stride == 0 && head->array_entries == 0) return DANTE_OK;
    if (head->array_offset < DANTE_HEAD_SIZE || head->array_offset > end || head->array_stride == 0 ||
        head->array_entries > (end - head->array_offset) / head->array_stride)
        return DANTE_GARBAGE;
    return DANTE_OK;
}

/* Reads the body: `size` bytes in this version, of which the first `fields` are before the ring. Fields that the page lacks are 0. */
static inline int dante_read_body_(const struct dante_page *page, void *body, size_t size, size_t fields) {
    const struct dante_head *head = &page->head;
    size_t found = (size_t)(head->array_offset ? head->array_offset : head->size - DANTE_TAIL_SIZE) - DANTE_HEAD_SIZE;
    int result;
    memset(body, 0, size);
    result = dante_pread_(page->fd, body, found < fields ? found : fields, DANTE_HEAD_SIZE);
    if (result != DANTE_OK || page->kind != DANTE_DANTE4L) return result;
    struct dante_dante4l *clock = (struct dante_dante4l *)body;
    if (head->array_entries == 0) clock->samples = 0;
    if (clock->samples == 0) return DANTE_OK;
    if (head->array_entries == DANTE_RING && head->array_stride == sizeof(struct dante_sample))
        return dante_pread_(page->fd, clock->ring, sizeof clock->ring, head->array_offset);
    /* A page of another version is read entry by entry. */
    uint64_t held = head->array_entries < DANTE_RING ? head->array_entries : DANTE_RING;
    size_t bytes = head->array_stride < sizeof(struct dante_sample) ? head->array_stride : sizeof(struct dante_sample);
    if (held > clock->samples) held = clock->samples;
    for (uint64_t count = clock->samples - held; count < clock->samples && result == DANTE_OK; count++)
        result = dante_pread_(page->fd, &clock->ring[count % DANTE_RING], bytes,
                              head->array_offset + count % head->array_entries * head->array_stride);
    return result;
}

/* Computes the tail that the page should have: the sum of the head's words that do not change while its writer runs, of the
 * sequence, and of the words of the body. If it is right, the body that was copied before is right too: zeros of a truncated file
 * remain until the writer writes again. */
static inline int dante_sum_(const struct dante_page *page, uint64_t *sum) {
    static const size_t places[] = {0, 8, 16, 32, 56, 64, 72};
    const unsigned char *head = (const unsigned char *)&page->head;
    uint64_t words[256], word, at = DANTE_HEAD_SIZE, end = page->head.size - DANTE_TAIL_SIZE;
    *sum = 0;
    for (size_t n = 0; n < sizeof places / sizeof places[0]; n++) {
        memcpy(&word, head + places[n], sizeof word);
        *sum += word;
    }
    while (at < end) {
        size_t bytes = end - at < sizeof words ? (size_t)(end - at) : sizeof words;
        int result = dante_pread_(page->fd, words, bytes, at);
        if (result != DANTE_OK) return result;
        for (size_t n = 0; n < bytes / 8; n++) *sum += words[n];
        at += bytes;
    }
    return DANTE_OK;
}

static inline int dante_try_read_(struct dante_page *page, void *body, size_t size, size_t fields) {
    struct dante_head *head = &page->head, again;
    uint64_t sum, tail;
    struct stat file;
    int result;
    if (fstat(page->fd, &file) != 0) return DANTE_SYSTEM;
    if (file.st_nlink == 0 || file.st_size == 0) return DANTE_ABSENT;
    if ((result = dante_pread_(page->fd, head, sizeof *head, 0)) != DANTE_OK) return result;
    if ((result = dante_check_head_(head, page->kind)) != DANTE_OK) return result;
    if ((uint64_t)file.st_size != head->size) return DANTE_SIZE;
    if (head->sequence % 2 == 1 || head->sequence == 0) return DANTE_TORN;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if ((result = dante_read_body_(page, body, size, fields)) != DANTE_OK) return result;
    if ((result = dante_sum_(page, &sum)) != DANTE_OK) return result;
    if ((result = dante_pread_(page->fd, &tail, sizeof tail, head->size - DANTE_TAIL_SIZE)) != DANTE_OK) return result;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if ((result = dante_pread_(page->fd, &again, sizeof again, 0)) != DANTE_OK) return result;
    /* Heartbeat and doorbell change independently of the body. */
    again.heartbeat_until_ns = head->heartbeat_until_ns;
    again.doorbell = head->doorbell;
    /* A file that was truncated and extended again is zeros from some offset on: the sum shows that. */
    if (memcmp(head, &again, sizeof again) != 0 || tail != sum) return DANTE_TORN;
    if (head->life == DANTE_ENDED) return DANTE_STOPPED;
    return dante_raw_now() > head->heartbeat_until_ns ? DANTE_STALE : DANTE_OK;
}

static inline int dante_read_(struct dante_page *page, int kind, void *body, size_t size, size_t fields) {
    int result = DANTE_TORN, was_open = page->fd >= 0;
    if (page->kind != kind || page->path[0] == 0) return DANTE_BAD_NAME;
    if (!was_open) {
        result = dante_reopen_(page);
        if (result != DANTE_OK) goto failed;
    }
    for (int attempt = 0; attempt < DANTE_ATTEMPTS; attempt++) {
        result = dante_try_read_(page, body, size, fields);
        if (result == DANTE_OK) return result;
        /* A stale or stopped page: if its name refers to another file, that file is the current page. */
        if (result > DANTE_OK && (!was_open || dante_is_named_(page))) return result;
        if (result != DANTE_TORN) {
            /* The name may refer to another file now. */
            if (!was_open) break;
            was_open = 0;
            result = dante_reopen_(page);
            if (result != DANTE_OK) break;
            /* The new file gets all attempts, so that the last attempt does not leave a page open but unread. This happens once. */
            attempt = -1;
        }
    }
failed: {
    int cause = errno;
    if (result != DANTE_TORN || !dante_is_named_(page)) dante_page_close(page);
    memset(body, 0, size);
    errno = cause;
    return result;
}
}

/* Prepares a page for reading: `instance` is that of --instance, or NULL. Returns whether the page can be opened now; if not, each
 * read tries again. Only after DANTE_BAD_NAME the page cannot be used. */
static inline int dante_page_open(struct dante_page *page, enum dante_kind kind, const char *instance) {
    static const char folder[] = "/dev/shm/";
    const char *program = dante_program(kind);
    size_t length = instance ? strlen(instance) : 0, at = sizeof folder - 1;
    memset(page, 0, sizeof *page);
    page->fd = -1;
    page->kind = kind;
    if (instance && (length < 1 || length > 32)) return DANTE_BAD_NAME;
    for (size_t n = 0; n < length; n++) {
        char c = instance[n];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return DANTE_BAD_NAME;
    }
    memcpy(page->path, folder, at);
    memcpy(page->path + at, program, strlen(program));
    at += strlen(program);
    if (instance) {
        page->path[at++] = '@';
        memcpy(page->path + at, instance, length);
    }
    int result = dante_reopen_(page);
    if (result != DANTE_OK) {
        int cause = errno;
        dante_page_close(page);
        errno = cause;
    }
    return result;
}

/* Each function reads a page into `body`. It opens the page again if the page was replaced or renamed. If the result is 0 or more,
 * `body` and page->head are valid. If the result is less than 0, `body` is all zeros; only DANTE_BAD_NAME leaves `body` unchanged. */
static inline int dante_read_dante4l(struct dante_page *page, struct dante_dante4l *body) {
    return dante_read_(page, DANTE_DANTE4L, body, sizeof *body, offsetof(struct dante_dante4l, ring));
}
static inline int dante_read_dante2sys(struct dante_page *page, struct dante_dante2sys *body) {
    return dante_read_(page, DANTE_DANTE2SYS, body, sizeof *body, sizeof *body);
}
static inline int dante_read_danteshm(struct dante_page *page, struct dante_danteshm *body) {
    return dante_read_(page, DANTE_DANTESHM, body, sizeof *body, sizeof *body);
}

/* ---- Dante time ---- */

static inline int64_t dante_add_(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (b < 0 ? INT64_MIN : INT64_MAX) : sum;
}

static inline int64_t dante_sub_(int64_t a, int64_t b) {
    int64_t difference;
    return __builtin_sub_overflow(a, b, &difference) ? (b > 0 ? INT64_MIN : INT64_MAX) : difference;
}

static inline int64_t dante_round_(double value) {
    if (!(value > -9e18)) return INT64_MIN;
    if (!(value < 9e18)) return INT64_MAX;
    return (int64_t)(value + (value < 0 ? -0.5 : 0.5));
}

/* Square root without libm. */
static inline double dante_sqrt_(double value) {
    uint64_t bits;
    double root;
    if (!(value > 0)) return 0;
    memcpy(&bits, &value, sizeof bits);
    bits = (bits >> 1) + 0x1ff8000000000000u;
    memcpy(&root, &bits, sizeof root);
    for (int n = 0; n < 5; n++) root = (root + value / root) / 2;
    return root;
}

/* Returns Dante time at `raw_ns` (CLOCK_MONOTONIC_RAW) by this map, and stores its standard deviation, ns, to `sigma_ns`, which may
 * be NULL. */
static inline int64_t dante_map_time(const struct dante_map *map, int64_t raw_ns, double *sigma_ns) {
    int64_t elapsed = dante_sub_(raw_ns, map->raw0_ns);
    if (sigma_ns) {
        double age = elapsed > 0 ? (double)elapsed / 1e9 : 0;
        double offset = (double)map->offset_sigma_ns, rate = map->rate_sigma * 1e9, wander = map->wander * 1e9;
        *sigma_ns = dante_sqrt_(offset * offset + 2 * age * map->correlation * offset * rate + age * age * rate * rate +
                                wander * wander * age * age * age / 3);
    }
    return dante_add_(dante_add_(map->dante0_ns, elapsed), dante_round_((double)elapsed * map->rate));
}

/* Computes Dante time at `raw_ns` by the map of a page, with its standard deviation. With DANTE_MAP_HAS_PATH_DELAY the time already
 * contains path_delay_ns; without it the time is late by the path delay. */
static inline int dante_time_at(const struct dante_dante4l *clock, int64_t raw_ns, int64_t *dante_ns, double *sigma_ns) {
    const struct dante_map *map = &clock->map;
    double sum = map->rate + map->rate_sigma + map->correlation + map->wander;
    if (!(clock->flags & DANTE_CLOCK_HAS_MAP) || !__builtin_isfinite(sum)) return DANTE_NO_MAP;
    *dante_ns = dante_map_time(map, raw_ns, sigma_ns);
    return (clock->flags & DANTE_CLOCK_LOCKED) ? DANTE_OK : DANTE_UNLOCKED;
}

/* Computes Dante time now. DANTE_STALE, DANTE_STOPPED and DANTE_UNLOCKED also give a time, by the last map. */
static inline int dante_time_now(struct dante_page *page, int64_t *dante_ns, double *sigma_ns) {
    struct dante_dante4l clock;
    int read = dante_read_dante4l(page, &clock), result;
    if (read < DANTE_OK) return read;
    result = dante_time_at(&clock, dante_raw_now(), dante_ns, sigma_ns);
    return result < DANTE_OK ? result : read != DANTE_OK ? read : result;
}

/* Returns the sample after the first `*seen` ones, or the oldest one that the ring still has; NULL: there are no more samples. Begin
 * with *seen = 0, or with clock->samples to get only later samples; begin again when page.head.instance changes. Entries that a
 * page with a smaller ring leaves empty (number 0) are skipped. */
static inline const struct dante_sample *dante_next_sample(const struct dante_dante4l *clock, uint64_t *seen) {
    if (*seen < clock->samples && clock->samples - *seen > DANTE_RING) *seen = clock->samples - DANTE_RING;
    while (*seen < clock->samples) {
        const struct dante_sample *sample = &clock->ring[(*seen)++ % DANTE_RING];
        if (sample->number != 0) return sample;
    }
    return NULL;
}

/* ---- UTC ---- */

/* floor(elapsed * slope / 2^48): the product has 128 bits. Without __int128 (32-bit machines, DANTE_NO_INT128) it is computed in
 * halves. */
static inline int64_t dante_gained_(int64_t elapsed, int64_t slope) {
#if defined __SIZEOF_INT128__ && !defined DANTE_NO_INT128
    /* With GCC and Clang the right shift of a negative number rounds towards minus infinity. */
    __extension__ __int128 gained = ((__extension__(__int128)elapsed) * slope) >> 48;
    return gained > INT64_MAX ? INT64_MAX : gained < INT64_MIN ? INT64_MIN : (int64_t)gained;
#else
    const uint64_t half = 0xffffffffu;
    int is_negative = (elapsed < 0) != (slope < 0);
    uint64_t a = elapsed < 0 ? 0 - (uint64_t)elapsed : (uint64_t)elapsed, b = slope < 0 ? 0 - (uint64_t)slope : (uint64_t)slope;
    uint64_t low = (a & half) * (b & half);
    uint64_t middle = (a >> 32) * (b & half) + (low >> 32);
    uint64_t other = (a & half) * (b >> 32) + (middle & half);
    uint64_t high = (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
    if (high >> 47) return is_negative ? INT64_MIN : INT64_MAX;
    low = (other << 32) | (low & half);
    int64_t whole = (int64_t)((high << 16) | (low >> 48));
    return is_negative ? -whole - ((low << 16) != 0) : whole;
#endif
}

/* Returns UTC at Dante time `dante_ns`, ns since 1970, without the leap seconds: the same on every host, to the ns. For a Dante time
 * before piece->dante0_ns use the piece that was published before this one. */
static inline int64_t dante_piece_utc(const struct dante_piece *piece, int64_t dante_ns) {
    int64_t elapsed = dante_sub_(dante_ns, piece->dante0_ns);
    return dante_add_(dante_add_(piece->utc0_ns, elapsed), dante_gained_(elapsed, piece->slope));
}

/* Computes UTC at Dante time `dante_ns`, ns since 1970, by the page of dante2sys. `instance` and `timeline` are head.instance and
 * timeline of the page of dante4l that gave `dante_ns`. The bound of the UTC error is utc_bound_ns. */
static inline int dante_utc_at(const struct dante_dante2sys *steered, uint64_t instance, uint64_t timeline, int64_t dante_ns,
                               int64_t *utc_ns) {
    const struct dante_piece *piece = &steered->piece;
    if (!(steered->flags & DANTE_STEER_HAS_PIECE) || steered->key_instance != instance || steered->key_number != timeline)
        return DANTE_NO_PIECE;
    if (steered->next.serial != 0 && dante_ns >= steered->next_from_dante_ns) piece = &steered->next;
    *utc_ns = dante_add_(dante_piece_utc(piece, dante_ns), (int64_t)steered->leap_seconds * 1000000000);
    return DANTE_OK;
}

#ifdef __cplusplus
}
#endif

#endif /* DANTE_PAGES_H */
