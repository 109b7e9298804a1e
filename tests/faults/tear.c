/* Ends a process in the middle of what it does to a file.

   Loaded by LD_PRELOAD, in place of libc's pwrite, fsync and fdatasync. When the nth of these calls
   comes to a file whose name matches a pattern, the process kills itself:

   before   instead of the call
   half     after half of the bytes: a torn write. Of a synchronisation, as before
   power    as before, and what was appended since the last synchronisation is cut off, as a loss
            of power may. Only good for a file that is appended to from some place on: a log

   TEAR_PATTERN, TEAR_NTH and TEAR_HOW are read from the environment, or given to tear_at();
   TEAR_LINGER, if it is there, are microseconds that pass before the end, for other threads. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef ssize_t (*writing)(int, const void *, size_t, off_t);
typedef int (*syncing)(int);

static char pattern[256];
static char how[16];
static long left; /* calls to go; 0 for never */
static off_t unsynced = -1; /* the first byte written since the last synchronisation */

void tear_at(const char *new_pattern, long nth, const char *new_how)
{
    snprintf(pattern, sizeof pattern, "%s", new_pattern);
    snprintf(how, sizeof how, "%s", new_how);
    left = nth;
    unsynced = -1;
}

__attribute__((constructor)) static void from_environment(void)
{
    const char *nth = getenv("TEAR_NTH");
    if (nth)
        tear_at(getenv("TEAR_PATTERN"), atol(nth), getenv("TEAR_HOW"));
}

static int concerns(int fd)
{
    char link[64], path[4096];
    if (left <= 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return fnmatch(pattern, path, 0) == 0;
}

static void die(int fd)
{
    char said[300];
    const char *linger = getenv("TEAR_LINGER");
    if (linger)
        usleep(atol(linger));
    if (!strcmp(how, "power") && unsynced >= 0 && ftruncate(fd, unsynced))
        abort();
    int size = snprintf(said, sizeof said, "died: %s %s\n", how, pattern);
    if (write(STDERR_FILENO, said, size) < 0)
        abort();
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static ssize_t write_at(writing real, int fd, const void *data, size_t size, off_t at)
{
    if (concerns(fd)) {
        if (__sync_sub_and_fetch(&left, 1) == 0) {
            if (!strcmp(how, "half") && real(fd, data, size / 2, at) < 0)
                abort();
            die(fd);
        }
        if (unsynced < 0 || at < unsynced)
            unsynced = at;
    }
    return real(fd, data, size, at);
}

static int synchronise(syncing real, int fd)
{
    int ours = concerns(fd);
    if (ours && __sync_sub_and_fetch(&left, 1) == 0)
        die(fd);
    int result = real(fd);
    if (ours && result == 0)
        unsynced = -1;
    return result;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return write_at((writing)dlsym(RTLD_NEXT, "pwrite"), fd, data, size, at);
}

#ifdef __GLIBC__
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return write_at((writing)dlsym(RTLD_NEXT, "pwrite64"), fd, data, size, at);
}
#endif

int fsync(int fd)
{
    return synchronise((syncing)dlsym(RTLD_NEXT, "fsync"), fd);
}

int fdatasync(int fd)
{
    return synchronise((syncing)dlsym(RTLD_NEXT, "fdatasync"), fd);
}
