"use strict";
// What pages do beyond HTML. Without it everything can still be read: the buttons stay hidden and
// what is loaded later is a link.

const root = document.documentElement;
const button = document.querySelector("[data-theme-button]");
const isDark = () => (root.dataset.theme
  ? root.dataset.theme === "dark"
  : matchMedia("(prefers-color-scheme: dark)").matches);
const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
button.hidden = false;
name();
button.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("skewless-theme", root.dataset.theme); } catch (_) { /* not kept */ }
  name();
});

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement) return;
  event.preventDefault();
  document.querySelector('[data-focus-key="/"]').focus();
});

for (const copy of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(copy.parentElement.querySelector("pre").textContent);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
}

for (const place of document.querySelectorAll("[data-load]")) {
  place.setAttribute("aria-busy", "true");
  fetch(`${place.dataset.load}?fragment=1`)
    .then(async (answer) => { place.innerHTML = await answer.text(); })
    .catch(() => { /* the link stays */ })
    .finally(() => place.removeAttribute("aria-busy"));
}

const data = document.querySelector("[data-json]");
const here = new URL(location.href);
here.searchParams.set("format", "json");
here.hash = "";
data.href = here.href;
