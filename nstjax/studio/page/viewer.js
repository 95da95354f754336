// Before and after on one stage: compared, zoomed and moved.

const element = (id) => document.getElementById(id);
const LEAST_ZOOM = 0.02, MOST_ZOOM = 16;

export class Viewer {
  constructor() {
    this.stage = element("stage");
    this.canvas = element("canvas");
    this.before = element("before");
    this.after = element("after");
    this.divider = element("divider");
    this.mode = element("mode");
    this.width = this.height = 0; // of the picture that is shown
    this.scale = 1;
    this.x = this.y = 0;
    this.fitted = true;
    this.strength = 1; // of the picture over the photo
    this.drawing = null; // takes the pointer, while somebody paints a mask
    this.mode.addEventListener("change", () => this.arrange());
    this.divider.addEventListener("input", () => this.arrange());
    element("zoom-in").addEventListener("click", () => this.zoomBy(1.25));
    element("zoom-out").addEventListener("click", () => this.zoomBy(0.8));
    element("zoom-fit").addEventListener("click", () => this.fit());
    element("zoom-full").addEventListener("click", () => this.zoomTo(this.pixelScale()));
    this.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 400), event);
    }, { passive: false });
    this.pointers = new Map();
    this.stage.addEventListener("pointerdown", (event) => this.press(event));
    this.stage.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(kind, (event) => this.release(event));
    }
    this.stage.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => (this.fitted ? this.fit() : this.arrange())).observe(this.stage);
  }

  // The photo in the size that everything is laid over.
  showPhoto(source, width, height) {
    const changed = this.before.dataset.source !== source;
    this.before.dataset.source = source;
    this.before.src = source;
    if (changed) this.clearPicture();
    this.width = width;
    this.height = height;
    this.canvas.hidden = false;
    element("empty").hidden = true;
    this.fit();
  }

  // Loaded first, so that the old one stays until the new one is there.
  async showPicture(source, naturalWidth = 0) {
    this.wanted = source;
    const image = new Image();
    image.src = source;
    try {
      await image.decode();
    } catch {
      return;
    }
    if (this.wanted !== source) return;
    this.after.src = source;
    this.after.dataset.versions = Number(this.after.dataset.versions || 0) + 1;
    this.naturalWidth = naturalWidth || image.naturalWidth;
    this.after.hidden = false;
    this.arrange();
  }

  clearPicture() {
    this.wanted = null;
    this.after.hidden = true;
    this.after.removeAttribute("src");
    this.arrange();
  }

  showNothing() {
    this.clearPicture();
    this.width = this.height = 0;
    this.canvas.hidden = true;
    element("empty").hidden = false;
  }

  setStrength(strength) {
    this.strength = strength;
    this.arrange();
  }

  // The scale at which a pixel of the result is one of the screen.
  pixelScale() {
    const own = this.after.hidden ? this.width : this.naturalWidth || this.width;
    return own / this.width / (window.devicePixelRatio || 1);
  }

  fit() {
    if (!this.width) return;
    const { clientWidth, clientHeight } = this.stage;
    const across = this.isSideBySide() ? 2 : 1;
    this.scale = Math.min(clientWidth / this.width / across, clientHeight / this.height);
    this.x = (clientWidth / across - this.width * this.scale) / 2;
    this.y = (clientHeight - this.height * this.scale) / 2;
    this.fitted = true;
    this.arrange();
  }

  isSideBySide() {
    return this.mode.value === "side" && !this.after.hidden;
  }

  zoomTo(scale, at) {
    const box = this.stage.getBoundingClientRect();
    const [x, y] = at ? [at.clientX - box.left, at.clientY - box.top] : [box.width / 2, box.height / 2];
    scale = Math.min(Math.max(scale, LEAST_ZOOM), MOST_ZOOM);
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.arrange();
  }

  zoomBy(factor, at) {
    this.zoomTo(this.scale * factor, at);
  }

  arrange() {
    const { canvas, before, after, mode } = this;
    canvas.style.width = `${this.width}px`;
    canvas.style.height = `${this.height}px`;
    canvas.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    const shown = !after.hidden;
    const drawing = this.drawing !== null;
    const choice = drawing ? "before" : mode.value;
    this.divider.hidden = !(shown && choice === "slider");
    before.style.opacity = choice === "after" && shown && this.strength === 1 ? 0 : 1;
    after.style.opacity = choice === "before" ? 0 : this.strength;
    after.style.clipPath = choice === "slider" ? `inset(0 0 0 ${this.divider.value}%)` : "none";
    after.style.left = this.isSideBySide() && !drawing ? "100%" : "0";
    after.style.imageRendering = before.style.imageRendering = this.scale > 2 ? "pixelated" : "auto";
    element("zoom").value = this.fitted ? "fit" : `${Math.round((100 * this.scale) / this.pixelScale())} %`;
  }

  // Where on the picture an event is, in its pixels.
  position(event) {
    const box = this.stage.getBoundingClientRect();
    return [(event.clientX - box.left - this.x) / this.scale, (event.clientY - box.top - this.y) / this.scale];
  }

  press(event) {
    if (!this.width || event.button > 1) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 1 && this.drawing && event.button === 0) {
      this.isDrawing = true;
      this.drawing.begin(this.position(event), event);
    } else if (this.isDrawing) {
      // A second finger moves the picture instead.
      this.isDrawing = false;
      this.drawing.cancel();
    }
  }

  move(event) {
    const last = this.pointers.get(event.pointerId);
    if (this.drawing && !this.pointers.size) this.drawing.hover(this.position(event));
    if (!last) return;
    if (this.isDrawing) {
      for (const each of event.getCoalescedEvents?.() ?? [event]) this.drawing.go(this.position(each), each);
      this.pointers.set(event.pointerId, event);
      return;
    }
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, each]) => each);
      const distance = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY);
      const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
      this.zoomBy(distance(event) / Math.max(distance(last), 1), middle);
    }
    this.x += (event.clientX - last.clientX) / this.pointers.size;
    this.y += (event.clientY - last.clientY) / this.pointers.size;
    this.fitted = false;
    this.pointers.set(event.pointerId, event);
    this.arrange();
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    if (this.isDrawing) {
      this.isDrawing = false;
      this.drawing.end();
    }
  }

  key(event) {
    const steps = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = steps[event.key];
    if (this.drawing?.key(event)) event.preventDefault();
    else if (step) {
      this.x += 40 * step[0];
      this.y += 40 * step[1];
      this.fitted = false;
      this.arrange();
      event.preventDefault();
    } else if (event.key === "+" || event.key === "=") this.zoomBy(1.25);
    else if (event.key === "-") this.zoomBy(0.8);
    else if (event.key === "0") this.fit();
  }
}
