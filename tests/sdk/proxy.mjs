// proxy.mjs - stands between an SDK and the server and does what networks and overloaded servers do.
//
// The fault meets the first request that carries events; all others pass. The server is real: only the way to it is bad.
//   503, 429      answered here with Retry-After, nothing reaches the server
//   cut-before    the connection is closed before the request is passed on: nothing was stored
//   cut-after     passed on, the server has answered (so it is on the disk), the answer never arrives
//   slow          the answer is held back until the client has had to wait longer than its patience
import http from 'node:http';

// An image's GET carries an event too; /v1/m are the SDK's own figures.
const carries_events = ({ method, url }) =>
  (method === 'POST' && !url.startsWith('/v1/m')) || (method === 'GET' && /^\/sa/.test(url));

export async function proxy(target, fault, slow_ms = 0) {
  const way = { seen: [], asked_headers: new Set(), delivered: 0, ended: 0, fault_left: fault };
  let waiting = [];

  function note(request, words) {
    way.seen.push(`${request.method} ${request.url.split('?')[0]} ${words}`);
    const asked = request.headers['access-control-request-headers'];
    if (asked) for (const name of asked.split(',')) way.asked_headers.add(name.trim().toLowerCase());
  }

  function over(request, good) {
    if (!carries_events(request)) return;
    way.ended++;
    if (good) way.delivered++;
    for (const wake of waiting) wake();
  }

  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => pass(request, response, Buffer.concat(chunks)));
  });

  function cut(request) {
    request.socket.destroy();
    over(request, false);
  }

  function refuse(request, response, code) {
    response.writeHead(code, { 'retry-after': '1', 'access-control-allow-origin': request.headers.origin ?? '*',
      'access-control-allow-credentials': 'true', 'access-control-expose-headers': 'retry-after' });
    response.end(() => over(request, false));
  }

  function pass(request, response, body) {
    let met;
    if (carries_events(request)) [met, way.fault_left] = [way.fault_left, undefined];
    note(request, met ?? 'ok');
    if (met === '503' || met === '429') return refuse(request, response, Number(met));
    if (met === 'cut-before') return cut(request);
    // The Host stays the proxy's: the settings call answers with it, so the SDK finds its way by itself.
    const forward = http.request(new URL(request.url, target), { method: request.method, headers: request.headers });
    forward.on('response', (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => {
        if (met === 'cut-after') cut(request);
        else if (met === 'slow') setTimeout(() => finish(request, response, answer, parts), slow_ms);
        else finish(request, response, answer, parts);
      });
    });
    forward.on('error', () => cut(request));
    forward.end(body);
  }

  function finish(request, response, answer, parts) {
    if (response.destroyed) return over(request, false);
    response.writeHead(answer.statusCode, answer.headers);
    response.end(Buffer.concat(parts), () => over(request, answer.statusCode < 300));
  }

  // Resolves when `true_now(way)` holds, looking again after each request; false after `ms`.
  way.until = (true_now, ms) => new Promise((resolve) => {
    const end = (good) => {
      clearTimeout(timer);
      waiting = waiting.filter((other) => other !== look);
      resolve(good);
    };
    const look = () => { if (true_now(way)) end(true); };
    const timer = setTimeout(() => end(false), ms);
    waiting.push(look);
    look();
  });

  way.close = () => {
    server.closeAllConnections();
    server.close();
  };
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  way.url = `http://127.0.0.1:${server.address().port}`;
  return way;
}
