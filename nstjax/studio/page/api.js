// What the server is asked, and what it says when something is wrong.

export class StudioError extends Error {}

async function answer(response) {
  const isJson = (response.headers.get("content-type") || "").includes("json");
  const body = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new StudioError((isJson && body.error) || body || response.statusText);
  return body;
}

export async function get(path) {
  return answer(await fetch(path));
}

export async function post(path, data = {}, options = {}) {
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify(data);
  return answer(await fetch(path, { method: "POST", headers, body, ...options }));
}

export async function remove(path) {
  return answer(await fetch(path, { method: "DELETE" }));
}

export async function upload(file, kind, name = file.name || "picture.png") {
  const query = new URLSearchParams({ kind, name });
  const body = file;
  return answer(await fetch(`/api/pictures?${query}`, { method: "POST", body }));
}

// Calls back with ("runs", list) once, then ("run", one) for each change.
export function listen(callback) {
  const source = new EventSource("/api/events");
  for (const kind of ["runs", "run"]) {
    source.addEventListener(kind, (event) => callback(kind, JSON.parse(event.data)));
  }
  source.addEventListener("error", () => callback("lost", null));
  return source;
}
