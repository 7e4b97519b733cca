// Measures the pages that scripts/screenshots names. It is not part of them.
const found = [];

// overlaps tells whether two boxes share more than a touch.
function overlaps(a, b) {
  const slack = 2;
  return a.left < b.right - slack && b.left < a.right - slack && a.top < b.bottom - slack && b.top < a.bottom - slack;
}

function measure(doc, width, say) {
  const root = doc.documentElement;
  if (root.scrollWidth > width) say(`it is ${root.scrollWidth} pixels wide`);
  const pictures = root.localName === "svg" ? [root] : doc.querySelectorAll("svg.timeline");
  for (const picture of pictures) {
    const page = picture.getBoundingClientRect();
    const texts = [...picture.querySelectorAll("text")].filter((t) => t.textContent !== "");
    const boxes = texts.map((t) => t.getBoundingClientRect());
    boxes.forEach((a, i) => {
      const name = JSON.stringify(texts[i].textContent);
      if (a.left < page.left - 1 || a.right > page.right + 1 || a.bottom > page.bottom + 1) say(`${name} leaves its picture`);
      for (let j = 0; j < i; j++) {
        if (overlaps(a, boxes[j])) say(`${name} overlaps ${JSON.stringify(texts[j].textContent)}`);
      }
    });
  }
}

async function open(file, width) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width: ${width}px; height: 800px; border: 0`;
  const loaded = new Promise((resolve) => { frame.onload = resolve; });
  frame.src = golden + file;
  document.body.append(frame);
  await loaded;
  const doc = frame.contentDocument;
  measure(doc, width, (what) => found.push(`problem ${file} ${width}: ${what}`));
  const height = doc.documentElement.localName === "svg" ? doc.documentElement.getBoundingClientRect().height : doc.documentElement.scrollHeight;
  found.push(`size ${file} ${width} ${Math.max(100, Math.ceil(height))}`);
  frame.remove();
}

(async () => {
  for (const file of files) {
    for (const width of [400, 800, 1400]) await open(file, width);
  }
  found.push("done");
})().catch((err) => found.push(`problem: ${err}`)).finally(() => {
  document.getElementById("found").textContent = "\n" + found.join("\n") + "\n";
});
