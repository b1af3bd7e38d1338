/** What the pictures share: background, colors, and the description for screen readers. */

/** Sizes in px of the picture's own units. */
export const width = 900
export const margin = 24

/** A background of its own, readable on light and dark pages. Text has an outline that covers lines behind it. */
const style = `
    text { font: 13px ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #24292f; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
    .lane { font-weight: 600; }
    .tick, .ms { fill: #57606a; font-variant-numeric: tabular-nums; }
    .tick { font-size: 12px; }
    .ground { fill: #ffffff; stroke: #d0d7de; }
    .grid { stroke: #d8dee4; }
    .bar0 { fill: #2f6fdb; }
    .bar1 { fill: #8a919b; }
    .line0 { stroke: #2f6fdb; fill: none; stroke-width: 1.5; }
    .line1 { stroke: #8a919b; fill: none; stroke-width: 1.5; }
    .sound { stroke: #c2410c; stroke-width: 1.5; stroke-dasharray: 4 3; }
    .heard { fill: #c2410c; font-weight: 600; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; stroke: #161b22; }
      .tick, .ms { fill: #9da7b3; }
      .ground { fill: #161b22; stroke: #30363d; }
      .grid { stroke: #2b313a; }
      .bar0 { fill: #58a6ff; }
      .bar1 { fill: #7d8590; }
      .line0 { stroke: #58a6ff; }
      .line1 { stroke: #7d8590; }
      .sound { stroke: #ff9b5e; }
      .heard { fill: #ff9b5e; }
    }`

export const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

export const rounded = (value: number): number => Number(value.toFixed(1))

/** The distance of axis marks, for at most ten marks. */
export const stepOf = (end: number, steps: ReadonlyArray<number>): number =>
  steps.find((step) => end / step <= 10) ?? 2 * (steps.at(-1) ?? 1)

/** An SVG document: title, description, and its elements. */
export const documentOf = (
  title: string,
  described: string,
  height: number,
  drawn: ReadonlyArray<string>,
): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title desc">`,
    ...[
      `<title id="title">${escaped(title)}</title>`,
      `<desc id="desc">${escaped(described)}</desc>`,
      `<style>${style}\n  </style>`,
      `<rect class="ground" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6"/>`,
      ...drawn,
    ].map((line) => `  ${line}`),
    "</svg>",
    "",
  ].join("\n")
