"use strict";

// How old each time is by the reader's clock.
(() => {
  const units = [["day", 86400, 2 * 86400], ["hour", 3600, 3600], ["minute", 60, 60]];

  const text = seconds => {
    for (const [unit, size, from] of units) {
      if (seconds >= from) {
        const count = Math.floor(seconds / size);
        return `(${count} ${unit}${count === 1 ? "" : "s"} ago)`;
      }
    }
    return "(just now)";
  };

  const ages = [...document.querySelectorAll("time.aged")].map(time => {
    const age = document.createElement("span");
    age.className = "age";
    time.after(" ", age);
    return [Date.parse(time.dateTime), age];
  });

  const update = () => {
    for (const [moment, age] of ages) age.textContent = text((Date.now() - moment) / 1000);
  };
  update();
  setInterval(update, 30000);
})();
