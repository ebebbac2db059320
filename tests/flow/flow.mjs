// flow.mjs - runs all stories (README.md) in several orders, with crashes and rebuilds, and compares digests.
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Server, random, shuffled } from '../lib/server.mjs';

const folder = new URL('.', import.meta.url).pathname;
const orders = Number(process.env.FLOW_ORDERS ?? 6);
const start_ms = Date.parse('2026-11-01T00:00:00Z');
let checks = 0;
const failures = [];

function check(good, words) {
  checks++;
  if (!good) failures.push(words);
}

// "email:e@x.cn" in the story's own name space, as {type, value}.
function identifier(story, word) {
  const colon = word.indexOf(':');
  const type = word.slice(0, colon);
  const value = word.slice(colon + 1);
  if (type === 'phone') return { type, value }; // phones are numbers: stories use different ones
  return { type, value: `${story}-${value}` };
}

const text_of = ({ type, value }) => `${type}:${value}`;

function parse_event(story, line, number) {
  const [, minute, rest] = /^@(\d+)\s+(.*)$/.exec(line);
  const [, kind, words, name, json] =
    /^(?:(identify|bind|unbind)\s+)?([^{]*?)(?:\s+:\s+([^{]*?))?\s*(\{.*\})?$/.exec(rest);
  const identifiers = {};
  for (const word of words.trim().split(/\s+/)) {
    const { type, value } = identifier(story, word);
    (identifiers[type] ??= []).push(value);
  }
  const event = {
    type: kind ?? 'track',
    message_id: `${story}-${number}`,
    time: new Date(start_ms + Number(minute) * 60000).toISOString(),
    identifiers,
  };
  if (name) event.name = name.trim();
  if (json) event[kind === 'identify' ? 'traits' : 'properties'] = JSON.parse(json);
  return event;
}

function read_story(file) {
  const story = basename(file, '.flow');
  const events = [];
  const expectations = [];
  for (const raw of readFileSync(join(folder, file), 'utf8').split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('@')) events.push(parse_event(story, line, events.length));
    else expectations.push(line);
  }
  return { story, events, expectations };
}

async function expect_line(server, story, line) {
  const [word, ...rest] = line.split(/\s+/);
  if (word === '=') {
    const wanted = rest.map((r) => text_of(identifier(story, r))).sort();
    const answer = await server.ask('GET', `/api/v1/profiles/${encodeURIComponent(wanted[0])}`);
    const got = (answer.json?.identifiers ?? []).map(text_of).sort();
    check(JSON.stringify(got) === JSON.stringify(wanted), `${story}: ${line}: got ${got.join(' ')}`);
    return;
  }
  const id = text_of(identifier(story, rest[0]));
  const answer = await server.ask('GET', `/api/v1/profiles/${encodeURIComponent(id)}`);
  if (word === 'trait') {
    const wanted = JSON.parse(line.slice(line.indexOf(rest[1]) + rest[1].length));
    check(JSON.stringify(answer.json?.traits?.[rest[1]]) === JSON.stringify(wanted),
      `${story}: ${line}: got ${JSON.stringify(answer.json?.traits)}`);
  } else if (word === 'events') {
    check(answer.json?.events_total === Number(rest[1]), `${story}: ${line}: got ${answer.json?.events_total}`);
  } else if (word === 'orders') {
    check(answer.json?.orders === Number(rest[1]), `${story}: ${line}: got ${answer.json?.orders}`);
  } else {
    check(false, `${story}: what is "${line}"?`);
  }
}

async function send(server, events) {
  let position;
  for (let i = 0; i < events.length; i += 7) {
    const answer = await server.must('POST', '/api/v1/batch', { events: events.slice(i, i + 7) });
    check(answer.results.every((r) => r.status === 'stored' || r.status === 'duplicate'),
      `not stored: ${JSON.stringify(answer.results)}`);
    position = answer.position ?? position;
  }
  return position;
}

async function digest(server, after) {
  const query = after ? `?after=${encodeURIComponent(after)}` : '';
  const { people, profiles, rows } = await server.must('GET', `/api/v1/doctor/digest${query}`);
  return `people ${people} profiles ${profiles} rows ${rows}`;
}

async function one_order(stories, events, label, wanted, trouble) {
  const server = await new Server().start(['--clock=virtual']);
  const half = events.slice(0, events.length >> 1);
  let position = await send(server, trouble ? half : events);
  if (trouble === 'kill') await server.kill();
  if (trouble) {
    if (trouble === 'rebuild') {
      await server.stop();
      for (const name of ['state.db', 'state.db-wal', 'state.db-shm']) rmSync(join(server.data, name), { force: true });
    }
    await server.start(['--clock=virtual']);
    position = await send(server, events); // the first half again: duplicates
  }
  const got = await digest(server, position);
  for (const { story, expectations } of stories)
    for (const line of expectations) await expect_line(server, story, line);
  check(wanted === undefined || got === wanted, `${label}: digest ${got}, wanted ${wanted}`);
  await server.stop();
  server.remove();
  return got;
}

const only = process.argv[2];
const stories = readdirSync(folder).filter((f) => f.endsWith('.flow') && (!only || f.startsWith(only))).sort()
  .map(read_story);
const all = stories.flatMap((s) => s.events);
const wanted = await one_order(stories, all, 'as written');
await one_order(stories, [...all].reverse(), 'reversed', wanted);
for (let seed = 1; seed <= orders; seed++)
  await one_order(stories, shuffled(all, random(seed)), `shuffle ${seed}`, wanted);
await one_order(stories, shuffled(all, random(101)), 'kill -9 half-way', wanted, 'kill');
await one_order(stories, shuffled(all, random(102)), 'state.db deleted half-way', wanted, 'rebuild');
for (const words of failures.slice(0, 40)) console.log(`FAILED ${words}`);
console.log(`flow: ${stories.length} stories, ${all.length} events, ${orders + 4} orders, ${checks} checks, ` +
  `${failures.length} failed`);
process.exit(failures.length === 0 ? 0 : 1);
