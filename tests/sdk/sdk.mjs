// sdk.mjs - every event that a real SDK was asked to send is stored exactly once, whatever the network did.
//
// Each form of each SDK meets each fault of proxy.mjs once. What is stored is asked by SQL over the view `events`, so it
// is what a report would see. Forms that by design never send again (see `once` below) are held to what they promise.
import http from 'node:http';
import { readFileSync } from 'node:fs';
import { Analytics } from '@segment/analytics-node';
import { chromium } from 'playwright-core';
import { Server } from '../lib/server.mjs';
import { proxy } from './proxy.mjs';

const faults = ['ok', '429', '503', 'cut-before', 'cut-after', 'slow'];
const patience_ms = 30000;
const failures = [];
let checks = 0;

function check(good, words) {
  checks++;
  if (!good) failures.push(words);
}

const server = await new Server().start();
const { key } = await server.must('POST', '/api/v1/sources', { name: 'sdk', channel: 'web' });

// How often each event of that name was stored; waits for the journal's end of now.
async function stored(name) {
  const { journal_end } = await server.must('GET', '/readyz');
  const rows = await server.sql(
    `SELECT json_extract_string(properties, '$.n') AS n, count(*) FROM events
     WHERE coalesce(nullif(name, ''), json_extract_string(properties, '$.run')) = '${name}' GROUP BY ALL`,
    `0:${Number(journal_end.split(':')[1]) - 1}`);
  return new Map(rows.map(([n, count]) => [n, Number(count)]));
}

// All of `count` events, each once; `lost_max` of them may be missing, none may be there twice.
async function expect_once(name, way, count, lost_min = 0, lost_max = lost_min) {
  const got = await stored(name);
  const lost = count - got.size;
  check(way.fault_left === undefined, `${name}: the fault did not happen`);
  check(lost >= lost_min && lost <= lost_max, `${name}: ${got.size} of ${count} events stored: ${way.seen.join(', ')}`);
  for (const [n, times] of got)
    check(times === 1 && Number(n) < count, `${name} event ${n}: stored ${times} times: ${way.seen.join(', ')}`);
}

const fault_of = (fault) => (fault === 'ok' ? undefined : fault);

// --- Segment for Node: six kinds of calls, batches of five ----------------------------------------------------------

async function segment_node(fault) {
  const name = `node ${fault}`;
  const way = await proxy(server.url, fault_of(fault), 2500);
  const analytics = new Analytics({ writeKey: key, host: way.url, path: '/v1/batch', flushAt: 5, flushInterval: 200,
    maxRetries: 5, httpRequestTimeout: 1500 });
  const run = (n) => ({ n: String(n), run: name });
  for (let n = 0; n < 8; n++) analytics.track({ userId: `u-${n % 3}`, event: name, properties: run(n) });
  analytics.page({ anonymousId: 'a-1', name, properties: run(8) });
  analytics.screen({ userId: 'u-1', name, properties: run(9) });
  analytics.identify({ userId: 'u-1', traits: run(10) });
  analytics.group({ userId: 'u-1', groupId: 'g', traits: run(11) });
  await analytics.closeAndFlush();
  await expect_once(name, way, 12);
  way.close();
}

// --- in the browser: pages of another origin ------------------------------------------------------------------------

const events = 5;

// A page of its own, with nothing kept from other pages; `script` runs there, `done` says when it has nothing more to do.
async function in_page(browser, url, way, script, given, done) {
  const context = await browser.newContext();
  const page = await context.newPage();
  let ended = 0; // as the browser sees it: with an answer or without
  const count = (request) => { if (request.url().startsWith(`${way.url}/sa`)) ended++; };
  const over = new Promise((resolve) => {
    const look = (request) => { count(request); if (ended >= events) resolve(); };
    page.on('requestfinished', look);
    page.on('requestfailed', look);
  });
  await page.goto(url);
  await page.evaluate(script, given);
  const good = await done(over);
  check(good, `${given.name}: not done in time: ${way.seen.join(', ')}`);
  await context.close();
}

