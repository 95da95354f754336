// The page: what is chosen, what is looked at, what is computed.

import { get, listen, post, remove, upload } from "./api.js";
import { Mask } from "./mask.js";
import { Settings } from "./settings.js";
import { Viewer } from "./viewer.js";

const element = (id) => document.getElementById(id);
const CHOSEN = "nstjax-studio-chosen"; // in the browser's storage, for a page that is reloaded
const LOOK_WAIT = 60; // milliseconds after the last change

const pictures = new Map(); // {id: picture}
const runs = new Map(); // {key: run}
const chosen = { photo: null, styles: [], run: null };
let settings, factors, bundled = [];
const viewer = new Viewer();
const mask = new Mask(element("mask-canvas"), () => {
  plan();
  keepMask();
});

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

// Renew what a box shows, a node for each item by its key. Those that stay are updated
// in place: none loses the pointer or the keyboard.
function renew(box, items, make, update = () => {}) {
  const old = new Map([...box.children].map((node) => [node.dataset.key, node]));
  const nodes = items.map((item) => {
    const node = old.get(item.key) ?? make(item);
    node.dataset.key = item.key;
    old.delete(item.key);
    update(node, item);
    return node;
  });
  for (const node of old.values()) node.remove();
  for (const [place, node] of nodes.entries()) {
    if (box.children[place] !== node) box.insertBefore(node, box.children[place] ?? null);
  }
}

// Pictures' buttons, and beside each one that deletes it.
function showThumbnails(box, items) {
  renew(box, items, ({ remove: isRemoved }) => {
    const node = document.createElement("div");
    node.className = "thumbnail";
    const button = document.createElement("button"), image = document.createElement("img");
    button.type = "button";
    image.alt = "";
    button.append(image, document.createElement("span"));
    node.append(button);
    if (isRemoved) {
      const cross = document.createElement("button");
      cross.type = "button";
      cross.className = "delete";
      cross.textContent = "×";
      node.append(cross);
    }
    return node;
  }, (node, { source, text, title, pressed, act, remove: removed }) => {
    const [button, cross] = node.children, [image, label] = button.children;
    if (image.getAttribute("src") !== source) image.src = source;
    label.textContent = text;
    button.title = title ?? text;
    button.setAttribute("aria-pressed", String(pressed));
    button.onclick = guarded(act);
    if (!cross) return;
    cross.title = `Delete ${text}`;
    cross.setAttribute("aria-label", cross.title);
    cross.onclick = guarded(removed);
  });
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
  chosen.run = null;
  changedPictures();
}

async function choosePhoto(id) {
  const isNew = chosen.photo !== id;
  chosen.photo = id;
  chosen.run = null;
  changedPictures();
  if (isNew) await beginMask();
}

const deletePicture = (id) => async () => {
  await remove(`/api/pictures/${id}`);
  pictures.delete(id);
  chosen.styles = chosen.styles.filter(({ picture }) => picture !== id);
  if (chosen.photo === id) {
    chosen.photo = chosen.run = null;
    viewer.showNothing();
  }
  say("");
  changedPictures();
};

function showPictures() {
  const item = ({ id, name }, pressed, act) => (
    { key: id, source: `/api/pictures/${id}/thumbnail.jpg`, text: name, pressed, act, remove: deletePicture(id) }
  );
  showThumbnails(element("photos"), photos().map((each) => item(each, each.id === chosen.photo, () => choosePhoto(each.id))));
  const paintings = [...pictures.values()].filter(({ kind }) => kind === "painting");
  showThumbnails(element("paintings"), paintings.map((each) => {
    const pressed = chosen.styles.some(({ picture }) => picture === each.id);
    return item(each, pressed, () => chooseStyle({ picture: each.id }));
  }));
  showThumbnails(element("bundled"), bundled.map(({ name, title }) => {
    const pressed = chosen.styles.some((style) => style.name === name);
    return { key: name, source: `/page/style-${name}.jpg`, text: name.replaceAll("_", " "), title, pressed, act: () => chooseStyle({ name }) };
  }));
  showMixture();
  showTargets();
}

