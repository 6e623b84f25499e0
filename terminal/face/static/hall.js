// The hall's own keys: digits and letters onto the field in use, amounts in thousands, steps.
"use strict";
(() => {
  let field = null, upper = false;
  const inputs = () => [...document.querySelectorAll("#live input:not([type=hidden])")];
  const current = () => (field && field.isConnected ? field : inputs()[0]);

  document.addEventListener("focusin", (event) => {
    if (event.target.matches("#live input:not([type=hidden])")) field = event.target;
  });
  // A key of ours leaves the focus in the field, so that a keyboard can go on.
  document.addEventListener("mousedown", (event) => {
    if (event.target.closest("[data-type], [data-erase], [data-fill], [data-step], [data-shift]")) event.preventDefault();
  });

  function typed(key) {
    return upper ? key.dataset.otherType || key.dataset.type.toUpperCase() : key.dataset.type;
  }
  function put(into, value) {
    if (into.maxLength >= 0 && value.length > into.maxLength) return;
    into.value = value;
    into.dispatchEvent(new Event("input", { bubbles: true }));
  }
  function group(input) {
    const digits = input.value.replace(/\D/g, "").replace(/^0+(?=\d)/, "");
    input.value = digits.replace(/\B(?=(\d{3})+$)/g, ".");
  }
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-grouped]")) group(event.target);
  });

  document.addEventListener("click", (event) => {
    const key = event.target.closest("[data-type], [data-erase], [data-fill], [data-step], [data-shift], [data-leave], [data-other]");
    if (!key) return;
    if ("leave" in key.dataset) { document.getElementById("leave").click(); return; }
    if ("other" in key.dataset) { document.getElementById(key.dataset.other).click(); return; }
    if ("shift" in key.dataset) {
      upper = !upper;
      for (const k of document.querySelectorAll(".keys [data-type]")) k.textContent = typed(k).replace(" ", "␣");
      return;
    }
    const into = current();
    if (!into) return;
    if ("type" in key.dataset) put(into, into.value + typed(key));
    if ("erase" in key.dataset) put(into, into.value.slice(0, -1));
    if ("fill" in key.dataset) put(into, key.dataset.fill);
    if ("step" in key.dataset) {
      const next = Number(into.value || 0) + Number(key.dataset.step);
      put(into, String(Math.min(Math.max(next, 1), Number(into.dataset.max))));
    }
    if (into.type === "text" || into.type === "password") into.focus({ preventScroll: true });
  });

  // A digit pressed anywhere goes to the field; a swap may have taken the focus away.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input")) return;
    const into = current();
    if (!into || !/^[0-9]$/.test(event.key) || !document.querySelector(".pad")) return;
    event.preventDefault();
    put(into, into.value + event.key);
    into.focus({ preventScroll: true });
  });
  document.addEventListener("DOMContentLoaded", () => {
    document.body.addEventListener("htmx:after:swap", () => { upper = false; });
  });
})();
