/* Prints Dante time once a second, and UTC while dante2sys runs and publishes it.
 *
 *   cc -O2 -o dante-now dante-now.c && ./dante-now [INSTANCE] */
#include <dante_pages.h>

#include <inttypes.h>
#include <stdio.h>

int main(int argc, char **argv) {
    const char *instance = argc > 1 ? argv[1] : NULL;
    struct dante_page dante4l, dante2sys;
    struct dante_dante4l clock;
    struct dante_dante2sys steered;
    if (dante_page_open(&dante4l, DANTE_DANTE4L, instance) == DANTE_BAD_NAME) {
        fprintf(stderr, "%s: %s\n", instance, dante_result_text(DANTE_BAD_NAME));
        return 2;
    }
    dante_page_open(&dante2sys, DANTE_DANTE2SYS, instance);
    for (;; sleep(1)) {
        int64_t dante = 0, utc = 0;
        double sigma = 0;
        int result = dante_read_dante4l(&dante4l, &clock);
        if (result >= DANTE_OK) {
            int time = dante_time_at(&clock, dante_raw_now(), &dante, &sigma);
            if (result == DANTE_OK || time < DANTE_OK) result = time;
        }
        if (result < DANTE_OK) {
            printf("%s: %s\n", dante4l.path, dante_result_text(result));
            fflush(stdout);
            continue;
        }
        printf("Dante %" PRId64 ".%09" PRId64 " s +-%.0f ns (%s)", dante / 1000000000, dante % 1000000000, sigma,
               dante_result_text(result));
        int steering = dante_read_dante2sys(&dante2sys, &steered);
        /* UTC of a dante2sys that ended or hangs is not printed: it is not corrected any more. */
        if (steering == DANTE_OK)
            steering = dante_utc_at(&steered, dante4l.head.instance, clock.timeline, dante, &utc);
        if (steering == DANTE_OK) {
            printf(", UTC %" PRId64 ".%09" PRId64 " s", utc / 1000000000, utc % 1000000000);
            if (steered.flags & DANTE_STEER_HAS_UTC) printf(" +-%" PRId64 " ns", steered.utc_bound_ns);
            if (!(steered.flags & DANTE_STEER_UTC_SYNCHRONISED)) printf(" (not synchronised to UTC)");
        } else {
            printf(", no UTC (dante2sys: %s)", dante_result_text(steering));
        }
        printf("\n");
        fflush(stdout);
    }
}
