/*
 * For wineserver: Linux allows every bind beside another socket of this user. wine then decides
 * alone, by the rules of Windows (sock_check_bind in wine's server/sock.c)
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>

int bind(int fd, const struct sockaddr *address, socklen_t length) {
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int) { 1 }, sizeof(int));

  return ((__typeof__(&bind)) dlsym(RTLD_NEXT, "bind"))(fd, address, length);
}
