// Regions painted on the photo: a layer for each painting but the first, whose region
// is the rest, and one for where the photo is kept.

const COLORS = ["#2b6cff", "#ff2bd6", "#ffb000", "#00c27a", "#8e44ff", "#ff5a2b", "#00b8d4", "#7a8a00"];
const KEEP = "#ffffff";
const MOST_PIXELS = 36e6; // more is painted at a reduced size
const MOST_UNDO = 30;
const UNDO_PIXELS = 120e6; // of all kept strokes together

function sheet(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

export class Mask {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.layers = new Map(); // {target: canvas with the region's opacity}
    this.undone = [];
    this.target = "1";
    this.size = 20; // percent of a third of the short side
    this.soft = true;
    this.erase = false;
    this.cursor = null;
  }

  // A new photo: of its size, in pixels.
  beginPhoto(width, height) {
    this.factor = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
    this.width = Math.max(1, Math.round(width * this.factor));
    this.height = Math.max(1, Math.round(height * this.factor));
    this.layers.clear();
    this.undone = [];
    this.cursor = [this.width / 2, this.height / 2];
    this.draw();
  }

  isEmpty() {
    return !this.layers.size;
  }

  radius() {
    return Math.max(1, (this.size / 100) * Math.min(this.width, this.height) / 3);
  }

  layer(target) {
    if (!this.layers.has(target)) this.layers.set(target, sheet(this.width, this.height));
    return this.layers.get(target).getContext("2d");
  }

  // What a stroke changes is kept, so that it can be undone.
  keep() {
    const layers = new Map();
    for (const [target, canvas] of this.layers) {
      const copy = sheet(this.width, this.height);
      copy.getContext("2d").drawImage(canvas, 0, 0);
      layers.set(target, copy);
    }
    this.undone.push(layers);
    const each = Math.max(1, layers.size) * this.width * this.height;
    const most = Math.max(1, Math.min(MOST_UNDO, Math.floor(UNDO_PIXELS / each)));
    while (this.undone.length > most) this.undone.shift();
  }

  undo() {
    const layers = this.undone.pop();
    if (!layers) return;
    this.layers = layers;
    this.draw();
    this.changed();
  }

  clear() {
    this.keep();
    this.layers.clear();
    this.draw();
    this.changed();
  }

  invert() {
    this.keep();
    const context = this.layer(this.target);
    context.globalCompositeOperation = "xor";
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.width, this.height);
    context.globalCompositeOperation = "source-over";
    this.takeFromOthers(this.layers.get(this.target), 0, 0);
    this.draw();
    this.changed();
  }

  // One painting has a place, not two.
  takeFromOthers(source, x, y) {
    for (const [target, canvas] of this.layers) {
      if (target === this.target) continue;
      const context = canvas.getContext("2d");
      context.globalCompositeOperation = "destination-out";
      context.drawImage(source, x, y);
      context.globalCompositeOperation = "source-over";
    }
  }

  scaled([x, y]) {
    return [x * this.scaleX, y * this.scaleY];
  }

  // Positions are in the pixels of what the viewer shows.
  setShown(width, height) {
    this.scaleX = this.width / width;
    this.scaleY = this.height / height;
  }

  begin(position, event) {
    this.keep();
    this.brush = this.makeBrush(this.pressure(event));
    this.last = this.scaled(position);
    this.dab(this.last);
    this.draw();
  }

  go(position, event) {
    const next = this.scaled(position), [x, y] = this.last;
    if (event?.pointerType === "pen") this.brush = this.makeBrush(this.pressure(event));
    const distance = Math.hypot(next[0] - x, next[1] - y);
    const count = Math.max(1, Math.ceil(distance / (this.brush.width / 8)));
    for (let i = 1; i <= count; i++) {
      this.dab([x + ((next[0] - x) * i) / count, y + ((next[1] - y) * i) / count]);
    }
    this.last = next;
    this.cursor = next;
    this.draw();
  }

  end() {
    this.draw();
    this.changed();
  }

  cancel() {
    this.undo();
  }

  hover(position) {
    this.cursor = this.scaled(position);
    this.draw();
  }

  pressure(event) {
    return event?.pointerType === "pen" ? Math.max(0.2, 2 * event.pressure) : 1;
  }

  makeBrush(pressure) {
    const radius = this.radius() * Math.min(pressure, 1.5), size = Math.ceil(2 * radius) + 2;
    const brush = sheet(size, size), context = brush.getContext("2d"), middle = size / 2;
    const gradient = context.createRadialGradient(middle, middle, 0, middle, middle, radius);
    gradient.addColorStop(0, "rgba(0,0,0,1)");
    gradient.addColorStop(this.soft ? 0.4 : 0.99, "rgba(0,0,0,1)");
    gradient.addColorStop(1, "rgba(0,0,0,0)");
    context.fillStyle = gradient;
    context.fillRect(0, 0, size, size);
    return brush;
  }

  dab([x, y]) {
    const left = x - this.brush.width / 2, top = y - this.brush.height / 2;
    const context = this.layer(this.target);
    context.globalCompositeOperation = this.erase ? "destination-out" : "source-over";
    context.drawImage(this.brush, left, top);
    context.globalCompositeOperation = "source-over";
    if (!this.erase) this.takeFromOthers(this.brush, left, top);
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key], pace = Math.max(2, this.radius() / 2);
    if (step) {
      const [x, y] = this.cursor;
      this.cursor = [
        Math.min(Math.max(x + pace * step[0], 0), this.width),
        Math.min(Math.max(y + pace * step[1], 0), this.height),
      ];
    } else if (event.key === " ") {
      this.keep();
      this.brush = this.makeBrush(1);
      this.dab(this.cursor);
      this.changed();
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      this.undo();
    } else return false;
    this.draw();
    return true;
  }

  color(target) {
    return target === "keep" ? KEEP : COLORS[(Number(target) - 1) % COLORS.length];
  }

  // What is seen: at most 2048 pixels, for speed.
  draw() {
    if (!this.width) return;
    const factor = Math.min(1, 2048 / Math.max(this.width, this.height));
    const { canvas } = this;
    const size = [Math.round(this.width * factor), Math.round(this.height * factor)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    const tinted = (this.tinted ??= sheet(1, 1));
    for (const [target, layer] of this.layers) {
      [tinted.width, tinted.height] = size;
      const paint = tinted.getContext("2d");
      paint.drawImage(layer, 0, 0, size[0], size[1]);
      paint.globalCompositeOperation = "source-in";
      paint.fillStyle = this.color(target);
      paint.fillRect(0, 0, size[0], size[1]);
      context.drawImage(tinted, 0, 0);
    }
    if (!canvas.hidden && this.cursor) {
      context.beginPath();
      context.arc(this.cursor[0] * factor, this.cursor[1] * factor, this.radius() * factor, 0, 7);
      context.lineWidth = 3;
      context.strokeStyle = "#000";
      context.stroke();
      context.lineWidth = 1;
      context.strokeStyle = "#fff";
      context.stroke();
    }
  }

  // White on black, or black on white, of one layer or of several.
  picture(targets, ink, ground) {
    const canvas = sheet(this.width, this.height), context = canvas.getContext("2d");
    const inked = sheet(this.width, this.height), paint = inked.getContext("2d");
    for (const target of targets) {
      const layer = this.layers.get(target);
      if (layer) paint.drawImage(layer, 0, 0);
    }
    paint.globalCompositeOperation = "source-in";
    paint.fillStyle = ink;
    paint.fillRect(0, 0, this.width, this.height);
    context.fillStyle = ground;
    context.fillRect(0, 0, this.width, this.height);
    context.drawImage(inked, 0, 0);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }

  isPainted(target) {
    const layer = this.layers.get(target);
    if (!layer) return false;
    const small = sheet(64, 64), context = small.getContext("2d");
    context.drawImage(layer, 0, 0, 64, 64);
    return context.getImageData(0, 0, 64, 64).data.some((value, index) => index % 4 === 3 && value > 0);
  }

  // A grey mask for each of so many paintings; none where nothing is painted.
  async regions(count) {
    const others = [...Array(Math.max(0, count - 1)).keys()].map((index) => String(index + 2));
    const used = others.filter((target) => this.isPainted(target));
    if (!used.length) return [];
    if (used.length < others.length) {
      const missing = others.find((target) => !used.includes(target));
      throw new Error(`paint a place for painting ${missing}, or take it out`);
    }
    const first = await this.picture(others, "#000", "#fff");
    const rest = await Promise.all(others.map((target) => this.picture([target], "#fff", "#000")));
    return [first, ...rest];
  }

  // Black where the photo is kept; null for nowhere.
  async kept() {
    return this.isPainted("keep") ? this.picture(["keep"], "#000", "#fff") : null;
  }

  // All layers in one picture of colors, to save and to load again.
  async saved() {
    const canvas = sheet(this.width, this.height), context = canvas.getContext("2d");
    for (const [target, layer] of this.layers) {
      const inked = sheet(this.width, this.height), paint = inked.getContext("2d");
      paint.drawImage(layer, 0, 0);
      paint.globalCompositeOperation = "source-in";
      paint.fillStyle = this.color(target);
      paint.fillRect(0, 0, this.width, this.height);
      context.drawImage(inked, 0, 0);
    }
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }

  // Bring back the regions of a run, from its masks' addresses: white where a painting
  // is, black where the photo is kept.
  async restore(regions, kept) {
    const sources = [...regions].map(([target, address]) => [target, address, false]);
    if (kept) sources.push(["keep", kept, true]);
    for (const [target, address, inverted] of sources) {
      const image = await createImageBitmap(await (await fetch(address)).blob());
      const context = this.layer(target), { width, height } = this;
      context.drawImage(image, 0, 0, width, height);
      const pixels = context.getImageData(0, 0, width, height), { data } = pixels;
      for (let i = 0; i < data.length; i += 4) data[i + 3] = inverted ? 255 - data[i] : data[i];
      context.putImageData(pixels, 0, 0);
    }
    this.draw();
  }

  async load(file) {
    const image = await createImageBitmap(file);
    const canvas = sheet(this.width, this.height), context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0, this.width, this.height);
    this.keep();
    this.layers.clear();
    const pixels = context.getImageData(0, 0, this.width, this.height), { data } = pixels;
    const targets = [...COLORS.keys()].slice(1).map((index) => String(index + 1)).concat("keep");
    const palette = targets.map((target) => {
      const number = parseInt(this.color(target).slice(1), 16);
      return [number >> 16, (number >> 8) & 255, number & 255];
    });
    const layers = new Map();
    for (let i = 0; i < data.length; i += 4) {
      if (!data[i + 3]) continue;
      let nearest = 0, least = Infinity;
      for (let j = 0; j < palette.length; j++) {
        const [red, green, blue] = palette[j];
        const distance = (data[i] - red) ** 2 + (data[i + 1] - green) ** 2 + (data[i + 2] - blue) ** 2;
        if (distance < least) [nearest, least] = [j, distance];
      }
      const target = targets[nearest];
      if (!layers.has(target)) layers.set(target, new ImageData(this.width, this.height));
      layers.get(target).data[i + 3] = data[i + 3];
    }
    for (const [target, values] of layers) this.layer(target).putImageData(values, 0, 0);
    this.draw();
    this.changed();
  }
}
