// The page of `mio demo`. It talks to the interface that docs/demo.md describes, and to nothing else.

const WORDS = {
  auto: ["Find out", "The classifier looks at each photo and says what is wrong. A clean one is left alone."],
  sr: ["Low resolution", "Sharpens a photo that is too small; it can also be enlarged."],
  blur: ["Blur", "Out of focus, or softened."],
  noise: ["Noise", "Grain from little light or high sensitivity."],
  jpeg: ["JPEG", "Blocks and rings of strong compression."],
  rain: ["Rain", "Streaks of falling rain."],
  haze: ["Haze", "Fog, mist and smog."],
  lowlight: ["Low light", "Too dark."],
  mix: ["Mix", "One pass with the prompts of several tasks, in these proportions."],
  adaptive: ["Adaptive", "The photo itself is the prompt, for what is none of these."],
};

const $ = (id) => document.getElementById(id);
const photos = []; // in the order of adding: {id, name, facts, wish, version, item, button, image, label}
let queue = []; // those that the server has not finished, in its order
let selected = null;
let about = null;

function wordOf(name) {
  return WORDS[name]?.[0] ?? name;
}

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("mio demo does not answer → is it still running in the terminal?");
  }
  const facts = await answer.json();
  if (!answer.ok) throw new Error(facts.hint ? `${facts.error} → ${facts.hint}` : facts.error);
  return facts;
}

// ---- What to do: from the controls to the options of `mio restore` --------------------------------------

function mode() {
  return document.querySelector("input[name=task]:checked").value;
}

// Tasks asked for by name, with their shares.
function named() {
  if (mode() !== "mix") return about.tasks.includes(mode()) ? [[mode(), 1]] : [];
  const sliders = [...document.querySelectorAll("#mix input")].filter((input) => Number(input.value) > 0);
  return sliders.map((input) => [input.dataset.task, input.value]);
}

function asks(...tasks) {
  return named().map(([task]) => task).filter((task) => tasks.includes(task));
}

function request() {
  const wish = {};
  if (mode() === "adaptive") wish.adaptive = "1";
  else wish.task = mode() === "mix" ? named().map((share) => share.join("=")).join(",") : mode();
  if ($("strength").value !== "100") wish.strength = String(Number($("strength").value) / 100);
  if (mode() === "auto" && $("passes").value !== "1") wish.passes = $("passes").value;
  if (!$("scale-row").hidden && $("scale").value !== "1") wish.scale = $("scale").value;
  return wish;
}

function commandLine(name, wish) {
  const words = Object.entries(wish).filter(([key, value]) => key !== "task" || value !== "auto");
  if (about.model) words.push(["model", quoted(about.model)]);
  return ["mio restore", quoted(name), ...words.map(([key, value]) => (key === "adaptive" ? "--adaptive" : `--${key} ${value}`))]
    .join(" ");
}

function quoted(word) {
  return /^[\w.\-\/]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function showWish() {
  const nothing = mode() === "mix" && !named().length;
  const strange = asks(...about.untrained).map(wordOf).join(", ");
  $("meaning").textContent = nothing ? "Raise at least one of the sliders." : WORDS[mode()]?.[1] ?? "";
  if (strange) $("meaning").append(` This model was not trained on: ${strange}.`);
  $("mix").hidden = mode() !== "mix";
  $("passes-row").hidden = mode() !== "auto";
  $("scale-row").hidden = !asks("sr").length;
  $("strength-value").textContent = `${$("strength").value} %`;
  for (const input of document.querySelectorAll("#mix input")) input.nextSibling.textContent = input.value;
  $("command").textContent = commandLine(selected?.name ?? "photo.jpg", request());
  $("terminal").hidden = nothing;
  $("again").disabled = !isIdle(selected) || nothing;
  $("all-again").disabled = !photos.some(isIdle) || nothing;
}

function buildControls() {
  for (const value of ["auto", ...about.tasks, "mix", "adaptive"]) {
    const input = element("input", { type: "radio", name: "task", value, checked: value === "auto" });
    const className = about.untrained.includes(value) ? "untrained" : "";
    $("tasks").append(element("label", { className }, input, element("span", { textContent: wordOf(value) })));
  }
  for (const task of about.tasks) {
    const input = element("input", { type: "range", min: 0, max: 100, value: 0 });
    input.dataset.task = task;
    $("mix").append(element("label", { className: "mixed" }, wordOf(task), input, element("output")));
  }
  for (const scale of about.scales) $("scale").append(element("option", { value: scale, textContent: `${scale} times` }));
  $("wish").addEventListener("input", showWish);
  $("wish").addEventListener("submit", (event) => {
    event.preventDefault();
    if (selected) again(selected);
  });
  $("all-again").addEventListener("click", () => photos.filter(isIdle).forEach(again));
}

// ---- Photos: adding, following, removing ---------------------------------------------------------------

// What was dropped: files, and the photos in folders. The browser tells only while it handles the event.
function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  return Promise.all(entries.map((entry) => filesOf(entry))).then((found) => found.flat());
}

