export default {
  template: `<span class="ts-status" :data-status="status">{{ status }}</span>`,
  props: { status: String },
};