const isVideo = (id) => pictures.get(id)?.kind === "video";
const photos = () => [...pictures.values()].filter(({ kind }) => kind === "photo" || kind === "video");
const titleOf = (style) => style.name?.replaceAll("_", " ") ?? pictures.get(style.picture)?.name ?? "painting";

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
      chosen.run = null;
      showRun();
      look(240);
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
  }
  if (!chosen.run) look();
  plan();
  showRun();
  remember();
}

const give = (kind) => guarded(async (files) => {
  for (const file of files) {
    say(`reading ${file.name}…`);
    const picture = await upload(file, kind === "photo" && file.type.startsWith("video/") ? "video" : kind);
    pictures.set(picture.id, picture);
    if (kind === "photo") await choosePhoto(picture.id);
    else if (!chosen.styles.some((style) => style.picture === picture.id)) chooseStyle({ picture: picture.id });
    say("");
  }
});

function dropPlace(place, file, button, kind) {
  const take = give(kind);
  if (kind === "photo") {
    element("choose-folder").addEventListener("click", () => element("folder-file").click());
    element("folder-file").addEventListener("change", ({ target }) => {
      take([...target.files].filter(isPicture)).then(() => { target.value = ""; });
    });
  }
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
    filesOf(event.dataTransfer).then(take, (error) => say(error.message, true));
  });
}

// What was dropped, with the pictures and videos of folders.
async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    if (isPicture(file)) found.push(file);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return;
    for (const each of some) await walk(each, found);
  }
}

const isPicture = ({ type, name }) => /^(image|video)\//.test(type) || /\.hei[cf]$/i.test(name);

// The first look

let lookTimer, lookAbort;

function styles() {
  return chosen.styles.filter(({ share }) => share > 0).map(({ picture, name, share }) => picture ? { picture, share } : { name, share });
}

function look(side = 496) {
  clearTimeout(lookTimer);
  lookAbort?.abort();
  const { photo } = chosen;
  if (!photo || !styles().length || isVideo(photo)) {
    if (!chosen.run) viewer.clearPicture();
    return;
  }
  lookTimer = setTimeout(guarded(async () => {
    lookAbort = new AbortController();
    element("stage").setAttribute("aria-busy", "true");
    try {
      const found = await post("/api/looks", { photo, styles: styles(), side }, { signal: lookAbort.signal });
      if (chosen.run || chosen.photo !== photo) return;
      viewer.setStrength(Number(element("strength").value));
      await viewer.showPicture(found.look);
    } finally {
      element("stage").removeAttribute("aria-busy");
    }
  }), LOOK_WAIT);
}

function setStrength(strength) {
  element("strength").value = strength;
  element("strength-text").value = `${Math.round(100 * strength)} %`;
  if (!chosen.run) viewer.setStrength(strength);
}

// Jobs

const isBundled = () => chosen.styles.some(({ name }) => name);

async function uploadMask(blob, name) {
  const picture = await upload(blob, "mask", name);
  pictures.set(picture.id, picture);
  return picture.id;
}

const restyling = (ids, refine = 0) => ({
  type: "restyle",
  photos: ids,
  styles: styles(),
  refine,
  strength: Number(element("strength").value),
  size: settings.read().settings.size,
});

