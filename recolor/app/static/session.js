// Requests to the server: the token, errors as text, and what to do while the server does not answer.
let session = null;

export class Offline extends Error {}
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function loadSession() {
  session = await request("/api/session").then((answer) => answer.json());
  return session;
}

// Sends a request; a token of an earlier start of the server is replaced once.
export async function call(method, path, body, type = "application/json", settings = {}) {
  if (!session) await loadSession();
  try {
    return await request(path, { ...options(method, body, type), ...settings });
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 403) throw error;
    await loadSession();
    return request(path, { ...options(method, body, type), ...settings });
  }
}

export async function get(path) {
  return (await request(path)).json();
}

export async function post(path, data) {
  return (await call("POST", path, JSON.stringify(data))).json();
}

function options(method, body, type) {
  return { method, body, headers: { "x-recolor-token": session.token, ...(body ? { "content-type": type } : {}) } };
}

export async function request(path, settings) {
  let answer;
  try {
    answer = await fetch(path, settings);
  } catch {
    throw new Offline("The server does not answer.");
  }
  if (!answer.ok) throw new Refused(answer.status, await said(answer));
  return answer;
}

async function said(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text || `The server answered ${answer.status}.`;
  }
}

// Makes an element: attributes are set by name, `on...` are listeners, children are appended.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
export const wait = (ms) => new Promise((done) => setTimeout(done, ms));
