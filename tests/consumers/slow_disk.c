/* Preloaded into a program (LD_PRELOAD): a disk that does not answer to a sync. The first call makes the file that the environment
 * variable SLOW_DISK_BEGAN names. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int fsync(int fd)
{
	const char *name = getenv("SLOW_DISK_BEGAN");
	int began = name ? open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;

	(void)fd;
	if (began >= 0)
		close(began);
	for (;;)
		pause();
}