// One POST per event, or (batching) one for all. Both come back after any failure. Content-Type text/plain but with
// Authorization, so each needs a preflight, and a retry one that also asks for X-Retry-Count.
async function segment_browser(browser, origin, fault, batching) {
  const name = `${batching ? 'batching browser' : 'browser'} ${fault}`;
  const way = await proxy(server.url, fault_of(fault), 1000);
  const script = async ({ key, url, name, events, batching }) => {
    const settings = { protocol: 'http' };
    if (batching) settings.deliveryStrategy = { strategy: 'batching', config: { size: events, timeout: 200 } };
    const [analytics] = await window.AnalyticsNext.AnalyticsBrowser.load({ writeKey: key, cdnURL: url },
      { integrations: { 'Segment.io': settings } });
    for (let n = 0; n < events; n++) analytics.track(name, { n: String(n) });
  };
  await in_page(browser, `${origin}/segment.html`, way, script, { key, url: way.url, name, events, batching },
    () => way.until(() => way.delivered >= (batching ? 1 : events), patience_ms));
  await expect_once(name, way, events);
  check(way.asked_headers.has('authorization'), `${name}: there was no preflight: ${way.seen.join(', ')}`);
  if (!batching && (fault === '429' || fault === '503')) // (its batches count retries only when timers fall well)
    check(way.asked_headers.has('x-retry-count'), `${name}: the retry had no preflight: ${way.seen.join(', ')}`);
  way.close();
}

// 神策, batch_send: kept in localStorage until a 2xx, sent again in the next interval after anything else.
async function sensors_batch(browser, origin, fault) {
  const name = `sensors_batch_${fault.replace('-', '_')}`;
  const way = await proxy(server.url, fault_of(fault), 1500);
  await in_page(browser, `${origin}/sensors.html`, way, sensors_script, { key, url: way.url, name, events, send: 'batch' },
    () => way.until(() => way.delivered >= 1, patience_ms));
  await expect_once(name, way, events);
  way.close();
}

// 神策 without batch_send (ajax, image, beacon) sends once and never again: what the way refuses or cuts before the
// server is lost by design. But Chromium itself repeats a request whose kept-alive connection broke, so of a cut
// request either may happen, and after a cut answer the server sees the event twice. Never is one stored twice.
async function sensors_single(browser, origin, fault, send) {
  const name = `sensors_${send}_${fault.replace('-', '_')}`;
  const way = await proxy(server.url, fault_of(fault), 500);
  const seen_by_proxy = () => way.until(() => way.ended >= events, patience_ms);
  await in_page(browser, `${origin}/sensors.html`, way, sensors_script, { key, url: way.url, name, events, send },
    (over) => (send === 'beacon' ? seen_by_proxy() : Promise.race([over.then(() => true), late()])));
  const refused = fault === '429' || fault === '503';
  await expect_once(name, way, events, refused ? 1 : 0, refused || fault === 'cut-before' ? 1 : 0);
  way.close();
}

const late = () => new Promise((resolve) => { setTimeout(() => resolve(false), patience_ms).unref(); });

function sensors_script({ key, url, name, events, send }) {
  const sensors = window.sensorsDataAnalytic201505;
  sensors.init({
    server_url: `${url}/sa?project=${key}`, send_type: send === 'batch' ? 'ajax' : send, is_track_single_page: false,
    show_log: false, heatmap: { clickmap: 'not_collect', scroll_notice_map: 'not_collect' },
    batch_send: send === 'batch' ? { datasend_timeout: 1000, send_interval: 300, storage_length: 200 } : false,
  });
  for (let n = 0; n < events; n++) sensors.track(name, { n: String(n) });
}

async function page_server() {
  const modules = new URL('./node_modules/', import.meta.url).pathname;
  const page = (script) => `<!doctype html><title>shop</title><link rel="icon" href="data:,"><script src="${script}"></script>`;
  const pages = {
    '/segment.html': page('/segment.js'),
    '/sensors.html': page('/sensors.js'),
    '/segment.js': readFileSync(`${modules}@segment/analytics-next/dist/umd/index.js`),
    '/sensors.js': readFileSync(`${modules}sa-sdk-javascript/sensorsdata.min.js`),
  };
  const pages_server = http.createServer((request, response) => {
    const body = pages[request.url.split('?')[0]];
    response.writeHead(body ? 200 : 404,
      { 'content-type': request.url.endsWith('.js') ? 'text/javascript' : 'text/html; charset=utf-8' });
    response.end(body ?? '');
  });
  await new Promise((resolve) => pages_server.listen(0, '127.0.0.1', resolve));
  return pages_server;
}

await Promise.all(faults.map(segment_node));
const pages = await page_server();
const origin = `http://127.0.0.1:${pages.address().port}`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1'],
});
for (const fault of faults) {
  await Promise.all([
    segment_browser(browser, origin, fault, false),
    segment_browser(browser, origin, fault, true),
    sensors_batch(browser, origin, fault),
  ]);
  await Promise.all(['ajax', 'image', 'beacon'].map((send) => sensors_single(browser, origin, fault, send)));
}
await browser.close();
pages.closeAllConnections();
pages.close();
await server.stop();
server.remove();
for (const words of failures.slice(0, 40)) console.log(`FAILED ${words}`);
console.log(`sdk: ${checks} checks, ${failures.length} failed`);
process.exit(failures.length === 0 ? 0 : 1);
