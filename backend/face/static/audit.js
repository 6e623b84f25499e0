// A figure opens its evidence beside the table; without this, or with a key held, on a page of its
// own. The face needs no more of a library than that (each page stays below 60 kB).
"use strict";
(() => {
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a.figure"), beside = document.getElementById("evidence");
    if (!link || !beside || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    try {
      const answer = await fetch(link.href, { headers: { "X-Part": "1" } });
      if (!answer.ok) throw new Error(answer.status);
      beside.innerHTML = await answer.text();
    } catch {
      location.assign(link.href);
      return;
    }
    for (const other of document.querySelectorAll("a.figure[aria-current]")) other.removeAttribute("aria-current");
    link.setAttribute("aria-current", "true");
    beside.scrollTop = 0;
    if (beside.getBoundingClientRect().top > innerHeight) beside.scrollIntoView();
    document.body.dispatchEvent(new CustomEvent("htmx:after:swap")); // face.js: focus, spoken word
  });
})();
