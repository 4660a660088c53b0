import { CustomChart, LineChart, ScatterChart } from 'echarts/charts'
import { GridComponent, LegendComponent, MarkLineComponent, TitleComponent } from 'echarts/components'
import { init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import { median } from '../test/kit/statistics.ts'
import { judgeAll } from './report.ts'
import type { Compared, Results, Samples, Verdict } from './results.ts'
import type { CustomSeriesRenderItem } from 'echarts'

use([CustomChart, GridComponent, LegendComponent, LineChart, MarkLineComponent, ScatterChart, SVGRenderer, TitleComponent])

const WIDTH = 860
const ROW_HEIGHT = 24
const TITLE_HEIGHT = 60
const AXIS_HEIGHT = 46
const COST_HEIGHT = 220
const LEFT = 330
const RIGHT = 140
const FONT = 'system-ui, sans-serif'
const INK = '#1f2328'
const FAINT = '#d0d7de'

const COLORS: Record<Verdict, string> = { better: '#1a7f37', equal: '#57606a', worse: '#cf222e', 'not known': '#bf8700' }
const OURS = '#0969da'
const THEIRS = '#8c959f'

interface Bar extends Compared {
  title: string
}

/**
 * @returns an SVG: the ratio of each figure with its range, and the cost of a dial against the
 * number of live connections
 */
export function drawChart (results: Results): string {
  const judged = judgeAll(results)
  const rates: Bar[] = judged.filter(({ better }) => better === 'higher').map(({ figure, title }) => ({ ...figure, title }))
  const costs: Bar[] = [
    ...judged.filter(({ better }) => better === 'lower').map(({ figure, title }) => ({ ...figure, title })),
    ...judged.flatMap(({ cpu, title }) => cpu == null ? [] : [{ ...cpu, title: `CPU: ${title}` }])
  ]
  const ratesTop = TITLE_HEIGHT
  const costsTop = ratesTop + rates.length * ROW_HEIGHT + AXIS_HEIGHT + TITLE_HEIGHT
  const linesTop = costsTop + costs.length * ROW_HEIGHT + AXIS_HEIGHT + TITLE_HEIGHT
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: linesTop + COST_HEIGHT + AXIS_HEIGHT })

  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: FONT, color: INK },
    title: [
      title('Rates, divided by those of @libp2p/tcp', 'more is better. The medians of the ratios of pairs, with their 95 % ranges', ratesTop),
      title('CPU time and memory, divided by those of @libp2p/tcp', 'less is better', costsTop),
      title('CPU of one more dial', 'in µs, against the number of live connections, ours all from one port', linesTop)
    ],
    legend: { data: ['ours', '@libp2p/tcp'], top: linesTop - TITLE_HEIGHT + 16, right: RIGHT, textStyle: { color: INK } },
    grid: [
      { top: ratesTop, height: rates.length * ROW_HEIGHT, left: LEFT, right: RIGHT },
      { top: costsTop, height: costs.length * ROW_HEIGHT, left: LEFT, right: RIGHT },
      { top: linesTop, height: COST_HEIGHT, left: LEFT, right: RIGHT }
    ],
    xAxis: [
      ...[rates, costs].map((bars, i) => ({ ...axis(i), type: 'log', logBase: 2, ...ratioRange(bars), axisLabel: { color: INK, formatter: (value: number) => `${value} ×` } })),
      { ...axis(2), type: 'value', max: 'dataMax', axisLabel: { color: INK } }
    ],
    // two axes each: the titles are on the left, the ratios on the right
    yAxis: [
      ...[rates, costs].flatMap((bars, i) => [names(i, bars.map(({ title }) => title)), { ...names(i, bars.map(label)), position: 'right' }]),
      { ...axis(2), type: 'value', min: 0, axisLabel: { color: INK } }
    ],
    series: [
      ...[rates, costs].flatMap(ratioSeries),
      costLine('ours', costsOf(results.samples, 'ours'), OURS),
      costLine('@libp2p/tcp', costsOf(results.samples, '@libp2p/tcp'), THEIRS)
    ]
  })

  const svg = chart.renderToSVGString()
  chart.dispose()

  return svg
}

function title (text: string, subtext: string, gridTop: number): object {
  return { text, subtext, top: gridTop - TITLE_HEIGHT + 6, left: 16, itemGap: 4, textStyle: { fontFamily: FONT, color: INK, fontSize: 16 }, subtextStyle: { fontFamily: FONT, color: INK } }
}

function axis (gridIndex: number): object {
  return { gridIndex, axisLine: { lineStyle: { color: FAINT } }, axisTick: { show: false }, splitLine: { show: true, lineStyle: { color: FAINT, opacity: 0.5 } } }
}

function names (gridIndex: number, data: string[]): object {
  return { ...axis(gridIndex), type: 'category', inverse: true, data, axisLabel: { color: INK } }
}

/** The powers of two around 1 and all shown values */
function ratioRange (bars: Bar[]): { min: number, max: number } {
  const values = bars.flatMap(({ range }) => range)

  return { min: 2 ** Math.floor(Math.log2(Math.min(0.9, ...values))), max: 2 ** Math.ceil(Math.log2(Math.max(1.1, ...values))) }
}

function label ({ ratio, verdict }: Bar): string {
  return `${ratio.toFixed(2)}, ${verdict}`
}

function ratioSeries (bars: Bar[], grid: number): object[] {
  const axes = { xAxisIndex: grid, yAxisIndex: 2 * grid }
  const styled = bars.map(({ range, ratio, verdict }, row) => ({ range, ratio, row, itemStyle: { color: COLORS[verdict] } }))

  return [
    {
      ...axes,
      type: 'custom',
      data: styled.map(({ itemStyle, range, row }) => ({ value: [...range, row], itemStyle })),
      encode: { x: [0, 1], y: 2 },
      renderItem: drawRange,
      markLine: { data: [{ xAxis: 1 }], symbol: 'none', silent: true, label: { show: false }, lineStyle: { color: INK, type: 'solid', width: 1 } }
    },
    {
      ...axes,
      type: 'scatter',
      symbolSize: 9,
      data: styled.map(({ itemStyle, ratio, row }) => ({ value: [ratio, row], itemStyle }))
    },
    // without data, the axis on the right is not drawn
    { xAxisIndex: grid, yAxisIndex: 2 * grid + 1, type: 'scatter', symbolSize: 0, data: styled.map(({ ratio, row }) => [ratio, row]) }
  ]
}

const drawRange: CustomSeriesRenderItem = (_params, api) => {
  const [[x1, y], [x2]] = [0, 1].map(i => api.coord([api.value(i), api.value(2)]))

  return { type: 'line', shape: { x1, y1: y, x2, y2: y }, style: { stroke: api.visual('color'), lineWidth: 6, opacity: 0.35 } }
}

/** Pairs: the number of live connections, and the µs of a dial */
function costsOf (samples: Samples, contestant: 'ours' | '@libp2p/tcp'): Array<[number, number]> {
  return Object.entries(samples)
    .filter(([name]) => name.startsWith('live-'))
    .map<[number, number]>(([name, { [contestant]: seconds = [] }]) => [Number(name.slice('live-'.length)), 1e6 * median(seconds)])
    .toSorted(([a], [b]) => a - b)
}

function costLine (name: string, data: Array<[number, number]>, color: string): object {
  return { name, type: 'line', xAxisIndex: 2, yAxisIndex: 4, data, symbolSize: 5, lineStyle: { color }, itemStyle: { color } }
}
