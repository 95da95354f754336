// The knobs, and every other setting: between the page and a job's preset and settings.

const element = (id) => document.getElementById(id);

// What the three qualities are, as a preset and its settings.
const QUALITIES = {
  quick: { preset: "quick", settings: {} },
  good: { preset: "gatys-code", settings: { init: "fast", steps: "100", pyramid_steps: "100" } },
  best: { preset: "gatys-code", settings: { pyramid: "2", pyramid_min_size: "128", steps: "300", pyramid_steps: "200" } },
};
const KNOBS = ["beta", "style_scale", "color", "size"];

export class Settings {
  constructor(state, changed) {
    this.presets = state.presets;
    this.littleStyle = Math.log10(state.little_style);
    this.own = {}; // what "all settings" has that differs from the quality's
    this.changed = changed;
    for (const name of Object.keys(state.presets)) element("preset").add(new Option(name));
    this.fields = new Map(state.settings.map((each) => [each.name, this.addField(each)]));
    for (const id of ["amount", "stroke", "color", "size", "weights", "seed"]) {
      element(id).addEventListener("input", () => this.update());
    }
    element("preset").addEventListener("change", () => {
      for (const radio of this.radios()) radio.checked = false;
      this.update();
    });
    for (const radio of this.radios()) {
      radio.addEventListener("change", () => {
        element("preset").value = QUALITIES[radio.value].preset;
        this.update();
      });
    }
    element("preset").value = QUALITIES[this.quality()].preset;
    this.show();
  }

  radios() {
    return document.querySelectorAll('#quality input[type="radio"]');
  }

  quality() {
    return [...this.radios()].find((radio) => radio.checked)?.value ?? null;
  }

  addField({ name, help, kind, choices, least, most }) {
    const row = document.createElement("label"), title = document.createElement("span");
    row.className = "row";
    title.textContent = `${name.replaceAll("_", " ")} `;
    const flag = document.createElement("code");
    flag.textContent = `--${name}`;
    let field;
    if (kind === "choice" || kind === "switch") {
      field = document.createElement("select");
      field.add(new Option("", ""));
      for (const choice of kind === "switch" ? ["true", "false"] : choices) field.add(new Option(choice));
    } else {
      field = document.createElement("input");
      field.type = kind === "text" ? "text" : "number";
      if (kind !== "text") {
        field.step = kind === "whole" ? "1" : "any";
        if (least !== null) field.min = least;
        if (most !== null && most < 1e9) field.max = most;
      }
    }
    const hint = document.createElement("small");
    hint.textContent = help;
    row.append(title, flag, field, hint);
    element("settings").append(row);
    field.addEventListener("change", () => {
      if (field.value === "") delete this.own[name];
      else this.own[name] = field.value;
      this.update();
    });
    return { row, field };
  }

  // What the quality or the preset alone would be.
  base() {
    const chosen = QUALITIES[this.quality()];
    const preset = element("preset").value;
    const settings = chosen && chosen.preset === preset ? { ...chosen.settings } : {};
    if (this.fromPhoto(preset, settings, Number(element("amount").value))) settings.init = "content";
    return { preset, settings };
  }

  // With little style a painting starts from the photo: its content has no colors, so
  // that those of a restyled photo would stay.
  fromPhoto(preset, settings, amount) {
    return amount < this.littleStyle && (settings.init ?? this.presets[preset].init) === "fast";
  }

  // {preset, weights, settings, seed} of a job.
  read() {
    const { preset, settings } = this.base(), texts = this.presets[preset];
    settings.size = `long:${element("size").value}`;
    const amount = Number(element("amount").value), stroke = Number(element("stroke").value);
    if (amount) settings.beta = String(Number((Number(texts.beta) * 10 ** amount).toPrecision(6)));
    if (stroke) settings.style_scale = String(Number((Number(texts.style_scale) * 2 ** stroke).toPrecision(6)));
    if (element("color").value !== "style") settings.color = element("color").value;
    const seed = Number(element("seed").value) || 0;
    return { preset, weights: element("weights").value, settings: { ...settings, ...this.own }, seed };
  }

  // A setting of a job, as a number.
  value(job, name) {
    return Number(job.settings[name] ?? this.presets[job.preset][name]);
  }

  // Bring back what a job had.
  write(job) {
    const settings = { ...job.settings };
    const amount = Math.log10(this.value(job, "beta") / Number(this.presets[job.preset].beta));
    element("preset").value = job.preset;
    const quality = Object.keys(QUALITIES).find((name) => {
      const { preset, settings: own } = QUALITIES[name];
      const usual = this.fromPhoto(preset, own, amount) ? { ...own, init: "content" } : own;
      return preset === job.preset && Object.entries(usual).every(([key, value]) => [value, own[key]].includes(settings[key]));
    });
    const isFromPhoto = this.fromPhoto(job.preset, QUALITIES[quality]?.settings ?? {}, amount);
    if (isFromPhoto && settings.init === "content") delete settings.init;
    for (const radio of this.radios()) radio.checked = radio.value === quality;
    for (const key of Object.keys(QUALITIES[quality]?.settings ?? {})) delete settings[key];
    for (const [id, name, base] of [["amount", "beta", 10], ["stroke", "style_scale", 2]]) {
      const ratio = this.value(job, name) / Number(this.presets[job.preset][name]), knob = element(id);
      const value = Math.round((Math.log(ratio) / Math.log(base)) * 10) / 10;
      const fits = value >= knob.min && value <= knob.max && Math.abs(base ** value / ratio - 1) < 1e-4;
      if (fits) delete settings[name];
      knob.value = fits ? value : 0;
    }
    element("color").value = settings.color ?? "style";
    delete settings.color;
    const side = /^long:(\d+)$/.exec(settings.size ?? "")?.[1];
    if ([...element("size").options].some((option) => option.value === side)) {
      element("size").value = side;
      delete settings.size;
    }
    element("weights").value = job.weights;
    element("seed").value = job.seed ?? 0;
    this.own = settings;
    this.update();
  }

  update() {
    this.show();
    this.changed();
  }

  // Texts beside the knobs, and what each field would be if it is left alone.
  show() {
    const { preset, settings } = this.base(), texts = this.presets[preset], now = this.read().settings;
    const amount = Number(element("amount").value), stroke = Number(element("stroke").value);
    element("amount-text").value = `${amount ? `${Number((10 ** amount).toPrecision(2))} × preset` : "preset"} (--beta)`;
    element("stroke-text").value = `${Number((2 ** stroke).toPrecision(2))} × (--style_scale)`;
    for (const [name, { row, field }] of this.fields) {
      const usual = settings[name] ?? (KNOBS.includes(name) && now[name] !== this.own[name] && now[name]) ?? null;
      const text = usual || texts[name];
      if (field.tagName === "SELECT") field.options[0].textContent = `${text} (as it is)`;
      else field.placeholder = text;
      const own = this.own[name];
      if (field.value !== (own ?? "")) field.value = own ?? "";
      row.classList.toggle("changed", own !== undefined);
    }
  }
}
