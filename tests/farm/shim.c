/* Loaded before the C library: a folder without file locks, and a clock that is
   off by LONGTAKE_TEST_CLOCK seconds, for programs that themselves know nothing
   of it. The time stamps of files stay those of the disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

int flock(int file, int operation) {
  (void)file;
  (void)operation;
  errno = ENOLCK;
  return -1;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real)
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT,
                                                        "clock_gettime");
  int result = real(clock, time);
  const char *off = getenv("LONGTAKE_TEST_CLOCK");
  if (result == 0 && clock == CLOCK_REALTIME && off)
    time->tv_sec += atol(off);
  return result;
}
