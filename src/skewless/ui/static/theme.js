"use strict";
// Before the page is drawn, so that it is drawn once: the theme that was chosen, if any.
try {
  const chosen = localStorage.getItem("skewless-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch (_) { /* no storage: the system's theme */ }
