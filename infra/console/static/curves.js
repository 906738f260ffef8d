// Panels of curves over one time axis. Points are kept here, outside of Vue, and bounded; what comes is appended.
import { echarts } from "nicegui-echart";
import { exactTime, numberText, onTheme, style } from "console_format";
import { markLines } from "mark_lines";

const LINE = 22, MARKED = 18, LEFT = 58, LEFT_NARROW = 44, RIGHT = 16, NARROW = 560, GAP = 14, AXIS = 24, LANE = 22, FIRST = 230, OTHER = 118, DRAW_MS = 500, MARKS = 200;

export default {
  template: `
    <div class="ts-curves" role="group" :aria-label="label">
      <div class="ts-canvas" role="img" :aria-label="label" :style="{ height: height + 'px' }" ref="canvas"></div>
      <ul v-for="(panel, at) in panels" :key="at" class="ts-legend" :style="{ top: legends[at] + 'px' }" :aria-label="panel.title">
        <li v-for="series in panel.series" :key="series.field" :title="series.hint || undefined">
          <span class="ts-swatch" :data-kind="series.kind" :style="{ '--swatch': 'var(' + series.colour + ')' }" aria-hidden="true"></span>
          {{ series.label }} <b class="ts-number">{{ latest[series.field] ?? '–' }}</b><span class="ts-unit" v-if="panel.unit">&nbsp;{{ panel.unit }}</span>
        </li>
      </ul>
      <p v-if="nothing" class="ts-nothing ts-over">{{ nothing }}</p>
    </div>`,
  props: { panels: Array, label: String, keep: Number },
  emits: ["zoom"],
  data: () => ({ width: 900, latest: {}, nothing: "Reading the history…" }),
  computed: {
    heights() {
      return this.panels.map((panel, at) => (panel.kind === "states" ? panel.series.length * LANE : at === 0 ? FIRST : OTHER));
    },
    left() { return this.width < NARROW ? LEFT_NARROW : LEFT; },
    // Lines that each legend takes: names of 6.6 px a letter, and room for a value.
    legendLines() {
      const room = Math.max(200, this.width - this.left - RIGHT);
      return this.panels.map((panel) => {
        let lines = 1, used = 0;
        for (const series of panel.series) {
          const wide = series.label.length * 6.6 + 92;
          if (used && used + wide > room) { lines++; used = 0; }
          used += wide;
        }
        return lines;
      });
    },
    legends() {
      let top = 0;
      return this.heights.map((height, at) => { const here = top; top += this.legendLines[at] * LINE + 4 + (at === 0 ? MARKED : 0) + height + GAP; return here; });
    },
    tops() { return this.legends.map((top, at) => top + this.legendLines[at] * LINE + 4 + (at === 0 ? MARKED : 0)); },
    height() { return this.tops.at(-1) + this.heights.at(-1) + AXIS + 34; },
  },
  created() {
    this.points = new Map(this.panels.flatMap((panel) => panel.series.map((series) => [series.field, []])));
    this.bands = new Map();
    this.marks = new Map();
    this.zoom = null;
    this.span = 0;
    this.last = -Infinity;
  },
  mounted() {
    this.width = this.$refs.canvas.offsetWidth || this.width;
    this.chart = echarts.init(this.$refs.canvas, null, { renderer: "canvas" });
    this.chart.setOption(this.option());
    this.chart.on("datazoom", () => this.zoomed());
    this.endTheme = onTheme(() => this.anew());
    this.observer = new ResizeObserver(() => {
      this.chart.resize();
      if (this.$refs.canvas.offsetWidth === this.width) return;
      this.width = this.$refs.canvas.offsetWidth;
      this.anew();
    });
    this.observer.observe(this.$refs.canvas);
    this.draw();
  },
  unmounted() {
    this.endTheme?.();
    this.observer?.disconnect();
    clearTimeout(this.timer);
    clearTimeout(this.zoomTimer);
    this.chart?.dispose();
  },
  methods: {
    anew() {
      this.zoom = null;
      this.chart.setOption(this.option(), { notMerge: true });
      this.draw();
    },
    show(history, span) {
      this.span = span;
      this.bands.clear();
      this.last = -Infinity;
      for (const [field, points] of this.points) {
        points.length = 0;
        const given = history[field];
        if (!given) continue;
        given.time_ms.forEach((time, at) => points.push([time, given.value[at]]));
        if (given.low) this.bands.set(field, given.time_ms.map((time, at) => [time, given.low[at], given.high[at]]));
        if (points.length) {
          this.last = Math.max(this.last, points.at(-1)[0]);
          this.latest[field] = this.shown(field, points.at(-1)[1]);
        }
      }
      this.nothing = [...this.points.values()].some((points) => points.length) ? "" : "No points in this range yet: they appear here as they come.";
      this.draw();
    },
    refine(history, from, to) {
      const outside = ([time]) => time < from || time > to;
      const merge = (old, fresh) => [...old.filter((point) => point[0] < from), ...fresh, ...old.filter((point) => point[0] > to)];
      for (const [field, points] of this.points) {
        const given = history[field];
        if (!given || !given.time_ms.length) continue;
        const merged = merge(points, given.time_ms.map((time, at) => [time, given.value[at]]));
        points.splice(0, points.length, ...merged.slice(-2 * this.keep));
        const band = given.low ? given.time_ms.map((time, at) => [time, given.low[at], given.high[at]]) : [];
        this.bands.set(field, given.low ? merge(this.bands.get(field) ?? [], band) : (this.bands.get(field) ?? []).filter(outside));
      }
      this.draw();
    },
    append(time, values) {
      if (time <= this.last) return;
      this.last = time;
      for (const [field, points] of this.points) {
        const value = values[field];
        if (value === undefined) continue;
        points.push([time, value]);
        const from = this.span ? time - this.span : -Infinity;
        let gone = 0;
        while (gone < points.length - 1 && points[gone + 1][0] < from) gone++;
        gone = Math.max(gone, points.length - this.keep);
        if (gone > 0) points.splice(0, gone);
        this.latest[field] = this.shown(field, value);
      }
      this.nothing = "";
      this.soon();
    },
    mark(marks) {
      for (const mark of marks) this.marks.set(mark.id, mark);
      while (this.marks.size > MARKS) this.marks.delete(this.marks.keys().next().value);
      this.soon();
    },
    shown(field, value) {
      const kind = this.panels.flatMap((panel) => panel.series).find((series) => series.field === field)?.kind;
      return kind === "state" ? (value >= 0.5 ? "on" : "off") : numberText(Number(value));
    },
    soon() { this.timer ??= setTimeout(() => { this.timer = null; this.draw(); }, DRAW_MS); },
    zoomed() {
      clearTimeout(this.zoomTimer);
      this.zoomTimer = setTimeout(() => {
        const [zoom] = this.chart.getOption().dataZoom, all = zoom.start <= 0 && zoom.end >= 100;
        this.zoom = all ? null : zoom;
        this.draw(); // more names of marks may have room
        this.$emit("zoom", { start_ms: zoom.startValue, stop_ms: zoom.endValue, all });
      }, 400);
    },
    draw() {
      if (!this.chart) return;
      const series = [];
      this.panels.forEach((panel, at) => {
        panel.series.forEach((one, lane) => {
          const points = this.points.get(one.field);
          if (one.kind === "state") {
            const base = panel.series.length - 1 - lane;
            series.push({ id: one.field, data: points.map(([time, value]) => [time, value === null ? null : base + 0.06 + 0.66 * Math.min(1, value), value]) });
          } else {
            const band = this.bands.get(one.field) ?? [];
            series.push({ id: one.field, data: points });
            series.push({ id: one.field + "/low", data: band.map(([time, low]) => [time, low]) });
            series.push({ id: one.field + "/band", data: band.map(([time, low, high]) => [time, high - low]) });
          }
        });
        series.push({ id: "marks/" + at, markLine: { data: this.lines(at) } });
      });
      this.chart.setOption({ series, xAxis: this.panels.map(() => this.range()) }, { lazyUpdate: true });
    },
    range() {
      const all = [...this.points.values()].filter((points) => points.length);
      if (!all.length) return { min: null, max: null };
      const last = Math.max(...all.map((points) => points.at(-1)[0]));
      const first = Math.min(...all.map((points) => points[0][0]));
      return { min: this.span ? Math.max(first, last - this.span) : first, max: last };
    },
    // What is seen of the range: all of it, or the part that somebody looks at closer.
    seen() {
      const { min, max } = this.range();
      if (min === null || !this.zoom) return { min, max };
      const share = (percent) => min + ((max - min) * percent) / 100;
      return { min: share(this.zoom.start), max: share(this.zoom.end) };
    },
    lines(at) {
      const seen = this.seen();
      const place = { room: this.width - this.left - RIGHT, left: this.left, right: RIGHT, named: at === 0 };
      return seen.min === null ? [] : markLines(this.marks.values(), seen, place);
    },
    option() {
      const text = style("--text-muted"), line = style("--line"), font = style("--font");
      const grid = this.tops.map((top, at) => ({ top, height: this.heights[at], left: this.left, right: RIGHT }));
      const xAxis = this.panels.map((panel, at) => ({
        type: "time", gridIndex: at, boundaryGap: false,
        axisLabel: { show: at === this.panels.length - 1, color: text, fontSize: 11, hideOverlap: true },
        axisLine: { lineStyle: { color: line } }, axisTick: { show: false }, splitLine: { show: true, lineStyle: { color: style("--line-faint") } },
        axisPointer: { label: { show: false } },
      }));
      const yAxis = this.panels.map((panel, at) => panel.kind === "states"
        ? { type: "value", gridIndex: at, min: 0, max: panel.series.length, interval: 1, axisLabel: { show: false }, axisTick: { show: false }, axisLine: { show: false }, splitLine: { lineStyle: { color: style("--line-faint") } } }
        : { type: "value", gridIndex: at, scale: true, splitNumber: at === 0 ? 5 : 3, axisLabel: { color: text, fontSize: 11, formatter: (value) => numberText(value) }, axisLine: { show: false }, splitLine: { lineStyle: { color: style("--line-faint") } } });
      const series = this.panels.flatMap((panel, at) => [
        ...panel.series.flatMap((one, lane) => this.seriesOf(panel, at, one, lane)),
        { id: "marks/" + at, type: "line", xAxisIndex: at, yAxisIndex: at, data: [], silent: false, markLine: { animation: false, silent: true, symbol: ["none", "none"], data: [], emphasis: { disabled: true }, tooltip: { show: false } } },
      ]);
      return {
        animation: false, backgroundColor: "transparent", textStyle: { fontFamily: font, color: text }, grid, xAxis, yAxis, series,
        axisPointer: { link: [{ xAxisIndex: "all" }], lineStyle: { color: text } },
        tooltip: {
          trigger: "axis", confine: true, transitionDuration: 0, backgroundColor: style("--surface"), borderColor: line, textStyle: { color: style("--text"), fontSize: 12, fontFamily: font },
          formatter: (hits) => this.tooltip(hits),
        },
        dataZoom: [
          { type: "inside", xAxisIndex: this.panels.map((_, at) => at), zoomOnMouseWheel: "ctrl", moveOnMouseMove: true, filterMode: "none" },
          { type: "slider", xAxisIndex: this.panels.map((_, at) => at), height: 18, bottom: 4, left: this.left, right: RIGHT, filterMode: "none", showDataShadow: false, brushSelect: false,
            borderColor: line, fillerColor: style("--accent-faint"), backgroundColor: "transparent", handleStyle: { color: style("--surface"), borderColor: style("--accent") }, moveHandleSize: 0,
            labelFormatter: "", textStyle: { color: text } },
        ],
      };
    },
    seriesOf(panel, at, one, lane) {
      const colour = style(one.colour);
      const common = { type: "line", name: one.label, xAxisIndex: at, yAxisIndex: at, showSymbol: false, data: [], connectNulls: false, emphasis: { disabled: true } };
      if (one.kind === "state") {
        return [{ ...common, id: one.field, step: "end", lineStyle: { width: 1.25, color: colour }, itemStyle: { color: colour }, areaStyle: { color: colour, opacity: 0.28, origin: panel.series.length - 1 - lane + 0.06 } }];
      }
      return [
        { ...common, id: one.field, sampling: "lttb", lineStyle: { width: 1.75, color: colour, type: one.dashed ? [6, 3] : "solid" }, itemStyle: { color: colour }, z: 3 },
        { ...common, id: one.field + "/low", stack: one.field, stackStrategy: "all", lineStyle: { opacity: 0 }, silent: true, tooltip: { show: false } },
        { ...common, id: one.field + "/band", stack: one.field, stackStrategy: "all", lineStyle: { opacity: 0 }, areaStyle: { color: colour, opacity: 0.16 }, silent: true, tooltip: { show: false } },
      ];
    },
    tooltip(hits) {
      const time = hits[0]?.axisValue;
      if (time === undefined) return "";
      const lines = [`<b>${exactTime(String(Math.round(time)) + "000000").split("\n")[0].slice(0, 23).replace("T", " ")}</b>`];
      for (const panel of this.panels) {
        for (const one of panel.series) {
          const hit = hits.find((found) => found.seriesId === one.field);
          if (!hit || hit.value[1] === null) continue;
          const value = one.kind === "state" ? (hit.value[2] >= 0.5 ? "on" : "off") : `${numberText(hit.value[1])} ${panel.unit}`;
          lines.push(`<span style="color:${hit.color}">●</span> ${echarts.format.encodeHTML(one.label)} <b style="float:right;margin-left:18px">${echarts.format.encodeHTML(value)}</b>`);
        }
      }
      for (const mark of this.marks.values()) {
        const { min, max } = this.range();
        if (Math.abs(mark.time_ms - time) < (max - min) / 150) lines.push(`<span style="color:${style("--mark-" + mark.severity)}">▲</span> ${echarts.format.encodeHTML(mark.text)}`);
      }
      return lines.join("<br>");
    },
  },
};
