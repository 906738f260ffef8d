// Lines of marks over a panel of curves, with the names that have room.
import { style } from "console_format";

const GLYPH = { info: "●", warning: "▲", critical: "◆" };
const pen = document.createElement("canvas").getContext("2d");

// `room` and `left`: pixels of the panel, and before it; `right`: after it. `named`: whether names are written at all.
export function markLines(marks, { min, max }, { room, left, right, named }) {
  const scale = room / Math.max(1, max - min);
  let taken = -Infinity;
  pen.font = `11px ${style("--font")}`;
  const seen = [...marks].filter((mark) => mark.time_ms >= min && mark.time_ms <= max).sort((a, b) => a.time_ms - b.time_ms);
  return seen.map((mark) => {
    const colour = style("--mark-" + mark.severity), glyph = GLYPH[mark.severity] ?? "●", named_so = `${glyph} ${mark.name}`;
    // A name stands over its line, but within the picture; one that would cover another is left out, then its glyph.
    const at = (mark.time_ms - min) * scale, wide = pen.measureText(named_so).width;
    const align = at + wide / 2 > room + right ? "right" : at - wide / 2 < -left ? "left" : "center";
    const start = at - wide * { left: 0, center: 0.5, right: 1 }[align];
    const text = start > taken ? named_so : at - 6 > taken ? glyph : "";
    if (text) taken = (text === glyph ? at + 6 : start + wide) + 6;
    return {
      xAxis: mark.time_ms,
      lineStyle: { color: colour, width: 1, type: [3, 3], opacity: 0.8 },
      label: { show: named && text !== "", formatter: text, color: colour, fontSize: 11, position: "end", distance: 4, align: text === glyph ? "center" : align },
    };
  });
}
