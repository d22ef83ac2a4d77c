/**
 * What a browser runs on the status page, as text because that is how it travels: takes over what the server renders
 * without disturbing focus, selection or scroll position, lets the countdowns run, and sends the buttons' forms.
 * The page says the same without it.
 */
export const PAGE_SCRIPT = `(() => {
  const main = document.querySelector('main');
  const live = document.getElementById('live');
  let skewMs = Number(main.dataset.now) - Date.now();

  const say = (text, lost) => {
    if (live.textContent !== text) live.textContent = text;
    live.className = lost ? 'badge bad' : 'badge good';
  };
  const remaining = (ms) => {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    const text = parts.map((value, index) => value + ['\\u00a0h', '\\u00a0min', '\\u00a0s'][index]);
    return seconds === 0 ? 'now' : 'in ' + text.slice(parts.findIndex((value) => value > 0)).join(' ');
  };
  const countDown = () => {
    for (const element of document.querySelectorAll('[data-until]'))
      element.textContent = remaining(Date.parse(element.dataset.until) - Date.now() - skewMs);
  };

  // Only what differs is touched.
  const morph = (from, to) => {
    const before = [...from.childNodes];
    const after = [...to.childNodes];
    after.forEach((node, index) => {
      const old = before[index];
      if (!old) from.append(node);
      else if (old.nodeName !== node.nodeName || old.id !== node.id) old.replaceWith(node);
      else if (old.nodeType !== Node.ELEMENT_NODE) { if (old.data !== node.data) old.data = node.data; }
      else if (!old.hasAttribute('data-keep')) {
        for (const { name } of [...old.attributes]) if (!node.hasAttribute(name)) old.removeAttribute(name);
        for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
        if (node.dataset.until === undefined) morph(old, node);
      }
    });
    for (const old of before.slice(after.length)) old.remove();
  };

  // A browser has six connections to a host: pages that nobody looks at must not take them all.
  let source;
  const listen = () => {
    source?.close();
    if (document.hidden) return;
    source = new EventSource('/events');
    source.onmessage = ({ data }) => {
      const state = JSON.parse(data);
      skewMs = state.now - Date.now();
      morph(main, new DOMParser().parseFromString(state.main, 'text/html').body);
      document.title = 'aritma-sidecar: ' + document.getElementById('word').textContent;
      countDown();
      say('Live');
    };
    source.onerror = () => {
      say('Not connected: what you see may be out of date', true);
      // After a refusal a browser does not try again by itself.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    };
  };

  document.addEventListener('submit', async (event) => {
    event.preventDefault();
    const form = event.target;
    const result = form.querySelector('[role=status]');
    if (form.dataset.busy) return;
    form.dataset.busy = 'yes';
    result.textContent = 'Fetching a token …';
    try {
      const response = await fetch(form.action, { method: 'POST', headers: { Accept: 'application/json' } });
      const body = await response.json();
      result.textContent = response.ok ? 'A new token is in use.' : body.title + '. ' + body.detail;
    } catch {
      result.textContent = 'The sidecar does not respond.';
    }
    delete form.dataset.busy;
  });

  document.addEventListener('visibilitychange', listen);
  countDown();
  setInterval(countDown, 1000);
  listen();
})();`;
