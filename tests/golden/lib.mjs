// lib.mjs - for the golden scripts: the program, the published data, comparisons that remember the worst deviation.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const binary = resolve(root, process.env.HEZOU ?? 'build/release/src/app/hezou');
export const shared = resolve(root, process.env.HEZOU_SHARED ?? '../shared');
const strict = (process.env.STRICT ?? '0') !== '0';
const family = basename(process.argv[1]).replace(/\.mjs$/, '');

// A folder for files of the test's own making; gone at the end.
export const work = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'hezou-golden-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

export function file(name, content) {
  const path = join(work, name);
  writeFileSync(path, content);
  return path;
}

// The path of a published file; without it the whole family is skipped, with STRICT=1 it has failed.
export function data(name) {
  const path = join(shared, 'data', name);
  if (existsSync(path)) return path;
  console.log(strict ? `FAILED golden ${family}: ${name} is not there` : `skipped: golden ${family} (${name} is not there)`);
  process.exit(strict ? 1 : 77);
}

// Its text, unpacked when it is gzip.
export function data_text(name) {
  const bytes = readFileSync(data(name));
  return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
}

// Rows of plain CSV or TSV (no quotes) as objects by the head's names.
export function rows_of(text, delimiter = ',') {
  const [head, ...lines] = text.replace(/\r/g, '').trimEnd().split('\n').map((line) => line.split(delimiter));
  return lines.map((cells) => Object.fromEntries(head.map((name, i) => [name, cells[i]])));
}

export function run(...args) {
  const child = spawnSync(binary, args, { encoding: 'utf8', maxBuffer: 1 << 30, env: { ...process.env, LANG: 'C', LC_ALL: 'C' } });
  if (child.error) throw child.error;
  return { code: child.status, signal: child.signal, out: child.stdout, err: child.stderr };
}

// `hezou report ARGS --json` as an object; a failed run ends the family.
export function report(...args) {
  const { code, signal, out, err } = run('report', ...args, '--json');
  if (code === 0) return JSON.parse(out);
  console.log(`FAILED golden ${family}: report ${args.join(' ')} ended with ${signal ?? code}: ${err}`);
  process.exit(1);
}

// Lines of customer, day and amount that have a fit: 300 customers with rates and lives of their own, from January to June 2024,
// by a linear congruential generator.
export function purchases() {
  let state = 7;
  const exponential = () => -Math.log(((state = (state * 1664525 + 1013904223) % 4294967296) + 0.5) / 4294967296);
  const lines = [];
  for (let i = 0; i < 300; i++) {
    const gap = 15 / exponential();
    const end = Math.min((90 * exponential()) / exponential(), 180 - (i % 20));
    for (let t = 0; t < end; t += gap * exponential()) {
      const day = new Date(Date.UTC(2024, 0, 1 + (i % 20) + t)).toISOString().slice(0, 10);
      lines.push(`c${i},${day},${(20 * (exponential() + exponential())).toFixed(2)}\n`);
    }
  }
  return lines.join('');
}

// One per family: near() and same() are cases, end() prints the line and the exit code follows.
export class Golden {
  constructor(name = family) {
    this.name = name;
    this.cases = this.failed = 0;
    this.worst = { share: -1, deviation: 0, tolerance: 0 }; // share of its tolerance
  }

  fail(words) {
    this.failed++;
    if (this.failed <= 20) console.log(`FAILED ${this.name}: ${words}`);
  }

  // |got - want| against the tolerance: absolute, or relative to |want|.
  near(what, got, want, tolerance, kind = 'relative') {
    this.cases++;
    const scale = kind === 'relative' && want !== 0 ? Math.abs(want) : 1;
    const deviation = Math.abs(Number(got) - want) / scale;
    const share = tolerance > 0 ? deviation / tolerance : deviation === 0 ? 0 : Infinity;
    if (share > this.worst.share) this.worst = { share, deviation, tolerance };
    const good = got !== null && got !== undefined && deviation <= tolerance;
    if (!good) this.fail(`${what} is ${got}, published ${want} (${kind} deviation ${deviation.toExponential(2)})`);
    return good;
  }

  same(what, got, want) {
    this.cases++;
    const good = JSON.stringify(got) === JSON.stringify(want);
    if (this.worst.share < 0) this.worst = { share: 0, deviation: 0, tolerance: 0 };
    if (!good) this.fail(`${what} is ${JSON.stringify(got)}, published ${JSON.stringify(want)}`);
    return good;
  }

  // A rule of the test's own, without a figure.
  check(what, good) {
    this.cases++;
    if (!good) this.fail(what);
    return good;
  }

  end(more = '') {
    const number = (v) => (v === 0 ? '0' : v.toExponential(1));
    const { deviation, tolerance } = this.worst;
    console.log(`golden ${this.name}: ${this.cases} cases, ${this.failed} failed, worst deviation ${number(deviation)}, ` +
      `tolerance ${tolerance === 0 ? '0 (exact)' : number(tolerance)}${more}`);
    process.exitCode = this.failed === 0 && this.cases > 0 ? 0 : 1;
  }
}
