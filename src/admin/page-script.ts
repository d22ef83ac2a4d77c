/**
 * The script of the status page, as text. It applies new states from the server without losing focus, selection or
 * scroll position, shows "Not known" after five seconds without news, runs countdowns, adds local times and sends the
 * forms of buttons. The page also works without it.
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
  const two = (number) => String(number).padStart(2, '0');
  const clockOf = (date) => [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  const dayOf = (date) => [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-') + ' ';
  // Next to the UTC time; with the date if it is not today.
  const localize = () => {
    const today = dayOf(new Date());
    for (const element of document.querySelectorAll('.local')) {
      const date = new Date(element.previousElementSibling.dateTime);
      const text = '(' + (dayOf(date) === today ? '' : dayOf(date)) + clockOf(date) + ' your time)';
      if (element.textContent === text) continue;
      element.textContent = text;
      element.title = String(date);
    }
  };

  // Changes only what differs.
  const morph = (from, to) => {
    const before = [...from.childNodes];
    const after = [...to.childNodes];
    after.forEach((node, index) => {
      const old = before[index];
      if (!old) from.append(node);
      else if (old.nodeName !== node.nodeName || old.id !== node.id) old.replaceWith(node);
      else if (old.nodeType !== Node.ELEMENT_NODE) { if (old.data !== node.data) old.data = node.data; }
      else if (!old.hasAttribute('data-keep')) {
        for (const { name } of [...old.attributes]) if (name !== 'title' && !node.hasAttribute(name)) old.removeAttribute(name);
        for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
        if (node.dataset.until === undefined && node.className !== 'local') morph(old, node);
      }
    });
    for (const old of before.slice(after.length)) old.remove();
  };

  // The server sends something every two seconds; older data is stale.
  const STALE_MS = 5000;
  const clock = () => ({ wall: Date.now(), own: performance.now() });
  // Date.now() also advances while the machine sleeps; performance.now() is never set.
  const since = ({ wall, own }) => Math.max(Date.now() - wall, performance.now() - own);
  let heard = clock();
  let tried = heard;
  let word = document.getElementById('word').textContent;
  const show = () => {
    const stale = since(heard) > STALE_MS;
    document.body.classList.toggle('stale', stale);
    const element = document.getElementById('word');
    const text = stale ? 'Not known' : word;
    if (element.textContent !== text) element.textContent = text;
    const note = document.getElementById('heard');
    note.hidden = !stale;
    if (stale) note.textContent = 'No update since ' + clockOf(new Date(heard.wall))
      + ' (your time). The last state was “' + word + '”; the page below is from that time.';
    document.title = 'aritma-sidecar: ' + (stale ? 'not known' : word);
  };
  const hear = () => {
    heard = clock();
    say('Live');
    show();
  };

  // A browser opens six connections per host: hidden pages must not use them up.
  let source;
  const listen = () => {
    source?.close();
    if (document.hidden) return;
    tried = clock();
    source = new EventSource('/events');
    source.addEventListener('heartbeat', hear);
    source.onmessage = ({ data }) => {
      const state = JSON.parse(data);
      skewMs = state.now - Date.now();
      morph(main, new DOMParser().parseFromString(state.main, 'text/html').body);
      word = document.getElementById('word').textContent;
      countDown();
      localize();
      hear();
    };
    source.onerror = () => say('Not connected: this page may be out of date', true);
  };
  const tick = () => {
    countDown();
    localize();
    show();
    // A browser does not retry after a refusal, and waits forever on a dead connection.
    if (since(heard) > STALE_MS && since(tried) > STALE_MS) listen();
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
      result.textContent = response.ok ? 'The new token is in use.' : body.title + '. ' + body.detail;
    } catch {
      result.textContent = 'The sidecar does not respond.';
    }
    delete form.dataset.busy;
  });

  // A hidden page gets no events: shown again, it is stale until the first one.
  document.addEventListener('visibilitychange', () => {
    heard = { wall: heard.wall, own: -Infinity };
    show();
    listen();
  });
  document.body.classList.toggle('utc', new Date().getTimezoneOffset() === 0);
  countDown();
  localize();
  show();
  setInterval(tick, 1000);
  listen();
})();`;
