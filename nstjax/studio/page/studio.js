// The page: what is chosen, what is looked at, what is computed.

import { get, listen, post, upload } from "./api.js";
import { Mask } from "./mask.js";
import { Settings } from "./settings.js";
import { Viewer } from "./viewer.js";

const element = (id) => document.getElementById(id);
const CHOSEN = "nstjax-studio-chosen"; // in the browser's storage, for a page that is reloaded
const LOOK_WAIT = 60; // milliseconds after the last change

const pictures = new Map(); // {id: picture}
const runs = new Map(); // {key: run}
const chosen = { photo: null, styles: [], run: null };
let settings, bundled = [];
const viewer = new Viewer();
const mask = new Mask(element("mask-canvas"), () => plan());

// Messages

function say(text, isError = false) {
  element("message").textContent = text;
  element("message").classList.toggle("error", isError);
}

// What goes wrong in an action is one line on the page.
function guarded(action) {
  return async (...given) => {
    try {
      await action(...given);
    } catch (error) {
      if (error.name !== "AbortError") say(error.message, true);
    }
  };
}

// Pictures that are chosen

function remember() {
  const { photo, styles, run } = chosen;
  try {
    localStorage.setItem(CHOSEN, JSON.stringify({ photo, styles, run, job: settings?.read() }));
  } catch {
    // Without storage a page that is reloaded begins anew.
  }
}

function thumbnail(source, title, pressed, act, role = "pressed") {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "thumbnail";
  if (role === "checked") {
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(pressed));
  } else button.setAttribute("aria-pressed", String(pressed));
  const image = document.createElement("img"), text = document.createElement("span");
  image.src = source;
  image.alt = "";
  text.textContent = title;
  button.title = title;
  button.append(image, text);
  button.addEventListener("click", guarded(act));
  return button;
}

const isSame = (style, other) => style.picture === other.picture && style.name === other.name;

function chooseStyle(style) {
  const index = chosen.styles.findIndex((each) => isSame(each, style));
  if (index >= 0) chosen.styles.splice(index, 1);
  else {
    // Bundled styles are mixed among themselves, and paintings among themselves.
    chosen.styles = chosen.styles.filter((each) => Boolean(each.name) === Boolean(style.name));
    chosen.styles.push({ ...style, share: 1 });
  }
  changedPictures();
}

function choosePhoto(id) {
  if (chosen.photo !== id) {
    chosen.photo = id;
    const { width, height } = pictures.get(id);
    mask.begin_photo(width, height);
  }
  chosen.run = null;
  changedPictures();
}

function showPictures() {
  const photos = [...pictures.values()].filter(({ kind }) => kind === "photo" || kind === "video");
  element("photos").replaceChildren(...photos.map(({ id, name }) =>
    thumbnail(`/api/pictures/${id}/thumbnail.jpg`, name, id === chosen.photo, () => choosePhoto(id), "checked")));
  const paintings = [...pictures.values()].filter(({ kind }) => kind === "painting");
  element("paintings").replaceChildren(...paintings.map(({ id, name }) =>
    thumbnail(`/api/pictures/${id}/thumbnail.jpg`, name, chosen.styles.some(({ picture }) => picture === id), () => chooseStyle({ picture: id }))));
  element("bundled").replaceChildren(...bundled.map(({ name, title }) =>
    thumbnail(`/api/styles/${name}.jpg`, title || name, chosen.styles.some((style) => style.name === name), () => chooseStyle({ name }))));
  showMixture();
  showTargets();
}

const titleOf = (style) => style.name ?? pictures.get(style.picture)?.name ?? "painting";

function showMixture() {
  const box = element("mixture");
  box.hidden = chosen.styles.length < 2;
  box.replaceChildren(box.querySelector("h3"), ...chosen.styles.map((style, index) => {
    const label = document.createElement("label"), range = document.createElement("input");
    label.className = "row";
    range.type = "range";
    Object.assign(range, { min: 0, max: 1, step: 0.05, value: style.share });
    label.append(titleOf(style), range);
    range.addEventListener("input", () => {
      chosen.styles[index].share = Number(range.value);
      look(256);
    });
    range.addEventListener("change", () => {
      look();
      plan();
      remember();
    });
    return label;
  }));
}

function changedPictures() {
  showPictures();
  const photo = pictures.get(chosen.photo);
  if (photo) {
    viewer.showPhoto(`/api/pictures/${photo.id}/view.jpg`, photo.width, photo.height);
    mask.setShown(photo.width, photo.height);
  }
  if (!chosen.run) look();
  plan();
  showRun();
  remember();
}

