// Bars of rupiah by uPlot, from the data-chart of each figure; colours are the page's own tokens.
"use strict";
(() => {
  const short = (n) => {
    const sign = n < 0 ? "-" : "", a = Math.abs(n), id = document.documentElement.lang === "id";
    const say = (v, word) => sign + String(Math.round(v * 10) / 10).replace(".", id ? "," : ".") + " " + word;
    if (a >= 1e9) return say(a / 1e9, id ? "m" : "bn");
    if (a >= 1e6) return say(a / 1e6, id ? "jt" : "m");
    if (a >= 1e3) return say(a / 1e3, id ? "rb" : "k");
    return sign + a;
  };

  function draw(box) {
    const { labels, series } = JSON.parse(box.dataset.chart);
    const style = getComputedStyle(document.documentElement), token = (name) => style.getPropertyValue(name).trim();
    // Stacked: each series stands on those before it, and is drawn behind them.
    const sums = labels.map(() => 0);
    const stacked = series.map(([, values]) => values.map((v, n) => (sums[n] += v)));
    const font = "13px Atkinson, sans-serif", ink = token("--soft"), line = token("--line");
    const bars = uPlot.paths.bars({ size: [0.62, 64], align: 0 });
    const days = series.length === 1 && labels.some((x) => /\d{4}$/.test(x));
    const said = days ? labels : labels.map((x) => x.replace(" ", "\n"));
    const longest = Math.max(...said.flatMap((x) => x.split("\n").map((y) => y.length)), 1);
    const order = series.map((_, n) => n).reverse();
    box.textContent = "";
    return new uPlot({
      width: box.clientWidth, height: 210,
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      legend: { show: false },
      scales: { x: { time: false, range: [-0.6, Math.max(labels.length, 3) - 0.4] }, y: { range: (u, low, high) => [Math.min(0, low), Math.max(1, high) * 1.08] } },
      axes: [
        { stroke: ink, font, grid: { show: false }, ticks: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100],
          values: (u, at) => at.map((n) => (Number.isInteger(n) ? said[n] ?? "" : "")), space: 7 * longest, size: days ? 34 : 48 },
        { stroke: ink, font, size: 58, grid: { stroke: line, width: 1 }, ticks: { show: false }, values: (u, at) => at.map(short) },
      ],
      series: [
        {},
        ...order.map((n) => ({
          label: series[n][0], fill: token(`--bar-${n + 1}`), stroke: token("--paper"), width: 1, paths: bars,
          points: { show: false },
        })),
      ],
    }, [labels.map((_, n) => n), ...order.map((n) => stacked[n])], box);
  }

  document.addEventListener("DOMContentLoaded", () => document.fonts.ready.then(() => {
    for (const box of document.querySelectorAll("[data-chart]")) {
      let plot = draw(box);
      new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: plot.height })).observe(box);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { plot.destroy(); plot = draw(box); });
    }
  }));
})();
