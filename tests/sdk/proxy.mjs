// proxy.mjs - stands between an SDK and the server and does what networks and overloaded servers do.
//
// Faults are used up in order, one per POST; after them every request passes. The server is real: only the way to it is bad.
//   503, 429      answered here with Retry-After, nothing reaches the server
//   cut-before    the connection is closed before the request is passed on: nothing was stored
//   cut-after     passed on, the server has answered (so it is on the disk), the answer never arrives
//   slow          the answer is held back until the client has had to wait longer than its patience
import http from 'node:http';

export async function proxy(target, faults, slow_ms = 0) {
  const seen = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => pass(request, response, Buffer.concat(chunks)));
  });

  function pass(request, response, body) {
    const fault = request.method === 'POST' ? faults.shift() : undefined;
    seen.push(`${request.method} ${request.url.split('?')[0]} ${fault ?? 'ok'}`);
    if (fault === '503' || fault === '429') {
      const origin = request.headers.origin ?? '*';
      response.writeHead(Number(fault), { 'retry-after': '1', 'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true', 'access-control-expose-headers': 'retry-after' });
      response.end();
      return;
    }
    if (fault === 'cut-before') {
      request.socket.destroy();
      return;
    }
    const to = new URL(request.url, target);
    const forward = http.request(to, { method: request.method, headers: { ...request.headers, host: to.host } });
    forward.on('response', (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => {
        if (fault === 'cut-after') request.socket.destroy();
        else if (fault === 'slow') setTimeout(() => finish(response, answer, parts), slow_ms).unref();
        else finish(response, answer, parts);
      });
    });
    forward.on('error', () => request.socket.destroy());
    forward.end(body);
  }

  function finish(response, answer, parts) {
    if (response.destroyed) return;
    response.writeHead(answer.statusCode, answer.headers);
    response.end(Buffer.concat(parts));
  }

  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    seen,
    faults_left: () => faults.length,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