const give = (kind) => guarded(async (files) => {
  for (const file of files) {
    say(`reading ${file.name}…`);
    const isVideo = file.type.startsWith("video/");
    const picture = await upload(file, kind === "photo" && isVideo ? "video" : kind);
    pictures.set(picture.id, picture);
    if (kind === "photo") {
      choosePhoto(picture.id);
    } else if (!chosen.styles.some((style) => style.picture === picture.id)) chooseStyle({ picture: picture.id });
    say("");
  }
});

function dropPlace(place, file, button, kind) {
  const take = give(kind);
  button.addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    take([...file.files]).then(() => { file.value = ""; });
  });
  for (const name of ["dragenter", "dragover"]) {
    place.addEventListener(name, (event) => {
      event.preventDefault();
      place.classList.add("over");
    });
  }
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
}

// The first look

let lookTimer, lookAbort;

function styles() {
  return chosen.styles.filter(({ share }) => share > 0).map(({ picture, name, share }) => picture ? { picture, share } : { name, share });
}

function look(side = 512) {
  clearTimeout(lookTimer);
  lookAbort?.abort();
  const { photo } = chosen;
  if (!photo || !styles().length || pictures.get(photo).kind === "video") {
    if (!chosen.run) viewer.clearPicture();
    return;
  }
  lookTimer = setTimeout(guarded(async () => {
    lookAbort = new AbortController();
    element("stage").setAttribute("aria-busy", "true");
    try {
      const job = { photos: [photo], styles: styles() };
      const found = await post("/api/looks", { job, side }, { signal: lookAbort.signal });
      if (chosen.run || chosen.photo !== photo) return;
      viewer.setStrength(Number(element("strength").value));
      await viewer.showPicture(found.look);
    } finally {
      element("stage").removeAttribute("aria-busy");
    }
  }), LOOK_WAIT);
}

// Jobs

const isBundled = () => chosen.styles.some(({ name }) => name);

async function uploadMask(blob, name) {
  const picture = await upload(blob, "mask", name);
  pictures.set(picture.id, picture);
  return picture.id;
}

// A bundled style has no painting here: it is refined from its one-pass picture.
async function job(withMasks = true) {
  const own = settings.read();
  if (pictures.get(chosen.photo).kind === "video" || isBundled()) {
    const refine = pictures.get(chosen.photo).kind === "video" ? 0 : { quick: 10, good: 50, best: 200 }[settings.quality()] ?? 50;
    return { type: "restyle", photos: [chosen.photo], styles: styles(), refine, strength: Number(element("strength").value), size: own.settings.size };
  }
  const made = { type: "paint", photo: chosen.photo, styles: styles(), ...own };
  if (withMasks && !mask.isEmpty()) {
    const regions = await mask.regions(made.styles.length), kept = await mask.kept();
    made.masks = [];
    for (const [index, blob] of regions.entries()) made.masks.push(await uploadMask(blob, `region ${index + 1}.png`));
    if (kept) made.stylize_mask = await uploadMask(kept, "kept.png");
  }
  return made;
}

let planTimer;

