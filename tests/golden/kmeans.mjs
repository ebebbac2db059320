// kmeans.mjs - k-means on Fisher's iris and on customers of UCI Online Retail: the best inertias that scikit-learn 1.2.1 found
// (kmeans_ref.json; iris k = 3 is in its documentation too), sizes where the inertia agrees, and the ten rows that people learn
// it by, whose groups are the library's.
import { Golden, data, data_text, file, report } from './lib.mjs';

const golden = new Golden();
const published = JSON.parse(data_text('kmeans/kmeans_ref.json'));
const iris = file('iris.csv', `a,b,c,d,species\n${data_text('kmeans/iris.csv')}`);
const retail = data('kmeans/online_retail_rfm.csv.gz');
const worse_by = 1e-3; // than the published inertia, at most
const same_by = 1e-6; // then the sizes are compared,
const lower_by = 1e-7; // unless ours is lower: then it is another, better optimum, and the published sizes are not its
const lower = [];

function compare(what, got, [inertia, sizes]) {
  const change = got.inertia / inertia - 1;
  golden.near(`${what}: inertia (a lower one is no deviation)`, Math.max(got.inertia, inertia), inertia, worse_by);
  golden.check(`${what}: it converged`, got.converged);
  const ours = got.rows.map((row) => row.size).sort((a, b) => a - b);
  if (change < -lower_by) lower.push(`${what} ${got.inertia} < ${inertia}`);
  else if (change <= same_by) golden.same(`${what}: sizes`, ours, sizes);
}

for (const [what, want] of Object.entries(published)) {
  const k = what.match(/k=(\d+)$/)[1];
  const input = what.startsWith('iris') ? ['--input', iris, '--features', 'a,b,c,d']
    : ['--input', retail, '--log1p', '--standardize', 'zscore'];
  const ten_starts = report('kmeans', ...input, '--k', k);
  golden.near(`${what}: inertia of ten starts`, Math.max(ten_starts.inertia, want[0]), want[0], worse_by);
  compare(what, report('kmeans', ...input, '--k', k, '--starts', '100'), want);
}

// scikit-learn 1.2.1: KMeans(n_clusters=3, random_state=42).fit_predict(StandardScaler().fit_transform(df)), n_init 10.
const ten = file('ten.csv', 'age,income,frequency\n25,30,2\n30,45,3\n35,60,4\n40,80,5\n45,100,6\n50,120,7\n55,150,8\n60,180,9\n22,25,1\n28,40,2\n');
const library = [1, 1, 2, 2, 2, 0, 0, 0, 1, 1];
const asked = ['kmeans', '--input', ten, '--k', '3', '--standardize', 'zscore', '--seed', '42'];
const each = report(...asked, '--each').rows.map((row) => row.cluster);
golden.same('ten rows: how many', each.length, library.length);
library.forEach((a, i) => library.forEach((b, j) =>
  golden.check(`ten rows: ${i} and ${j} are together or apart as in the library`, (a === b) === (each[i] === each[j]))));
const groups = report(...asked);
golden.near('ten rows: inertia', groups.inertia, 2.873808599126801, 1e-12);
golden.near('ten rows: silhouette', groups.silhouette, 0.4999577437121892, 1e-12);
golden.near('ten rows: Davies-Bouldin', groups.davies_bouldin, 0.4529993398750108, 1e-12);
golden.near('ten rows: Calinski-Harabasz', groups.calinski_harabasz, 33.03688002461401, 1e-12);
golden.near('ten rows: mean income of the youngest group', groups.rows[0].mean_income, 35, 1e-12); // df.groupby('cluster').mean()

// An elbow says of each k what a run with that k says.
const elbow = report('kmeans', '--input', retail, '--log1p', '--standardize', 'zscore', '--k', '2..4').elbow;
for (const row of elbow) {
  const alone = report('kmeans', '--input', retail, '--log1p', '--standardize', 'zscore', '--k', String(row.k));
  golden.same(`elbow, k = ${row.k}`, [row.inertia, row.silhouette], [alone.inertia, alone.silhouette]);
}
golden.end(lower.length === 0 ? '' : `; lower than published: ${lower.join('; ')}`);
