import { agoText, exactTime, isoTime, milliseconds, numberText, timeText } from "console_format";

export default {
  template: `
    <div class="ts-table-box" :class="{ 'ts-empty': !present.length }">
      <table v-if="present.length" class="ts-table">
        <caption class="ts-hidden">{{ caption }}</caption>
        <thead>
          <tr>
            <th v-if="selectable" scope="col" class="ts-select">
              <input type="checkbox" aria-label="Select all rows of this page" :checked="all" @change="selectAll($event.target.checked)">
            </th>
            <th v-for="column in columns" :key="column.key" scope="col" :class="cellClass(column)"
                :aria-sort="column.sortable ? (sort === column.key ? (descending ? 'descending' : 'ascending') : 'none') : undefined">
              <button v-if="column.sortable" type="button" class="ts-sort" @click="$emit('sort', column.key)">
                {{ column.label }}<span class="ts-arrow" aria-hidden="true">{{ sort === column.key ? (descending ? '▾' : '▴') : '' }}</span>
              </button>
              <template v-else-if="column.kind === 'actions'"><span class="ts-hidden">{{ column.label }}</span></template>
              <template v-else>{{ column.label }}</template>
              <span v-if="column.unit" class="ts-unit">&nbsp;{{ column.unit }}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          <tr v-for="row in present" :key="row.key">
            <td v-if="selectable" class="ts-select">
              <input type="checkbox" :aria-label="'Select ' + (row.label || row.key)" :checked="chosen.has(row.key)" @change="select(row.key, $event.target.checked)">
            </td>
            <component v-for="column in columns" :key="column.key" :is="column.header ? 'th' : 'td'" :scope="column.header ? 'row' : undefined"
                :class="cellClass(column)" :data-label="column.label">
              <a v-if="column.kind === 'link' && row[column.key]" class="ts-link" :href="row[column.key].href">{{ row[column.key].text }}</a>
              <span v-else-if="column.kind === 'status'" class="ts-status" :data-status="row[column.key]">{{ row[column.key] }}</span>
              <time v-else-if="column.kind === 'time' || column.kind === 'ago'" class="ts-time" :datetime="iso(row[column.key])" :title="exact(row[column.key])">{{ time(column, row[column.key]) }}</time>
              <template v-else-if="column.kind === 'number'">{{ number(row[column.key]) }}<span v-if="unitOf(row[column.key])" class="ts-unit">&nbsp;{{ unitOf(row[column.key]) }}</span></template>
              <span v-else-if="column.kind === 'chips'" class="ts-chips"><span v-for="chip in row[column.key]" :key="chip" class="ts-chip">{{ chip }}</span></span>
              <span v-else-if="column.kind === 'readings'" class="ts-readings"><span v-for="one in row[column.key]" :key="one.name" class="ts-reading" :title="one.hint || undefined"><span class="ts-name">{{ one.name }}</span> <span class="ts-number">{{ number(one.value) }}</span><span class="ts-unit" v-if="one.unit && typeof one.value === 'number'">&nbsp;{{ one.unit }}</span></span></span>
              <code v-else-if="column.kind === 'code'">{{ row[column.key] }}</code>
              <span v-else-if="column.kind === 'actions'" class="ts-actions">
                <button v-for="action in row[column.key]" :key="action.name" type="button" class="ts-button ts-small" :aria-label="action.label + ' ' + (row.label || row.key)" @click="$emit('action', { action: action.name, key: row.key })">{{ action.label }}</button>
              </span>
              <template v-else>{{ row[column.key] ?? '–' }}</template>
            </component>
          </tr>
        </tbody>
      </table>
      <p v-else class="ts-nothing">{{ empty }}</p>
    </div>`,
  props: { caption: String, columns: Array, rows: Array, empty: String, sort: String, descending: Boolean, selectable: Boolean },
  emits: ["sort", "action", "select"],
  data() { return { present: this.rows, now: Date.now(), chosen: new Set() }; },
  computed: {
    all() { return this.present.length > 0 && this.present.every((row) => this.chosen.has(row.key)); },
  },
  watch: { rows(rows) { this.present = rows; } },
  mounted() {
    if (this.columns.some((column) => column.kind === "ago")) this.timer = setInterval(() => (this.now = Date.now()), 1000);
  },
  unmounted() { clearInterval(this.timer); },
  methods: {
    show(rows) { this.present = rows; this.now = Date.now(); },
    clear() { this.chosen = new Set(); this.$emit("select", []); },
    select(key, on) { on ? this.chosen.add(key) : this.chosen.delete(key); this.tell(); },
    selectAll(on) { this.chosen = new Set(on ? this.present.map((row) => row.key) : []); this.tell(); },
    tell() { this.chosen = new Set(this.chosen); this.$emit("select", [...this.chosen]); },
    cellClass(column) {
      return { "ts-number": ["number"].includes(column.kind), "ts-narrow": column.narrow, "ts-wide": column.wide, ["ts-kind-" + (column.kind || "text")]: true };
    },
    number(value) { return numberText(value !== null && typeof value === "object" ? value.value : value); },
    unitOf(value) { return value !== null && typeof value === "object" && typeof value.value === "number" ? value.unit : ""; },
    iso(ns) { return isoTime(milliseconds(ns)); },
    exact(ns) { return exactTime(ns); },
    time(column, ns) { const ms = milliseconds(ns); return column.kind === "ago" ? agoText(ms, this.now) : timeText(ms); },
  },
};
