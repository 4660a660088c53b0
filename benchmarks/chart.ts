import { CustomChart, LineChart, ScatterChart } from 'echarts/charts'
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components'
import { init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import { median } from '../test/kit/statistics.ts'
import { formatBar, formatRatio, judgeAll } from './report.ts'
import type { Judged, Results, Samples } from './results.ts'
import type { CustomSeriesRenderItem } from 'echarts'

use([CustomChart, GridComponent, LegendComponent, LineChart, ScatterChart, SVGRenderer, TitleComponent])

const WIDTH = 860
const ROW_HEIGHT = 30
const RATIOS_TOP = 90
const COST_HEIGHT = 220
const LEFT = 280
const RIGHT = 130
const FONT = 'system-ui, sans-serif'
const INK = '#1f2328'
const FAINT = '#d0d7de'

const REACHED = '#1a7f37'
const NOT_REACHED = '#cf222e'
const OURS = '#0969da'
const THEIRS = '#8c959f'

/**
 * @returns an SVG: the ratio of each metric with its target, and the cost of a dial against the
 * number of live connections
 */
export function drawChart (results: Results): string {
  const { judged } = judgeAll(results)
  const ratiosHeight = judged.length * ROW_HEIGHT
  const costTop = RATIOS_TOP + ratiosHeight + 130
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: costTop + COST_HEIGHT + 60 })

  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: FONT, color: INK },
    title: [
      title('libp2p-reuseport-tcp against @libp2p/tcp', 'Ratios, with their 95 % ranges. The dark mark is what is aimed at: ≥ is reached to the right of it, ≤ to the left', 16),
      title('CPU of one more dial', 'in µs, against the number of live connections, ours all from one port', costTop - 74)
    ],
    legend: { data: ['ours', '@libp2p/tcp'], top: costTop - 66, right: RIGHT, textStyle: { color: INK } },
    grid: [
      { top: RATIOS_TOP, height: ratiosHeight, left: LEFT, right: RIGHT },
      { top: costTop, height: COST_HEIGHT, left: LEFT, right: RIGHT }
    ],
    xAxis: [
      { ...axis(0), type: 'log', logBase: 2, ...ratioRange(judged), axisLabel: { color: INK, formatter: (value: number) => `${value} ×` } },
      { ...axis(1), type: 'value', max: 'dataMax', axisLabel: { color: INK } }
    ],
    yAxis: [
      { ...axis(0), type: 'category', inverse: true, data: judged.map(metric => `${metric.title}  ${formatBar(metric)}`), axisLabel: { color: INK } },
      { ...axis(1), type: 'value', min: 0, axisLabel: { color: INK } },
      { ...axis(0), type: 'category', inverse: true, position: 'right', data: judged.map(label), axisLabel: { color: INK } }
    ],
    series: [
      {
        type: 'custom',
        data: judged.map((metric, row) => ({ value: [...metric.range, row], itemStyle: { color: colorOf(metric) } })),
        encode: { x: [0, 1], y: 2 },
        renderItem: drawRange
      },
      {
        type: 'scatter',
        symbol: 'rect',
        symbolSize: [3, 20],
        itemStyle: { color: INK },
        data: judged.map(({ bar }, row) => [bar, row])
      },
      {
        type: 'scatter',
        symbolSize: 10,
        data: judged.map((metric, row) => ({ value: [metric.ratio, row], itemStyle: { color: colorOf(metric) } }))
      },
      costLine('ours', costs(results.samples, 'js'), OURS),
      costLine('@libp2p/tcp', costs(results.samples, '@libp2p/tcp'), THEIRS)
    ]
  })

  const svg = chart.renderToSVGString()
  chart.dispose()

  return svg
}

function title (text: string, subtext: string, top: number): object {
  return { text, subtext, top, left: 16, textStyle: { fontFamily: FONT, color: INK, fontSize: 16 }, subtextStyle: { fontFamily: FONT, color: INK } }
}

function axis (gridIndex: number): object {
  return { gridIndex, axisLine: { lineStyle: { color: FAINT } }, axisTick: { show: false }, splitLine: { show: true, lineStyle: { color: FAINT, opacity: 0.5 } } }
}

/**
 * The powers of two around all shown values
 */
function ratioRange (judged: Judged[]): { min: number, max: number } {
  const values = judged.flatMap(({ bar, range }) => [bar, ...range])

  return { min: 2 ** Math.floor(Math.log2(Math.min(...values))), max: 2 ** Math.ceil(Math.log2(Math.max(...values))) }
}

function label (metric: Judged): string {
  return `${formatRatio(metric, metric.ratio)}${metric.verdict === 'reached' ? '' : `, ${metric.verdict}`}`
}

function colorOf ({ verdict }: Judged): string {
  return verdict === 'reached' ? REACHED : NOT_REACHED
}

const drawRange: CustomSeriesRenderItem = (_params, api) => {
  const [[x1, y], [x2]] = [0, 1].map(i => api.coord([api.value(i), api.value(2)]))

  return { type: 'line', shape: { x1, y1: y, x2, y2: y }, style: { stroke: api.visual('color'), lineWidth: 6, opacity: 0.35 } }
}

/**
 * Pairs: the number of live connections, and the µs of a dial
 */
function costs (samples: Samples, contestant: 'js' | '@libp2p/tcp'): Array<[number, number]> {
  return Object.entries(samples)
    .filter(([name]) => name.startsWith('live-'))
    .map<[number, number]>(([name, { [contestant]: seconds = [] }]) => [Number(name.slice('live-'.length)), 1e6 * median(seconds)])
    .toSorted(([a], [b]) => a - b)
}

function costLine (name: string, data: Array<[number, number]>, color: string): object {
  return { name, type: 'line', xAxisIndex: 1, yAxisIndex: 1, data, symbolSize: 5, lineStyle: { color }, itemStyle: { color } }
}
