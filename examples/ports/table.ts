/**
 * Columns that belong together, with a line between them and the next ones
 */
export interface ColumnGroup {
  title?: string
  columns: string[]
}

const GAP = '  '
const LINE = ' │ '

/**
 * The last cell of a row that is shorter than the others may take all the space
 * that is left
 */
export function formatTable (groups: ColumnGroup[], rows: string[][]): string[] {
  const columns = groups.flatMap(group => group.columns)
  const before = ['', ...groups.flatMap(group => group.columns.map((_, i) => i === 0 ? LINE : GAP)).slice(1)]
  const cells = rows.map(row => row.map(printable))

  const widths = columns.map((column, i) => {
    const inColumn = cells.filter(row => i < row.length - 1 || row.length === columns.length)

    return Math.max(...[column, ...inColumn.map(row => row[i])].map(cell => cell.length))
  })

  const format = (row: string[]): string => row.map((cell, i) => before[i] + cell.padEnd(widths[i])).join('')
  const rule = format(widths.map(width => '─'.repeat(width))).replaceAll(' ', '─').replaceAll('│', '┼')
  const titles = rule.split('─┼─').map((part, i) => (groups[i].title ?? '').padEnd(part.length)).join(LINE)
  const head = groups.some(({ title }) => title != null) ? [titles, format(columns)] : [format(columns)]

  return [...head, rule, ...cells.map(format)].map(line => line.trimEnd())
}

/**
 * Some of the text comes from peers, and must not reach the terminal as commands
 */
function printable (text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ')
}
