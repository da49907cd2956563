/* Preloaded into a program (LD_PRELOAD): a disk that needs 15 s for each sync. The first call makes the file that the environment
 * variable SLOW_DISK_BEGAN names. */
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int fsync(int fd)
{
	struct timespec rest = { .tv_sec = 15 };
	const char *name = getenv("SLOW_DISK_BEGAN");
	int began = name ? open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;

	(void)fd;
	if (began >= 0)
		close(began);
	while (nanosleep(&rest, &rest) != 0)
		;
	return 0;
}
