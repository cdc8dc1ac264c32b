"use strict";

// The charts: drawn from the numbers in the page, all over the same times and with the same cursor.
(() => {
  const MINUTE = 60, HOUR = 3600, DAY = 86400;
  const WIDTHS = [
    [5 * MINUTE, "5 minutes"], [15 * MINUTE, "15 minutes"], [30 * MINUTE, "30 minutes"],
    [HOUR, "hour"], [3 * HOUR, "3 hours"], [DAY, "day"], // half days would show nothing but nights
  ];
  const MOST_POINTS = 120, POINT = 5; // so many pixels a point has at least
  const RANGES = [[6 * HOUR, "Last 6 hours"], [DAY, "Last 24 hours"], [7 * DAY, "Last 7 days"]];
  const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
  const HEIGHT = 220;
  const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

  const totals = differences => {
    let sum = 0;
    return differences.map(difference => (sum += difference));
  };
  const all = JSON.parse(document.getElementById("data").textContent).map(chart => ({
    ...chart,
    lines: chart.lines.map(line => ({
      branch: line.branch,
      ends: totals(line.minutes).map(minutes => minutes * MINUTE),
      values: totals(line.values),
    })),
  }));
  document.body.classList.add("drawn");
  if (!all.length) return;

  // Of each branch the line's dashes and colour, as the table of totals has them.
  const branches = [...document.querySelectorAll(".totals .branch")].map(node => ({
    node,
    dash: (node.querySelector("line").getAttribute("stroke-dasharray") || "").split(" ").filter(Boolean).map(Number),
    isShown: true,
  }));
  const theme = {};
  const readTheme = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["soft", "grid"]) theme[name] = style.getPropertyValue(`--${name}`).trim();
    for (const branch of branches) branch.colour = getComputedStyle(branch.node.querySelector(".swatch")).color;
  };

  const two = number => String(number).padStart(2, "0");
  const day = date => `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  const clock = date => `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  const time = seconds => {
    const date = new Date(seconds * 1000);
    return `${day(date)} ${date.getUTCFullYear()}, ${clock(date)}`;
  };
  const number = value => (value == null ? "–" : value.toLocaleString("en"));
  const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

  // Counts by slots of this width, in seconds: [starts and the last end, values of each line].
  const counts = (chart, width) => {
    const first = Math.min(...chart.lines.map(line => line.ends[0]));
    const last = Math.max(...chart.lines.map(line => line.ends[line.ends.length - 1]));
    const from = Math.ceil(first / width);
    // A slot that is not over would end in a dip, but five minutes are all shown.
    let to = Math.floor(chart.until / width);
    if (width === chart.step) to = Math.max(to, Math.ceil(last / width));
    if (to < from) return [[], ...chart.lines.map(() => [])];
    const edges = Array.from({ length: to - from + 2 }, (_, slot) => (from - 1 + slot) * width);
    const values = chart.lines.map(line => {
      const sums = new Array(to - from + 1).fill(0);
      line.ends.forEach((end, i) => {
        const slot = Math.ceil(end / width);
        if (slot <= to) sums[slot - from] += line.values[i];
      });
      return [...sums, sums[sums.length - 1]];
    });
    return [edges, ...values];
  };

  // Cumulative values, each holding until the next.
  const cumulative = chart => {
    const ended = end => Math.min(end, chart.until); // the last window may not be over yet
    const ends = new Set(chart.lines.flatMap(line => line.ends.map(ended)));
    const times = [...ends.add(chart.until)].sort((a, b) => a - b);
    const values = chart.lines.map(line => {
      let next = 0, value = null;
      return times.map(moment => {
        while (next < line.ends.length && ended(line.ends[next]) <= moment) value = line.values[next++];
        return value;
      });
    });
    return [times, ...values];
  };

  const starts = all.map(chart => Math.min(...chart.lines.map(line => line.ends[0])) - chart.step);
  const whole = { from: Math.min(...starts), to: Math.max(...all.map(chart => chart.until)) };
  let view = whole;

  // Days have room for seven of them, also where one looks at hours of all others.
  const rangeOf = chart => {
    const from = chart.step === DAY ? Math.max(whole.from, view.to - 7 * DAY) : view.from;
    return { from: Math.min(from, view.from), to: view.to };
  };
  const widthOf = chart => {
    const most = Math.min(MOST_POINTS, chart.box.clientWidth / POINT);
    const wanted = WIDTHS.find(([width]) => width >= chart.step && view.to - view.from <= most * width);
    return (wanted || WIDTHS[WIDTHS.length - 1])[0];
  };
  const fill = chart => {
    if (chart.isCumulative) {
      chart.data = chart.data || cumulative(chart);
      return;
    }
    const width = widthOf(chart);
    if (chart.width !== width) {
      chart.width = width;
      chart.data = counts(chart, width);
      const name = WIDTHS.find(([size]) => size === width)[1];
      chart.per.textContent = ` per ${name}`;
    }
  };

  // Which point a moment belongs to, or null.
  const placeOf = (chart, moment) => {
    const times = chart.data[0];
    const last = times.length - (chart.isCumulative ? 1 : 2);
    if (last < 0 || moment < times[0] || moment >= times[last + 1]) return null;
    let low = 0, high = last;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (times[middle] <= moment) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  const label = (chart, place) => {
    const times = chart.data[0];
    if (chart.isCumulative) return `${time(times[place])} UTC`;
    if (chart.width === DAY) return time(times[place]).split(",")[0];
    return `${time(times[place])}–${clock(new Date(times[place + 1] * 1000))} UTC`;
  };

  const show = chart => {
    const { left } = chart.plot.cursor;
    const found = left >= 0 ? placeOf(chart, chart.plot.posToVal(left, "x")) : null;
    const times = chart.data[0];
    const last = times.length - (chart.isCumulative ? 1 : 2);
    const place = found ?? last;
    if (last < 0) {
      chart.readout.textContent = "Nothing is over yet.";
      return;
    }
    chart.place = place;
    chart.readout.textContent = `${found == null ? "Latest: " : ""}${label(chart, place)}`;
    const told = chart.lines.map((line, i) => {
      const value = number(chart.data[i + 1][place]);
      chart.values[i].querySelector(".value").textContent = value;
      return branches[line.branch].isShown ? `${chart.values[i].querySelector("bdi").textContent} ${value}` : "";
    });
    chart.box.setAttribute("aria-valuemax", last);
    chart.box.setAttribute("aria-valuenow", place);
    chart.box.setAttribute("aria-valuetext", `${label(chart, place)}: ${told.filter(Boolean).join(", ")}`);
  };

  const xLabels = (_, splits, __, ___, step) => {
    let year = null;
    return splits.map((seconds, i) => {
      const date = new Date(seconds * 1000);
      if (step >= DAY) {
        const isNew = date.getUTCFullYear() !== year;
        year = date.getUTCFullYear();
        return isNew ? `${day(date)}\n${year}` : day(date);
      }
      return i === 0 || clock(date) === "00:00" ? `${clock(date)}\n${day(date)}` : clock(date);
    });
  };
  const axis = {
    stroke: () => theme.soft,
    font: FONT,
    grid: { stroke: () => theme.grid, width: 1 },
    ticks: { stroke: () => theme.grid, width: 1, size: 4 },
  };
  const options = (chart, width) => ({
    width,
    height: HEIGHT,
    tzDate: seconds => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    legend: { show: false },
    focus: { alpha: branches.length > 3 ? 0.3 : 1 },
    cursor: {
      y: false,
      sync: { key: "time" },
      drag: { x: true, y: false, setScale: false },
      focus: { prox: 16 },
      points: { size: 7 },
      bind: { dblclick: () => () => look(whole) },
    },
    scales: {
      x: { range: () => [rangeOf(chart).from, rangeOf(chart).to] },
      y: {
        range: (_, low, high) => {
          if (low == null) return [0, 1];
          if (!chart.isCumulative) return [0, Math.max(1, high * 1.08)];
          return low === high ? [low - 1, high + 1] : [low - (high - low) * 0.05, high + (high - low) * 0.05];
        },
      },
    },
    axes: [
      { ...axis, space: 64, size: 44, values: xLabels },
      {
        ...axis,
        space: 32,
        incrs: [1, 2, 5].flatMap(digit => Array.from({ length: 16 }, (_, i) => digit * 10 ** i)).sort((a, b) => a - b),
        values: (_, splits) => {
          const isShort = splits.some(value => Math.abs(value) >= 10000);
          return splits.map(value => (isShort ? short.format(value) : number(value)));
        },
        size: (_, values) => 16 + 7 * Math.max(2, ...(values || []).map(value => value.length)),
      },
    ],
    series: [
      {},
      ...chart.lines.map(line => ({
        stroke: () => branches[line.branch].colour,
        width: 2,
        dash: branches[line.branch].dash,
        paths: chart.isCumulative ? uPlot.paths.linear() : uPlot.paths.stepped({ align: 1 }),
        points: { show: () => chart.data[0].length === 1 },
      })),
    ],
    hooks: {
      setCursor: [() => show(chart)],
      setSeries: [
        (_, series, change) => {
          if (change.focus == null || branches.length <= 3) return;
          chart.values.forEach((item, i) => item.classList.toggle("near", i + 1 === series));
        },
      ],
      setSelect: [
        plot => {
          if (plot.select.width < 2) return;
          const [from, to] = [plot.select.left, plot.select.left + plot.select.width].map(x => plot.posToVal(x, "x"));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          if (to - from >= 30 * MINUTE) look({ from, to });
        },
      ],
    },
  });

  // Shows what is in view now, by as many points as there is room for.
  const refresh = chart => {
    fill(chart);
    chart.plot.setData(chart.data, false);
    chart.plot.setScale("x", { min: rangeOf(chart).from, max: rangeOf(chart).to });
    show(chart);
  };

  const element = (tag, className, ...children) => {
    const found = document.createElement(tag);
    found.className = className;
    found.append(...children);
    return found;
  };

  // Moves the cursor of all charts to a point of this one.
  const move = (chart, place) => {
    const times = chart.data[0];
    const middle = chart.isCumulative ? times[place] : (times[place] + times[place + 1]) / 2;
    const { plot } = chart;
    plot.setCursor({ left: plot.valToPos(middle, "x"), top: plot.over.clientHeight / 2 }, true, true);
  };
  const keys = {
    ArrowLeft: place => place - 1, ArrowDown: place => place - 1,
    ArrowRight: place => place + 1, ArrowUp: place => place + 1,
    PageDown: place => place - 10, PageUp: place => place + 10,
    Home: () => -Infinity, End: () => Infinity,
  };
  const key = (chart, event) => {
    if (event.key === "Escape") {
      chart.plot.setCursor({ left: -10, top: -10 }, true, true);
    } else if (keys[event.key] && chart.place != null) {
      const last = Number(chart.box.getAttribute("aria-valuemax"));
      const range = rangeOf(chart);
      const from = placeOf(chart, range.from) ?? 0, to = placeOf(chart, range.to) ?? last;
      move(chart, Math.min(Math.max(keys[event.key](chart.place), from), to));
    } else return;
    event.preventDefault();
  };

  const draw = chart => {
    const section = chart.box.closest(".chart");
    chart.per = section.querySelector(".per");
    chart.readout = element("p", "readout");
    chart.values = chart.lines.map(line =>
      element("li", "", branches[line.branch].node.cloneNode(true), element("span", "value")));
    fill(chart);
    chart.box.before(chart.readout, element("ul", "values", ...chart.values));
    chart.plot = new uPlot(options(chart, chart.box.clientWidth), chart.data, chart.box);
    for (const [name, value] of Object.entries({
      role: "slider", tabindex: 0, "aria-label": `${chart.title}: a point in time`,
      "aria-describedby": `${chart.id}-summary`, "aria-valuemin": 0,
    })) chart.box.setAttribute(name, value);
    chart.box.addEventListener("keydown", event => key(chart, event));
    chart.plot.over.addEventListener("pointermove", event => {
      if (event.pointerType !== "touch") return;
      const place = chart.plot.over.getBoundingClientRect();
      chart.plot.setCursor({ left: event.clientX - place.left, top: event.clientY - place.top }, true, true);
    });
    new ResizeObserver(() => {
      if (chart.box.clientWidth === chart.plot.width) return;
      chart.plot.setSize({ width: chart.box.clientWidth, height: HEIGHT });
      refresh(chart);
    }).observe(chart.box);
    show(chart);
  };

  const shown = element("span", "shown");
  shown.setAttribute("role", "status");
  const look = range => {
    view = range;
    all.forEach(refresh);
    for (const [button, span] of rangeButtons) {
      const isThis = span == null ? view === whole : view.to === whole.to && view.to - view.from === span;
      button.setAttribute("aria-pressed", isThis);
    }
    shown.textContent = `${time(view.from)} to ${time(view.to)} UTC`;
  };
  const button = (content, action) => {
    const found = element("button", "", content);
    found.type = "button";
    found.addEventListener("click", action);
    return found;
  };
  const group = (name, className, buttons) => element("fieldset", className, element("legend", "", name), ...buttons);

  const rangeButtons = RANGES.filter(([span]) => span < whole.to - whole.from).map(([span, name]) =>
    [button(name, () => look({ from: whole.to - span, to: whole.to })), span]);
  rangeButtons.push([button("All", () => look(whole)), null]);
  const branchButtons = branches.map((branch, place) => {
    const found = button(branch.node.cloneNode(true), () => {
      branch.isShown = !branch.isShown;
      found.setAttribute("aria-pressed", branch.isShown);
      for (const chart of all) {
        const i = chart.lines.findIndex(line => line.branch === place);
        if (i < 0) continue;
        chart.plot.setSeries(i + 1, { show: branch.isShown });
        chart.values[i].hidden = !branch.isShown;
        show(chart);
      }
    });
    found.setAttribute("aria-pressed", "true");
    return found;
  });

  readTheme();
  for (const chart of all) {
    chart.box = document.querySelector(`[data-chart="${chart.id}"]`);
    draw(chart);
  }
  const tools = document.getElementById("tools");
  tools.append(group("Time", "", rangeButtons.map(([found]) => found)));
  if (branches.length > 1) tools.append(group("Branches", "branches", branchButtons));
  tools.append(shown);
  tools.hidden = false;
  look(whole);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readTheme();
    for (const chart of all) chart.plot.redraw(false);
  });
})();
