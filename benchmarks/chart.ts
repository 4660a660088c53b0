import { CustomChart, LineChart, ScatterChart } from 'echarts/charts'
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components'
import { init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import { formatBar, formatRatio } from './format.ts'
import type { MetricResult, Results, Verdict } from './results.ts'
import type { DialCost } from './row.ts'
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

const COLORS: Record<Verdict, string> = { ok: '#1a7f37', 'not reached': '#cf222e', 'too noisy': '#9a6700' }
const OURS = '#0969da'
const PEER = '#8c959f'

/**
 * As SVG: the ratio of each row with its bar, and the cost of a dial against the
 * number of live connections
 */
export function drawChart ({ metrics, dialCost, peer }: Results): string {
  const ratiosHeight = metrics.length * ROW_HEIGHT
  const costTop = RATIOS_TOP + ratiosHeight + 130
  const height = dialCost?.ours == null ? RATIOS_TOP + ratiosHeight + 60 : costTop + COST_HEIGHT + 60
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height })

  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: FONT, color: INK },
    title: [
      title('libp2p-reuseport-tcp against @libp2p/tcp', 'Ratios: median and quartiles. The dark mark is the bar: ≥ is reached to the right of it, ≤ to the left', 16),
      ...dialCost?.ours == null ? [] : [title('CPU of one more dial', 'in µs, against the number of live connections, ours all from one port', costTop - 74)]
    ],
    legend: { data: ['ours', peer], top: costTop - 66, right: RIGHT, textStyle: { color: INK } },
    grid: [
      { top: RATIOS_TOP, height: ratiosHeight, left: LEFT, right: RIGHT },
      { top: costTop, height: COST_HEIGHT, left: LEFT, right: RIGHT }
    ],
    xAxis: [
      { ...axis(0), type: 'log', logBase: 2, ...ratioRange(metrics), axisLabel: { color: INK, formatter: (value: number) => `${value} ×` } },
      { ...axis(1), type: 'value', max: 'dataMax', axisLabel: { color: INK } }
    ],
    yAxis: [
      { ...axis(0), type: 'category', inverse: true, data: metrics.map(metric => `${metric.title}  ${formatBar(metric)}`), axisLabel: { color: INK } },
      { ...axis(1), type: 'value', min: 0, axisLabel: { color: INK } },
      { ...axis(0), type: 'category', inverse: true, position: 'right', data: metrics.map(label), axisLabel: { color: INK } }
    ],
    series: [
      {
        type: 'custom',
        data: metrics.map(({ quartiles, verdict }, row) => ({ value: [...quartiles, row], itemStyle: { color: COLORS[verdict] } })),
        encode: { x: [0, 1], y: 2 },
        renderItem: drawRange
      },
      {
        type: 'scatter',
        symbol: 'rect',
        symbolSize: [3, 20],
        itemStyle: { color: INK },
        data: metrics.map(({ bar }, row) => [bar, row])
      },
      {
        type: 'scatter',
        symbolSize: 10,
        data: metrics.map(({ ratio, verdict }, row) => ({ value: [ratio, row], itemStyle: { color: COLORS[verdict], opacity: 1 } }))
      },
      ...costLine('ours', dialCost?.ours, OURS),
      ...costLine(peer, dialCost?.peer, PEER)
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
 * Powers of two around all that is shown
 */
function ratioRange (metrics: MetricResult[]): { min: number, max: number } {
  const values = metrics.flatMap(({ bar, quartiles, ratio }) => [bar, ratio, ...quartiles])

  return { min: 2 ** Math.floor(Math.log2(Math.min(...values))), max: 2 ** Math.ceil(Math.log2(Math.max(...values))) }
}

function label ({ better, ratio, verdict }: MetricResult): string {
  return `${formatRatio(ratio, better)}${verdict === 'ok' ? '' : `, ${verdict}`}`
}

/**
 * From quartile to quartile
 */
const drawRange: CustomSeriesRenderItem = (_params, api) => {
  const [[x1, y], [x2]] = [0, 1].map(i => api.coord([api.value(i), api.value(2)]))

  return { type: 'line', shape: { x1, y1: y, x2, y2: y }, style: { stroke: api.visual('color'), lineWidth: 6, opacity: 0.35 } }
}

function costLine (name: string, data: DialCost[] | undefined, color: string): object[] {
  return data == null ? [] : [{ name, type: 'line', xAxisIndex: 1, yAxisIndex: 1, data, symbolSize: 5, lineStyle: { color }, itemStyle: { color } }]
}
