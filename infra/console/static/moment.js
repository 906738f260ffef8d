import { agoText, exactTime, isoTime, milliseconds, timeText } from "console_format";

export default {
  template: `<time :datetime="iso" :title="exact" class="ts-time">{{ text }}</time>`,
  props: { ns: String, ago: Boolean },
  data: () => ({ now: Date.now() }),
  computed: {
    ms() { return milliseconds(this.ns); },
    iso() { return isoTime(this.ms); },
    exact() { return exactTime(this.ns); },
    text() { return this.ago ? agoText(this.ms, this.now) : timeText(this.ms); },
  },
  mounted() { if (this.ago) this.timer = setInterval(() => (this.now = Date.now()), 1000); },
  unmounted() { clearInterval(this.timer); },
};
