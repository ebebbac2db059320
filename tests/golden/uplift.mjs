// uplift.mjs - Qini, AUUC and uplift@k on Hillstrom's e-mail test (women's mail against none, odd rows), as scikit-uplift gives
// them (uplift_ref.json): to 1e-6 for given scores, to .002 for our own T-learner, whose scores are not the library's.
import { spawnSync } from 'node:child_process';
import { Golden, data, data_text, file, report } from './lib.mjs';

const golden = new Golden();
const published = JSON.parse(data_text('uplift_hillstrom/uplift_ref.json'));
const text = spawnSync('xz', ['-dc', data('uplift_hillstrom/hillstrom.csv.xz')], { encoding: 'utf8', maxBuffer: 1 << 30 }).stdout;
const given = 1e-6, learnt = 0.002;

// Cells may be quoted ("6) $750 - $1,000").
const [head, ...cells] = text.trimEnd().split('\n').map((line) => [...line.matchAll(/(?:"([^"]*)"|([^,]*))(?:,|$)/g)].map((m) => m[1] ?? m[2]));
const people = cells.map((row) => Object.fromEntries(head.map((name, i) => [name, row[i]])));
const test = people.filter((row, i) => i % 2 === 1 && row.segment !== 'Mens E-Mail');
const lines = test.map((row) => [row.segment === 'Womens E-Mail' ? 1 : 0, row.visit, row.conversion, row.womens,
  -Number(row.recency) + Number(row.history) / 1000].join(','));
const scored = file('scored.csv', `treatment,visit,conversion,flag,mix\n${lines.join('\n')}\n`);

const near = (what, got, want, tolerance) => want !== undefined && golden.near(what, got, want, tolerance, 'absolute');

function compare(what, got, want, tolerance) {
  near(`${what}: Qini`, got.qini, want.qini_auc, tolerance);
  near(`${what}: AUUC`, got.auuc, want.uplift_auc, tolerance);
  near(`${what}: @30 % overall`, got.uplift_at_k_overall, want.at30_overall, tolerance);
  near(`${what}: @30 % by group`, got.uplift_at_k_by_group, want.at30_bygroup, tolerance);
}

const hillstrom = file('hillstrom.csv', text);
for (const outcome of ['visit', 'conversion']) {
  const by_score = (column) => report('uplift', '--data', scored, '--outcome', outcome, '--score', column);
  compare(`womens flag, ${outcome}`, by_score('flag'), published[`score=womens flag (ties) ${outcome}`], given);
  compare(`recency and history, ${outcome}`, by_score('mix'), published[`score=-recency+history/1000 ${outcome}`], given);

  const want = published[`T-learner LR ${outcome}`];
  const got = report('uplift', '--data', hillstrom, '--treatment', 'segment', '--treated', 'Womens E-Mail', '--control', 'No E-Mail',
    '--outcome', outcome, '--features', 'recency,history,mens,womens,newbie,zip_code,channel,history_segment');
  golden.same(`T-learner, ${outcome}: rows, left out`, [got.row_count, got.left_out], [want.n_test, [{ reason: 'other_arm', rows: 21307 }]]);
  near(`T-learner, ${outcome}: effect`, got.effect, want.ate, 1e-12);
  near(`T-learner, ${outcome}: mean score`, got.score_mean, want.mean_pred, learnt);
  compare(`T-learner, ${outcome}`, got, want, learnt);
}
golden.end();
