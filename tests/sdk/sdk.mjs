// sdk.mjs - every event that a real SDK was asked to send is stored exactly once, whatever the network did.
import http from 'node:http';
import { readFileSync } from 'node:fs';
import { Analytics } from '@segment/analytics-node';
import { chromium } from 'playwright-core';
import { Server } from '../lib/server.mjs';
import { proxy } from './proxy.mjs';

const faults = ['ok', '429', '503', 'cut-before', 'cut-after', 'slow'];
const failures = [];
let checks = 0;

function check(good, words) {
  checks++;
  if (!good) failures.push(words);
}

const server = await new Server().start();
const { key } = await server.must('POST', '/api/v1/sources', { name: 'sdk', channel: 'web' });

// How often each event name of this run was stored; waits for the journal's end of now.
async function stored(prefix) {
  const ready = await server.must('GET', '/readyz');
  const last = Number(ready.journal_end.split(':')[1]) - 1;
  const rows = await server.sql(
    `SELECT json_extract_string(properties, '$.n') AS n, count(*) FROM events WHERE name = '${prefix}' GROUP BY ALL`,
    `0:${last}`);
  return new Map(rows.map(([n, count]) => [n, count]));
}

async function expect_once(prefix, count, seen) {
  const got = await stored(prefix);
  for (let n = 0; n < count; n++)
    check(got.get(String(n)) === 1, `${prefix} event ${n}: stored ${got.get(String(n)) ?? 0} times (${seen.join(', ')})`);
  check(got.size === count, `${prefix}: ${got.size} events stored, ${count} sent`);
}

async function segment_node(fault) {
  const name = `node ${fault}`;
  const way = await proxy(server.url, fault === 'ok' ? [] : [fault], 4000);
  const analytics = new Analytics({ writeKey: key, host: way.url, path: '/v1/batch', flushAt: 5, flushInterval: 200,
    maxRetries: 5, httpRequestTimeout: 2000 });
  for (let n = 0; n < 10; n++)
    analytics.track({ userId: `u-${n % 3}`, event: name, properties: { n: String(n) } });
  await analytics.closeAndFlush();
  await expect_once(name, 10, way.seen);
  check(way.faults_left() === 0, `${name}: the fault did not happen`);
  way.close();
}

// A page of another origin, which loads an SDK and does what `script` says.
async function page_server(pages) {
  const pages_server = http.createServer((request, response) => {
    const body = pages[request.url.split('?')[0]];
    response.writeHead(body ? 200 : 404, { 'content-type': request.url.endsWith('.js') ? 'text/javascript' : 'text/html; charset=utf-8' });
    response.end(body ?? '');
  });
  await new Promise((resolve) => pages_server.listen(0, '127.0.0.1', resolve));
  return pages_server;
}

const segment_page = `<!doctype html><title>shop</title><script src="/standalone.js"></script>`;
const sensors_page = `<!doctype html><title>shop</title><script src="/sensorsdata.js"></script>`;

async function segment_browser(browser, origin, fault) {
  const name = `browser ${fault}`;
  const way = await proxy(server.url, fault === 'ok' ? [] : [fault], 1500);
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${origin}/segment.html`);
  await page.evaluate(async ({ key, url, name }) => {
    const [analytics] = await window.AnalyticsNext.AnalyticsBrowser.load(
      { writeKey: key, cdnURL: url },
      { integrations: { 'Segment.io': { apiHost: `${url.replace('http://', '')}/v1`, protocol: 'http' } } });
    for (let n = 0; n < 5; n++) await analytics.track(name, { n: String(n) });
  }, { key, url: way.url, name });
  await settled(way, page, fault, 5);
  await expect_once(name, 5, way.seen);
  await page.context().close();
  way.close();
}

async function sensors_browser(browser, origin, fault) {
  const name = `sensors_${fault.replace('-', '_')}`;
  const way = await proxy(server.url, fault === 'ok' ? [] : [fault], 1500);
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${origin}/sensors.html`);
  await page.evaluate(({ key, url, name }) => {
    const sensors = window.sensorsDataAnalytic201505;
    sensors.init({ server_url: `${url}/sa?project=${key}`, send_type: 'ajax', is_track_single_page: false, show_log: false,
      heatmap: { clickmap: 'not_collect', scroll_notice_map: 'not_collect' },
      batch_send: { datasend_timeout: 1000, send_interval: 300, storage_length: 200 } });
    for (let n = 0; n < 5; n++) sensors.track(name, { n: String(n) });
  }, { key, url: way.url, name });
  await settled(way, page, fault, 1);
  await expect_once(name, 5, way.seen);
  await page.context().close();
  way.close();
}

// The SDK has nothing more to send: the fault has happened, and as many good answers as there must be have gone through.
async function settled(way, page, fault, posts) {
  const wanted = posts + (fault === 'ok' ? 0 : 1);
  await page.waitForEvent('requestfinished', { predicate: () => posts_seen(way) >= wanted, timeout: 30000 })
    .catch(() => check(posts_seen(way) >= wanted, `${fault}: only ${posts_seen(way)} of ${wanted} posts: ${way.seen.join(', ')}`));
}

const posts_seen = (way) => way.seen.filter((line) => line.startsWith('POST') && !line.includes('/v1/m')).length;

for (const fault of faults) await segment_node(fault);

const modules = new URL('./node_modules/', import.meta.url).pathname;
const pages = await page_server({
  '/segment.html': segment_page,
  '/sensors.html': sensors_page,
  '/standalone.js': readFileSync(`${modules}@segment/analytics-next/dist/umd/index.js`),
  '/sensorsdata.js': readFileSync(`${modules}sa-sdk-javascript/sensorsdata.min.js`),
});
const origin = `http://127.0.0.1:${pages.address().port}`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1'],
});
for (const fault of faults) {
  await segment_browser(browser, origin, fault);
  await sensors_browser(browser, origin, fault);
}
await browser.close();
pages.close();
await server.stop();
server.remove();
for (const words of failures.slice(0, 40)) console.log(`FAILED ${words}`);
console.log(`sdk: ${checks} checks, ${failures.length} failed`);
process.exit(failures.length === 0 ? 0 : 1);
