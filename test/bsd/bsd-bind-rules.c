/*
 * Gives the TCP sockets of a Linux process the rules of xnu (macOS) for local ports:
 *
 *   cc -shared -fPIC -o bsd-bind-rules.so bsd-bind-rules.c
 *   LD_PRELOAD=./bsd-bind-rules.so node …
 *
 * Linux is made to allow everything, by SO_REUSEPORT. What xnu would find in the way is
 * looked for here, among the sockets of all processes in the network namespace. The
 * functions that are named are those of xnu-11417.101.15.
 *
 * What is not as in xnu:
 * - another process may bind between the look and the bind
 * - a socket that is bound to a concrete address, but not connected yet, takes no SYN
 * from a listener on the wildcard
 * - all sockets of a port must have SO_REUSEADDR, not only the one that is bound last;
 * and root can't share a port with others. Nobody else can in xnu either
 * - TIME_WAIT lasts 60 s, not 2 * net.inet.tcp.msl = 30 s
 * - IPv4-mapped IPv6 addresses are not looked at
 * - a port below 1024 on a concrete address is not root's alone
 *
 * Needs Linux 6.8: older ones do not tell which sockets are bound and nothing else.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ORIGINAL(function) ((__typeof__(&function)) dlsym(RTLD_NEXT, #function))

/* States of TCP sockets. Linux has no public name for one that is bound and nothing else */
#define UNCONNECTED (1u << TCP_LISTEN | 1u << 13)
#define ALL (~0u)

/* Both ends of a socket, as Linux describes them: addresses, ports and the zone */
typedef struct inet_diag_sockid Ends;

static bool is_wildcard(const uint32_t address[4]) {
  return memcmp(address, (uint32_t[4]) { 0 }, 16) == 0;
}

static int option(int fd, int level, int name) {
  int value = 0;
  getsockopt(fd, level, name, &value, &(socklen_t) { sizeof value });
  return value;
}

static bool is_tcp(int fd) {
  return option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP;
}

/* Returns the port, and sets the address, which for IPv4 is one of the four words */
static in_port_t parse(const struct sockaddr *from, uint32_t address[4], uint32_t *zone) {
  const struct sockaddr_in *v4 = (const void *) from;
  const struct sockaddr_in6 *v6 = (const void *) from;

  if (from->sa_family == AF_INET6) {
    memcpy(address, &v6->sin6_addr, 16);
    *zone = v6->sin6_scope_id;
  } else {
    address[0] = v4->sin_addr.s_addr;
  }

  return v4->sin_port;
}

static in_port_t local_end(int fd, Ends *ends) {
  struct sockaddr_in6 name = { 0 };
  getsockname(fd, (void *) &name, &(socklen_t) { sizeof name });
  return parse((void *) &name, ends->idiag_src, &ends->idiag_if);
}

/*
 * in_pcblookup_local(), in6_pcblookup_local() for a bind with SO_REUSEADDR (wild_okay is 0):
 * an unconnected socket with this very address is in the way
 */
static bool has_same_end(const Ends *found, const Ends *wanted) {
  return found->idiag_sport == wanted->idiag_sport && found->idiag_dport == 0 && found->idiag_if == wanted->idiag_if &&
    memcmp(found->idiag_src, wanted->idiag_src, 16) == 0;
}

/* in_pcblookup_hash(), in6_pcblookup_hash(): Linux has found a connection, not a listener */
static bool has_same_ends(const Ends *found, const Ends *wanted) {
  return found->idiag_dport == wanted->idiag_dport;
}

/*
 * An IPv6 socket that is not for IPv6 only is one of IPv4, too (INP_IPV4). The other way
 * round, an IPv4 socket is never in the way: in6_pcbbind() wants both to be PF_INET6
 */
