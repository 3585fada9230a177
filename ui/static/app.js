// Saves steps on pages that work without it. Nothing here makes markup of text:
// the browser parses a page of ours, and parts of that page take the place of the
// old ones.
"use strict";
(() => {
  const one = id => document.getElementById(id);

  // load fetches a page of ours and puts its elements of these ids in place. If they
  // aren't there, the page is another one, such as the sign-in: go there.
  const latest = {};
  const load = (url, ids, done, body) => {
    const request = latest[ids] = new XMLHttpRequest();
    request.open(body ? "POST" : "GET", url);
    request.responseType = "document";
    request.onloadend = () => { if (latest[ids] === request) rest(); };
    request.onload = () => {
      if (latest[ids] !== request) return; // an older answer that comes late
      const had = document.activeElement;
      for (const id of ids) {
        const old = one(id), fresh = request.response && request.response.getElementById(id);
        if (!old) continue;
        if (!fresh) return location.assign(request.responseURL || url);
        if (old.getAttribute("role") === "status") old.textContent = fresh.textContent;
        else {
          const at = old.scrollTop; // a list stays where one was in it
          old.replaceWith(document.adoptNode(fresh));
          fresh.scrollTop = at;
        }
      }
      if (had && had.id && !had.isConnected && one(had.id)) one(had.id).focus();
      if (done) done(request.responseURL || url);
    };
    request.send(body);
  };

  // What takes more than a second says that it is being worked on.
  const busy = one("busy");
  let waiting;
  const work = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { busy.hidden = false; busy.textContent = busy.dataset.text; }, 1000);
  };
  const rest = () => { clearTimeout(waiting); busy.hidden = true; busy.textContent = ""; };
  document.addEventListener("submit", work);
  addEventListener("pageshow", rest);

  // A form with data-live shows its results while somebody types.
  let typing;
  const state = form => {
    const query = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...query]) if (!value) query.delete(name);
    return query;
  };
  const address = (form, query) => form.getAttribute("action") + (query.size ? "?" + query : "");
  const live = form => {
    const query = state(form), url = address(form, query);
    // What is too long for an address goes the way of the button, which keeps it.
    const button = url.length > 4000 && form.querySelector("[formaction]");
    work();
    load(button ? button.formAction : url, form.dataset.live.split(" "), at => { if (!form.closest("dialog")) history.replaceState(null, "", at); }, button ? query : null);
  };
  document.addEventListener("input", event => {
    const form = event.target.form;
    if (!form || !form.dataset.live) return;
    // Whoever saves before the panel has followed saves what is chosen now: the digest is
    // of what the panel shows, so that it is shown anew instead.
    const save = form.dataset.live.includes("impact") && document.querySelector("#impact form");
    if (save) save.action = address(form, state(form));
    latest[form.dataset.live.split(" ")] = null; // what is under way doesn't know of this
    clearTimeout(typing);
    typing = setTimeout(live, event.target.type === "search" || event.target.type === "text" ? 150 : 0, form);
  });

  // An element with data-poll and an id asks again every so many milliseconds, for as
  // long as what comes has data-poll too.
  const poll = () => {
    for (const part of document.querySelectorAll("[data-poll][id]")) {
      if (part.polling) continue;
      part.polling = setTimeout(() => {
        part.polling = 0;
        if (document.hidden) return poll();
        load(location.href, [part.id], poll);
      }, Number(part.dataset.poll));
    }
  };
  poll();

  // A button with data-copy copies the text of the element of that id.
  document.addEventListener("click", async event => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const from = one(button.dataset.copy), text = button.textContent;
    await navigator.clipboard.writeText(from.value || from.textContent);
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = text; }, 2000);
  });

  // Ctrl-K, or Cmd-K, searches from anywhere; the arrows go through what is found.
  const palette = one("palette");
  document.addEventListener("keydown", event => {
    if (!palette) return;
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      if (!palette.open) palette.showModal();
      palette.querySelector("input").select();
      live(palette.querySelector("form"));
      return;
    }
    if (event.key === "Escape") return palette.close(); // a search input would only be emptied
    if (!palette.open || event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const stops = [...palette.querySelectorAll("input, a")];
    const step = event.key === "ArrowDown" ? 1 : -1, at = stops.indexOf(document.activeElement);
    stops[(at + step + stops.length) % stops.length].focus();
  });
})();
