// growthbook.mjs - the 517 published cases of the GrowthBook SDKs, bit by bit. What a person can ask of the binary goes through
// `hezou feature` and `hezou bucket` (443 cases); the single functions among them (74) through build/…/learn/growthbook_cases,
// which also runs all the others once more without the command line.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Golden, binary, data, data_text, file, run } from './lib.mjs';

const golden = new Golden();
const name = 'abtest/growthbook_sdk_cases.json.gz';
const cases = JSON.parse(data_text(name));
const published = 517;

const check = (group, what, got, want) =>
  golden.check(`${group} ${what}: ${JSON.stringify(got)}, published ${JSON.stringify(want)}`, isDeepStrictEqual(got, want));

// The answer for a payload (with its person), or what was said instead.
function feature(payload, ...args) {
  const { code, out, err } = run('feature', file('payload.json', JSON.stringify(payload)), '--json', ...args);
  return code === 0 ? JSON.parse(out) : { said: err, results: {}, runs: [] };
}

for (const [what, condition, attributes, want, savedGroups] of cases.evalCondition) {
  const payload = { features: { f: { defaultValue: false, rules: [{ condition, force: true }] } }, savedGroups };
  const { results } = feature(payload, '--attributes', JSON.stringify(attributes));
  check('evalCondition', what, results.f?.value, want);
}

for (const group of ['feature', 'contextualBandit'])
  for (const [what, context, key, want] of cases[group])
    check(group, what, feature(context, '--feature', key).results[key], want);

for (const [what, context, experiment, ...want] of cases.run) {
  const [result] = feature({ ...context, experiments: [experiment] }).runs;
  check('run', what, [result?.value, result?.inExperiment, result?.hashUsed], want);
}

for (const [what, context, documents, key, result, kept] of cases.stickyBucket) {
  const docs = Object.fromEntries(documents.map((d) => [`${d.attributeName}||${d.attributeValue}`, d]));
  const got = feature({ ...context, stickyBucketAssignmentDocs: docs }, '--feature', key);
  check('stickyBucket', what, [got.results[key]?.experimentResult ?? null, got.sticky_buckets], [result, kept]);
}

for (const [what, context, want] of cases.urlRedirect) {
  const got = feature(context);
  const at = context.experiments.findIndex((e) => e.key === got.redirect_experiment);
  const result = got.runs[at];
  check('urlRedirect', what, [{ inExperiment: result?.inExperiment, urlRedirect: result?.value.urlRedirect,
    urlWithParams: got.redirect_url }], want);
}

for (const [seed, value, version, want] of cases.hash) {
  const { code, out } = run('bucket', `--hash-seed=${seed}`, `--value=${value}`, '--hash-version', String(version), '--json');
  check('hash', `${seed} ${value}`, code === 0 ? JSON.parse(out).bucket : null, want);
}

const functions = ['getBucketRange', 'chooseVariation', 'getQueryStringOverride', 'inNamespace', 'getEqualWeights', 'decrypt'];
const all = spawnSync(join(dirname(binary), '../learn/growthbook_cases'), [data(name)], { encoding: 'utf8' });
const failed = all.stdout?.split('\n').filter((line) => line.startsWith('FAILED')) ?? [];
for (const group of functions)
  cases[group].forEach(() => golden.check(`${group}: growthbook_cases did not run`, all.stdout !== null));
if (all.status !== 0 && failed.length === 0) golden.fail(`growthbook_cases ended with ${all.signal ?? all.status ?? all.error}`);
failed.forEach((line) => golden.fail(line.slice(7)));
if (golden.cases !== published) golden.fail(`${golden.cases} cases, published ${published}`);
golden.worst = { share: 0, deviation: 0, tolerance: 0 };
golden.end();