function plan() {
  clearTimeout(planTimer);
  const ready = Boolean(chosen.photo && styles().length);
  element("paint").disabled = !ready;
  element("nine").disabled = !ready || isBundled();
  remember();
  if (!ready) return;
  planTimer = setTimeout(async () => {
    try {
      const found = await post("/api/plan", await job(false));
      element("plan").textContent = found.seconds === undefined ? "" :
        `${found.width}×${found.height}, ${found.steps} steps: about ${duration(found.seconds)} and ${found.gigabytes} GB here${found.tile ? ", in tiles" : ""}`;
      element("plan").classList.remove("error");
    } catch (error) {
      element("plan").textContent = error.message;
    }
  }, 200);
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const paint = guarded(async () => {
  say("");
  chosen.run = "new";
  const run = await post("/api/runs", await job());
  runs.set(run.key, run);
  chooseRun(run.key);
});

const nine = guarded(async () => {
  say("");
  const run = await post("/api/runs", { type: "nine", painting: await job() });
  runs.set(run.key, run);
  chooseRun(run.key);
});

// Three stroke sizes below each other, with less and more style from left to right.
function showSheet(run) {
  const isNine = run?.job.type === "nine";
  element("sheet").hidden = !isNine;
  if (!isNine || shown.sheet === run.results.join()) return;
  shown.sheet = run.results.join();
  element("sheet").replaceChildren(...run.results.map((name) => {
    const place = parseInt(name, 10) - 1, amount = (place % 3) - 1, stroke = Math.floor(place / 3) - 1;
    const button = document.createElement("button"), image = document.createElement("img");
    button.type = "button";
    image.src = `/api/runs/${run.key}/results/${name}`;
    const words = [["less style", "style as it is", "more style"][amount + 1], ["fine strokes", "strokes as they are", "broad strokes"][stroke + 1]];
    image.alt = button.title = words.join(", ");
    button.append(image);
    button.addEventListener("click", () => {
      settings.write(run.job.painting);
      for (const [id, change] of [["amount", amount], ["stroke", stroke]]) {
        element(id).value = Number(element(id).value) + change;
      }
      settings.update();
      say(`${words.join(", ")}: press Paint`);
    });
    return button;
  }));
}

const copy = (what) => guarded(async () => {
  const found = await post("/api/plan", await job()), box = element("copied");
  box.textContent = found[what];
  box.hidden = false;
  try {
    await navigator.clipboard.writeText(found[what]);
    say("copied");
  } catch {
    box.focus();
    say("select the text below to copy it");
  }
});

// Runs

function chooseRun(key) {
  chosen.run = key;
  shown = {};
  showRun();
  showStrip();
  remember();
}

// A picture of the strip brings its settings back.
function bringBack(key) {
  const { job: found } = runs.get(key), job = found.painting ?? found, photo = job.photo ?? job.photos?.[0];
  if (pictures.has(photo)) {
    chosen.photo = photo;
    mask.begin_photo(pictures.get(photo).width, pictures.get(photo).height);
  }
  chosen.styles = job.styles.map((style) => ({ share: 1, ...style }));
  chosen.run = key;
  if (found.type !== "restyle") settings.write(job);
  changedPictures();
  chooseRun(key);
}

let shown = {};

function showRun() {
  const run = runs.get(chosen.run);
  element("run").hidden = !run;
  const has = (...states) => Boolean(run) && states.includes(run.state);
  element("pause").hidden = !(has("running", "queued") && run.job.type === "paint");
  element("stop").hidden = !has("running", "queued", "paused", "pausing");
  element("resume").hidden = !has("paused", "stopped", "failed");
  element("more").hidden = !(has("done") && run.job.type === "paint");
  const results = run?.results ?? [];
  element("save").hidden = !(run?.job.type === "paint" && results.length);
  element("save-all").hidden = !(run && run.job.type !== "paint" && results.length);
  showSheet(run);
  if (!run) return;
  for (const kind of ["png", "jpg", "tif"]) element(`save-${kind}`).href = `/api/runs/${run.key}/results/stylized.${kind}`;
  element("save-all").href = `/api/runs/${run.key}/results.zip`;
  element("progress").value = run.steps ? run.step / run.steps : 0;
  const words = { running: "painting", queued: run.place ? `waiting, ${run.place} before it` : "waiting", pausing: "pausing after this step", stopping: "stopping after this step" };
  const parts = [words[run.state] ?? run.state];
  if (run.steps) parts.push(`step ${run.step} of ${run.steps}`);
  if (run.state === "running" && run.seconds_left != null) parts.push(`about ${duration(run.seconds_left)} left`);
  if (run.total_loss != null) parts.push(`loss ${run.total_loss.toPrecision(4)}`);
  element("run-text").textContent = run.error ? run.error : parts.join(" · ");
  element("run-text").classList.toggle("error", Boolean(run.error));
  if (run.preview && shown.preview !== `${run.key}-${run.preview}`) {
    shown.preview = `${run.key}-${run.preview}`;
    viewer.setStrength(1);
    viewer.showPicture(`/api/runs/${run.key}/preview.jpg?${run.preview}`);
  }
  if (shown.step !== run.step) {
    shown.step = run.step;
    showCurve(run.key);
  }
}

const showCurve = guarded(async (key) => {
  const losses = await get(`/api/runs/${key}/losses`);
  if (chosen.run !== key || losses.length < 2) return;
  const logs = losses.map(([, loss]) => Math.log(Math.max(loss, 1e-30)));
  const least = Math.min(...logs), range = Math.max(...logs) - least || 1, last = losses.at(-1)[0] || 1;
  const points = losses.map(([step], index) => `${((100 * step) / last).toFixed(2)},${(29 - (28 * (logs[index] - least)) / range).toFixed(2)}`);
  element("curve").querySelector("polyline").setAttribute("points", points.join(" "));
});

function showStrip() {
  const list = [...runs.values()].reverse();
  element("strip").replaceChildren(...list.map((run) => {
    const job = run.job.painting ?? run.job;
    const source = run.preview ? `/api/runs/${run.key}/preview.jpg?${run.preview}` : `/api/pictures/${job.photo ?? job.photos[0]}/thumbnail.jpg`;
    const title = `${job.styles.map(titleOf).join(" + ")}: ${run.state}`;
    return thumbnail(source, title, run.key === chosen.run, () => bringBack(run.key));
  }));
}

const change = (what, data) => guarded(async () => {
  const run = await post(`/api/runs/${chosen.run}/${what}`, data);
  runs.set(run.key, run);
  showRun();
});

function heard(kind, data) {
  if (kind === "lost") {
    say("the server does not answer: is nstjax-studio still running?", true);
    return;
  }
  if (element("message").textContent.startsWith("the server does not answer")) say("");
  if (kind === "runs") {
    runs.clear();
    for (const run of data) runs.set(run.key, run);
  } else if (data.state === "deleted") runs.delete(data.key);
  else runs.set(data.key, data);
  const key = kind === "run" ? data.key : chosen.run;
  if (key === chosen.run) showRun();
  const states = [...runs.values()].map((run) => `${run.key} ${run.state}`).join();
  if (states !== shown.states) {
    shown.states = states;
    showStrip();
  }
}

// Regions

function showTargets() {
  const select = element("mask-target"), before = select.value;
  const others = chosen.styles.slice(1).map((style, index) => new Option(`painting ${index + 2}: ${titleOf(style)}`, String(index + 2)));
  select.replaceChildren(new Option("keep the photo here", "keep"), ...others);
  if ([...select.options].some(({ value }) => value === before)) select.value = before;
  mask.target = select.value;
}

function setUpMask() {
  const canvas = element("mask-canvas");
  element("mask-panel").addEventListener("toggle", () => {
    const open = element("mask-panel").open && Boolean(chosen.photo);
    canvas.hidden = !open;
    viewer.drawing = open ? mask : null;
    viewer.arrange();
    mask.draw();
  });
  element("mask-target").addEventListener("change", (event) => { mask.target = event.target.value; });
  element("brush-size").addEventListener("input", (event) => {
    mask.size = Number(event.target.value);
    mask.draw();
  });
  element("brush-soft").addEventListener("change", (event) => { mask.soft = event.target.checked; });
  element("brush-erase").addEventListener("change", (event) => { mask.erase = event.target.checked; });
  element("mask-undo").addEventListener("click", () => mask.undo());
  element("mask-invert").addEventListener("click", () => mask.invert());
  element("mask-clear").addEventListener("click", () => mask.clear());
  element("mask-save").addEventListener("click", guarded(async () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await mask.saved());
    link.download = "mask.png";
    link.click();
    URL.revokeObjectURL(link.href);
  }));
  element("mask-load").addEventListener("click", () => element("mask-file").click());
  element("mask-file").addEventListener("change", guarded(async (event) => {
    const [file] = event.target.files;
    if (file) await mask.load(file);
    event.target.value = "";
  }));
}

