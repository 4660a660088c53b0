/**
 * Each of them allows another connection between one port and another: all of
 * 127.0.0.0/8 is loopback. The first 65,536 are left to others
 */
export function loopbackHost (n: number): string {
  return `127.${1 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`
}
