// story.mjs - a list of short named checks with one closing line; and what whole-product stories share.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { binary } from './server.mjs';

export class Story {
  constructor(name) {
    this.name = name;
    this.checks = 0;
    this.failed = 0;
  }

  // `detail` is what is, where the name says what must be. Answers whether it held.
  check(name, good, detail = '') {
    this.checks++;
    if (!good) {
      this.failed++;
      if (this.failed <= 40) console.log(`FAILED ${name}${detail === '' ? '' : `: ${detail}`}`);
    }
    return Boolean(good);
  }

  is(name, got, wanted) {
    const [g, w] = [JSON.stringify(got), JSON.stringify(wanted)];
    return this.check(name, g === w, `is ${g?.slice(0, 300)}, must be ${w?.slice(0, 300)}`);
  }

  // The closing line. The exit code follows from it, unless the program ends otherwise before.
  end() {
    console.log(`${this.name}: ${this.checks} checks, ${this.failed} failed`);
    process.exitCode = this.failed === 0 && this.checks > 0 ? 0 : 1;
  }
}

const run_file = promisify(execFile);

// The command line on the server's data directory: { code, out, err }.
export async function command(server, ...words) {
  try {
    const { stdout, stderr } = await run_file(binary, [...words, '--data', server.data, '--lang', 'en'],
      { maxBuffer: 64 << 20 });
    return { code: 0, out: stdout, err: stderr };
  } catch (failure) {
    return { code: failure.code, out: failure.stdout ?? '', err: failure.stderr ?? String(failure) };
  }
}

// `work` for each of `list`, at most `width` at a time; the results in order.
export async function each(list, width, work) {
  const results = new Array(list.length);
  let next = 0;
  const lane = async () => {
    while (next < list.length) {
      const i = next++;
      results[i] = await work(list[i], i);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, list.length) }, lane));
  return results;
}

export async function metrics(server) {
  const { text } = await server.ask('GET', '/metrics');
  return Object.fromEntries([...text.matchAll(/^(hezou_\w+) (\d+)$/gm)].map(([, name, v]) => [name, Number(v)]));
}

// A token: all that the journal holds now has been folded when it is reached.
export async function journal_end(server) {
  const { json } = await server.ask('GET', '/readyz');
  return `0:${Number(json.journal_end.split(':')[1]) - 1}`;
}

// Kilobytes: VmHWM is the most that the process ever had in memory, VmRSS what it has now.
export function memory_kb(server, name = 'VmHWM') {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))[1]);
}
