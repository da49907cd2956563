/* Reads the clock pages with dante_pages.h, and prints numbers that the tests check.
 *
 *   page_reader read INSTANCE      reads each page once, and prints one line
 *   page_reader loop INSTANCE      reads dante4l's page at full speed until SIGTERM; prints each new result, and Dante time five
 *                                  times a second
 *   page_reader torn INSTANCE      reads dante4l's page, which has the same number in many fields, until it has changed 300 times
 *   page_reader compute RAW0 DANTE0 RATE OFFSET_SIGMA RATE_SIGMA CORRELATION WANDER DANTE0 UTC0 SLOPE LEAP RAW */
#include <dante_pages.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* Largest difference between two readings of one leader's time by two clock maps, ns. Values mixed from two pages differ by more. */
#define AGREEMENT_NS 1000000

static volatile sig_atomic_t is_ended;

static void end(int number) {
    (void)number;
    is_ended = 1;
}

static int64_t whole(const char *text) { return (int64_t)strtoll(text, NULL, 10); }

static int compute(char **words) {
    struct dante_map map = {whole(words[0]),          whole(words[1]),          strtod(words[2], NULL),
                            whole(words[3]),          strtod(words[4], NULL),   strtod(words[5], NULL),
                            strtod(words[6], NULL)};
    struct dante_dante2sys steered;
    double sigma;
    int64_t utc = 0, dante = dante_map_time(&map, whole(words[11]), &sigma);
    memset(&steered, 0, sizeof steered);
    steered.flags = DANTE_STEER_HAS_PIECE;
    steered.piece.dante0_ns = whole(words[7]);
    steered.piece.utc0_ns = whole(words[8]);
    steered.piece.slope = whole(words[9]);
    steered.leap_seconds = (int32_t)whole(words[10]);
    if (dante_utc_at(&steered, 1, 0, dante, &utc) != DANTE_NO_PIECE) return 1;
    if (dante_utc_at(&steered, 0, 0, dante, &utc) != DANTE_OK) return 1;
    /* The next piece is in force from next_from_dante_ns on, and not before. */
    if (utc > -INT64_MAX / 2 && utc < INT64_MAX / 2) {
        int64_t with_next = 0;
        steered.next = steered.piece;
        steered.next.serial = 2;
        steered.next.utc0_ns += 5;
        steered.next_from_dante_ns = dante;
        if (dante_utc_at(&steered, 0, 0, dante, &with_next) != DANTE_OK || with_next != utc + 5) return 1;
        steered.next_from_dante_ns = dante + 1;
        if (dante_utc_at(&steered, 0, 0, dante, &with_next) != DANTE_OK || with_next != utc) return 1;
    }
    printf("dante=%" PRId64 " sigma=%.3f utc=%" PRId64 "\n", dante, sigma, utc);
    return 0;
}

static int read_once(const char *instance) {
    struct dante_page pages[3];
    struct dante_dante4l clock;
    struct dante_dante2sys steered;
    struct dante_danteshm relay;
    const struct dante_sample *sample;
    double sigma = 0;
    int64_t raw = dante_raw_now(), dante = 0, utc = 0;
    uint64_t seen = 0, count = 0, last = 0;
    int result, time, utc_result;
    for (int n = 0; n < 3; n++)
        if (dante_page_open(&pages[n], (enum dante_kind)(DANTE_DANTE4L + n), instance) == DANTE_BAD_NAME) return 2;
    result = dante_read_dante4l(&pages[0], &clock);
    time = dante_time_at(&clock, raw, &dante, &sigma);
    printf("dante4l=%d dante2sys=%d", result, dante_read_dante2sys(&pages[1], &steered));
    printf(" danteshm=%d", dante_read_danteshm(&pages[2], &relay));
    utc_result = dante_utc_at(&steered, pages[0].head.instance, clock.timeline, dante, &utc);
    while ((sample = dante_next_sample(&clock, &seen))) {
        if (count++ > 0 && sample->number != last + 1) printf(" gap=%" PRIu64, last);
        last = sample->number;
    }
    printf(" time=%d raw=%" PRId64 " dante=%" PRId64 " sigma=%.3f rate=%.17g", time, raw, dante, sigma, clock.map.rate);
    printf(" timeline=%" PRIu64 " state=%d samples=%" PRIu64 " held=%" PRIu64 " last=%" PRIu64, clock.timeline, clock.state,
           clock.samples, count, last);
    printf(" path_delay=%" PRId64, clock.path_delay_ns);
    printf(" utc_result=%d utc=%" PRId64 " steer_state=%d relay_state=%d epoch=%" PRId64 "\n", utc_result, utc, steered.state,
           relay.state, relay.epoch_ns);
    for (int n = 0; n < 3; n++) dante_page_close(&pages[n]);
    return 0;
}

