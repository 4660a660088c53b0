/*
 * Takes from a process what Linux has and other systems do not:
 *
 * - SO_REUSEPORT. Then nothing can be bound beside a listener, unless bsd-bind-rules.c allows it
 * - other addresses of the loopback interface than 127.0.0.1
 * - /proc, but for what a process reads of itself
 * - network namespaces: unshare(1) is not found
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

#define ORIGINAL(function) ((__typeof__(&function)) dlsym(RTLD_NEXT, #function))

static int fail(int error) {
  errno = error;
  return -1;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length) {
  return level == SOL_SOCKET && name == SO_REUSEPORT ? fail(ENOTSUP) : ORIGINAL(setsockopt)(fd, level, name, value, length);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
  uint32_t host = address->sa_family == AF_INET ? ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) : INADDR_ANY;

  return host >> 24 == IN_LOOPBACKNET && host != INADDR_LOOPBACK ? fail(EADDRNOTAVAIL) : ORIGINAL(bind)(fd, address, length);
}

int open64(const char *path, int flags, ...);

/* libuv gives a mode each time */
int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);

  return strncmp(path, "/proc/", 6) == 0 && strncmp(path, "/proc/self/", 11) != 0 ? fail(ENOENT) : ORIGINAL(open64)(path, flags, mode);
}

int execvp(const char *file, char *const arguments[]) {
  return strcmp(file, "unshare") == 0 ? fail(ENOENT) : ORIGINAL(execvp)(file, arguments);
}