async function filesOf(entry, inFolder = false) {
  if (entry.isFile) return isWanted(entry.name) || !inFolder ? [await new Promise((...ends) => entry.file(...ends))] : [];
  const reader = entry.createReader();
  const entries = [];
  for (let some = null; some?.length !== 0; entries.push(...some)) { // a hundred at a time
    some = await new Promise((...ends) => reader.readEntries(...ends));
  }
  entries.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  return (await Promise.all(entries.map((each) => filesOf(each, true)))).flat();
}

// As `mio restore` looks into folders: no hidden files, no earlier results.
function isWanted(name) {
  const suffix = name.slice(name.lastIndexOf(".")).toLowerCase();
  return about.suffixes.includes(suffix) && !/^\.|\.(restored|compare)\.[^.]+$/.test(name);
}

async function add(files) {
  const wish = request();
  const added = [...files].map((file) => {
    const photo = { name: file.name, id: null, facts: { state: "sending" }, wish };
    // Shown at once where the browser knows the format; else the demo's own preview will be.
    photo.image = element("img", { alt: "", onerror: (event) => event.target.removeAttribute("src") });
    photo.image.src = URL.createObjectURL(file);
    photo.label = element("span");
    photo.button = element("button", { type: "button", title: file.name, onclick: () => select(photo) });
    photo.button.append(photo.image, photo.label);
    photo.item = element("li", {}, photo.button);
    photos.push(photo);
    $("photos").append(photo.item);
    show(photo);
    return [photo, file];
  });
  if (added.length && (!selected || selected.facts.state === "failed")) select(added[0][0]);
  $("detail").scrollIntoView({ block: "nearest" }); // it lies below where the window is narrow
  for (const [photo, file] of added) {
    if (photos.includes(photo)) await send(photo, file);
  }
}

async function send(photo, file) {
  try {
    if (file.size > about.limits.upload) {
      throw new Error(`${file.name}: ${(file.size / 1e6).toFixed(0)} MB are more than the limit of ` +
        `${about.limits.upload / 1e6} MB → use mio restore, or start mio demo with --max-upload`);
    }
    const query = new URLSearchParams({ name: file.name, ...photo.wish });
    photo.facts = await ask(`/api/photos?${query}`, { method: "POST", body: file });
    photo.id = photo.facts.id;
    if (photos.includes(photo)) queue.push(photo);
    else drop(photo); // removed while it was being sent
  } catch (error) {
    photo.facts = { state: "failed", error: error.message };
  }
  show(photo);
  follow();
}

async function again(photo) {
  photo.wish = request();
  try {
    photo.facts = await ask(`/api/photos/${photo.id}?${new URLSearchParams(photo.wish)}`, { method: "POST" });
    queue.push(photo);
  } catch (error) {
    photo.facts = { ...photo.facts, state: "failed", error: error.message, hint: "" };
  }
  show(photo);
  follow();
}

// Whether the demo has the photo and is not at work on it.
function isIdle(photo) {
  return Boolean(photo?.id) && !queue.includes(photo);
}

function isReady(photo) {
  return photo.facts.state === "done";
}

