// raw.mjs - HTTP as bytes: what no well-behaved client would send.
import net from 'node:net';

export function connect(server, local_address = '127.0.0.1') {
  const { hostname, port } = new URL(server.url);
  const socket = net.connect({ host: hostname, port: Number(port), localAddress: local_address });
  socket.setNoDelay(true);
  socket.on('error', () => {}); // a reset is an end like any other here; 'close' follows
  return socket;
}

// Everything that comes back for `parts` (a text or buffer, or several sent one after the other), until the server closes,
// `enough(text)` says so, or `ms` are over: { text, closed, codes }.
export function exchange(server, parts, { enough = () => false, ms = 15000, local_address } = {}) {
  return new Promise((resolve) => {
    const socket = connect(server, local_address);
    let text = '';
    const end = (closed) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, closed, codes: [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => Number(m[1])) });
    };
    const timer = setTimeout(() => end(false), ms);
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      if (enough(text)) end(false);
    });
    socket.on('close', () => end(true));
    socket.on('connect', async () => {
      for (const part of [parts].flat()) {
        if (socket.destroyed) return;
        if (!socket.write(part)) await new Promise((go) => { socket.once('drain', go); socket.once('close', go); });
      }
    });
  });
}

export const post = (path, headers, body) =>
  `POST ${path} HTTP/1.1\r\nHost: hezou\r\n${headers.map((h) => `${h}\r\n`).join('')}\r\n${body}`;