static int loop(const char *instance) {
    struct dante_page page;
    struct dante_dante4l clock;
    const struct dante_sample *sample;
    int last = 99;
    uint64_t reads = 0, seen = 0, writer = 0;
    int64_t raw0 = 0, dante0 = 0, printed = 0;
    dante_page_open(&page, DANTE_DANTE4L, instance);
    while (!is_ended) {
        int result = dante_read_dante4l(&page, &clock);
        int64_t raw = dante_raw_now(), dante = 0;
        double sigma = 0;
        reads++;
        /* The writer was preempted while it wrote. */
        if (result == DANTE_TORN) continue;
        if (result != last) {
            printf("result %d: %s\n", result, dante_result_text(result));
            fflush(stdout);
            last = result;
        }
        if (result != DANTE_OK || dante_time_at(&clock, raw, &dante, &sigma) != DANTE_OK) continue;
        if (page.head.instance != writer) {
            writer = page.head.instance;
            seen = 0;
            raw0 = 0;
        }
        if (raw0 != 0 && llabs((long long)((dante - dante0) - (raw - raw0))) > AGREEMENT_NS)
            printf("wrong: %" PRId64 " ns after %" PRId64 " ns\n", dante - dante0, raw - raw0);
        raw0 = raw;
        dante0 = dante;
        while ((sample = dante_next_sample(&clock, &seen))) {
            int64_t late = dante_map_time(&clock.map, sample->arrived_raw_ns, NULL) - sample->origin_ns;
            if (sample->timeline == clock.timeline && llabs((long long)(late - sample->residual_ns)) > AGREEMENT_NS)
                printf("wrong: sample %" PRIu64 " has residual %" PRId64 " ns, not %" PRId64 "\n", sample->number, late,
                       sample->residual_ns);
        }
        if (raw - printed > 200000000) {
            printed = raw;
            printf("time raw=%" PRId64 " dante=%" PRId64 " sigma=%.3f seen=%" PRIu64 "\n", raw, dante, sigma, seen);
            fflush(stdout);
        }
    }
    printf("reads %" PRIu64 "\n", reads);
    return 0;
}

static int torn(const char *instance) {
    struct dante_page page;
    struct dante_dante4l clock;
    uint64_t read = 0, torn = 0, cut = 0, wrong = 0, changed = 0, last = 0;
    dante_page_open(&page, DANTE_DANTE4L, instance);
    while (changed < 300 && !is_ended) {
        int result = dante_read_dante4l(&page, &clock), is_one = 1;
        if (result == DANTE_TORN) {
            torn++;
            continue;
        }
        if (result == DANTE_SIZE) {
            cut++;
            continue;
        }
        /* STALE: the writer was delayed for two seconds. */
        if (result != DANTE_OK && result != DANTE_STALE) return 3;
        read++;
        for (int n = 0; n < DANTE_RING; n++)
            is_one &= clock.ring[n].number == clock.timeline && clock.ring[n].timeline == clock.timeline;
        if (!is_one || (uint64_t)clock.path_delay_ns != clock.timeline) wrong++;
        changed += clock.timeline != last;
        last = clock.timeline;
    }
    printf("read=%" PRIu64 " torn=%" PRIu64 " cut=%" PRIu64 " changed=%" PRIu64 " wrong=%" PRIu64 "\n", read, torn, cut, changed,
           wrong);
    return 0;
}

int main(int argc, char **argv) {
    signal(SIGTERM, end);
    if (argc == 3 && strcmp(argv[1], "read") == 0) return read_once(argv[2]);
    if (argc == 3 && strcmp(argv[1], "loop") == 0) return loop(argv[2]);
    if (argc == 3 && strcmp(argv[1], "torn") == 0) return torn(argv[2]);
    if (argc == 14 && strcmp(argv[1], "compute") == 0) return compute(argv + 2);
    return 2;
}