static bool is_of_family(const struct nlmsghdr *message, int family) {
  const struct inet_diag_msg *socket = NLMSG_DATA(message);
  int length = NLMSG_PAYLOAD(message, sizeof *socket);
  bool v6only = false;

  for (const struct rtattr *each = (void *) (socket + 1); RTA_OK(each, length); each = RTA_NEXT(each, length)) {
    v6only |= each->rta_type == INET_DIAG_SKV6ONLY && *(char *) RTA_DATA(each);
  }

  return socket->idiag_family == family || (family == AF_INET && !v6only);
}

/* Asks Linux for a socket: the one with these ends, or any in other states than ALL */
static bool find(int family, uint32_t states, const Ends *ends, bool (*matches)(const Ends *, const Ends *)) {
  struct { struct nlmsghdr head; struct inet_diag_req body; } request = {
    { .nlmsg_len = sizeof request, .nlmsg_type = TCPDIAG_GETSOCK, .nlmsg_flags = NLM_F_REQUEST | (states == ALL ? 0 : NLM_F_DUMP) },
    { .idiag_family = family, .id = *ends, .idiag_states = states }
  };
  _Alignas(struct nlmsghdr) char answer[32768];
  int kernel = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  bool found = false, more = send(kernel, &request, sizeof request, 0) > 0;

  while (more) {
    ssize_t length = recv(kernel, answer, sizeof answer, 0);
    more = length > 0 && states != ALL;

    for (struct nlmsghdr *each = (void *) answer; NLMSG_OK(each, length); each = NLMSG_NEXT(each, length)) {
      const struct inet_diag_msg *socket = NLMSG_DATA(each);

      if (each->nlmsg_type == TCPDIAG_GETSOCK) {
        found |= is_of_family(each, family) && matches(&socket->id, ends);
      } else {
        more = false;
      }
    }
  }

  close(kernel);
  return found;
}

/* libuv's uv__sock_reuseport() does not know the option on macOS */
int setsockopt(int fd, int level, int name, const void *value, socklen_t length) {
  if (level == SOL_SOCKET && name == SO_REUSEPORT && is_tcp(fd)) {
    errno = ENOTSUP;
    return -1;
  }

  return ORIGINAL(setsockopt)(fd, level, name, value, length);
}

/*
 * in_pcbbind(), in6_pcbbind(). Without SO_REUSEADDR, whatever overlaps is in the way, in
 * Linux as well. So it is for port 0, for which the kernel chooses a free port
 */
int bind(int fd, const struct sockaddr *address, socklen_t length) {
  Ends ends = { 0 };

  if (is_tcp(fd) && option(fd, SOL_SOCKET, SO_REUSEADDR)) {
    ends.idiag_sport = parse(address, ends.idiag_src, &ends.idiag_if);

    if (ends.idiag_sport != 0 && find(address->sa_family, UNCONNECTED, &ends, has_same_end)) {
      errno = EADDRINUSE;
      return -1;
    }

    ORIGINAL(setsockopt)(fd, SOL_SOCKET, SO_REUSEPORT, &(int) { 1 }, sizeof(int));
  }

  return ORIGINAL(bind)(fd, address, length);
}

/*
 * tcp_connect(), tcp6_connect(): a 4-tuple that exists is EADDRINUSE, be it in TIME_WAIT. In
 * Linux it is EADDRNOTAVAIL, or in TIME_WAIT can be used again
 */
int connect(int fd, const struct sockaddr *address, socklen_t length) {
  Ends ends = { .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } };

  if (is_tcp(fd) && (ends.idiag_sport = local_end(fd, &ends)) != 0) {
    ends.idiag_dport = parse(address, ends.idiag_dst, &ends.idiag_if);

    if (is_wildcard(ends.idiag_src)) { /* in_pcbladdr(): the route says the address */
      int route = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      ORIGINAL(connect)(route, address, length);
      local_end(route, &ends);
      close(route);
    }

    if (find(address->sa_family, ALL, &ends, has_same_ends)) {
      errno = EADDRINUSE;
      return -1;
    }
  }

  return ORIGINAL(connect)(fd, address, length);
}
