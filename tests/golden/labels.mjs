// labels.mjs - every field that a report prints has a label in Chinese (src/base/text.def, F_NAME): the fields are taken from
// --json, and none of their names may stand in the terminal's form of the same report.
import { Golden, file, run } from './lib.mjs';

const golden = new Golden();

// [arguments, content of {file}]: each report at least once, with every kind of block that it can print.
const samples = [
  ['report table --file {file} --columns buyer=id', 'id,day,note,none\n1,2024-01-01,x,\n2,2024-01-02,y,\n3,soon,y,\n'],
  ['feature {file}', JSON.stringify({ attributes: { id: '1' }, url: 'http://a.b/c', features: { f: { rules: [{ variations: [0, 1] }] } },
    experiments: [{ key: 'k', variations: [{}, { urlRedirect: 'http://a.b/d' }], weights: [0, 1],
      urlPatterns: [{ type: 'simple', pattern: '/c' }] }] })],
  ['bucket --hash-seed s --value 1', ''],
];

const frame = new Set(['report', 'bars', 'rows']);
const words = new Set(['reason', 'kind', 'verdict']);

// Names of fields, words of ours, and texts of the data, at any depth.
function walk(value, name, seen) {
  if (Array.isArray(value)) value.forEach((item) => walk(item, name, seen));
  else if (value !== null && typeof value === 'object')
    for (const [key, item] of Object.entries(value)) {
      if (!frame.has(key)) seen.names.add(key);
      walk(item, key, seen);
    }
  else if (typeof value === 'string') (words.has(name) ? seen.names : seen.texts).add(value);
}

for (const [args, content] of samples) {
  const path = file('sample.csv', content);
  const list = args.split(' ').map((word) => (word === '{file}' ? path : word));
  const json = run(...list, '--json');
  const shown = run(...list, '--lang', 'zh');
  if (!golden.check(`${args}: ${json.err}${shown.err}`, json.code === 0 && shown.code === 0)) continue;
  const object = JSON.parse(json.out);
  const seen = { names: new Set([`report_${object.report}`]), texts: new Set() };
  walk(object, '', seen);
  const data = new Set([...seen.texts].flatMap((text) => text.split(/[^A-Za-z0-9_]+/)));
  const tokens = new Set(shown.out.split(/[^A-Za-z0-9_]+/).filter((token) => !data.has(token)));
  for (const name of seen.names) golden.check(`${args}: the field or word ${name} has no label`, !tokens.has(name));
}
golden.end();
