import { readFileSync } from 'node:fs'

/**
 * How many units of /proc/PID/stat are a second, see proc_pid_stat(5). It is this number on all
 * machines
 */
const PER_SECOND = 100

/** The CPU time, user and system, that these processes have used so far, in seconds. Linux only */
export function cpuSeconds (pids: number[]): number {
  return pids.reduce((sum, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf-8')
    // the name in parentheses may have spaces. The state follows it, and is field 3 of all
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const [user, system] = [14, 15].map(n => Number(fields[n - 3]))

    return sum + (user + system) / PER_SECOND
  }, 0)
}
