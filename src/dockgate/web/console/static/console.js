// Makes pages comfortable: they work without it. It writes no HTML.
document.documentElement.classList.add("js");

const pad = (number) => String(number).padStart(2, "0");

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const at = new Date(time.dateTime);
    if (isNaN(at)) continue;
    time.dataset.local = "";
    const zone = at.toLocaleTimeString("en", { timeZoneName: "short" }).split(" ").pop();
    const date = document.createElement("span");
    date.className = "nowrap";
    date.textContent = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
    time.replaceChildren(date, ` ${pad(at.getHours())}:${pad(at.getMinutes())}\u00a0${zone}`);
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest(".copy");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy ?? button.previousElementSibling.textContent);
    const { ariaLabel } = button;
    button.ariaLabel = "Copied";
    button.classList.add("good");
    setTimeout(() => { button.ariaLabel = ariaLabel; button.classList.remove("good"); }, 1500);
  } catch { button.hidden = true; }
});

// One press acts once: a second one sends nothing.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  event.submitter?.setAttribute("aria-busy", "true");
  for (const button of event.target.querySelectorAll("button")) setTimeout(() => { button.disabled = true; });
});
// Nor does one on a page that was updated meanwhile.
document.addEventListener("htmx:before:swap", (event) => { if (document.querySelector("form [aria-busy]")) event.preventDefault(); });
// A press after going back is meant: it gets a new key, unless the form names the version that it changes.
window.addEventListener("pageshow", (event) => {
  for (const button of document.querySelectorAll("form button:not([hidden])")) { button.disabled = false; button.ariaBusy = null; }
  if (event.persisted) for (const key of document.querySelectorAll("form:not(:has([name=version], [name=head])) [name=form_key]")) key.value += "+";
});

const PLACES = { o: "/", p: "/pipelines", i: "/images", v: "/vulnerabilities", w: "/waivers", r: "/running" };
let isGoing = false;
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.documentElement.dataset.keys === "off") return;
  if (event.key === "/") { event.preventDefault(); document.querySelector("#search")?.focus(); return; }
  if (event.key === "?") { location.assign("/settings#keys"); return; }
  if (isGoing && PLACES[event.key]) location.assign(PLACES[event.key]);
  isGoing = event.key === "g";
  if (event.key === "j" || event.key === "k") {
    move([...document.querySelectorAll("main tbody tr, main .queue li")].map((row) => row.querySelector("a")), event.key === "j" ? 1 : -1);
  }
  if (event.key === "[" || event.key === "]") {
    const isNext = event.key === "]";
    const beside = document.querySelector(`main a[rel="${isNext ? "next" : "prev"}"]`);
    if (beside) beside.click(); else move([...document.querySelectorAll("main .log-link")], isNext ? 1 : -1);
  }
});

// The next or previous link takes the focus: the first one of each row.
function move(all, step) {
  const links = all.filter(Boolean);
  const at = links.indexOf(document.activeElement);
  (links[at + step] ?? links[step > 0 ? 0 : links.length - 1])?.focus();
}

// A log stays at its end while lines come, until the reader scrolls up.
let isAtEnd = true;
function follow() {
  const log = document.querySelector(".log[data-follow]");
  if (log && isAtEnd) log.scrollTop = log.scrollHeight;
}
follow();
document.addEventListener("htmx:after:swap", follow);
document.addEventListener("scroll", ({ target }) => {
  if (target.matches?.(".log[data-follow]")) isAtEnd = target.scrollTop + target.clientHeight > target.scrollHeight - 8;
}, true);
if (!location.hash) document.querySelector(".log .chosen")?.scrollIntoView({ block: "center" });

// A live page says since when it has lost the server: its stream failed or is silent, or its polls fail.
const notice = document.querySelector("#not-live");
let lastContactAt = new Date();
let silenceTimer;

function confirmContact() {
  if (notice) notice.textContent = "";
  lastContactAt = new Date();
  clearTimeout(silenceTimer);
  if (document.querySelector("[hx-sse\\:connect]")) silenceTimer = setTimeout(showLoss, 40_000);
}

function showLoss() {
  if (!notice || notice.textContent || document.hidden) return;
  notice.textContent = `Not live since ${pad(lastContactAt.getHours())}:${pad(lastContactAt.getMinutes())}, reconnecting`;
}

function onLivePart(names, react) {
  for (const name of names) {
    document.addEventListener(name, (event) => { if (event.target.matches?.("[hx-trigger*=every]")) react(event.detail); });
  }
}
onLivePart(["htmx:sse:after:connection", "htmx:sse:after:message"], confirmContact);
onLivePart(["htmx:after:request"], (detail) => { if (detail.ctx.response.status < 400) confirmContact(); });
onLivePart(["htmx:error", "htmx:response:error"], showLoss);
onLivePart(["htmx:sse:error"], (detail) => {
  // The session has ended: the server leads to the page to sign in, and from there back to this one.
  if (detail.status === 401) location.reload(); else showLoss();
});

localTimes(document);
document.addEventListener("htmx:after:swap", () => localTimes(document));

// A link to a line opens the page of the file that shows it.
const lines = document.querySelector("[data-lines]");
const line = Number(/^#l(\d+)$/i.exec(location.hash)?.[1]);
if (lines && line >= 1 && line <= Number(lines.dataset.lines) && !document.getElementById(`l${line}`)) {
  const page = new URL(location.href);
  page.searchParams.set("from", line);
  page.hash = `l${line}`;
  location.replace(page);
}
