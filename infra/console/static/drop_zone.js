// Files that are dropped or chosen go to the server in pieces, each when the one before has arrived.
const PIECE = 192 * 1024;

export default {
  template: `
    <div class="ts-drop" :class="{ 'ts-dragged': dragged }" @dragover.prevent="dragged = !refused" @dragleave="dragged = false" @drop.prevent="dropped">
      <p class="ts-drop-text">{{ text }}</p>
      <div class="ts-form">
        <button v-if="folders" type="button" class="ts-button" :disabled="busy || !!refused" :title="refused || undefined" @click="$refs.folder.click()">Choose a folder</button>
        <button type="button" class="ts-button" :disabled="busy || !!refused" :title="refused || undefined" @click="$refs.file.click()">{{ choose }}</button>
      </div>
      <input ref="folder" type="file" webkitdirectory hidden aria-hidden="true" tabindex="-1" @change="chosen">
      <input ref="file" type="file" :accept="accept" hidden aria-hidden="true" tabindex="-1" @change="chosen">
      <progress v-if="busy" class="ts-progress" :value="sent" :max="total" aria-label="Sending the files"></progress>
    </div>`,
  props: { text: String, choose: String, accept: String, folders: Boolean, limit: Number, refused: String },
  emits: ["begin", "piece", "end", "toolarge"],
  data: () => ({ dragged: false, busy: false, sent: 0, total: 1 }),
  methods: {
    async dropped(event) {
      this.dragged = false;
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
      const files = [];
      for (const entry of entries) await this.walk(entry, "", files);
      this.send(files);
    },
    async walk(entry, path, files) {
      if (files.length > 4096) return;
      if (entry.isFile) {
        files.push([path + entry.name, await new Promise((resolve, reject) => entry.file(resolve, reject))]);
      } else {
        const reader = entry.createReader();
        for (;;) {
          const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
          if (!some.length) break;
          for (const one of some) await this.walk(one, path + entry.name + "/", files);
        }
      }
    },
    chosen(event) {
      this.send([...event.target.files].map((file) => [file.webkitRelativePath || file.name, file]));
      event.target.value = "";
    },
    async send(files) {
      files = files.filter(([path]) => !/(^|\/)(\.|__pycache__)/.test(path));
      if (this.busy || this.refused || !files.length) return;
      this.total = files.reduce((sum, [, file]) => sum + file.size, 0) || 1;
      if (this.total > this.limit) { this.$emit("toolarge", this.total); return; }
      this.busy = true;
      this.sent = 0;
      try {
        this.$emit("begin", files.map(([path, file]) => ({ path, size: file.size })));
        await this.answered();
        for (let at = 0; at < files.length; at++) {
          const file = files[at][1];
          for (let start = 0; start < file.size; start += PIECE) {
            const piece = file.slice(start, start + PIECE);
            const data = await new Promise((resolve) => {
              const reader = new FileReader();
              reader.onload = () => resolve(String(reader.result).split(",", 2)[1] ?? "");
              reader.readAsDataURL(piece);
            });
            this.$emit("piece", { at, data });
            await this.answered();
            this.sent += piece.size;
          }
        }
        this.$emit("end", null);
      } catch (error) {
        this.$emit("toolarge", -1);
      } finally {
        this.busy = false;
      }
    },
    answered() {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error("no answer")), 30000);
        this.more = () => { clearTimeout(timer); resolve(); };
      });
    },
    next() { this.more?.(); },
  },
};
