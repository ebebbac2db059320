// labels.mjs - every field that a report prints has a label in Chinese (src/base/text.def, F_NAME): the fields are taken from
// --json, and none of their names may stand in the terminal's form of the same report.
import { Golden, file, purchases, run } from './lib.mjs';

const golden = new Golden();
const bought = `id,date,price\n${purchases()}`;

// [arguments, content of {file}]: each report at least once, with every kind of block that it can print.
const samples = [
  ['report table --file {file} --columns buyer=id', 'id,day,note,none\n1,2024-01-01,x,\n2,2024-01-02,y,\n3,soon,y,\n'],
  ['report experiment --data {file}', 'variation,metric\na,1\na,0\nb,1\nb,0\n,1\n'],
  ['report experiment --data {file} --test sequential --side less --cuped --absolute --target 1', 'variation,metric,covariate\na,1,1\na,5,2\nb,3,1\nb,7,4\nc,3,3\nc,3,3\n'],
  ['report experiment --counts a=100:10,b=0:0,c=90:12 --test bayes', ''],
  ['report experiment --counts a=100:10,b=90:12 --test z --absolute', ''],
  ['report experiment --data {file}', 'variation,metric,denominator\na,-1,1\na,1,2\nb,3,1\nb,7,4\n'],
  ['report experiment --data {file}', 'variation,metric,denominator\na,1,0\na,2,0\nb,3,1\nb,7,4\n'],
  ['report power --baseline 0.2 --effect 0.05 --power 0.8 --looks 2', ''],
  ['report power --effect 0.5 --power 0.8', ''],
  ['report power --baseline 0.2 --effect 0.05 --n 800 --method arcsine', ''],
  ['report funnel --events {file} --step a --step b --mode strict_once', ',2024-01-01,a\nu,2024-01-01,a\nu,2024-01-02,b\n'],
  ['report retention --events {file}', 'u,2024-01-01,a\nu,2024-01-02,b\nu,2024-01-03,b\n'],
  ['report retention --events {file} --step a --step b', 'u,2024-01-01,a\nu,2024-01-02,b\n'],
  ['report sequence --events {file} --pattern (?1) --step a', 'u,2024-01-01,a\n'],
  ['report kmeans --input {file} --k 1..3 --log1p', 'id,age,spend\n1,20,5\n2,21,6\n3,70,90\n4,71,95\n5,50,9\n'],
  ['report kmeans --input {file} --k 2 --each', 'id,age,spend\n1,20,5\n2,21,6\n3,70,90\n'],
  ['report rfm --transactions {file} --clean', 'id,date,quantity,price\n1,2024-01-01,1,2\n2,2024-02-01,1,9\n,2024-02-01,1,9\n3,2024-01-01,0,1\n3,2024-01-01,1,0\n'],
  ['report rfm --transactions {file} --clean --each --analysis-date 2024-02-02', 'id,date,Price\n1,2024-01-01,2\n2,2024-03-01,9\n3,2024-01-05,-1\n'],
  ['report uplift --data {file} --score s --treated A --control B', 'treatment,outcome,s\nA,0,2\nA,1,4\nB,1,3\nB,0,1\nC,1,3\n'],
  ['report uplift --data {file} --features s', 'treatment,outcome,s\n1,0,2\n1,1,4\n0,1,3\n0,0,1\n1,1,2\n1,1,4\n0,0,3\n0,0,1\n'],
  ['report clv --transactions {file} --calibration-end 2024-05-15', bought],
  ['report clv --transactions {file} --calibration-end 2024-05-15 --model mbgnbd', bought],
  ['report clv --transactions {file} --model paretonbd', `${bought},2024-02-01,1\nc1,2024-02-01,-1\nc1,2099-01-01,1\n`],
  ['report clv --transactions {file} --model gammagamma --calibration-end 2024-05-15', `${bought}late,2024-05-20,1\n`],
  ['report clv --customers {file} --model bgbb', 'x,t_x,n,weight\n0,0,6,3464\n1,1,6,1091\n1,4,6,78\n2,2,6,613\n2,6,6,234\n4,5,6,284\n6,6,6,1203\n'],
  ['report clv --model sbg --survivors 1000,631,468,382,326', ''],
  ['feature {file}', JSON.stringify({ attributes: { id: '1' }, url: 'http://a.b/c', features: { f: { rules: [{ variations: [0, 1] }] } },
    experiments: [{ key: 'k', variations: [{}, { urlRedirect: 'http://a.b/d' }], weights: [0, 1],
      urlPatterns: [{ type: 'simple', pattern: '/c' }] }] })],
  ['bucket --hash-seed s --value 1', ''],
  ['report attribution --paths {file} --order auto --model first,last,last-non-direct,linear,position,decay,markov,shapley,shao --cost {file}',
    'path,total_conversions,total_conversion_value,total_null,channel,spend\na > b,3,5,1,a,2\nb,1,,2,b,3\n>,1,1,1,c,1\na > > c,0,3,1,x,9\nc,0,0,0,y,1\na > b > c,1,1,30,z,1\n'],
  ['report attribution --paths {file} --model markov --cost {file}',
    'path,conversions,new_customers,null,channel,spend\na > b,3,1,9,a,2\nb,1,1,2,b,3\n'],
];

const frame = new Set(['report', 'bars', 'rows']);
const words = new Set(['reason', 'kind', 'verdict', 'segment', 'portrait', 'method']);

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

for (const [args, text] of samples) {
  const content = args.includes('--events') ? `user_id,time,event\n${text}` : text;
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
  // "mean_age" carries the name of a column of the data.
  const ours = [...seen.names].filter((name) => !seen.texts.has(name.replace(/^mean_/, '')));
  for (const name of ours) golden.check(`${args}: the field or word ${name} has no label`, !tokens.has(name));
}
golden.end();
