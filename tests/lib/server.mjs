// server.mjs - one real hezou process per test: started on a fresh or given directory, asked over HTTP, killed or stopped.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const binary = process.env.HEZOU ?? 'build/hooks/src/app/hezou';

export class Server {
  constructor(data) {
    this.may_end = false; // by a fault that the test makes: then it is nothing to tell
    this.data = data ?? mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'hezou-test-'));
  }

  // Resolves when it listens (it says so on stderr), rejects when it ends before.
  async start(args = [], env = {}) {
    // A switch that the binary does not know would be waited for in vain.
    const hook = Object.keys(env).find((name) => /^(CRASH_AT|HEZOU_(BUG|HOLD|FAIL_IO))$/.test(name) && !readFileSync(binary).includes(name));
    if (hook) throw new Error(`${binary} knows no ${hook}: build it with -Dhooks=true`);
    this.child = spawn(binary, ['serve', '--data', this.data, '--port', '0', '--lang', 'en', ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    this.errors = '';
    this.end_wanted = false;
    this.exited = new Promise((resolve) => this.child.on('close', (code, signal) => {
      if (!this.end_wanted && !this.may_end) console.log(`the server ended by itself (${signal ?? code}):\n${this.errors.slice(-8000)}`);
      resolve({ code, signal });
    }));
    const listening = new Promise((resolve) => {
      this.child.stderr.on('data', (bytes) => {
        this.errors += bytes;
        const url = /Listening on (\S+)\n/.exec(this.errors);
        if (url) resolve(url[1]);
      });
    });
    const url = await Promise.race([listening, this.exited]);
    if (typeof url !== 'string') throw new Error(`the server ended before it listened: ${this.errors}`);
    this.url = url;
    this.key = readFileSync(join(this.data, 'owner.key'), 'utf8').trim();
    return this;
  }

  async ask(method, path, body, headers = {}) {
    const answer = await fetch(this.url + path, {
      method,
      signal: AbortSignal.timeout(60000),
      headers: { authorization: `Bearer ${this.key}`, 'content-type': 'application/json', ...headers },
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { code: answer.status, json, text, headers: answer.headers };
  }

  // The answer's JSON; anything but 2xx is an error of the test.
  async must(method, path, body) {
    const answer = await this.ask(method, path, body);
    if (answer.code < 200 || answer.code > 299) throw new Error(`${method} ${path}: ${answer.code} ${answer.text}`);
    return answer.json;
  }

  async sql(sql, after) {
    const query = after ? `?after=${encodeURIComponent(after)}` : '';
    return (await this.must('POST', `/api/v1/sql${query}`, { sql })).rows;
  }

  async kill() {
    this.end_wanted = true;
    this.child.kill('SIGKILL');
    await this.exited;
  }

  async stop() {
    this.end_wanted = true;
    this.child.kill('SIGTERM');
    const { code } = await this.exited;
    if (code !== 0) throw new Error(`the server ended with ${code}: ${this.errors}`);
  }

  remove() {
    rmSync(this.data, { recursive: true, force: true });
  }
}

// A deterministic generator (mulberry32), so that a failing order can be repeated.
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function shuffled(list, next) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}
