// What every face needs of the browser beyond htmx: sounds, keys, and a word to screen readers.
// A sound is two short tones: rising for done, falling for refused, one for warning.
"use strict";
(() => {
  const TONES = { done: [660, 880], refused: [330, 220], warning: [440], waiting: [] };
  let audio = null;
  function sound(kind) {
    const tones = TONES[kind] || [];
    if (!tones.length) return;
    try {
      audio = audio || new AudioContext();
      tones.forEach((hertz, n) => {
        const tone = audio.createOscillator(), loud = audio.createGain();
        const at = audio.currentTime + n * 0.16;
        tone.frequency.value = hertz;
        loud.gain.setValueAtTime(0.25, at);
        loud.gain.linearRampToValueAtTime(0, at + 0.15);
        tone.connect(loud).connect(audio.destination);
        tone.start(at);
        tone.stop(at + 0.15);
      });
    } catch { /* no sound device: the screen says the same */ }
  }

  // An element with data-sound is heard once, when it arrives; data-said is spoken.
  function arrived(root) {
    for (const found of root.querySelectorAll("[data-sound]")) {
      sound(found.dataset.sound);
      found.removeAttribute("data-sound");
    }
    const words = root.querySelector("[data-said]");
    if (words) document.getElementById("said").textContent = words.dataset.said;
    const first = root.querySelector("[data-focus]");
    if (first) first.focus({ preventScroll: true });
  }

  // A key named by data-key presses its button, unless a person types into a field.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    const typing = event.target.matches("input, select, textarea");
    if (typing && event.key.length === 1) return;
    if (event.key === "Enter" && event.target.matches("a, button, input, textarea, summary")) return;
    for (const found of document.querySelectorAll("[data-key]")) {
      if (found.dataset.key.toLowerCase() === event.key.toLowerCase() && !found.disabled && found.offsetParent !== null) {
        event.preventDefault();
        found.click();
        return;
      }
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    arrived(document.body);
    document.body.addEventListener("htmx:after:swap", () => arrived(document.body));
  });
})();