// Beginning

const begin = guarded(async () => {
  const state = await get("/api/state");
  for (const picture of state.pictures) pictures.set(picture.id, picture);
  for (const run of state.runs) runs.set(run.key, run);
  settings = new Settings(state, plan);
  dropPlace(element("photo-drop"), element("photo-file"), element("choose-photo"), "photo");
  dropPlace(element("painting-drop"), element("painting-file"), element("choose-painting"), "painting");
  for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
  setUpMask();
  element("paint").addEventListener("click", paint);
  element("nine").addEventListener("click", nine);
  element("pause").addEventListener("click", change("pause"));
  element("stop").addEventListener("click", change("stop"));
  element("resume").addEventListener("click", change("resume"));
  element("more").addEventListener("click", change("more", { steps: 100 }));
  element("copy-command").addEventListener("click", copy("command"));
  element("copy-python").addEventListener("click", copy("python"));
  element("strength").addEventListener("input", () => {
    const strength = Number(element("strength").value);
    element("strength-text").value = `${Math.round(100 * strength)} %`;
    if (!chosen.run) viewer.setStrength(strength);
  });
  try {
    const before = JSON.parse(localStorage.getItem(CHOSEN)) ?? {};
    if (before.job) settings.write(before.job);
    chosen.styles = (before.styles ?? []).filter(({ picture, name }) => name || pictures.has(picture));
    if (runs.has(before.run)) chosen.run = before.run;
    if (pictures.has(before.photo)) {
      chosen.photo = before.photo;
      mask.begin_photo(pictures.get(before.photo).width, pictures.get(before.photo).height);
    }
  } catch {
    // What was stored is of another version.
  }
  changedPictures();
  showStrip();
  listen(heard);
  document.body.dataset.ready = "true";
  bundled = await get("/api/styles");
  showPictures();
});

begin();