async function downloadAll() {
  for (const photo of photos.filter(isReady)) {
    element("a", { href: `/api/photos/${photo.id}/file`, download: photo.facts.output }).click();
    await pause(250); // of many at once browsers lose some
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

let following = false;

async function follow() {
  if (following) return;
  following = true;
  while (queue.length) {
    const [photo] = queue;
    try {
      photo.facts = await ask(`/api/photos/${photo.id}`);
    } catch (error) {
      photo.facts = { state: "failed", error: error.message };
    }
    if (["done", "failed"].includes(photo.facts.state)) {
      queue = queue.filter((other) => other !== photo);
      photo.version = (photo.version ?? 0) + 1; // the result's address must be new, or the old one is shown
    }
    for (const shown of new Set([photo, selected])) if (shown) show(shown);
    if (queue.includes(photo)) await pause(250);
  }
  following = false;
}

function drop(photo) {
  if (photo.id) fetch(`/api/photos/${photo.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
}

function remove(...gone) {
  const index = photos.indexOf(gone[0]);
  for (const photo of gone) {
    photos.splice(photos.indexOf(photo), 1);
    photo.item.remove();
    URL.revokeObjectURL(photo.image.src);
    drop(photo);
  }
  queue = queue.filter((photo) => photos.includes(photo));
  select(photos[Math.min(index, photos.length - 1)] ?? null);
}

// ---- Showing -------------------------------------------------------------------------------------------

function statusOf({ facts, ...photo }) {
  if (facts.state === "waiting") {
    const before = Math.max(facts.ahead, queue.findIndex((other) => other.id === photo.id));
    return before > 0 ? `waiting, ${before} before it` : "waiting";
  }
  if (facts.state === "working") return `restoring${facts.progress ? `, ${Math.round(facts.progress * 100)} %` : ""}`;
  if (facts.state === "done") return `${facts.passes.map(inWords).join(", then ")} · ${facts.seconds.toFixed(1)} s`;
  return facts.state;
}

// "sr" to "Low resolution", "clean, nothing to restore" to "Clean, nothing to restore"
function inWords(pass) {
  const text = pass.replace(/[a-z]+/g, wordOf);
  return text[0].toUpperCase() + text.slice(1);
}

function show(photo) {
  const { facts } = photo;
  photo.label.textContent = ["done", "failed"].includes(facts.state) ? photo.name : statusOf(photo).replace(/, .* before it/, "");
  photo.button.ariaLabel = `${photo.name}, ${statusOf(photo)}`;
  photo.button.classList.toggle("failed", facts.state === "failed");
  showCount();
  if (facts.state === "done" && !photo.image.hasAttribute("src")) photo.image.src = `/api/photos/${photo.id}/before`;
  if (photo !== selected) return;
  $("name").textContent = photo.name;
  $("status").textContent = statusOf(photo);
  $("progress").hidden = !["sending", "waiting", "working"].includes(facts.state);
  if (facts.progress && facts.state === "working") $("progress").value = facts.progress;
  else $("progress").removeAttribute("value");
  $("error").hidden = facts.state !== "failed";
  $("error").textContent = facts.hint ? `${facts.error} → ${facts.hint}` : facts.error ?? "";
  for (const id of ["compare", "download", "zoom-row"]) $(id).hidden = !isReady(photo);
  if (isReady(photo)) {
    const address = `/api/photos/${photo.id}`;
    setSource($("before"), `${address}/before`);
    setSource($("after"), `${address}/after?v=${photo.version}`);
    $("download").href = `${address}/file`;
    $("download").download = facts.output;
  }
  $("notes").textContent = (facts.notes ?? []).join(" ");
  showShares(facts.probabilities ?? {});
  showWish();
}

function showCount() {
  const failed = photos.filter(({ facts }) => facts.state === "failed").length;
  const ended = photos.filter(isReady).length + failed;
  $("count").textContent = `${ended} of ${photos.length} done${failed ? `, ${failed} failed` : ""}`;
  for (const part of document.querySelectorAll(".several")) part.hidden = photos.length < 2;
  $("download-all").disabled = !photos.some(isReady);
}

function setSource(image, address) {
  if (image.getAttribute("src") !== address) image.src = address;
}

function showShares(probabilities) {
  const ranked = Object.entries(probabilities).sort((one, other) => other[1] - one[1]);
  $("verdict").hidden = !ranked.length;
  $("shares").replaceChildren(...ranked.flatMap(([name, share]) => [
    element("dt", { textContent: WORDS[name]?.[0] ?? "Clean" }),
    element("dd", {}, element("meter", { min: 0, max: 1, value: share, ariaLabel: WORDS[name]?.[0] ?? "Clean" })),
    element("dd", { textContent: `${(share * 100).toFixed(1)} %` }),
  ]));
}

function select(photo) {
  selected = photo;
  for (const other of photos) other.button.setAttribute("aria-current", other === photo);
  $("detail").hidden = !photo;
  $("empty").hidden = Boolean(photo);
  showCount();
  if (photo) show(photo);
  else showWish();
}

function setCut() {
  const cut = $("slider").value;
  document.querySelector(".stage").style.setProperty("--cut", `${cut}%`);
  $("slider").ariaValueText = `${Math.round(cut)} % before`;
}

// ---- Start ---------------------------------------------------------------------------------------------

about = await ask("/api");
buildControls();
showWish();
$("files").addEventListener("change", (event) => {
  add(event.target.files).then(() => { event.target.value = ""; });
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // a file dropped beside the field must not replace the page
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") dropped(event.dataTransfer).then(add);
  });
}
$("slider").addEventListener("input", setCut);
setCut();
$("zoom").addEventListener("change", () => {
  const box = $("compare");
  box.classList.toggle("zoomed", $("zoom").checked);
  if ($("zoom").checked) box.tabIndex = 0; // so that arrow keys move the photo
  else box.removeAttribute("tabindex");
  box.scrollTo((box.scrollWidth - box.clientWidth) / 2, (box.scrollHeight - box.clientHeight) / 2);
});
// A finger scrolls by itself; a mouse takes hold of the photo.
let hold = null;
$("compare").addEventListener("pointerdown", (event) => {
  const box = event.currentTarget;
  if (!$("zoom").checked || event.pointerType !== "mouse" || event.target === $("slider")) return;
  hold = { x: event.clientX + box.scrollLeft, y: event.clientY + box.scrollTop };
  box.setPointerCapture(event.pointerId);
});
$("compare").addEventListener("pointermove", (event) => {
  if (hold) event.currentTarget.scrollTo(hold.x - event.clientX, hold.y - event.clientY);
});
$("compare").addEventListener("lostpointercapture", () => { hold = null; });
$("download-all").addEventListener("click", downloadAll);
$("remove").addEventListener("click", () => selected && remove(selected));
$("remove-all").addEventListener("click", () => remove(...photos));
// Closing the page deletes its photos.
window.addEventListener("pagehide", (event) => { if (!event.persisted) photos.forEach(drop); });
