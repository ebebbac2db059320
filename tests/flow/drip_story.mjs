// drip_story.mjs - 512 connections that send a byte a second in their heads, and 512 in their bodies: each is ended, and
// nobody else notices.
import { Server } from '../lib/server.mjs';
import { Story, journal_end } from '../lib/story.mjs';
import { connect, post } from '../lib/raw.mjs';

const story = new Story('drip story');
const server = await new Server().start();
const { key } = await server.must('POST', '/api/v1/sources', { name: 'shop', channel: 'web' });
const auth = `Authorization: Basic ${Buffer.from(`${key}:`).toString('base64')}`;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

// --- the others: 64 connections, each asks again a few milliseconds after its answer, half of them with an event -----

let answered = 0, stored = 0, broken = 0, stop = false;
const event = '{"type":"track","event":"Steady","anonymousId":"a"}';
const requests = [
  { bytes: post('/v1/track', [auth, `Content-Length: ${event.length}`], event), good: '{"success":true}', stores: true },
  { bytes: `GET /v1/projects/${key}/settings HTTP/1.1\r\nHost: x\r\n\r\n`, good: '"analyticsNextEnabled":true}' },
];

function steady(i) {
  const { bytes, good, stores } = requests[i % requests.length];
  const socket = connect(server);
  let text = '';
  return new Promise((resolve) => {
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', (part) => {
      text += part;
      if (!text.endsWith(good)) return;
      if (!text.startsWith('HTTP/1.1 200')) broken++;
      text = '';
      answered++;
      if (stores) stored++;
      if (stop) socket.end();
      else setTimeout(() => socket.write(bytes), 5);
    });
    socket.on('close', () => { if (!stop) broken++; resolve(); });
  });
}

// Answers in each second until `done`.
async function rates(done) {
  const list = [];
  while (!done(list.length)) {
    const [before, start] = [answered, performance.now()];
    await pause(1000);
    list.push((answered - before) / ((performance.now() - start) / 1000));
  }
  return list;
}

// --- those who drip -------------------------------------------------------------------------------------------------

const seconds = { head: [], body: [], stranger: [] }; // how long each held its place
const began = {
  head: 'POST /v1/track HTTP/1.1\r\nHost: x\r\nX-Slow: ',
  body: post('/v1/track', [auth, 'Content-Length: 5000'], '{'),
};
began.stranger = began.body;

function drip(kind, local_address) {
  const socket = connect(server, local_address);
  return new Promise((resolve) => {
    let timer, start;
    socket.on('connect', () => {
      start = performance.now();
      socket.write(began[kind]);
      timer = setInterval(() => socket.write('x'), 1000);
    });
    socket.on('data', () => {}); // an answer is not the end, the closed connection is
    socket.on('close', () => {
      clearInterval(timer);
      if (start !== undefined) seconds[kind].push((performance.now() - start) / 1000);
      resolve();
    });
  });
}

// --- the story ------------------------------------------------------------------------------------------------------

const others = Array.from({ length: 64 }, (_, i) => steady(i));
await rates((n) => n >= 2); // warm
const before = median(await rates((n) => n >= 5));
let all_closed = false;
// Opened some at a time: what is looked at is how they drip, not how a thousand connections are accepted at once.
const drips = (async () => {
  const kinds = [...Array.from({ length: 512 }, (_, i) => (i % 2 ? 'head' : 'body')), ...Array.from({ length: 512 }, (_, i) => (i % 2 ? 'head' : 'body'))];
  const closed = [];
  for (let i = 0; i < kinds.length; i += 64) {
    closed.push(...kinds.slice(i, i + 64).map((kind) => drip(kind)));
    await pause(20);
  }
  // One address that is no trusted proxy: it may have 256 unfinished requests, and its others are sent away.
  closed.push(...Array.from({ length: 300 }, () => drip('stranger', '127.0.0.2')));
  await Promise.all(closed);
  all_closed = true;
})();
const during = await rates((n) => all_closed || n >= 45);
await Promise.race([drips, pause(1000)]);

for (const kind of ['head', 'body'])
  story.check(`512 that drip in their ${kind} are closed within 31 s`,
    seconds[kind].length === 512 && Math.max(...seconds[kind]) <= 31, `${seconds[kind].length}, the last after ${Math.max(...seconds[kind])} s`);
story.check('a head has 10 s', Math.min(...seconds.head) > 8 && Math.max(...seconds.head) < 15, `${Math.min(...seconds.head)} to ${Math.max(...seconds.head)} s`);
story.check('a body has 30 s', Math.min(...seconds.body) > 28, `${Math.min(...seconds.body)} s`);
const sent_away = seconds.stranger.filter((s) => s < 5).length;
story.check('one address holds at most 256', seconds.stranger.length === 300 && sent_away >= 44, `${sent_away} of ${seconds.stranger.length} sent away`);
story.check('64 others keep 80 % of their rate', median(during) >= 0.8 * before,
  `${before.toFixed(0)}/s before, ${median(during).toFixed(0)}/s during: ${during.map((r) => r.toFixed(0)).join(' ')}`);
stop = true;
await Promise.all(others);
story.is('none of them had a bad answer', broken, 0);
story.is('every event of theirs is stored, nothing of those who dripped', await server.sql(
  `SELECT name, count(*) FROM events GROUP BY name`, await journal_end(server)), [['Steady', stored]]);
story.check('they were ended by the sweeper', Number(/hezou_http_swept_total (\d+)/.exec((await server.ask('GET', '/metrics')).text)[1]) >= 1024);
console.log(`drip story: ${before.toFixed(0)} answers/s before, ${median(during).toFixed(0)} during; the slowest head ended after ` +
  `${Math.max(...seconds.head).toFixed(1)} s, body ${Math.max(...seconds.body).toFixed(1)} s`);
await server.stop();
server.remove();
story.end();
