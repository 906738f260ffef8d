import { numberText } from "console_format";

export default {
  template: `
    <table class="ts-values">
      <caption class="ts-hidden">{{ caption }}</caption>
      <thead class="ts-hidden"><tr><th scope="col">Name</th><th scope="col">Value</th><th scope="col">Unit</th></tr></thead>
      <tbody>
        <tr v-for="item in items" :key="item.key" :title="item.hint || undefined">
          <th scope="row">{{ item.label }}</th>
          <td class="ts-number">{{ shown(item.key) }}</td>
          <td class="ts-unit">{{ unit(item) }}</td>
        </tr>
      </tbody>
    </table>`,
  props: { caption: String, items: Array, values: Object },
  data() { return { present: this.values }; },
  methods: {
    show(values) { this.present = values; },
    shown(key) { return numberText(this.present[key]); },
    unit(item) { return typeof this.present[item.key] === "number" ? item.unit : ""; },
  },
};
