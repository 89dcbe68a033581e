/*
 * relay-watch INTERVAL_US NAME FILE [NAME FILE ...]: every change of level of the lines whose levels the files tell, and
 * the level at the beginning, as `SECONDS NAME LEVEL` (CLOCK_BOOTTIME). With interval 0 it looks without a pause.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16 };

int main(int argc, char **argv)
{
    int files[MOST];
    char last[MOST] = {0}, level;
    struct timespec now;
    int lines = (argc - 2) / 2;

    if (argc < 4 || argc % 2 || lines > MOST)
        return 2;
    for (int i = 0; i < lines; i++)
        if ((files[i] = open(argv[3 + 2 * i], O_RDONLY)) < 0) {
            perror(argv[3 + 2 * i]);
            return 1;
        }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        for (int i = 0; i < lines; i++) {
            if (pread(files[i], &level, 1, 0) != 1)
                return 1;
            if (level == last[i])
                continue;
            last[i] = level;
            clock_gettime(CLOCK_BOOTTIME, &now);
            printf("%lld.%06ld %s %c\n", (long long)now.tv_sec, now.tv_nsec / 1000, argv[2 + 2 * i], level);
        }
        if (atoi(argv[1]))
            usleep((useconds_t)atoi(argv[1]));
    }
}
