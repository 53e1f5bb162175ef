// The values of all curves of a picture under the cursor, or under a finger.
const short = v => !isFinite(v) ? "–" : v === 0 || (Math.abs(v) >= 1e-3 && Math.abs(v) < 1e7) ? String(Number(v.toPrecision(5))) : v.toExponential(3);
for (const figure of document.querySelectorAll(".chart")) {
  const svg = figure.querySelector("svg"), tip = figure.querySelector(".tip");
  const axis = name => {
    const [low, high, from, to, log] = svg.dataset[name].split(",").map(Number);
    const scaled = v => log ? Math.log10(v) : v;
    return v => from + (to - from) * (scaled(v) - scaled(low)) / (scaled(high) - scaled(low));
  };
  const across = axis("x"), up = axis("y");
  const curves = [...svg.querySelectorAll(".curve")].map(curve => ({
    name: curve.dataset.name,
    colour: curve.classList[1],
    points: curve.dataset.points.split(" ").filter(Boolean).map(pair => pair.split(",").map(Number)),
  }));
  const layer = document.createElementNS(svg.namespaceURI, "g");
  svg.append(layer);
  const leave = () => { layer.replaceChildren(); tip.style.display = "none"; };
  const move = event => {
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
    const at = (event.clientX - box.left) / box.width * view.width;
    const nearest = points => points.reduce((best, point) => !best || Math.abs(across(point[0]) - at) < Math.abs(across(best[0]) - at) ? point : best, null);
    const found = curves.map(curve => ({ ...curve, point: nearest(curve.points) })).filter(curve => curve.point);
    if (!found.length) return;
    const x = nearest(found.map(curve => curve.point))[0];
    const make = (kind, of) => {
      const element = document.createElementNS(svg.namespaceURI, kind);
      Object.entries(of).forEach(([name, value]) => element.setAttribute(name, value));
      return element;
    };
    const marks = [make("path", { class: "cursor", d: `M${across(x)} 30V276` })];
    tip.replaceChildren(Object.assign(document.createElement("div"), { textContent: `${svg.dataset.over} ${short(x)}` }));
    for (const { name, colour, point } of found) {
      if (Math.abs(across(point[0]) - across(x)) > 6) continue;
      marks.push(make("circle", { class: `dot ${colour}`, cx: across(point[0]), cy: up(point[1]), r: 3.5 }));
      const row = document.createElement("div"), value = document.createElement("b");
      value.className = colour;
      value.style.color = "var(--c)";
      value.textContent = short(point[1]);
      row.append(name ? `${name} ` : "", value);
      tip.append(row);
    }
    layer.replaceChildren(...marks);
    tip.style.display = "block";
    const left = across(x) / view.width * box.width;
    tip.style.left = `${left > box.width / 2 ? left - tip.offsetWidth - 8 : left + 14}px`;
  };
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("pointerleave", leave);
}