// A bundled style has no painting here: it is refined from its one-pass picture.
async function job(withMasks = true) {
  const own = settings.read();
  if (isVideo(chosen.photo)) return restyling([chosen.photo]);
  if (isBundled()) return restyling([chosen.photo], { quick: 10, good: 50, best: 200 }[settings.quality()] ?? 50);
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
  element("paint").disabled = !ready || isVideo(chosen.photo);
  element("nine").disabled = !ready || isBundled() || isVideo(chosen.photo);
  element("restyle").disabled = element("restyle-all").disabled = !ready;
  element("restyle-all").hidden = photos().length < 2;
  element("restyle-all").textContent = `Restyle all ${photos().length}`;
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

const start = (make) => guarded(async () => {
  say("");
  lookAbort?.abort();
  const run = await post("/api/runs", await make());
  runs.set(run.key, run);
  chooseRun(run.key);
});

const MOST_SHOWN = 24; // of a run's results

function showSheet(run) {
  const results = run?.results ?? [], isNine = run?.job.type === "nine";
  element("sheet").hidden = !(isNine || (run?.job.type === "restyle" && (run.job.photos.length > 1 || results.some(isFilm))));
  if (element("sheet").hidden || shown.sheet === results.join()) return;
  shown.sheet = results.join();
  const address = (name) => `/api/runs/${run.key}/results/${encodeURIComponent(name)}`;
  const picture = (name, words) => {
    const image = document.createElement("img");
    image.src = address(name);
    image.alt = words;
    image.loading = "lazy";
    return image;
  };
  renew(element("sheet"), results.slice(0, MOST_SHOWN).map((name) => ({ key: `${run.key} ${name}`, name })), ({ name }) => {
    const item = document.createElement(isNine ? "button" : "a");
    if (isNine) {
      const [setting, words] = ofNine(run, parseInt(name, 10) - 1);
      item.type = "button";
      item.title = words;
      item.append(picture(name, words));
      item.addEventListener("click", () => {
        settings.write({ ...run.job.painting, settings: { ...run.job.painting.settings, ...setting } });
        say(`${words}: press Paint`);
      });
    } else {
      item.href = address(name);
      item.download = "";
      if (isFilm(name)) return film(item);
      item.append(picture(name, `Save ${name}`));
    }
    return item;
  });
}

const isFilm = (name) => !/\.(png|jpe?g|webp|tiff?)$/.test(name);

function film(link) {
  const box = document.createElement("figure"), video = document.createElement("video");
  video.src = link.href;
  video.controls = true;
  link.textContent = "Save the video";
  box.append(video, link);
  return box;
}

// Three stroke sizes below each other, with more style from left to right.
function ofNine({ job }, place) {
  const across = place % 3, down = Math.floor(place / 3), setting = {};
  for (const [name, factor] of [["beta", factors.beta[across]], ["style_scale", factors.style_scale[down]]]) {
    setting[name] = String(Number((factor * settings.value(job.painting, name)).toPrecision(6)));
  }
  const words = [["much less style", "less style", "style as it is"][across], ["fine strokes", "strokes as they are", "broad strokes"][down]];
  return [setting, words.join(", ")];
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

// A picture of the strip brings its settings and its regions back.
async function bringBack(key) {
  const { job: found } = runs.get(key), made = found.painting ?? found, photo = made.photo ?? made.photos?.[0];
  if (pictures.has(photo)) chosen.photo = photo;
  chosen.styles = made.styles.map((style) => ({ share: 1, ...style }));
  chosen.run = key;
  if (found.type === "restyle") setStrength(made.strength ?? 1);
  else settings.write(made);
  changedPictures();
  chooseRun(key);
  await beginMask(made);
}

const deleteRun = (key) => async () => {
  if (!window.confirm("Delete this run and what it has made?")) return;
  await remove(`/api/runs/${key}`);
  runs.delete(key);
  if (chosen.run === key) {
    chosen.run = null;
    changedPictures();
  }
  showStrip();
};

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
  const isOne = run?.job.type === "paint" || (run?.job.type === "restyle" && results.length === 1 && /\.png$/.test(results[0]));
  element("save").hidden = !(isOne && results.length);
  element("save-all").hidden = isOne || results.length < 2;
  showSheet(run);
  if (!run) return;
  for (const kind of ["png", "jpg", "tif"]) element(`save-${kind}`).href = `/api/runs/${run.key}/results/${/^stylized/.test(results[0]) ? "stylized" : encodeURIComponent((results[0] ?? "").replace(/\.\w+$/, ""))}.${kind}`;
  element("save-all").href = `/api/runs/${run.key}/results.zip`;
  element("progress").value = run.state === "done" ? 1 : run.steps ? run.step / run.steps : 0;
  element("curve").toggleAttribute("hidden", run.job.type !== "paint");
  const words = { running: run.job.type === "restyle" ? "restyling" : "painting", queued: run.place ? `waiting, ${run.place} before it` : "waiting", pausing: "pausing after this step", stopping: "stopping after this step" };
  const parts = [words[run.state] ?? run.state];
  if (run.steps) parts.push(`${run.job.type === "paint" ? "step" : "picture"} ${run.step} of ${run.steps}`);
  if (run.state === "running" && run.seconds_left != null) parts.push(`about ${duration(run.seconds_left)} left`);
  if (run.total_loss != null) parts.push(`loss ${run.total_loss.toPrecision(4)}`);
  element("run-text").textContent = run.error ? run.error : parts.join(" · ");
  element("run-text").classList.toggle("error", Boolean(run.error));
  const isOfPhoto = run.job.type === "paint" || run.job.photos?.length === 1;
  if (run.preview && isOfPhoto && shown.preview !== `${run.key}-${run.preview}`) {
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
  showThumbnails(element("strip"), [...runs.values()].reverse().map((run) => {
    const made = run.job.painting ?? run.job, { key, preview, state } = run;
    const source = preview ? `/api/runs/${key}/thumbnail.jpg?${preview}` : `/api/pictures/${made.photo ?? made.photos[0]}/thumbnail.jpg`;
    const text = `${made.styles.map(titleOf).join(" + ")}: ${state}`;
    return { key, source, text, pressed: key === chosen.run, act: () => bringBack(key), remove: deleteRun(key) };
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

// A mask that is being painted is kept by the browser, for a page that is reloaded.
const maskAddress = (photo) => `/mask/${photo}`;

const keepMask = guarded(async () => {
  const { photo } = chosen, kept = await globalThis.caches?.open(CHOSEN);
  if (mask.isEmpty()) await kept?.delete(maskAddress(photo));
  else if (kept) await kept.put(maskAddress(photo), new Response(await mask.saved()));
});

// The regions of a job, or those that were last painted on the photo.
async function beginMask(made = null) {
  const { photo } = chosen, { width, height } = pictures.get(photo);
  mask.beginPhoto(width, height);
  mask.setShown(width, height);
  if (made) {
    const address = (id) => `/api/pictures/${id}/original`;
    const regions = (made.masks ?? []).slice(1).map((id, index) => [String(index + 2), address(id)]);
    await mask.restore(new Map(regions), made.stylize_mask && address(made.stylize_mask));
    return;
  }
  const kept = await globalThis.caches?.open(CHOSEN), found = await kept?.match(maskAddress(photo));
  if (found && chosen.photo === photo) await mask.load(await found.blob());
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
  const [state, styles] = await Promise.all([get("/api/state"), get("/page/styles.json")]);
  bundled = styles;
  for (const picture of state.pictures) pictures.set(picture.id, picture);
  for (const run of state.runs) runs.set(run.key, run);
  settings = new Settings(state, plan);
  factors = state.nine;
  dropPlace(element("photo-drop"), element("photo-file"), element("choose-photo"), "photo");
  dropPlace(element("painting-drop"), element("painting-file"), element("choose-painting"), "painting");
  for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
  setUpMask();
  for (const [id, make] of [
    ["paint", job],
    ["restyle", () => restyling([chosen.photo])],
    ["restyle-all", () => restyling(photos().map(({ id: photo }) => photo))],
    ["nine", async () => ({ type: "nine", painting: await job() })],
  ]) element(id).addEventListener("click", start(() => make()));
  element("pause").addEventListener("click", change("pause"));
  element("stop").addEventListener("click", change("stop"));
  element("resume").addEventListener("click", change("resume"));
  element("more").addEventListener("click", change("more", { steps: 100 }));
  element("copy-command").addEventListener("click", copy("command"));
  element("copy-python").addEventListener("click", copy("python"));
  element("strength").addEventListener("input", () => setStrength(Number(element("strength").value)));
  try {
    const before = JSON.parse(localStorage.getItem(CHOSEN)) ?? {};
    if (before.job) settings.write(before.job);
    chosen.styles = (before.styles ?? []).filter(({ picture, name }) => name || pictures.has(picture));
    if (runs.has(before.run)) chosen.run = before.run;
    if (pictures.has(before.photo)) chosen.photo = before.photo;
  } catch {
    // What was stored is of another version.
  }
  changedPictures();
  if (chosen.photo) await beginMask();
  showStrip();
  listen(heard);
  document.body.dataset.ready = "true";
});

begin();
